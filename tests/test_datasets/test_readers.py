"""WebDataset's shards and Hugging Face's tables, written here from the digits."""

import io
import json
import os
import tarfile
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from PIL import Image
from torch.utils.data import get_worker_info

from mmvitkd.datasets import HuggingFaceImages, HuggingFaceStream, WebDatasetImages
from mmvitkd.datasets import streamed_images as streamed
from mmvitkd.datasets.digits import load_scans
from mmvitkd.datasets.labels import count_labels
from tests.test_tools.runs import in_processes

wds = pytest.importorskip('webdataset')
hf = pytest.importorskip('datasets')

IMAGES, SHARDS = 48, 4
PIPELINE = [{'type': 'LoadImageFromFile'}, {'type': 'PackInputs'}]


def png(scan: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(scan).save(stream, 'PNG')
    return stream.getvalue()


@pytest.fixture(scope='module')
def scans():
    """Digits that are all different, as files, and their labels."""
    pixels, labels = load_scans()
    return [png(scan) for scan in pixels[:IMAGES]], labels[:IMAGES].tolist()


@pytest.fixture(scope='module')
def shards(scans, tmp_path_factory):
    folder = tmp_path_factory.mktemp('shards')
    for number in range(SHARDS):
        with wds.TarWriter(str(folder / f'{number}.tar')) as file:
            for i in range(number, IMAGES, SHARDS):
                sample = {'__key__': f'{i:03d}', 'png': scans[0][i]}
                file.write({**sample, 'cls': scans[1][i]})
    return folder


@pytest.fixture(scope='module')
def table(scans, tmp_path_factory):
    """The same as parquet files, and as ``save_to_disk`` writes it."""
    folder = tmp_path_factory.mktemp('table')
    names = hf.ClassLabel(names=[*'0123456789'])
    kinds = {'image': hf.Image(), 'label': names, 'name': hf.Value('string')}
    rows = {'image': [{'bytes': data, 'path': None} for data in scans[0]]}
    rows |= {'label': scans[1], 'name': [*map(str, range(IMAGES))]}
    table = hf.Dataset.from_dict(rows, features=hf.Features(kinds))
    table.save_to_disk(str(folder / 'saved'))
    for i in range(SHARDS):
        table.shard(SHARDS, i).to_parquet(str(folder / f'{i}.parquet'))
    return folder


@pytest.fixture(params=['webdataset', 'hugging face'])
def stream(request, shards, table):
    """What builds a stream of the digits."""

    def build(**changes):
        settings = {'num_samples': IMAGES, 'pipeline': PIPELINE, 'shuffle': 5}
        with DefaultScope.overwrite_default_scope('mmvitkd'):
            if request.param == 'webdataset':
                settings |= {'shards': str(shards / '{0..3}.tar'), 'label': 'cls'}
                return WebDatasetImages(**{**settings, **changes})
            load = {'data_files': str(table / '*.parquet')}
            settings |= {'path': 'parquet', 'load': load, 'label': 'label'}
            return HuggingFaceStream(**{**settings, **changes})

    return build


@contextmanager
def process(rank: int, count: int):
    with mock.patch.object(streamed, 'get_dist_info', lambda: (rank, count)):
        yield


def loader(dataset, workers: int = 0, batch_size: int = 5):
    cfg = {'dataset': dataset, 'sampler': None, 'batch_size': batch_size}
    with mock.patch('mmengine.runner.runner.DATASETS.build', lambda _: dataset):
        cfg = {**cfg, 'dataset': {}, 'num_workers': workers}
        return Runner.build_dataloader(cfg, seed=0)


def batches(dataset, workers: int = 0, batch_size: int = 5, **place):
    dataset.begin(**{'seed': 1, 'batch_size': batch_size, **place})
    found = []
    for batch in loader(dataset, workers, batch_size):
        images = zip(batch['inputs'], batch['data_samples'], strict=True)
        found.append([(x.numpy().tobytes(), int(s.gt_label)) for x, s in images])
    return found


def flat(batches):
    return [image for batch in batches for image in batch]


@pytest.fixture(scope='module')
def everything(scans):
    pixels = [np.asarray(Image.open(io.BytesIO(data))) for data in scans[0]]
    pixels = [np.repeat(scan[None], 3, axis=0).tobytes() for scan in pixels]
    assert len(set(pixels)) == IMAGES
    return sorted(zip(pixels, scans[1], strict=True))


@pytest.mark.parametrize(('processes', 'workers'), [(1, 0), (2, 0), (2, 2)])
def test_no_image_is_missed_or_seen_twice(stream, everything, processes, workers):
    orders = []
    for epoch in (0, 1):
        seen = []
        for rank in range(processes):
            with process(rank, processes):
                dataset = stream()
                part = batches(dataset, workers, batch_size=6, epoch=epoch)
            assert len(part) == len(loader(dataset, batch_size=6))
            seen.append(flat(part))
        order = [image for part in seen for image in part]
        assert sorted(order) == everything
        assert len({len(part) for part in seen}) == 1
        orders.append(order)
    assert orders[0] != orders[1]


@pytest.mark.parametrize('workers', [0, 3])
def test_it_goes_on_at_any_batch(stream, workers):
    """48 images in batches of 5: the last one is smaller."""
    dataset = stream(pipeline=[{'type': 'RandomFlip', 'prob': 0.5}, *PIPELINE])
    whole = batches(dataset, workers)
    assert [len(batch) for batch in whole] == [5] * 9 + [3]
    for done in (4, 9):
        assert batches(dataset, workers, done=done) == whole[done:]
    assert batches(dataset, workers, epoch=1) != whole


def test_what_is_done_is_not_decoded(stream):
    dataset = stream()
    with mock.patch.object(dataset, 'read', side_effect=dataset.read) as read:
        batches(dataset, done=7)
    assert read.call_count == IMAGES - 7 * 5


def test_an_epoch_of_a_stated_length(stream, everything):
    assert len(flat(batches(stream(num_samples=20)))) == 20
    longer = flat(batches(stream(num_samples=2 * IMAGES)))
    assert sorted(longer) == sorted(2 * everything)
    for wrong in (0, 1.5):
        with pytest.raises(ValueError, match=f'num_samples={wrong}: must be a whole'):
            stream(num_samples=wrong)


def test_without_labels_and_in_order(stream):
    dataset = stream(label=None, shuffle=0)
    first = next(iter(dataset))['data_samples']
    assert 'gt_label' not in first
    assert count_labels(dataset) is None


def test_other_layouts_of_the_decoder(stream):
    grey = [{'type': 'LoadImageFromFile', 'color_type': 'grayscale'}, PIPELINE[1]]
    assert next(iter(stream(pipeline=grey)))['inputs'].shape == (1, 8, 8)


# ------------------------------------------------------------------ WebDataset


def write(path, members):
    with tarfile.open(path, 'w') as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return str(path)


def webdataset(shards, **changes):
    settings = {'num_samples': 4, 'pipeline': PIPELINE, 'label': 'cls', 'shuffle': 0}
    with DefaultScope.overwrite_default_scope('mmvitkd'):
        return WebDatasetImages(shards, **{**settings, **changes})


def test_each_worker_has_shards_of_its_own(shards):
    dataset = webdataset(str(shards / '*.tar'), num_samples=IMAGES)
    keep = [{'type': 'PackInputs', 'meta_keys': ['img_path']}]
    dataset.pipeline.transforms = webdataset(
        str(shards / '*.tar'), pipeline=keep
    ).pipeline.transforms
    seen = [set(), set()]
    for number, batch in enumerate(loader(dataset, workers=2)):
        paths = [sample.img_path for sample in batch['data_samples']]
        seen[number % 2] |= {path.split('.tar')[0] for path in paths}
    assert len(seen[0]) == len(seen[1]) == 2
    assert not seen[0] & seen[1]
    assert get_worker_info() is None


def test_shards_that_are_not_there(tmp_path):
    for name in ('{0..3}.tar', '*.tar'):
        with pytest.raises(ValueError, match='there is no shard .*data/'):
            webdataset(str(tmp_path / name))
    with pytest.raises(ValueError, match=r'shards=\[\] names no tar file'):
        webdataset([])


def test_fewer_shards_than_readers(shards):
    two = str(shards / '{0..1}.tar')
    with process(0, 3), pytest.raises(ValueError, match='2 shards for 3 processes:'):
        webdataset(two)
    with process(0, 2):
        dataset = webdataset(two)
    with pytest.raises(ValueError, match='set num_workers to 1 at most'):
        dataset.check_workers(2)


@pytest.mark.parametrize(
    ('members', 'text'),
    [
        ({'a.png': b'no image', 'a.cls': b'1'}, r"'.*x.tar/a.png' \(8 bytes\) is dam"),
        ({'a.txt': b'text', 'a.cls': b'1'}, 'x.tar/a. has no image, but .txt, .cls'),
        ({'a.png': b'', 'a.txt': b''}, 'x.tar/a. has no label .cls, but .png, .txt'),
        ({'b.txt': b'text'}, 'x.tar/b. has no image, but .txt'),
        ({}, "1 shards .* part 1 of 1 has no images"),
    ],
)  # fmt: skip
def test_samples_that_can_not_be_used(tmp_path, members, text):
    with pytest.raises(ValueError, match=text):
        next(iter(webdataset(write(tmp_path / 'x.tar', members))))


def test_a_label_that_is_no_number(scans, tmp_path):
    shard = write(tmp_path / 'x.tar', {'a.png': scans[0][0], 'a.cls': b'cat'})
    with pytest.raises(ValueError, match="x.tar/a.cls' is b'cat': must be a class's"):
        next(iter(webdataset(shard)))


def test_a_shard_that_is_cut_off(shards, tmp_path):
    cut = tmp_path / 'cut.tar'
    whole = (shards / '0.tar').read_bytes()
    cut.write_bytes(whole[: whole.rindex(b'PNG') + 20])
    images = iter(webdataset(str(cut), num_samples=IMAGES))
    text = "cut.tar' can not be read behind its member '044.cls': ReadError"
    with pytest.raises(ValueError, match=text):
        list(images)


# ---------------------------------------------------------------- Hugging Face


def hugging_face(kind, path, **changes):
    with DefaultScope.overwrite_default_scope('mmvitkd'):
        return kind(str(path), pipeline=PIPELINE, **changes)


def test_a_table_is_read_by_the_row(table, everything, scans):
    dataset = hugging_face(HuggingFaceImages, table / 'saved', label='label')
    assert dataset.metainfo['classes'] == tuple('0123456789')
    samples = [dataset[i] for i in range(len(dataset))]
    found = [
        (s['inputs'].numpy().tobytes(), int(s['data_samples'].gt_label))
        for s in samples
    ]
    assert sorted(found) == everything
    assert [label for _, label in found] == scans[1]
    assert count_labels(dataset).total() == IMAGES
    part = hugging_face(HuggingFaceImages, table / 'saved', indices=[3, 5])
    assert len(part) == 2
    assert torch.equal(part[1]['inputs'], samples[5]['inputs'])
    assert 'gt_label' not in part[1]['data_samples']


SIZE = 2**19  # of a row: 64 are 32 MiB, beside which a heap that grows is little


def test_two_processes_share_a_tables_memory(tmp_path):
    """A saved table is mapped: read whole by two processes, it is in memory once."""
    noise = np.random.default_rng(0).integers(0, 256, (64, SIZE), np.uint8)
    kinds = hf.Features({'image': hf.Value('binary')})
    table = hf.Dataset.from_dict({'image': [one.tobytes() for one in noise]}, kinds)
    table.save_to_disk(str(tmp_path / 'saved'))
    (file,) = (tmp_path / 'saved').glob('*.arrow')
    in_processes(2, _read_table, tmp_path, 2)
    for rank in range(2):
        of_file, anonymous = json.loads((tmp_path / f'{rank}.json').read_text())
        assert of_file['Rss'] >= 0.9 * file.stat().st_size
        assert of_file['Private_Clean'] + of_file['Private_Dirty'] < SIZE
        assert of_file['Pss'] <= 0.6 * of_file['Rss']
        assert anonymous < 0.5 * file.stat().st_size


def _read_table(folder, processes):
    """Read all rows, and tell what this process then holds, while the others do."""
    rank = int(os.environ['RANK'])
    begun = _held('')['Anonymous']
    dataset = HuggingFaceImages(str(folder / 'saved'), pipeline=PIPELINE)
    for row in range(len(dataset)):
        assert len(dataset.rows[row]['image']) == SIZE
    (folder / f'{rank}.done').touch()
    _wait_for(folder, '*.done', processes)
    found = _held('.arrow'), _held('')['Anonymous'] - begun
    (folder / f'{rank}.json').write_text(json.dumps(found))
    _wait_for(folder, '?.json', processes)


def _wait_for(folder, files, count):
    end = time.monotonic() + 60
    while len(list(folder.glob(files))) < count and time.monotonic() < end:
        time.sleep(0.01)


def _held(suffix):
    """Add up, in bytes, what Linux says of this process's maps of such files."""
    found, counts = Counter(), False
    for line in Path('/proc/self/smaps').read_text().splitlines():
        key, _, value = line.partition(':')
        if value.endswith(' kB'):
            found[key] += 1024 * int(value.split()[0]) * counts
        elif ' ' in key:  # the next map begins
            counts = line.endswith(suffix)
    return found


def test_shards_are_tables_too(shards, everything, tmp_path):
    load = {'data_files': {'val': str(shards / '*.tar')}, 'cache_dir': str(tmp_path)}
    columns = {'split': 'val', 'image': 'png', 'label': 'cls', 'load': load}
    dataset = hugging_face(HuggingFaceImages, 'webdataset', **columns)
    assert len(dataset) == IMAGES
    assert (
        dataset[7]['inputs'].numpy().tobytes(),
        dataset.get_data_info(7)['gt_label'],
    ) in everything


def test_rows_without_a_label_and_bytes(scans, tmp_path):
    labels = [3, -1, None]
    rows = hf.Dataset.from_dict({'file': scans[0][:3], 'number': labels})
    kinds = {'file': hf.Value('binary'), 'number': hf.Value('int64')}
    rows.cast(hf.Features(kinds)).save_to_disk(str(tmp_path))
    columns = {'image': 'file', 'label': 'number'}
    dataset = hugging_face(HuggingFaceImages, tmp_path, **columns)
    assert [dataset.get_data_info(i).get('gt_label') for i in range(3)] == [
        3,
        None,
        None,
    ]
    assert dataset[2]['inputs'].shape == (3, 8, 8)


@pytest.mark.parametrize('kind', [HuggingFaceImages, HuggingFaceStream])
@pytest.mark.parametrize(
    ('settings', 'text'),
    [
        ({'image': 'photo'}, "has no column 'photo', but image, label, name"),
        ({'label': 'class'}, "has no column 'class', but image"),
        ({'image': 'name'}, "'name' of .* holds .*string.*must be images"),
        ({'label': 'name'}, "'name' of .*class_encode_column"),
        ({'load': {'name': 'x'}}, 'is for load_dataset, this is of save_to_disk'),
    ],
)
def test_tables_of_another_kind(kind, table, settings, text):
    if kind is HuggingFaceStream:
        settings = {**settings, 'num_samples': 4}
    with pytest.raises(ValueError, match=text):
        hugging_face(kind, table / 'saved', **settings)


def test_tables_that_are_not_there(tmp_path):
    load = {'data_files': str(tmp_path / '*.parquet')}
    with pytest.raises(
        ValueError, match="the split 'train' of 'parquet': At least one"
    ):
        hugging_face(HuggingFaceImages, 'parquet', load=load)


@pytest.mark.parametrize('library', ['webdataset', 'datasets'])
def test_a_library_that_is_missing(library, shards, table):
    gone = {f'{library}.shardlists': None, library: None}
    text = rf"the library '{library}' is missing: .* 'mmvitkd\[readers\]'"
    with mock.patch.dict('sys.modules', gone), pytest.raises(ImportError, match=text):
        if library == 'webdataset':
            webdataset(str(shards / '*.tar'))
        else:
            hugging_face(HuggingFaceImages, table / 'saved')
