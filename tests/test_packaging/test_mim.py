"""`mim train`, `mim test` and `mim run` from an installed wheel.

The mim is the one of the running environment: onedl-mim beside the OneDL stack,
openmim beside the official one.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from mmengine.config import Config

from tests.helpers import save_weights

ROOT = Path(__file__).resolve().parents[2]
SOURCES = (
    'LICENSE',
    'MANIFEST.in',
    'README.md',
    'configs',
    'mmvitkd',
    'model-index.yml',
    'pyproject.toml',
    'requirements',
    'setup.py',
    'tools',
)
PIP = ('-m', 'pip', '--disable-pip-version-check', '--quiet')
INSTALL = ('install', '--no-deps', '--no-index', '--ignore-installed')


def run(*command: str | Path, cwd: Path, code: int = 0) -> str:
    env = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == code, done.stdout[-4000:]
    return done.stdout


def environment(folder: Path) -> Path:
    """An environment that sees the packages of the running one, but not mmvitkd.

    A path in a .pth file does not run the .pth files found there, which is how an
    editable install is made importable.
    """
    run(sys.executable, '-m', 'venv', '--without-pip', folder, cwd=folder.parent)
    (site,) = folder.glob('lib/python*/site-packages')
    outer = [
        path for path in sys.path if path.endswith(('site-packages', 'dist-packages'))
    ]
    (site / 'outer.pth').write_text('\n'.join(outer))
    return folder / 'bin' / 'python'


@pytest.fixture(scope='module')
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp('sources')
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tree / name)
    return tree


@pytest.fixture(scope='module')
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('wheel')
    build = ('wheel', '--no-deps', '--no-build-isolation', '--wheel-dir', folder)
    run(sys.executable, *PIP, *build, sources, cwd=folder)
    (made,) = folder.glob('*.whl')
    return made


@pytest.fixture(scope='module')
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = environment(tmp_path_factory.mktemp('installed') / 'venv')
    run(made, *PIP, *INSTALL, wheel, cwd=wheel.parent)
    return made


def mim_paths(names: list[str], prefix: str) -> set[str]:
    start = f'{prefix}/.mim/'
    return {name.removeprefix(start) for name in names if name.startswith(start)}


def test_wheel_holds_configs_and_tools_where_each_mim_looks(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    inside = mim_paths(names, 'mmvitkd')
    (dist_info,) = {name.split('/')[0] for name in names if '.dist-info/' in name}
    assert inside == mim_paths(names, dist_info)
    assert {'tools/train.py', 'tools/test.py', 'model-index.yml'} <= inside
    expected = {p.relative_to(ROOT).as_posix() for p in ROOT.glob('configs/**/*.py')}
    assert expected == {n for n in inside if n.startswith('configs/') and '.py' in n}


def test_wheel_holds_nothing_but_the_package(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split('/')[0] for name in names}
    assert len(tops) == 2  # the package and its dist-info
    assert not [name for name in names if '__pycache__' in name]
    assert not [name for name in names if name.endswith('entry_points.txt')]


def test_building_leaves_no_second_config_in_the_source_tree(
    sources: Path, wheel: Path
) -> None:
    assert not (sources / 'build').exists()
    assert not list(sources.rglob('.mim'))


def test_config_names_are_unique() -> None:
    """mim finds a config by its base name alone."""
    names = Counter(
        path.name for path in ROOT.glob('configs/**/*.py') if '_base_' not in path.parts
    )
    assert [name for name, count in names.items() if count > 1] == []


FIND = """
from pathlib import Path
from mim.utils import get_installed_path, recursively_find
root = get_installed_path('mmvitkd')
assert any(Path(root, at, 'tools/train.py').exists() for at in ('', '.mim'))
print(*recursively_find(root, 'digits_teacher.py', followlinks=True), sep=chr(10))
"""


@pytest.mark.onedl_only
def test_onedl_mim_finds_one_config_in_an_editable_install(
    sources: Path, wheel: Path, tmp_path: Path
) -> None:
    made = environment(tmp_path / 'venv')
    editable = ('--no-build-isolation', '--editable', sources)
    run(made, *PIP, *INSTALL, *editable, cwd=tmp_path)
    found = run(made, '-c', FIND, cwd=tmp_path).splitlines()
    assert found == [str(sources / 'configs/digits/digits_teacher.py')]


@pytest.mark.slow
@pytest.mark.onedl_only
def test_onedl_mim_under_a_prefix_for_bytecode(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As docs/installation.md has it: what pip compiles would be the first file."""
    monkeypatch.setenv('PYTHONPYCACHEPREFIX', str(tmp_path / 'bytecode'))
    made = environment(tmp_path / 'venv')
    run(made, *PIP, *INSTALL, '--no-compile', wheel, cwd=tmp_path)
    assert len(run(made, '-c', FIND, cwd=tmp_path).splitlines()) == 1


