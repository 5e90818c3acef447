"""Two runs into one work dir: the second is refused, and writes nothing."""

import os
import signal
from pathlib import Path

import pytest

from mmvitkd.utils.run_lock import own_folder
from tests.test_tools.runs import begin, config, end, in_processes, message, run


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
    with own_folder(work_dir):
        before = listing(work_dir)
        text = message(tool, cfg, '--work-dir', work_dir, *resume)
        assert (
            f"error: another run works in '{work_dir}' (process {os.getpid()}" in text
        )
        assert '\n' not in text
        assert listing(work_dir) == before


def test_run_goes_on_after_a_kill_and_only_once_at_a_time(tmp_path):
    """By the user's commands; the second is started while the first one trains."""
    cfg = config(tmp_path, **{'train_dataloader.num_workers': 2})
    tool = ['python', 'tools/train.py', cfg, '--work-dir', tmp_path / 'run']
    end(begin(*tool, KILL_BEFORE_ITER='6'), code=-signal.SIGKILL)
    both = [begin(*tool, '--resume') for _ in range(2)]
    out = {process.wait(timeout=300): process.communicate()[0] for process in both}
    assert sorted(out) == [0, 1], out
    assert 'error: another run works in' in out[1]
    assert 'resuming from' not in out[1]
    assert (tmp_path / 'run' / 'epoch_2.pth').exists()
    assert not (tmp_path / 'run' / '.lock.json').exists()


def test_all_processes_of_a_distributed_run_end(tmp_path):
    cfg = config(tmp_path)
    with own_folder(tmp_path / 'run'):
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
    with own_folder(tmp_path / 'run'):
        pass
    run('train', cfg, '--work-dir', tmp_path / 'run')
    assert (tmp_path / 'run' / 'epoch_1.pth').exists()
