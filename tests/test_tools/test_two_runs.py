"""Two runs into one work dir: the second is refused, and writes nothing."""

import multiprocessing
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from mmvitkd.utils.run_lock import lock_dir
from tests.test_tools.runs import config, in_processes, message, run


def listing(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, and what is in it."""
    files = (path for path in folder.rglob('*') if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize('tool', ['train', 'downstream/train'])
@pytest.mark.parametrize('resume', [[], ['--resume']])
def test_second_run_is_refused_before_it_reads_or_writes(tmp_path, tool, resume):
    """In the first one's first epoch, when there is no checkpoint yet, and later."""
    cfg = config(tmp_path)
    work_dir = tmp_path / 'run'
    with lock_dir(work_dir):
        before = listing(work_dir)
        text = message(tool, cfg, '--work-dir', work_dir, *resume)
        assert (
            f"error: another run works in '{work_dir}' (process {os.getpid()}" in text
        )
        assert '\n' not in text
        assert listing(work_dir) == before


def start(log: Path, *args: Any, **env: str) -> Any:
    """Begin a training in a fork of this process, whose imports it has."""
    process = multiprocessing.get_context('fork').Process(
        target=alone, args=(log, args, env)
    )
    process.start()
    return process


def alone(log: Path, args: tuple[Any, ...], env: dict[str, str]) -> None:
    torch.set_num_threads(1)  # OpenMP's threads do not survive a fork
    sys.stdout = sys.stderr = log.open('w', buffering=1)
    run('train', *args, **env)


def test_run_goes_on_after_a_kill_and_only_once_at_a_time(tmp_path):
    """The first is killed while its loader's workers live; then two resume at once."""
    cfg = config(tmp_path, **{'train_dataloader.num_workers': 2})
    args = [cfg, '--work-dir', tmp_path / 'run']
    killed = start(tmp_path / 'killed.log', *args, KILL_BEFORE_ITER='6')
    killed.join(timeout=300)
    assert killed.exitcode == -signal.SIGKILL
    logs = [tmp_path / 'a.log', tmp_path / 'b.log']
    both = [start(log, *args, '--resume') for log in logs]
    for process in both:
        process.join(timeout=300)
    assert sorted(process.exitcode for process in both) == [0, 1]
    refused = logs[both[0].exitcode == 0].read_text()
    assert 'error: another run works in' in refused
    assert 'resuming from' not in refused
    assert (tmp_path / 'run' / 'epoch_2.pth').exists()
    assert not (tmp_path / 'run' / '.lock.json').exists()


def test_all_processes_of_a_distributed_run_end(tmp_path):
    cfg = config(tmp_path)
    with lock_dir(tmp_path / 'run'):
        before = listing(tmp_path / 'run')
        in_processes(2, refused, cfg, tmp_path / 'run')
        assert listing(tmp_path / 'run') == before


def refused(cfg: Path, work_dir: Path) -> None:
    with pytest.raises(SystemExit) as error:
        run('train', cfg, '--work-dir', work_dir, '--launcher', 'pytorch')
    first = os.environ['RANK'] == '0'
    assert ('another run works' in str(error.value)) == first
    assert str(error.value) == '1' or first


def test_lock_does_not_make_a_work_dir_look_occupied(tmp_path):
    cfg = config(tmp_path, **{'train_cfg.max_epochs': 1})
    with lock_dir(tmp_path / 'run'):
        pass
    run('train', cfg, '--work-dir', tmp_path / 'run')
    assert (tmp_path / 'run' / 'epoch_1.pth').exists()
