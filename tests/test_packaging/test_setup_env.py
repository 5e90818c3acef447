"""tools/setup_env.sh on a machine that lacks something, and a second time.

Each test runs the real script on a copy of the tree. Where it would download,
uv is replaced by a script that makes an environment of the interpreter that
runs these tests.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COPIED = ('tools/setup_env.sh', 'pyproject.toml', 'setup.py', 'requirements', 'mmvitkd')
COMPILERS = {'mmcv': ('g++', 'c++'), 'xtcocotools': ('gcc', 'cc')}
MODULES = {'mmcv': 'mmcv/_ext.', 'xtcocotools': 'xtcocotools/_mask.'}

# what `uv venv` and `uv pip install` leave behind, without the downloads; the
# first $UV_FAILURES installations break off
FAKE_UV = """#!/usr/bin/env bash
case $1 in
  venv)
    mkdir "${!#}/bin"
    printf '#!/bin/sh\\nexec "%s" "$@"\\n' "$REAL_PYTHON" > "${!#}/bin/python"
    chmod +x "${!#}/bin/python" ;;
  pip)
    echo "$*" >> uv.log
    sleep "${UV_SECONDS:-0}"
    [ "$(wc -l < uv.log)" -gt "$UV_FAILURES" ] ;;
esac
"""


@pytest.fixture
def stack_profile() -> str:
    """The profile that the running environment satisfies without more."""
    try:
        metadata.distribution('onedl-mmengine')
    except metadata.PackageNotFoundError:
        return 'official'
    return 'run'


class Machine:
    """A copy of the tree, an empty home and cache, a PATH that can lose tools."""

    def __init__(self, folder: Path) -> None:
        self.tree = folder / 'tree'
        self.cache = folder / 'cache'
        self.bin = folder / 'bin'
        for name in COPIED:
            source, target = ROOT / name, self.tree / name
            target.parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, target)
        kept = ('PATH', 'LANG', 'TMPDIR', 'LD_LIBRARY_PATH')
        self.env = {name: os.environ[name] for name in kept if name in os.environ}
        self.env |= {
            'HOME': str(folder / 'home'),
            'MMVITKD_CACHE': str(self.cache),
            'MMVITKD_MIN_FREE_GB': '0',
            'PYTHON': sys.executable,
        }

    def lose(self, *tools: str) -> None:
        self.bin.mkdir()
        for folder in os.environ['PATH'].split(os.pathsep):
            for tool in Path(folder).glob('*'):
                link = self.bin / tool.name
                if tool.name not in tools and not link.is_symlink():
                    link.symlink_to(tool)
        self.env['PATH'] = str(self.bin)

    def fake_uv(self, failures: int = 0) -> None:
        version = next(
            line.removeprefix('UV_VERSION=')
            for line in (self.tree / 'tools/setup_env.sh').read_text().splitlines()
            if line.startswith('UV_VERSION=')
        )
        uv = self.cache / f'uv-{version}' / 'uv'
        uv.parent.mkdir(parents=True)
        uv.write_text(FAKE_UV)
        uv.chmod(0o755)
        self.env |= {'REAL_PYTHON': sys.executable, 'UV_FAILURES': str(failures)}

    def cached_wheel(self, package: str) -> Path:
        pins = dict(
            line.split(' ;')[0].split('==')
            for line in (self.tree / 'requirements/constraints.txt')
            .read_text()
            .splitlines()
            if '==' in line
        )
        python = f'py{sys.version_info[0]}{sys.version_info[1]}'
        key = {
            'mmcv': f'{python}-torch{pins["torch"]}-mmcv{pins["onedl-mmcv"]}',
            'xtcocotools': f'{python}-xtcocotools{pins["xtcocotools"]}',
        }[package]
        wheel = self.cache / 'wheels' / key / f'{package}-2-cp311-cp311-any.whl'
        wheel.parent.mkdir(parents=True)
        with zipfile.ZipFile(wheel, 'w') as archive:
            archive.writestr(f'{MODULES[package]}cpython-311.so', b'op' * 1000)
        return wheel

    def set_up(self, *args: str) -> tuple[int, list[str]]:
        script = str(self.tree / 'tools/setup_env.sh')
        done = subprocess.run(
            ['bash', script, *args],
            env=self.env,
            cwd=self.tree,
            capture_output=True,
            text=True,
            timeout=300,
        )
        return done.returncode, (done.stdout + done.stderr).splitlines()

    def installations(self) -> int:
        log = self.tree / 'uv.log'
        return len(log.read_text().splitlines()) if log.exists() else 0


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def assert_refused(machine: Machine, args: list[str], reason: str) -> None:
    code, lines = machine.set_up(*args)
    assert code == 1
    assert len(lines) == 1
    assert reason in lines[0]
    assert not list(machine.tree.glob('.venv*'))


def assert_starts_anew(machine: Machine, profile: str) -> None:
    machine.env['MMVITKD_MIN_FREE_GB'] = str(10**9)  # stops it at its first check
    code, lines = machine.set_up(profile)
    assert code == 1
    assert 'disk full' in lines[0]


@pytest.mark.parametrize(
    ('package', 'message'),
    [
        ('mmcv', 'no C++ compiler (g++ or c++), which mmcv needs'),
        ('xtcocotools', 'no C compiler (gcc or cc), which xtcocotools needs'),
    ],
)
def test_missing_compiler_is_named_before_anything_is_made(
    machine: Machine, package: str, message: str
) -> None:
    for other in set(MODULES) - {package}:
        machine.cached_wheel(other)
    cached = sorted(machine.cache.rglob('*'))
    machine.lose(*COMPILERS[package])
    assert_refused(machine, ['dev'], message)
    assert sorted(machine.cache.rglob('*')) == cached


def test_library_that_the_browser_lacks_is_named_before_anything_is_made(
    machine: Machine,
) -> None:
    script = machine.tree / 'tools/setup_env.sh'
    there = 'libnss3.so:libnss3'
    absent = 'libabsent.so.1:libabsent1 libaway.so.2:libaway2'
    text = script.read_text()
    assert there in text
    script.write_text(text.replace(there, f'{there} {absent}'))
    message = (
        'no libabsent.so.1, libaway.so.2, which the browser of the tests needs: '
        "install, e.g. 'apt install libabsent1 libaway2'"
    )
    assert_refused(machine, ['official'], message)
    assert not machine.cache.exists()


def test_full_disk_is_named_before_anything_is_made(machine: Machine) -> None:
    machine.env['MMVITKD_MIN_FREE_GB'] = str(10**9)
    assert_refused(machine, ['run'], 'disk full')
    assert not machine.cache.exists()


def test_unsuitable_python_is_named(machine: Machine) -> None:
    machine.env['PYTHON'] = 'false'
    assert_refused(machine, ['run'], 'no Python 3.10, 3.11 or 3.12')


def test_unknown_profile_is_named(machine: Machine) -> None:
    assert_refused(machine, ['prod'], "unknown argument 'prod'")


def test_cached_wheels_make_the_compilers_unnecessary(machine: Machine) -> None:
    for package in MODULES:
        machine.cached_wheel(package)
    machine.lose(*COMPILERS['mmcv'], *COMPILERS['xtcocotools'])
    machine.env['MMVITKD_MIN_FREE_GB'] = str(10**9)
    assert_refused(machine, ['dev'], 'disk full')  # the check after the compiler's


@pytest.mark.parametrize('package', MODULES)
@pytest.mark.parametrize('damage', ['truncated', 'flipped', 'without_module'])
def test_damaged_cached_wheel_is_built_again(
    machine: Machine, damage: str, package: str
) -> None:
    wheel = {name: machine.cached_wheel(name) for name in MODULES}[package]
    content = bytearray(wheel.read_bytes())
    if damage == 'truncated':
        del content[len(content) // 2 :]
    elif damage == 'flipped':
        content[200] ^= 1
    else:
        module = MODULES[package].encode()
        content = bytearray(content.replace(module, b'x' * len(module)))
    wheel.write_bytes(content)
    machine.lose(*COMPILERS[package])  # so that it stops where it would compile
    code, lines = machine.set_up('dev')
    assert code == 1
    assert 'damaged: building it again' in lines[0]
    assert f'which {package} needs' in lines[1]
    assert not wheel.exists()


def test_broken_download_is_tried_again_and_a_second_run_does_nothing(
    machine: Machine, stack_profile: str
) -> None:
    machine.fake_uv(failures=2)
    code, lines = machine.set_up(stack_profile)
    assert code == 0, lines
    assert sum('trying again' in line for line in lines) == 2
    done = machine.installations()
    assert machine.set_up(stack_profile) == (0, [])
    assert machine.installations() == done
    with (machine.tree / 'requirements/constraints.txt').open('a') as constraints:
        constraints.write('# another version\n')
    assert_starts_anew(machine, stack_profile)


def test_what_takes_long_says_that_it_goes_on(machine: Machine) -> None:
    machine.fake_uv(failures=100)
    machine.env |= {'UV_SECONDS': '2', 'MMVITKD_PROGRESS': '0.5'}
    code, lines = machine.set_up('run')
    assert code == 1
    told = [line for line in lines if 'torch' in line and 'MB written so far' in line]
    assert len(told) >= 2, lines
    assert 'an installation failed' in lines[-1]  # and nothing is said after that


def test_broken_off_set_up_does_not_look_complete(machine: Machine) -> None:
    machine.fake_uv(failures=100)
    code, lines = machine.set_up('run')
    assert code == 1
    assert 'the same command goes on from here' in lines[-1]
    assert not list(machine.cache.glob('tmp.*'))
    assert_starts_anew(machine, 'run')


def test_foreign_venv_is_left_alone(machine: Machine) -> None:
    mine = machine.tree / '.venv' / 'mine'
    mine.parent.mkdir()
    mine.touch()
    code, lines = machine.set_up('run')
    assert (code, len(lines)) == (1, 1)
    assert 'not made by this script' in lines[0]
    assert mine.exists()


def test_no_venv_names_what_is_missing(machine: Machine, tmp_path: Path) -> None:
    bare = tmp_path / 'bare'
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', bare], check=True)
    machine.env['PYTHON'] = str(bare / 'bin/python')
    assert_refused(machine, ['run', '--no-venv'], 'cannot import cv2, torch, ')


def test_no_venv_refuses_the_other_stack(machine: Machine, stack_profile: str) -> None:
    other = 'run' if stack_profile == 'official' else 'official'
    assert_refused(machine, [other, '--no-venv'], 'has the other OpenMMLab stack')


def test_no_venv_uses_the_environment_as_it_is(
    machine: Machine, stack_profile: str
) -> None:
    script = (
        f'set -euo pipefail; source tools/setup_env.sh {stack_profile} --no-venv; '
        'cd /; "$PYTHON" -c "import mmvitkd; print(mmvitkd.__file__)"'
    )
    done = subprocess.run(
        ['bash', '-c', script],
        env=machine.env,
        cwd=machine.tree,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.splitlines()[-1]).is_relative_to(machine.tree)


def test_failure_stops_the_script_that_sources_it(machine: Machine) -> None:
    done = subprocess.run(
        ['bash', '-c', 'set -e; source tools/setup_env.sh nonsense; echo went on'],
        env=machine.env,
        cwd=machine.tree,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert 'went on' not in done.stdout
