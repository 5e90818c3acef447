"""Images as people have them: what can't be read is found, what can is as written down
in docs/own_data.md."""

import json
import os
import struct
import zlib

import numpy as np
import pytest
import tifffile
from mmcv.transforms import LoadImageFromFile
from PIL import Image

from mmvitkd.datasets import ImageFolder, image_check
from mmvitkd.datasets.image_check import find_unreadable, require_readable
from tests.shrink import image_folder
from tests.test_engine.test_hooks.test_label_check_hook import LOADED, loaders
from tests.test_tools.runs import config, message, run

LOADER = LoadImageFromFile()
RNG = np.random.default_rng(0)
PIXELS = np.kron(RNG.integers(0, 255, (5, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
HEIC = b'\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic' + bytes(100)


def picture(path, pixels=PIXELS, mode=None, **settings):
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path, **settings)
    return path


def half_of(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def spoil(folder) -> dict[str, str]:
    """Write files that can't be read; return a part of what is said about each."""
    half_of(picture(folder / 'half.jpg'))
    half_of(picture(folder / 'half.png'))
    (folder / 'empty.jpg').touch()
    (folder / 'text.jpg').write_text('no image')
    (folder / 'phone.jpg').write_bytes(HEIC)
    tifffile.imwrite(folder / 'float.tif', RNG.random((40, 60, 3), np.float32))
    (folder / 'loop.jpg').symlink_to('loop.jpg')
    (folder / 'gone.jpg').symlink_to('nowhere.jpg')
    return {
        'half.jpg': 'damaged', 'half.png': 'damaged', 'text.jpg': 'damaged',
        'empty.jpg': 'empty', 'phone.jpg': 'HEIC', 'float.tif': 'floating-point',
        'loop.jpg': 'symbolic links', 'gone.jpg': 'No such file',
    }  # fmt: skip


def paths_in(folder):
    return [str(path) for path in folder.iterdir() if not path.name.startswith('.')]


def test_all_that_can_not_be_read_is_named(tmp_path):
    picture(tmp_path / 'good.jpg')
    said = spoil(tmp_path)
    found = find_unreadable(paths_in(tmp_path), LOADER)
    assert sorted(os.path.basename(path) for path, _ in found) == sorted(said)
    for path, reason in found:
        assert said[os.path.basename(path)] in reason


@pytest.mark.parametrize('whole', [True, False])
def test_a_bound_on_pixels(tmp_path, whole):
    """A large picture is never decoded: 2.7 GB of this one."""
    path = str(tmp_path / 'large.png')
    header = b'IHDR' + struct.pack('>2I5B', 30_000, 30_000, 8, 2, 0, 0, 0)
    parts = b'\x89PNG\r\n\x1a\n', struct.pack('>I', 13), header
    data = struct.pack('>2I', zlib.crc32(header), 10), b'IDAT', bytes(14)
    (tmp_path / 'large.png').write_bytes(b''.join((*parts, *data)))
    ((_, reason),) = find_unreadable([path], LOADER, whole=whole)
    assert '30000x30000, more than max_pixels=100000000' in reason
    small = str(picture(tmp_path / 'small.png'))
    assert find_unreadable([small], LOADER, 64 * 40, whole) == []
    assert len(find_unreadable([small], LOADER, 64 * 40 - 1, whole)) == 1


def test_of_many_files_the_beginnings_are_looked_at(tmp_path, monkeypatch):
    half_of(picture(tmp_path / 'half.png'))
    (tmp_path / 'empty.jpg').touch()
    monkeypatch.setattr(image_check, 'MANY', 1)
    found = find_unreadable(paths_in(tmp_path), LOADER)
    assert [os.path.basename(path) for path, _ in found] == ['empty.jpg']
    assert len(find_unreadable(paths_in(tmp_path), LOADER, whole=True)) == 2


def test_the_log_tells_how_far_it_is(tmp_path, monkeypatch, log):
    paths = [str(picture(tmp_path / f'{i}.png')) for i in range(5)]
    monkeypatch.setattr(image_check, 'LEAST', 2)
    (tmp_path / '4.png').write_text('no image')
    assert [found.path for found in find_unreadable(paths, LOADER)] == [paths[4]]
    lines = [record.message for record in log.records]
    assert lines == [f'{done} of 5 images looked at' for done in (2, 4, 5)]


class Counting(LoadImageFromFile):
    read = 0

    def transform(self, results: dict) -> dict:
        Counting.read += 1
        return super().transform(results)


def test_a_later_run_looks_at_new_files_only(tmp_path):
    loader = Counting()
    paths = [str(picture(tmp_path / f'{i}.jpg')) for i in range(5)]

    def read() -> int:
        Counting.read = 0
        find_unreadable(paths, loader)
        return Counting.read

    assert (read(), read()) == (5, 0)
    os.utime(paths[0], ns=(0, 0))
    assert (read(), read()) == (1, 0)
    half_of(tmp_path / '1.jpg')
    assert (read(), read()) == (1, 1)  # what is bad may be mended
    kept = tmp_path / image_check.NAME
    kept.write_text('{"known": 1, "files": []}')
    assert read() == 5
    kept.write_text('damaged')
    assert read() == 5
    loader.color_type = 'grayscale'  # another way of reading
    assert read() == 5


def test_data_that_can_not_be_written_to(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    data = tmp_path / 'data'
    data.mkdir()
    paths = [str(picture(data / '0.jpg'))]
    # a folder in its place, which root can't write over either
    (data / image_check.NAME).mkdir()
    find_unreadable(paths, LOADER)
    (kept,) = (tmp_path / 'cache' / 'mmvitkd').iterdir()
    assert list(json.loads(kept.read_text())['files']) == ['0.jpg']


def folder_of(root, **settings):
    return ImageFolder(str(root), 'train', 10, LOADED, **settings)


def test_so_many_may_be_skipped(tmp_path, log):
    root = image_folder(tmp_path, each=4)
    for name in ('0', '1'):
        half_of(root / 'train/digit_3' / f'{name}.png')
    dataset = folder_of(root)
    with pytest.raises(
        ValueError, match=r'2 images can not.*\n.*0.png: dam.*\n.*1.png'
    ):
        require_readable([dataset])
    with pytest.raises(ValueError, match='2 images .*, more than skip_unreadable=1'):
        folder_of(root, skip_unreadable=1)
    kept = folder_of(root, skip_unreadable=2)
    assert len(kept) == len(dataset) - 2
    assert '2 images that can not be read are left out' in log.text
    require_readable([kept])
    for i in range(len(kept)):
        assert kept[i]['inputs'].shape == (3, 32, 32)
    small = folder_of(root, max_pixels=32 * 32 - 1)  # the data set's own bound
    with pytest.raises(ValueError, match='40 images can not be read'):
        require_readable([small])
    with pytest.raises(ValueError, match='2 images can not be read'):
        require_readable([small], 32 * 32)
    with pytest.raises(ValueError, match='32x32, more than max_pixels=100'):
        folder_of(root, skip_unreadable=2, max_pixels=100)


def test_a_loop_of_folders(tmp_path):
    root = image_folder(tmp_path)
    (root / 'train/digit_3/again').symlink_to(root / 'train/digit_3')
    try:
        assert len(folder_of(root)) == 20
    except ValueError as error:
        assert 'can not be listed' in str(error)


def test_training_is_refused_before_its_first_step(tmp_path):
    root = image_folder(tmp_path / 'images', each=4)
    for split in ('train', 'val'):
        (root / split / 'digit_2' / '0.png').write_text('no image')
    data = {'type': 'ImageFolder', 'data_root': str(root), 'num_classes': 10}
    data['pipeline'] = LOADED
    sets = ({**data, 'split': 'train'}, {**data, 'split': 'val'})
    cfg = config(tmp_path, **loaders(*sets))
    said = message('train', cfg, '--work-dir', tmp_path / 'out')
    assert '2 images can not be read' in said
    assert 'train/digit_2/0.png: damaged' in said
    assert 'val/digit_2/0.png: damaged' in said
    assert not list((tmp_path / 'out').glob('*.pth'))
    sets = tuple({**one, 'skip_unreadable': 1} for one in sets)
    cfg = config(tmp_path, **loaders(*sets))
    run('train', cfg, '--work-dir', tmp_path / 'out2')
    assert list((tmp_path / 'out2').glob('epoch_*.pth'))


def load(path, **settings):
    return LoadImageFromFile(**settings).transform({'img_path': str(path)})['img']


def test_a_photo_is_turned_as_its_camera_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned right by 90 degrees
    path = picture(tmp_path / 'turned.jpg', exif=exif, quality=95, subsampling=0)
    read = load(path)
    expected = np.rot90(PIXELS[:, :, ::-1], -1)
    assert read.shape == expected.shape
    assert np.abs(read.astype(int) - expected).mean() < 5


def test_cmyk_becomes_rgb(tmp_path):
    read = load(picture(tmp_path / 'print.jpg', mode='CMYK', quality=95))
    assert np.abs(read[:, :, ::-1].astype(int) - PIXELS).mean() < 10


def test_palettes_grey_and_black_and_white_become_rgb(tmp_path):
    image = Image.fromarray(PIXELS).convert('P')
    image.save(tmp_path / 'palette.png')
    expected = np.asarray(image.convert('RGB'))
    assert np.array_equal(load(tmp_path / 'palette.png')[:, :, ::-1], expected)
    for mode in ('L', '1', 'LA'):
        read = load(picture(tmp_path / f'{mode}.png', mode=mode))
        assert read.dtype == np.uint8
        assert np.array_equal(read[:, :, 0], read[:, :, 2])


def test_transparency_is_dropped(tmp_path):
    pixels = np.dstack([PIXELS, np.full(PIXELS.shape[:2], 10, np.uint8)])
    read = load(picture(tmp_path / 'faint.png', pixels))
    assert np.array_equal(read[:, :, ::-1], PIXELS)


def test_16_bits_become_8(tmp_path):
    deep = RNG.integers(0, 2**16, (40, 64)).astype(np.uint16)
    read = load(picture(tmp_path / 'deep.png', deep))
    assert read.dtype == np.uint8
    assert np.abs(read[:, :, 0].astype(int) - deep / 256).max() <= 1
    tifffile.imwrite(tmp_path / 'deep.tif', deep)
    assert np.array_equal(load(tmp_path / 'deep.tif'), read)
