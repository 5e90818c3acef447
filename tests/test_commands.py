"""What all commands have in common: help at once, and what is missing in a line."""

import subprocess
import sys
from pathlib import Path

import pytest

from mmvitkd.commands import COMMANDS, main
from tests.test_tools.runs import message

PROCESSORS = 'transformers.models.auto.image_processing_auto'
ANALYSE = ['--out', 'none', '--images', 'none', '--model', 'a']
PROBE = """
import sys
from mmvitkd.commands import main
sys.argv = ['mmvitkd', sys.argv[1], '--help']
try:
    main()
finally:
    names = 'torch numpy mmengine mmcv mmpretrain matplotlib'
    heavy = set(names.split()) & set(sys.modules)
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


def test_the_list_of_commands(capsys):
    with pytest.raises(SystemExit) as end:
        main(argv=['--help'])
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert all(f'\n  {name} ' in out for name in COMMANDS)


def test_an_unknown_command_offers_the_nearest():
    with pytest.raises(SystemExit) as end:
        main(argv=['trian', 'c.py'])
    assert "no command 'trian'; did you mean 'train'?" in str(end.value.code)


USING = ('mmvitkd.reporting', 'mmvitkd.experiments', 'mmvitkd.utils.statistics')


@pytest.mark.parametrize(
    ('module', 'package', 'command', 'arguments'),
    [
        ('jinja2', 'jinja2', 'report', ['none']),
        ('scipy.stats', 'scipy>=1.15', 'report', ['none']),
        ('tabulate', 'tabulate', 'ablate', ['table5', '--gpus', '0']),
        ('timm', 'timm', 'analyse', [*ANALYSE, 'timm:vit_tiny_patch16_224']),
        (PROCESSORS, 'transformers<5', 'analyse', [*ANALYSE, 'hf:none']),
    ],
)
def test_a_missing_library_is_named_with_how_to_get_it(
    module, package, command, arguments, monkeypatch
):
    for name in list(sys.modules):
        if name.startswith(USING):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    library = module.split('.')[0]
    assert message(command, *arguments) == (
        f"error: the library '{library}' is missing: python -m pip install '{package}'"
    )
