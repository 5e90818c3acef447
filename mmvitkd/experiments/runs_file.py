"""What runs measured, in one small file that other machines go on from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from mmvitkd.utils.checkpoint import load_checkpoint

from .run import RESULT, Run

ELSEWHERE = 'elsewhere'  # in the result of a run that was read from such a file
Record = dict[str, Any]


class RunsFile:
    """JSON lines, a finished run each: its key, what it measured, and by what.

    A run's key is that of its folder, made of the whole config and its teachers', and
    its seed. So the file of one machine tells another what is left to do. Beside the
    file, in a folder of its name, are the weights of teachers, the students' are not.

    Args:
        path: Of the file, ``.jsonl``, which need not be there yet.

    Raises:
        ValueError: If it is named otherwise, or holds anything else.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix != '.jsonl':  # its folder has the name without
            raise ValueError(f'--runs {path}: must be a .jsonl file')
        self.path = path
        self.records = self._read()

    def _read(self) -> dict[str, Record]:
        records: dict[str, Record] = {}
        if not self.path.exists():
            return records
        for number, line in enumerate(self.path.read_text('utf-8').splitlines(), 1):
            try:
                record = json.loads(line)
                records[record.pop('run')] = record
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(
                    f'--runs {self.path}, line {number}: no run of an experiment'
                ) from error
        return records

    def weights(self, run: Run) -> Path:
        """Name the file of a teacher's weights."""
        return self.path.with_suffix('') / f'{run.setting.folder}-seed{run.seed}.pth'

    def take(self, runs: Sequence[Run]) -> int:
        """Let runs count as finished that the file has.

        A teacher that is needed here gets its weights, and is tested again.

        Args:
            runs: All of a plan, each after its teachers.

        Returns:
            How many count as finished now that did not.
        """
        taken = 0
        for run in reversed(runs):
            dependent = [one for one in runs if run in one.teachers.values()]
            if any(not one.result() for one in dependent):
                self._provide(run)
            elif not run.result() and (record := self.records.get(key(run))):
                run.keep({**record, ELSEWHERE: True})
                taken += 1
        return taken

    def _provide(self, teacher: Run) -> None:
        """Have a teacher tested here, if there are its weights, or else trained."""
        if teacher.checkpoint.is_file():
            return
        if (teacher.result() or {}).get(ELSEWHERE):
            (teacher.folder / RESULT).unlink()
        if (weights := self.weights(teacher)).is_file():
            teacher.folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(weights, teacher.checkpoint)

    def add(self, runs: Sequence[Run]) -> None:
        """Write what runs measured beside what the file has, which stays."""
        self.records |= self._read()  # with what another call has added meanwhile
        for run in runs:
            result = run.result()
            if result and key(run) not in self.records:
                teachers = {'teachers': teachers} if (teachers := top1(run)) else {}
                self.records[key(run)] = {**result, **teachers}
        lines = [
            json.dumps({'run': name, **record})
            for name, record in sorted(self.records.items())
        ]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_name(f'{self.path.name}.part')
        part.write_text(''.join(f'{line}\n' for line in lines), 'utf-8')
        part.rename(self.path)
        for teacher in {one for run in runs for one in run.teachers.values()}:
            self._store(teacher)

    def _store(self, teacher: Run) -> None:
        """Keep a teacher's weights, without optimiser and config."""
        target = self.weights(teacher)
        if target.is_file() or not teacher.checkpoint.is_file():
            return
        weights = load_checkpoint(teacher.checkpoint)['state_dict']
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f'{target.name}.part')
        torch.save({'state_dict': weights}, part)
        part.rename(target)


def key(run: Run) -> str:
    """Name a run wherever it is done."""
    return f'{run.setting.folder}/seed{run.seed}'


def top1(run: Run) -> dict[str, float]:
    """Return the accuracies of a run's teachers, by name: of those that it had."""
    result = run.result() or {}
    if 'teachers' in result:
        return result['teachers']
    found = {name: one.result() or {} for name, one in run.teachers.items()}
    return {name: one['top1'] for name, one in found.items() if 'top1' in one}