@pytest.mark.slow
def test_a_command_runs_from_the_wheel(python: Path, tmp_path: Path) -> None:
    def command(*args: str | Path) -> str:
        return run(python, '-m', 'mmvitkd', 'cache', *args, cwd=tmp_path)

    assert command('--help').startswith('usage: python -m mmvitkd cache [-h]')
    config = ROOT / 'configs/digits/vitkd-nkd_digits.py'
    teacher = Config.fromfile(ROOT / 'configs/digits/digits_teacher.py').model
    weights = save_weights(teacher, tmp_path / 'teacher.pth')
    options = ('--cfg-options', f'model.teacher.checkpoint={weights}')
    told = command(config, '--out', 'cache', '--dry-run', *options)
    assert ' bytes: ' in told
    assert not (tmp_path / 'cache').exists()


PLAN = """
from pathlib import Path
from mmvitkd.experiments.quickstart.runs import plan
print(*(run.name for run in plan(Path(), 1, 1, 'cpu')), sep=', ')
"""


@pytest.mark.slow
def test_the_quickstart_is_in_the_wheel(python: Path, tmp_path: Path) -> None:
    """With its configs; a whole run is too long."""
    # of which mim answers --help itself
    mim = ('-m', 'mim', 'run', 'mmvitkd', 'quickstart', '--seeds', '0')
    told = run(python, *mim, cwd=tmp_path, code=1)
    assert 'quickstart: --seeds 0: give 1 or more' in told
    planned = run(python, '-c', PLAN, cwd=tmp_path).splitlines()[-1]
    assert planned.startswith('teacher, seed 0, baseline, seed 0, vitkd, seed 0')


NAMES = """
from mmengine.config import Config
from mmengine.hub import get_config
from mmpretrain import list_models
import mmvitkd
cfg = get_config('mmvitkd::digits/vitkd_digits.py')
assert Config.fromfile('my.py').model.terms == cfg.model.terms
print(cfg.filename, *list_models('vitkd_digits'))
"""


@pytest.mark.slow
def test_names_of_configs_are_found_in_the_wheel(python: Path, tmp_path: Path) -> None:
    """Also where this package is imported after what looks them up."""
    (tmp_path / 'my.py').write_text("_base_ = 'mmvitkd::digits/vitkd_digits.py'\n")
    told = run(python, '-c', NAMES, cwd=tmp_path).split()[-2:]
    assert told[0].startswith(str(python.parents[1]))
    assert told[1] == 'vitkd_digits'


@pytest.mark.slow
def test_mim_trains_tests_and_exports_from_the_wheel(
    python: Path, tmp_path: Path
) -> None:
    """A config that inherits from one of this package, or one by its name."""
    config = 'vitkd-nkd_digits.py'
    mine = tmp_path / 'my.py'
    mine.write_text(f"_base_ = 'mmvitkd::digits/{config}'\n")
    teacher = Config.fromfile(ROOT / 'configs/digits/digits_teacher.py').model
    weights = save_weights(teacher, tmp_path / 'teacher.pth')
    options = (
        'train_cfg.max_epochs=1',
        f'model.teacher.checkpoint={weights}',
        'default_hooks.check.allow_chance=True',  # of random weights
    )

    def mim(command: str, *args: str) -> str:
        out = run(python, '-m', 'mim', command, 'mmvitkd', *args, cwd=tmp_path)
        assert str(python.parents[1]) in out  # the script that mim says it runs
        return out

    train = ('--work-dir', 'run', '--cfg-options', *options)
    assert 'loss_nkd' in mim('train', 'my.py', *train)
    assert 'accuracy/top1' in mim('test', config, '--checkpoint', 'run/epoch_1.pth')
    mim('run', 'export_student', 'run/epoch_1.pth', 'student.pth')
    assert (tmp_path / 'student.pth').exists()
    mim('run', 'report', 'run', '--count', '8', '--out', 'mim.html')
    report = ('report', 'run', '--no-analysis', '--out', 'own.html')
    run(python, '-m', 'mmvitkd', *report, cwd=tmp_path)
    pages = [(tmp_path / f'{name}.html').read_text() for name in ('mim', 'own')]
    assert all('<style>' in page and '</script>' in page for page in pages)
    assert 'Where the student differs' in pages[0]
    assert 'written by: python -m mmvitkd report run' in pages[1]
