"""The help of a command answers at once and prints nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

from mmvitkd.commands import COMMANDS

PROBE = """
import sys
from mmvitkd.commands import main
sys.argv = ['mmvitkd', sys.argv[1], '--help']
try:
    main()
finally:
    heavy = {'torch', 'mmengine', 'mmcv', 'mmpretrain', 'numpy'} & set(sys.modules)
    assert not heavy, heavy
"""


@pytest.mark.parametrize('command', COMMANDS)
def test_help_imports_nothing_heavy(command):
    done = subprocess.run(
        [sys.executable, '-c', PROBE, command],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ''
    assert done.stdout.startswith(f'usage: python -m mmvitkd {command} ')
