"""Faster training pipelines: MMPretrain's pixels, or their distribution."""

from copy import deepcopy

import cv2
import mmcv
import numpy as np
import pytest
import torch
from mmcv.transforms import RandomFlip
from mmcv.transforms.utils import cache_random_params
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from mmpretrain.datasets import RandomErasing, RandomResizedCrop
from PIL import Image

from mmvitkd.datasets import (
    FastPackInputs,
    FastRandAugment,
    FastRandomErasing,
    FastRandomFlip,
    FastRandomResizedCrop,
    ReadRandomResizedCrop,
    ReplayedDataset,
)
from mmvitkd.datasets.fast import faster, jpeg, speed_up_data
from mmvitkd.datasets.image_bytes import decode, take_loader
from mmvitkd.datasets.image_check import find_unreadable
from mmvitkd.experiments.benchmark.photographs import draw_photographs
from mmvitkd.registry import DATASETS, TRANSFORMS
from tests.test_tools.runs import config
from tests.test_tools.runs import run as run_tool

CONFIG = 'configs/vitkd/vitkd_deit-tiny_deit3-small_8xb128_in1k.py'
CROP = {'scale': 224, 'interpolation': 'bicubic', 'backend': 'pillow'}


@pytest.fixture(autouse=True)
def ours():
    with DefaultScope.overwrite_default_scope('mmvitkd'):
        yield


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    return draw_photographs(tmp_path_factory.mktemp('photographs'), 12)


@pytest.fixture(scope='module')
def large(tmp_path_factory):
    return draw_photographs(tmp_path_factory.mktemp('large'), 4, size=(1500, 2000))


@pytest.fixture(scope='module')
def recipe():
    """DeiT's training pipeline."""
    return Config.fromfile(CONFIG).train_dataloader.dataset.to_dict()['pipeline']


def run(pipeline, file, seed):
    np.random.seed(seed)
    given = {'img_path': str(file), 'gt_label': 1, 'sample_idx': 0}
    data = pipeline(given)
    return data, np.random.rand()  # the stream stands where it stood


def test_same_pixels_and_draws(files, recipe):
    """But for the resize all is equal; that rounds otherwise."""
    slow = Compose(deepcopy(recipe))
    fast = Compose(faster(recipe, 'same-pixels'))
    assert isinstance(fast.transforms[1], FastRandomResizedCrop)
    crop = fast.transforms[1]
    off = []
    for seed in range(24):
        file = files[seed % len(files)]
        fast.transforms[1] = slow.transforms[1]
        (theirs, one), (ours, other) = run(slow, file, seed), run(fast, file, seed)
        assert torch.equal(theirs['inputs'], ours['inputs'])
        assert theirs['inputs'].dtype == ours['inputs'].dtype == torch.uint8
        samples = [
            str(data['data_samples']).split('at 0x')[0] for data in (theirs, ours)
        ]
        assert samples[0] == samples[1]
        assert one == other
        fast.transforms[1] = crop
        cut = [
            step({'img': cv2.imread(str(file))}) for step in _seeded(slow, fast, seed)
        ]
        difference = np.abs(cut[0]['img'].astype(int) - cut[1]['img'])
        assert cut[0]['img_shape'] == cut[1]['img_shape'] == (224, 224, 3)
        assert difference.max() <= 16
        off.append([(difference > 0).mean(), (difference > 1).mean()])
    assert np.mean(off, axis=0)[0] < 0.06
    assert np.mean(off, axis=0)[1] < 0.001


def _seeded(slow, fast, seed):
    for pipeline in (slow, fast):
        np.random.seed(seed)
        yield pipeline.transforms[1]


def test_every_operation_of_randaugment_is_mmpretrains(files, recipe):
    cfg = recipe[3]
    image = cv2.imread(str(files[0]))[:224, :224]
    flat = np.full_like(image, 7)
    slow = TRANSFORMS.build(deepcopy(cfg))
    fast = FastRandAugment(
        **{k: v for k, v in cfg.items() if k[0] not in 't_' or k == 'total_level'}
    )
    assert len(slow.transforms) == 15
    for index, operation in enumerate(slow.transforms):
        for transform in (slow, fast):
            transform.random_policy_indices = lambda i=index: [i]
            transform.transforms[index].prob = 1.0
        for seed in range(6):
            for picture in (image, flat):
                np.random.seed(seed)
                theirs = slow.transform({'img': picture.copy()})['img']
                np.random.seed(seed)
                ours = fast.transform({'img': picture.copy()})['img']
                assert np.array_equal(theirs, ours), operation


def test_grey_and_float_images_are_left_to_mmpretrain(files, recipe):
    fast = TRANSFORMS.build(faster(recipe, 'same-pixels')[1])
    grey = cv2.imread(str(files[0]), cv2.IMREAD_GRAYSCALE)
    assert fast({'img': grey})['img'].shape == (224, 224)


