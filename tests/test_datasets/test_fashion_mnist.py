"""Fashion-MNIST's files are found, checked and read, wherever they lie."""

import functools
import gzip
import hashlib
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import DefaultScope

from mmvitkd.datasets import (
    FashionMNIST,
    FashionMNISTJPEGs,
    fashion_mnist,
    held_out_split,
)
from mmvitkd.datasets.labels import count_labels
from mmvitkd.utils.config_check import read_config
from tests.shrink import CONFIGS, fashion_mnist_folder, write_idx

CONFIG = CONFIGS / '_base_' / 'datasets' / 'fashion-mnist.py'
# the published files, where they are
FOUND = [
    folder
    for folder in (CONFIGS.parent / fashion_mnist.DOWNLOADED, fashion_mnist.DEBIAN)
    if fashion_mnist.has_all(folder)
]


@pytest.fixture
def folder(tmp_path):
    return fashion_mnist_folder(tmp_path / 'files', train=40, test=16)


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A machine without the files, and without Debian's package."""
    (tmp_path / 'work').mkdir()
    monkeypatch.chdir(tmp_path / 'work')
    monkeypatch.setattr(fashion_mnist, 'DEBIAN', str(tmp_path / 'debian'))
    return tmp_path


def images(dataset):
    return np.stack([dataset[i]['img'] for i in range(len(dataset))])


def unpack(folder):
    for path in folder.glob('*.gz'):
        path.with_suffix('').write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()


def test_images_and_labels_are_those_of_the_files(tmp_path):
    pixels = np.random.RandomState(0).randint(0, 256, (7, 28, 28), np.uint8)
    labels = np.array([3, 1, 4, 1, 5, 9, 2], np.uint8)
    for part, number in (('train', 4), ('t10k', 7)):
        write_idx(tmp_path / f'{part}-images-idx3-ubyte.gz', pixels[:number])
        write_idx(tmp_path / f'{part}-labels-idx1-ubyte.gz', labels[:number])
    for split, number in (('train', 4), ('test', 7)):
        dataset = FashionMNIST(tmp_path, split, verify=False)
        assert dataset.get_gt_labels().tolist() == labels[:number].tolist()
        found = images(dataset)
        assert found.dtype == np.uint8
        assert (found == pixels[:number]).all()


@pytest.mark.parametrize('test_mode', [True, False])
def test_the_split_alone_says_which_images(folder, test_mode):
    """MMPretrain's reads the training images for the test split without test_mode."""
    test = FashionMNIST(folder, 'test', verify=False, test_mode=test_mode)
    assert len(test) == 16


def test_packed_and_unpacked_files_are_alike(folder):
    packed = images(FashionMNIST(folder, verify=False))
    unpack(folder)
    assert (images(FashionMNIST(folder, verify=False)) == packed).all()


def test_a_download_is_found_before_debians_package(nowhere):
    debian = fashion_mnist_folder(nowhere / 'debian', train=24)
    assert len(FashionMNIST(verify=False)) == 24
    ours = fashion_mnist_folder(Path('data/fashion_mnist'), train=32)
    assert len(FashionMNIST(verify=False)) == 32
    next(ours.iterdir()).unlink()  # not complete
    assert len(FashionMNIST(verify=False)) == 24
    assert len(FashionMNIST(debian, verify=False)) == 24


@pytest.mark.parametrize('split', ['train', 'test'])
def test_other_files_are_refused(folder, split):
    part = 'train' if split == 'train' else 't10k'
    with pytest.raises(ValueError, match=rf"{part}-images.*gz' is not Fashion-MNIST's"):
        FashionMNIST(folder, split)


@pytest.mark.parametrize('length', [-9, 100, 3])
def test_a_damaged_file_is_named(folder, length):
    path = folder / 'train-images-idx3-ubyte.gz'
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match=r"images-idx3-ubyte.gz' can not be read"):
        FashionMNIST(folder, verify=False)


def test_without_the_files_one_line_says_how_to_get_them(nowhere, monkeypatch):
    # nothing listens there
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    monkeypatch.setattr(FashionMNIST, 'url_prefix', 'http://127.0.0.1:9/')
    for arguments, reason in (({}, '9/ failed: '), ({'download': False}, '=False')):
        with pytest.raises(ValueError, match=reason) as error:
            FashionMNIST(**arguments)
        line = str(error.value)
        assert line.startswith("Fashion-MNIST is not in 'data/fashion_mnist")
        assert 'apt install dataset-fashion-mnist' in line
        assert '\n' not in line


