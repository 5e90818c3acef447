import numpy as np
import pytest
from mmcv.transforms import Resize

from mmvitkd.datasets import Corrupt, Digits
from mmvitkd.datasets.corrupt import CORRUPTIONS
from mmvitkd.registry import TRANSFORMS

NOISE = ('gaussian_noise', 'shot_noise')


def corrupted(image: np.ndarray, *args, place: int = 0, **kwargs) -> np.ndarray:
    results = {'img': image, 'sample_idx': place, 'gt_label': 3}
    found = Corrupt(*args, **kwargs).transform(results)
    assert found['gt_label'] == 3
    return found['img']


@pytest.fixture(scope='module')
def scans() -> list[np.ndarray]:
    """Real scans, enlarged to 28x28, of three channels."""
    enlarge = Resize(scale=(28, 28))
    data = Digits(split='test', indices=50)
    return [enlarge(data.get_data_info(i))['img'] for i in range(len(data))]


@pytest.mark.parametrize('name', CORRUPTIONS)
def test_severities_are_ever_farther_from_the_clean_images(name, scans):
    distances = [0.0]
    for severity in range(1, 6):
        seen = [corrupted(x, name, severity, place=i) for i, x in enumerate(scans)]
        distances.append(
            np.mean([np.abs(a - 1.0 * b) for a, b in zip(seen, scans, strict=True)])
        )
    assert np.diff(distances).min() > 0.2, distances


@pytest.mark.parametrize('name', CORRUPTIONS)
@pytest.mark.parametrize('shape', [(28, 40), (28, 40, 1), (28, 40, 3)])
def test_what_comes_out_is_an_image_of_the_same_kind_every_time(name, shape):
    image = np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8)
    before = image.copy()
    found = corrupted(image, name, 5)
    assert found.dtype == np.uint8
    assert found.shape == shape
    assert np.array_equal(found, corrupted(image, name, 5))
    assert not np.array_equal(found, image)
    assert np.array_equal(image, before)
    others = [corrupted(image, name, 5, place=1), corrupted(image, name, 5, seed=1)]
    for other in others:
        assert np.array_equal(found, other) == (name not in NOISE)


def test_brightness_contrast_and_pixels_by_hand():
    image = np.array([[0, 100], [200, 240]], np.uint8)
    # 0.3 * 255 = 76.5, to the even neighbour
    assert corrupted(image, 'brightness', 3).tolist() == [[76, 176], [255, 255]]
    # half of the distances to the mean, 135
    assert corrupted(image, 'contrast', 2).tolist() == [[68, 118], [168, 188]]
    blocks = np.kron([[10, 20], [30, 40]], np.ones((2, 2))).astype(np.uint8)
    assert np.array_equal(corrupted(blocks, 'pixelate', 3), blocks)
    blocks[0, 0] = 50  # the mean of a block: 50 and three times 10
    assert corrupted(blocks, 'pixelate', 3)[:2, :2].tolist() == [[20, 20], [20, 20]]


def test_noise_is_as_strong_as_it_says():
    grey = np.full((200, 200, 3), 102, np.uint8)  # 0.4 of white
    noise = corrupted(grey, 'gaussian_noise', 2) - 102.0
    assert noise.std() == pytest.approx(0.08 * 255, rel=0.02)
    assert noise.mean() == pytest.approx(0, abs=0.3)
    assert np.corrcoef(noise[..., 0].flat, noise[..., 1].flat)[0, 1] < 0.02
    shot = corrupted(grey, 'shot_noise', 1)  # of 40 photons
    assert shot.mean() == pytest.approx(102, abs=0.3)
    assert shot.std() == pytest.approx(40**0.5 * 2.55, rel=0.02)
    assert not corrupted(0 * grey, 'shot_noise', 5).any()


def test_a_blur_spreads_a_point_and_keeps_its_light():
    image = np.zeros((40, 40), np.uint8)
    image[20, 20] = 255
    found = corrupted(image, 'gaussian_blur', 5).astype(float)  # 1.6 pixels
    assert found.argmax() == image.argmax()
    assert found.sum() == pytest.approx(255, rel=0.1)  # rounded
    share = found / found.sum()
    spread = (share.sum(1) * (np.arange(40) - 20) ** 2).sum() ** 0.5
    assert spread == pytest.approx(1.6, rel=0.05)


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        ({'corruption': 'fog'}, "'fog': must be one of"),
        ({'severity': 0}, 'severity=0: must be 1, 2, 3, 4 or 5'),
        ({'severity': 2.0}, 'severity=2.0'),
        ({'severity': True}, 'severity=True'),
        ({'seed': -1}, 'seed=-1: must be a whole number'),
    ],
)
def test_settings_that_are_none_are_refused(arguments, text):
    with pytest.raises(ValueError, match=text):
        TRANSFORMS.build(
            {'type': 'mmvitkd.Corrupt', 'corruption': 'contrast', **arguments}
        )


def test_images_that_it_can_not_take_are_refused():
    for image in (np.zeros((4, 4)), np.zeros((4, 4, 4), np.uint8)):
        with pytest.raises(ValueError, match='needs an image of uint8'):
            corrupted(image, 'contrast')
    with pytest.raises(ValueError, match='sample_idx'):
        Corrupt('contrast').transform({'img': np.zeros((4, 4), np.uint8)})