def test_erasing_has_the_same_boxes_and_noise():
    """The same boxes; noise of the same mean and deviation in every channel."""
    mean, std = [60.0, 120.0, 180.0], [20.0, 30.0, 60.0]
    kw = {'erase_prob': 1.0, 'mode': 'rand', 'fill_color': mean, 'fill_std': std}
    slow, fast = RandomErasing(**kw), FastRandomErasing(**kw)
    found = []
    for seed in range(40):
        pair = []
        for step in (slow, fast):
            np.random.seed(seed)
            pair.append(step({'img': np.full((224, 224, 3), 255, np.uint8)})['img'])
        boxes = [cv2.boundingRect((p != 255).any(2).astype(np.uint8)) for p in pair]
        assert boxes[0] == boxes[1]
        x, y, w, h = boxes[0]
        found.append([p[y : y + h, x : x + w].reshape(-1, 3) for p in pair])
    ours, theirs = (np.concatenate([pair[i] for pair in found]) for i in (1, 0))
    for moment in (np.mean, np.std):
        np.testing.assert_allclose(moment(ours, 0), moment(theirs, 0), rtol=0.01)
    quantiles = [
        np.quantile(each, [0.05, 0.5, 0.95], axis=0) for each in (ours, theirs)
    ]
    assert np.abs(quantiles[0] - quantiles[1]).max() <= 2


def test_reduced_crops_are_mmpretrains_crops(large):
    """The same boxes of a large JPEG, drawn alike; what is seen differs little."""
    reading, crop = ReadRandomResizedCrop(CROP), RandomResizedCrop(**CROP)
    reduced = 0
    for seed in range(12):
        file = str(large[seed % len(large)])
        np.random.seed(seed)
        whole = crop({'img': mmcv.imread(file)})['img'].astype(float)
        after = np.random.rand()
        np.random.seed(seed)
        read = reading({'img_path': file})
        assert np.random.rand() == after
        assert read['ori_shape'] == (1500, 2000)
        assert read['img_shape'] == (224, 224, 3)
        error = np.abs(read['img'] - whole)
        reduced += error.max() > 1
        assert error.mean() < 6
        shifted = np.abs(np.roll(read['img'], 4, axis=1) - whole).mean()
        assert error.mean() < shifted
    assert reduced > 6


def test_what_is_not_reduced_is_read_as_ever(files, large, tmp_path, monkeypatch):
    """Small pictures and other kinds; a JPEG but for the roundings of its decoder."""
    picture = cv2.imread(str(large[0]))
    png = tmp_path / 'a.png'
    cv2.imwrite(str(png), picture)
    reading, crop = ReadRandomResizedCrop(CROP), FastRandomResizedCrop(**CROP)
    for file, decoder in ((png, jpeg.simplejpeg), (files[0], None)):
        monkeypatch.setattr(jpeg, 'simplejpeg', decoder)
        for seed in range(2):
            np.random.seed(seed)
            whole = crop({'img': mmcv.imread(str(file))})['img']
            after = np.random.rand()
            np.random.seed(seed)
            assert np.array_equal(reading({'img_path': str(file)})['img'], whole)
            assert np.random.rand() == after
    monkeypatch.undo()
    np.random.seed(seed)
    difference = np.abs(reading({'img_path': str(file)})['img'].astype(int) - whole)
    assert 0 < difference.mean() < 2


def test_a_turned_jpeg_is_turned(large, tmp_path):
    file = tmp_path / 'turned.jpg'
    with Image.open(large[0]) as image:
        exif = image.getexif()
        exif[0x0112] = 6
        image.save(file, exif=exif, quality=95)
    reading, crop = ReadRandomResizedCrop(CROP), RandomResizedCrop(**CROP)
    for seed in range(2):
        np.random.seed(seed)
        whole = crop({'img': mmcv.imread(str(file))})['img'].astype(float)
        np.random.seed(seed)
        read = reading({'img_path': str(file)})
        assert read['ori_shape'] == (2000, 1500)
        assert np.abs(read['img'] - whole).mean() < 6


@pytest.mark.parametrize(
    'kw',
    [
        {'prob': 0.5},
        {'prob': 0.8, 'direction': ['horizontal', 'vertical', 'diagonal']},
        {'prob': [0.3, 0.5], 'direction': ['vertical', 'horizontal']},
        {'prob': 1.0, 'direction': 'diagonal'},
    ],
)
def test_flips_are_drawn_as_mmcv_draws_them(kw):
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    seen = set()
    for seed in range(30):
        pair = []
        for step in (RandomFlip(**kw), FastRandomFlip(**kw)):
            np.random.seed(seed)
            data = step({'img': image})
            flipped = data['flip_direction'], data['img'].tobytes()
            pair.append((*flipped, np.random.rand()))
        assert pair[0] == pair[1]
        seen.add(pair[0][0])
    assert len(seen) > 1 or kw['prob'] == 1.0


def test_a_flip_that_is_drawn_once_for_several_images():
    flip = FastRandomFlip(prob=0.5)
    image = np.zeros((2, 4, 3), np.uint8)
    for seed in range(8):
        np.random.seed(seed)
        with cache_random_params(flip):
            drawn = {flip({'img': image})['flip'] for _ in range(8)}
        assert len(drawn) == 1


