"""Runs as jobs of a Slurm cluster, those that may begin together as one array."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import submitit

from .run import Run
from .schedule import Job
from .worker import Test, importable, work

# what submitit calls the same for every kind of cluster; others are Slurm's own
SHARED = {
    'timeout_min', 'mem_gb', 'cpus_per_task', 'gpus_per_node', 'nodes', 'name',
    'tasks_per_node',
}  # fmt: skip
JOB = 'slurm.json'


class Work:
    """Does a run; one that is preempted or out of time is queued again and goes on."""

    def __call__(self, run: Run, gpus: int, test: Test) -> None:
        """Do it."""
        work(run, gpus, test)

    def checkpoint(self, *args: Any) -> submitit.helpers.DelayedSubmission:
        """Begin again, which goes on from the last checkpoint."""
        return submitit.helpers.DelayedSubmission(self, *args)


class Cluster:
    """Runs as jobs of a cluster.

    A call that is stopped leaves its jobs to Slurm, and the next one finds them.

    Args:
        folder: For the jobs' scripts and logs, on a disk that all nodes see.
        gpus: Of each run.
        jobs: How many at a time, at most.
        options: ``partition``, ``timeout_min`` (a day by default), ``cpus_per_task``,
            ``account`` and the like, as submitit and ``sbatch`` name them.
        kind: ``'slurm'``, or ``'local'`` for processes of this machine. Defaults to
            ``'slurm'``.

    Raises:
        ValueError: If there is no such cluster, or an option is unknown.
    """

    def __init__(
        self,
        folder: Path,
        gpus: int,
        jobs: int,
        options: dict[str, Any],
        kind: str = 'slurm',
    ) -> None:
        self.gpus, self.jobs, self.kind = gpus, jobs, kind
        os.environ.update(importable())  # for the jobs
        try:
            self.executor = submitit.AutoExecutor(folder, cluster=kind)
            # submitit's own limit is minutes
            options = {'timeout_min': 24 * 60, **options}
            if kind == 'slurm':
                options = {'array_parallelism': jobs, **options}
            if gpus:
                options = {'gpus_per_node': gpus, **options}
            self.executor.update_parameters(
                **{k if k in SHARED else f'{kind}_{k}': v for k, v in options.items()}
            )
        except (RuntimeError, NameError, ValueError, AssertionError) as error:
            raise ValueError(f'--slurm: {error}') from error
        self.folder = folder
        self.started: list[_Submitted] = []

    def free(self) -> int:
        if self.kind == 'slurm':  # which itself keeps to the number at a time
            return 1_000_000
        return self.jobs - sum(not job.is_done() for job in self.started)

    def start(self, runs: Sequence[Run], test: Test) -> list[Job]:
        """Submit runs as one array; one that an earlier call submitted goes on."""
        jobs = {run: self._found(run) for run in runs}
        new = [run for run in runs if jobs[run] is None]
        if new:
            with self.executor.batch():
                submitted = [
                    self.executor.submit(Work(), run, self.gpus, test) for run in new
                ]
            for run, job in zip(new, submitted, strict=True):
                run.folder.mkdir(parents=True, exist_ok=True)
                (run.folder / JOB).write_text(json.dumps({'id': job.job_id}))
                jobs[run] = _Submitted(job, self.kind == 'slurm')
        found = [job for job in jobs.values() if job is not None]
        self.started += found
        return [*found]

    def _found(self, run: Run) -> _Submitted | None:
        """Return the job of an earlier call, if it still waits or runs."""
        file = run.folder / JOB
        if self.kind != 'slurm' or not file.is_file():
            return None
        job_id = json.loads(file.read_text())['id']
        job: Any = submitit.SlurmJob(self.folder, job_id)
        return None if job.done(force_check=True) else _Submitted(job, keep=True)


class _Submitted:
    def __init__(self, job: Any, keep: bool) -> None:
        self.job = job
        self.keep = keep

    def is_done(self) -> bool:
        return self.job.done()

    def reason(self) -> str:
        log = self.job.paths.stderr
        return f'job {self.job.job_id} ended in state {self.job.state}: {log}'

    def stop(self) -> None:
        if not self.keep:
            self.cancel()

    def cancel(self) -> None:
        self.job.cancel()
