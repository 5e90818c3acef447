"""One process at a time in a folder, by real processes."""

import errno
import os
import signal
import subprocess
import sys
import time
import warnings
from unittest import mock

import pytest
from filelock import FileLock

from mmvitkd.utils.run_lock import HOLDER, lock_dir

# without torch's imports, of which the lock has no need
HOLD = """
import os, sys, time
from pathlib import Path
import importlib.util
spec = importlib.util.spec_from_file_location('run_lock', sys.argv[1])
run_lock = importlib.util.module_from_spec(spec)
spec.loader.exec_module(run_lock)
with run_lock.lock_dir(Path(sys.argv[2])):
    if 'fork' in sys.argv and os.fork() == 0:
        time.sleep(1.5)  # as a data loader's worker, which outlives a kill for a while
        os._exit(0)
    print('held', flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def hold(tmp_path):
    """Start a process that holds a folder until its input ends."""
    begun = []

    def start(*args):
        import mmvitkd.utils.run_lock as module

        process = subprocess.Popen(
            [sys.executable, '-c', HOLD, module.__file__, tmp_path, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        begun.append(process)
        assert process.stdout.readline() == 'held\n'
        return process

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def test_second_process_is_told_who_holds_it(hold, tmp_path):
    process = hold()
    with (
        pytest.raises(ValueError, match='another run works in') as error,
        lock_dir(tmp_path),
    ):
        pass
    assert f'process {process.pid} on ' in str(error.value)
    assert 'run_lock.py' in str(error.value)  # of its command
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('forked', [[], ['fork']])
def test_lock_of_a_killed_process_is_taken_over(hold, tmp_path, forked):
    process = hold(*forked)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (tmp_path / HOLDER).exists()  # its name is left, its lock is not
    with lock_dir(tmp_path):
        assert str(os.getpid()) in (tmp_path / HOLDER).read_text()


def test_folder_is_free_afterwards_also_after_an_error(tmp_path):
    folder = tmp_path / 'new' / 'run'
    for _ in range(2):
        with pytest.raises(KeyError), lock_dir(folder):
            raise KeyError
    assert not (folder / HOLDER).exists()


def test_the_same_process_is_refused_too(tmp_path):
    with (
        lock_dir(tmp_path),
        pytest.raises(ValueError, match=f'process {os.getpid()}'),
        lock_dir(tmp_path),
    ):
        pass


def test_damaged_name_of_the_holder_is_no_traceback(hold, tmp_path):
    hold()
    for text in ('', '{', '[]', '{"pid": "x"}'):
        (tmp_path / HOLDER).write_text(text)
        with pytest.raises(ValueError, match='another process'), lock_dir(tmp_path):
            pass


@pytest.mark.parametrize(
    'error', [OSError(errno.ENOLCK, 'No locks available'), NotImplementedError('flock')]
)
def test_file_system_without_locks_is_a_warning(tmp_path, error):
    told = pytest.warns(UserWarning, match='has no locks')
    broken = mock.patch.object(FileLock, 'acquire', side_effect=error)
    with broken, told, lock_dir(tmp_path):
        pass


def test_folder_that_can_not_be_written_is_told(tmp_path):
    (tmp_path / 'file').write_text('mine')
    with (
        pytest.raises(ValueError, match="can't be written to"),
        lock_dir(tmp_path / 'file' / 'run'),
    ):
        pass


def test_waiting_is_for_orphans_alone(hold, tmp_path):
    hold()
    start = time.monotonic()
    with warnings.catch_warnings(), pytest.raises(ValueError), lock_dir(tmp_path):
        pass
    assert time.monotonic() - start < 2