def test_bicubic_warps_become_bilinear_where_pixels_may_differ(recipe):
    """Unless a policy says otherwise."""
    named = {'type': 'Rotate', 'angle': 5.0, 'interpolation': 'bicubic'}
    recipe = deepcopy(recipe)
    shear = {'type': 'Shear', 'magnitude_range': (0, 0.3)}
    recipe[3]['policies'] = [shear, named]
    kinds = {'same-pixels': 'bicubic', 'same-distribution': 'bilinear'}
    for kind, expected in kinds.items():
        built = TRANSFORMS.build(faster(recipe, kind)[-3])
        shear, rotate = built.transforms
        assert (shear.interpolation, rotate.interpolation) == (expected, 'bicubic')
    assert recipe[3]['hparams']['interpolation'] == 'bicubic'  # the given stays


@pytest.mark.parametrize('kind', ['same-pixels', 'same-distribution'])
def test_a_replayed_data_set_sees_them_again(kind, files, recipe):
    """Also mixed; and another pipeline is another data set for a cache."""
    folder = files[0].parent

    def replayed(pipeline):
        images = {
            'type': 'CustomDataset',
            'data_root': str(folder),
            'with_label': False,
            'pipeline': pipeline,
        }
        return ReplayedDataset(images, seed=3)

    fast, slow = replayed(faster(recipe, kind)), replayed(deepcopy(recipe))
    for key in ((0, 1), (0, 2), (1, 1)):
        first, again = fast[key]['inputs'], fast[key]['inputs']
        assert torch.equal(first, again)
        if kind == 'same-pixels':  # Equalize and the like spread a rounding
            assert (first.float() - slow[key]['inputs']).abs().mean() < 3
    assert not torch.equal(fast[0, 1]['inputs'], fast[1, 1]['inputs'])
    assert fast.description() != slow.description()


def test_bytes_are_cropped_as_files_are(large, recipe):
    """So tables and shards have the same pipelines."""
    loader, rest = take_loader(faster(recipe, 'same-distribution'))
    assert isinstance(loader, ReadRandomResizedCrop)
    assert len(rest) == len(recipe) - 2
    np.random.seed(0)
    one = decode(large[0].read_bytes(), loader, 'a')
    np.random.seed(0)
    other = loader({'img_path': str(large[0])})
    assert np.array_equal(one['img'], other['img'])
    assert one['img_path'] == 'a'
    with pytest.raises(ValueError, match="the image 'b' .* is damaged"):
        decode(b'\xff\xd8 no image', loader, 'b')


def test_the_check_of_images_reads_whole_files(files, large, recipe, tmp_path):
    """A JPEG whose end is missing decodes, reduced, without complaint."""
    from mmvitkd.datasets.image_check import find_loader

    dataset = DATASETS.build(
        {
            'type': 'CustomDataset',
            'data_root': str(files[0].parent),
            'with_label': False,
            'pipeline': faster(recipe, 'same-distribution'),
        }
    )
    loader = find_loader(dataset)
    assert loader.transform({'img_path': str(files[0])})['img'].shape == (375, 500, 3)
    broken = tmp_path / 'broken.jpg'
    broken.write_bytes(b'\xff\xd8 no image')
    assert [one.path for one in find_unreadable([str(broken)], loader)] == [str(broken)]


def test_a_config_is_made_faster_wherever_its_pipeline_is():
    cfg = Config.fromfile(CONFIG)
    plain = deepcopy(cfg.train_dataloader.dataset)
    cfg.train_dataloader.dataset = {
        'type': 'RepeatDataset',
        'times': 2,
        'dataset': plain,
    }
    speed_up_data(cfg, 'same-distribution')
    kinds = [step['type'] for step in cfg.train_dataloader.dataset.dataset.pipeline]
    assert kinds == [
        'mmvitkd.ReadRandomResizedCrop',
        'mmvitkd.FastRandomFlip',
        'mmvitkd.FastRandAugment',
        'mmvitkd.FastRandomErasing',
        'mmvitkd.FastPackInputs',
    ]


def test_what_can_not_be_made_faster_is_refused(recipe):
    with pytest.raises(ValueError, match='no transform that could be made faster'):
        faster([{'type': 'Resize', 'scale': 32}], 'same-pixels')
    with pytest.raises(ValueError, match="'fast': must be one of"):
        faster(recipe, 'fast')
    with pytest.raises(ValueError, match="default_scope = 'mmdet'"):
        speed_up_data(Config({'default_scope': 'mmdet'}), 'same-pixels')
    with pytest.raises(ValueError, match="backend='cv2'"):
        FastRandomResizedCrop(224, backend='cv2')


def test_a_training_takes_them_by_an_option(tmp_path):
    path = config(tmp_path)
    out = tmp_path / 'work'
    runner = run_tool('train', path, '--work-dir', out, '--fast-data', 'same-pixels')
    assert isinstance(
        runner.train_dataloader.dataset.pipeline.transforms[-1], FastPackInputs
    )
    kept = Config.fromfile(out / path.name).train_dataloader.dataset.pipeline
    assert kept[-1].type == 'mmvitkd.FastPackInputs'
