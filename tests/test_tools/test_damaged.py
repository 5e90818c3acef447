"""Logs, caches and work dirs that are damaged, or odd, and what is said of them."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.registry import DefaultScope

from tests.test_tools.runs import begin, cache, config, end, message, run


@pytest.fixture(scope='module')
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a config and the work dir of its run."""
    folder = tmp_path_factory.mktemp('damaged')
    cfg = config(folder, **{'train_cfg.max_epochs': 1})
    run('train', cfg, '--work-dir', folder / 'run')
    return folder


def report_of(
    trained: Path, work_dir: Path, change: Callable[[list[dict]], None]
) -> str:
    """Change what a run has logged; return the page of its report."""
    shutil.copytree(trained / 'run', work_dir)
    file = next(work_dir.glob('*/vis_data/scalars.json'))
    records = [json.loads(line) for line in file.read_text().splitlines()]
    change(records)
    file.write_text('\n'.join(map(json.dumps, records)))
    page = work_dir.with_name('page.html')
    run('report', work_dir, '--out', page, '--no-analysis')
    return page.read_text()


ODD = [1e308, -1e308, 10**400, 'x', [1], None, {'a': 1}]
STEPS = ['x', None, 10**400, -5, True, [1]]


def test_values_that_are_no_numbers_are_left_out_and_told(trained, tmp_path):
    def change(records: list[dict]) -> None:
        train = records[0]
        for place, value in enumerate(ODD):
            train[f'loss_odd{place}'] = value
        records += [{**train, 'step': step} for step in STEPS]
        records += [{**train, 'iter': odd, 'epoch': odd} for odd in ODD]

    page = report_of(trained, tmp_path / 'run', change)
    assert 'values of its log are no numbers or absurdly large' in page
    assert 'odd0' not in page


def test_names_are_no_formulas(trained, tmp_path):
    def change(records: list[dict]) -> None:
        for record in records:
            record['lo$ss^{/$<b>'] = 1.0

    folder = tmp_path / 'a$x^{$b'
    page = report_of(trained, folder, change)
    assert 'lo$ss^{/$&lt;b&gt;' in page
    assert 'a$x^{$b' in page


@pytest.mark.slow
def test_classes_that_are_no_names(trained, tmp_path):
    shutil.copytree(trained / 'run', tmp_path / 'run')
    file = tmp_path / 'run' / 'epoch_1.pth'
    checkpoint = torch.load(file, weights_only=False)
    checkpoint['meta']['dataset_meta'] = {'classes': 5}
    torch.save(checkpoint, file)
    run('report', tmp_path / 'run', '--out', tmp_path / 'page.html')
    assert (tmp_path / 'page.html').is_file()


@pytest.fixture(scope='module')
def stored(trained: Path) -> Path:
    """The cache of the run's teacher."""
    cache(trained / 'tiny.py', trained / 'cache')
    return trained / 'cache'


MANIFESTS = {
    b'{"format": 1': 'Expecting',
    b'\xff\xfe\x00': "can't decode",
    b'[]': 'it is a list, not a dict',
    b'7': 'it is a int, not a dict',
    b'{"format": 1}': 'its epochs is None',
    b'[' * 100000: 'recursion',
}
KEYS = [
    ('taps', None), ('taps', []), ('taps', [3]), ('taps', [{'path': 'a'}]),
    ('epochs', 'x'), ('epochs', 0), ('shard_size', 0), ('data', 3), ('teacher', []),
]  # fmt: skip


@pytest.mark.parametrize('content', MANIFESTS, ids=lambda c: repr(c[:12]))
def test_a_manifest_that_is_damaged(content, stored, tmp_path):
    shutil.copytree(stored, tmp_path / 'cache')
    (tmp_path / 'cache' / 'manifest.json').write_bytes(content)
    told = trains_from(tmp_path / 'cache', stored)
    assert 'its manifest.json is damaged' in told
    assert MANIFESTS[content] in told


@pytest.mark.parametrize(('key', 'value'), KEYS)
def test_a_manifest_that_lacks_something(key, value, stored, tmp_path):
    shutil.copytree(stored, tmp_path / 'cache')
    file = tmp_path / 'cache' / 'manifest.json'
    file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))
    told = trains_from(tmp_path / 'cache', stored)
    assert 'its manifest.json is damaged' in told
    assert key in told


@pytest.mark.parametrize('kind', ['cut', 'pickled', 'empty', 'gone'])
def test_a_probe_that_is_damaged(kind, stored, tmp_path):
    shutil.copytree(stored, tmp_path / 'cache')
    probe = tmp_path / 'cache' / 'probe.npz'
    whole = probe.read_bytes()
    content = {'cut': whole[: len(whole) // 2], 'pickled': pickle.dumps([1])}
    if kind == 'gone':
        probe.unlink()
    else:
        probe.write_bytes(content.get(kind, b''))
    assert 'its probe.npz' in trains_from(tmp_path / 'cache', stored)


def trains_from(folder: Path, stored: Path) -> str:
    """Train from a copy of a cache; return the line that it ends with."""
    file = folder / 'tiny_cached.py'
    file.write_text(file.read_text().replace(str(stored), str(folder)))
    DefaultScope._instance_dict.clear()
    told = message('train', file, '--work-dir', folder.parent / 'run')
    assert '\n' not in told
    return told


@pytest.mark.slow
def test_a_locale_that_is_not_utf8(trained, tmp_path):
    """The console can't write what a folder is called, and files are UTF-8 still."""
    folder = tmp_path / 'größe–Ω'
    shutil.copytree(trained / 'run', folder)
    page = tmp_path / 'page.html'
    command = ['python', '-m', 'mmvitkd', 'report', folder, '--out', page]
    env = {'LC_ALL': 'C', 'PYTHONUTF8': '0', 'PYTHONCOERCECLOCALE': '0'}
    end(begin(*command, '--no-analysis', **env))
    assert 'größe–Ω' in page.read_text(encoding='utf-8')
