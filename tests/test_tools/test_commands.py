"""What the commands of inspection and report have in common."""

import subprocess
import sys

import pytest

from tests.test_tools.runs import ROOT, message

HELP = """
import sys
from mmvitkd.commands import main
try:
    main({command!r}, ['--help'])
except SystemExit as end:
    assert not end.code
slow = {{'torch', 'numpy', 'mmengine', 'mmcv', 'mmpretrain', 'matplotlib'}}
assert not slow & set(sys.modules), slow & set(sys.modules)
"""
PROCESSORS = 'transformers.models.auto.image_processing_auto'
ANALYSE = ['--out', 'none', '--images', 'none', '--model', 'a']


@pytest.mark.parametrize('command', ['analyse', 'advise', 'report'])
def test_help_loads_no_heavy_library_and_prints_nothing_else(command):
    done = subprocess.run(
        [sys.executable, '-c', HELP.format(command=command)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ''
    assert done.stdout.startswith('usage: ')


@pytest.mark.parametrize(
    ('module', 'package', 'command', 'arguments'),
    [
        ('jinja2', 'jinja2', 'report', ['none']),
        ('scipy.stats', 'scipy', 'report', ['none']),
        ('timm', 'timm', 'analyse', [*ANALYSE, 'timm:vit_tiny_patch16_224']),
        (PROCESSORS, 'transformers<5', 'analyse', [*ANALYSE, 'hf:none']),
    ],
)
def test_a_missing_library_is_named_with_how_to_get_it(
    module, package, command, arguments, monkeypatch
):
    for name in list(sys.modules):
        if name.startswith('mmvitkd.reporting'):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    library = module.split('.')[0]
    assert message(command, *arguments) == (
        f"error: the library '{library}' is missing: python -m pip install '{package}'"
    )
