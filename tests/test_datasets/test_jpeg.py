"""JPEGs by simplejpeg: what OpenCV decodes, nearly, and what is left to OpenCV."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from mmvitkd.datasets.fast import jpeg

ORIENTATION = 0x0112


@pytest.fixture(scope='module')
def photograph():
    return Image.fromarray(load_sample_image('china.jpg')[:301, :403])


def written(image, **options):
    file = io.BytesIO()
    image.save(file, 'JPEG', quality=90, **options)
    return file.getvalue()


def by_opencv(data, flag=cv2.IMREAD_COLOR):
    return cv2.imdecode(np.frombuffer(data, np.uint8), flag)


@pytest.mark.parametrize('by', [1, 2, 4, 8])
@pytest.mark.parametrize('mode', ['RGB', 'L'])
def test_values_are_nearly_opencvs(photograph, mode, by):
    data = written(photograph.convert(mode))
    header = jpeg.read_header(data)
    assert header == ((301, 403), True)
    ours, theirs = jpeg.decode(data, header, by), by_opencv(data, jpeg.REDUCED[by])
    assert ours.shape == theirs.shape == (-(-301 // by), -(-403 // by), 3)
    assert ours.dtype == np.uint8
    difference = np.abs(ours.astype(int) - theirs)
    assert difference.mean() < 2.5
    turned = np.abs(ours[..., ::-1].astype(int) - theirs).mean()
    assert mode == 'L' or difference.mean() < turned


@pytest.mark.parametrize(
    'kind',
    [
        {'keep_rgb': True},
        {'progressive': True},
        {'subsampling': '4:4:4'},
        {'subsampling': '4:2:2'},
        {'restart_marker_rows': 1},
    ],
)
def test_all_kinds_of_jpegs(photograph, kind):
    data = written(photograph, **kind)
    header = jpeg.read_header(data)
    for by, flag in jpeg.REDUCED.items():
        ours = jpeg.decode(data, header, by).astype(int)
        assert np.abs(ours - by_opencv(data, flag)).mean() < 2.5


@pytest.mark.parametrize('orientation', [*range(9)])
def test_what_exif_turns_is_turned(photograph, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = written(photograph, exif=exif)
    expected = by_opencv(data)
    header = jpeg.read_header(data)
    assert header == (expected.shape[:2], orientation < 2)
    found = jpeg.decode(data, header)
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 2.5
    half = jpeg.decode(data, header, 2)
    assert half.shape[:2] == tuple(-(-side // 2) for side in expected.shape[:2])


def test_other_notes_turn_nothing(photograph):
    """Exif without an orientation; XMP, which OpenCV does not read."""
    exif = Image.Exif()
    exif[0x010F] = 'maker'
    note = b'<x:xmpmeta xmlns:tiff="t"><a tiff:Orientation="6"/></x:xmpmeta>'
    for kw in ({'exif': exif}, {'xmp': note}, {'exif': exif, 'xmp': note}):
        data = written(photograph, **kw)
        assert jpeg.read_header(data) == ((301, 403), True)
        assert by_opencv(data).shape == (301, 403, 3)


@pytest.mark.parametrize('tail', [b'', b'MM', b'II*\x00\xff\xff\xff\xff', b'\x00' * 40])
def test_damaged_exif_is_no_reason_to_fail(photograph, tail):
    data = written(photograph, exif=b'Exif\x00\x00' + tail)
    header = jpeg.read_header(data)
    assert header in (None, ((301, 403), True))
    assert by_opencv(data).shape == (301, 403, 3)


def test_what_is_left_to_opencv(photograph):
    png = io.BytesIO()
    photograph.save(png, 'PNG')
    exif = Image.Exif()
    exif[ORIENTATION] = 3
    cmyk = photograph.convert('CMYK')
    for data in (
        png.getvalue(),
        b'\xff\xd8 no image',
        b'',
        written(cmyk),
        written(cmyk, exif=exif),
    ):
        assert jpeg.read_header(data) is None


def test_a_damaged_jpeg_is_what_opencv_makes_of_it(photograph):
    data = written(photograph)
    header = jpeg.read_header(data)
    torn = data[: len(data) // 2]
    assert np.array_equal(jpeg.decode(torn, header), by_opencv(torn))
    assert jpeg.decode(data[:300], header) is None


def test_without_simplejpeg_it_is_opencvs(photograph, monkeypatch):
    data = written(photograph)
    header = jpeg.read_header(data)
    monkeypatch.setattr(jpeg, 'simplejpeg', None)
    assert jpeg.read_header(data) == header
    for by, flag in jpeg.REDUCED.items():
        assert np.array_equal(jpeg.decode(data, header, by), by_opencv(data, flag))
