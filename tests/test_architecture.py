"""Imports point one way."""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / 'mmvitkd'


def imported(file: Path) -> set[str]:
    """Modules of the package that a file imports, relative names resolved."""
    parts = ('mmvitkd', *file.relative_to(PACKAGE).parts[:-1])
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = '.'.join(parts[: len(parts) - node.level + 1]) if node.level else ''
            name = '.'.join(filter(None, (base, node.module)))
            package = not node.module or name == 'mmvitkd'
            found |= {f'{name}.{a.name}' for a in node.names} if package else {name}
    return {name for name in found if name.split('.')[0] in ('mmvitkd', 'tools')}


def files(folder: str) -> list[Path]:
    return [f for f in (PACKAGE / folder).rglob('*.py') if f.name != '__init__.py']


def test_the_reader_sees_relative_imports():
    seen = imported(PACKAGE / 'models/losses/nkd_loss.py')
    names = ('registry', 'models.utils', 'models.losses.logit_loss')
    assert seen == {f'mmvitkd.{name}' for name in names}


@pytest.mark.parametrize('file', files('models/losses'), ids=lambda f: f.stem)
def test_losses_import_registry_utils_and_what_they_derive_from(file):
    bases = {f'mmvitkd.models.losses.{name}_loss' for name in ('distill', 'logit')}
    assert imported(file) <= {'mmvitkd.registry', 'mmvitkd.models.utils', *bases}


@pytest.mark.parametrize('file', files('models/necks'), ids=lambda f: f.stem)
def test_necks_import_registry_utils_and_necks(file):
    allowed = ('mmvitkd.registry', 'mmvitkd.models.utils', 'mmvitkd.models.necks')
    assert all(name.startswith(allowed) for name in imported(file))


@pytest.mark.parametrize('file', files('analysis'), ids=lambda f: f.stem)
def test_analysis_imports_torch_alone(file):
    """Beside the standard library, and its own files."""
    assert all(name.startswith('mmvitkd.analysis') for name in imported(file))
    tree = ast.walk(ast.parse(file.read_text()))
    modules = [n.names[0].name for n in tree if isinstance(n, ast.Import)]
    tree = ast.walk(ast.parse(file.read_text()))
    modules += [n.module for n in tree if isinstance(n, ast.ImportFrom) if not n.level]
    tops = {name.split('.')[0] for name in modules}
    assert tops <= {'torch', *sys.stdlib_module_names}


@pytest.mark.parametrize('file', files('models/classifiers'), ids=lambda f: f.stem)
def test_the_distiller_imports_no_loss_neck_or_backbone(file):
    banned = tuple(
        f'mmvitkd.models.{kind}' for kind in ('losses', 'necks', 'backbones')
    )
    assert not [name for name in imported(file) if name.startswith(banned)]


@pytest.mark.parametrize('file', files('.'), ids=lambda f: f.stem)
def test_nothing_imports_tools(file):
    assert not [name for name in imported(file) if name.split('.')[0] == 'tools']


def test_caching_imports_models_datasets_engine_and_utils():
    allowed = ('registry', 'caching', 'models', 'datasets', 'engine', 'utils')
    seen = {n for file in (PACKAGE / 'caching').glob('*.py') for n in imported(file)}
    assert {name.split('.')[1] for name in seen} <= set(allowed)
    assert 'mmvitkd.caching.plan' in seen


# what may import a folder: everything else may not
USERS = {
    'caching': ('caching', 'commands'),
    'export': ('export', 'experiments', 'commands'),
    'inspection': (
        'inspection',
        'export',
        'synthesis',
        'reporting',
        'experiments',
        'commands',
    ),
    'synthesis': ('synthesis', 'commands'),
    'reporting': ('reporting', 'experiments', 'commands'),
    'experiments': ('experiments', 'commands'),
    # runs are trained and tested by the commands that users have
    'commands': ('commands', 'experiments', '__main__.py'),
}


@pytest.mark.parametrize('folder', USERS)
def test_what_serves_the_user_is_imported_by_nothing_below_it(folder):
    importers = {
        file.relative_to(PACKAGE).parts[0]
        for file in PACKAGE.rglob('*.py')
        for name in imported(file)
        if name.split('.')[:2] == ['mmvitkd', folder]
    }
    assert importers <= set(USERS[folder])
    assert 'commands' in importers or '__main__.py' in importers


@pytest.mark.parametrize('file', files('models/classifiers'), ids=lambda f: f.stem)
def test_the_distiller_knows_no_method(file):
    names = {f.stem.replace('_loss', '') for f in files('models/losses')}
    code = ast.parse(file.read_text())
    constants = {
        node.value
        for node in ast.walk(code)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    identifiers = {node.id for node in ast.walk(code) if isinstance(node, ast.Name)}
    assert not names & {name.lower() for name in constants | identifiers}
