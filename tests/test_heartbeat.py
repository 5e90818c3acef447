"""A command says that it works: before it loads libraries, and while it is silent."""

import io
import os
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from mmvitkd.heartbeat import VARIABLE, describing, heartbeat, say_loading
from tests.shrink import CONFIGS

ROOT = Path(__file__).parents[1]
PROBE = """
import os, sys
class Heavy:
    def find_spec(self, name, *_):
        if name.split('.')[0] in ('torch', 'mmengine', 'mmpretrain'):
            os._exit(7)  # with all that was written before
sys.meta_path.insert(0, Heavy())
sys.argv = ['mmvitkd', *sys.argv[1:]]
from mmvitkd.commands import main
main()
"""


@pytest.mark.parametrize('arguments', [['new-config'], ['train', 'mmvitkd::none']])
def test_the_first_line_comes_before_the_libraries(arguments):
    done = subprocess.run(
        [sys.executable, '-c', PROBE, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 7
    assert done.stderr == f'{arguments[0]}: loading PyTorch and MMPretrain ...\n'
    assert done.stdout == ''


def test_what_is_loaded_is_not_announced(capsys):
    """The tests have PyTorch already."""
    say_loading('train')
    assert capsys.readouterr().err == ''


@pytest.fixture(autouse=True)
def first_process(monkeypatch):
    for name in ('RANK', 'SLURM_PROCID', VARIABLE):
        monkeypatch.delenv(name, raising=False)


def wait_for(text: str, stream: io.StringIO) -> None:
    end = time.monotonic() + 60
    while text not in stream.getvalue():
        assert time.monotonic() < end, stream.getvalue()
        time.sleep(0.01)


def forget(stream: io.StringIO) -> None:
    stream.seek(0)
    stream.truncate(0)


def test_a_silent_command_says_what_it_is_at():
    def fail() -> str:
        raise RuntimeError('too early')

    with redirect_stderr(io.StringIO()) as stderr:
        with heartbeat('cache', 0.01):
            wait_for(' s so far\n', stderr)
            assert stderr.getvalue().startswith('cache: at work, ')
            with describing(lambda: 'step 3 of 8'):
                wait_for('cache: step 3 of 8, ', stderr)
                with describing(fail):
                    forget(stderr)
                    wait_for('cache: at work, ', stderr)
                forget(stderr)
                wait_for('cache: step 3 of 8, ', stderr)
        assert 'write' not in vars(stderr)
        written = stderr.getvalue()
        time.sleep(0.05)
        assert stderr.getvalue() == written


def test_what_a_command_writes_is_unchanged():
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), heartbeat('cache', 1e6):
        print('out')
        print('err', file=sys.stderr)
    assert (out.getvalue(), err.getvalue()) == ('out\n', 'err\n')


@pytest.mark.parametrize(('name', 'value'), [(VARIABLE, '0'), ('RANK', '1')])
def test_nobody_is_told_who_does_not_want_to_know(name, value, monkeypatch):
    monkeypatch.setenv(name, value)
    with redirect_stderr(io.StringIO()) as stderr, heartbeat('cache'):
        assert 'write' not in vars(stderr)


@pytest.mark.slow
def test_a_training_tells_its_step(tmp_path):
    """With a line whenever it is silent for a moment."""
    done = subprocess.run(
        [
            *(sys.executable, '-m', 'mmvitkd', 'train'),
            str(CONFIGS / 'digits' / 'digits_student.py'),
            *('--work-dir', str(tmp_path / 'run'), '--no-validate'),
            *('--cfg-options', 'train_cfg.max_epochs=1'),
        ],
        cwd=ROOT,
        env={**os.environ, VARIABLE: '0.02'},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert lines[0] == 'train: loading PyTorch and MMPretrain ...'
    assert any(line.startswith('train: at work, ') for line in lines)
    assert any(line.startswith('train: step 1 of ') for line in lines)