@pytest.fixture
def server(folder, monkeypatch):
    """The small files, served as the published ones are."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        address = f'http://127.0.0.1:{server.server_port}/'
        monkeypatch.setattr(FashionMNIST, 'url_prefix', address)
        monkeypatch.setenv('no_proxy', '127.0.0.1')
        yield folder
        server.shutdown()


def test_what_is_missing_is_downloaded(nowhere, server, monkeypatch):
    for name in ('train_list', 'test_list'):
        files = [
            [file, hashlib.md5((server / file).read_bytes()).hexdigest()]
            for file, _ in getattr(FashionMNIST, name)
        ]
        monkeypatch.setattr(FashionMNIST, name, files)
    dataset = FashionMNIST(verify=False)
    assert (images(dataset) == images(FashionMNIST(server, verify=False))).all()
    assert fashion_mnist.has_all('data/fashion_mnist')


def test_a_download_of_something_else_is_refused(nowhere, server):
    with pytest.raises(ValueError, match='corrupted.*apt install'):
        FashionMNIST()


def test_config_reads_one_channel_and_three_splits(folder):
    values = {'data_root': str(folder), 'num_val': 16}
    cfg = read_config(CONFIG, values)
    sizes = {}
    for split in ('train', 'val', 'test'):
        settings = cfg[f'{split}_dataloader'].dataset
        settings.get('dataset', settings).verify = False
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            dataset = fashion_mnist.DATASETS.build(settings)
        sizes[split] = len(dataset)
        assert dataset[0]['inputs'].shape == (1, 32, 32)
    assert sizes == {'train': 24, 'val': 16, 'test': 16}


if FOUND:  # nothing is skipped where they are not

    @pytest.mark.parametrize('folder', FOUND)
    def test_published_files(folder):
        """Their checksums, the splits' sizes, and the figures of the config."""
        cfg = read_config(CONFIG, {'data_root': str(folder)})
        train = held_out_split(
            {'type': 'mmvitkd.FashionMNIST', 'data_root': str(folder)}, cfg.num_val
        )
        samples = [train.get_data_info(i) for i in range(len(train))]
        labels = Counter(sample['gt_label'] for sample in samples)
        assert labels == Counter(dict.fromkeys(range(10), 5000))
        pixels = np.stack([sample['img'] for sample in samples])
        assert round(float(pixels.mean()), 2) == cfg.data_preprocessor.mean[0]
        assert round(float(pixels.std()), 2) == cfg.data_preprocessor.std[0]
        test = FashionMNIST(folder, 'test')
        assert count_labels(test) == Counter(dict.fromkeys(range(10), 1000))


# ------------------------------------------------------------------------- as JPEGs


def jpegs(folder, **kwargs):
    return FashionMNISTJPEGs(
        data_root=folder,
        folder=folder / 'jpegs',
        verify=False,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=28, backend='pillow'),
        ],
        **kwargs,
    )


@pytest.mark.parametrize('split', ['train', 'test'])
def test_jpegs_are_the_images_enlarged(folder, split):
    plain = FashionMNIST(folder, split, verify=False)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        large = jpegs(folder, split=split)
    assert large.get_gt_labels().tolist() == plain.get_gt_labels().tolist()
    found = images(large)
    assert large[0]['ori_shape'] == (112, 112)
    assert (found[..., :1] == found).all()  # grey
    errors = np.abs(found[..., 0].astype(int) - images(plain)).mean((1, 2))
    assert errors.max() < 25
    shuffled = np.abs(found[::-1, ..., 0].astype(int) - images(plain)).mean((1, 2))
    assert (errors < shuffled / 2).all()


def test_jpegs_are_written_once(folder):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        (first, *_), again = (
            [info['img_path'] for info in jpegs(folder).load_data_list()]
            for _ in range(2)
        )
        assert first == again[0]
        written = Path(first).stat().st_mtime_ns
        jpegs(folder)
        assert Path(first).stat().st_mtime_ns == written
        # a smaller size lies elsewhere
        jpegs(folder, size=56)
        assert [p.name for p in sorted((folder / 'jpegs').iterdir())] == ['112', '56']
        Path(first).unlink()
        with pytest.raises(ValueError, match='39 JPEGs, the split 40 images: rem'):
            jpegs(folder)


def test_jpegs_may_be_written_by_two_trainings_at_once(folder):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        dataset = jpegs(folder)
    plain = FashionMNIST(folder, 'train', verify=False).load_data_list()
    both = folder / 'both'
    with ThreadPoolExecutor() as pool:
        writing = [
            pool.submit(dataset._write, [info['img'] for info in plain], both)
            for _ in range(2)
        ]
    assert [one.result() for one in writing] == [None, None]
    assert len([*both.iterdir()]) == 40
    assert not [p for p in folder.iterdir() if p.name.startswith('tmp')]
