"""Folders of images that have no classes, and data sets without their labels."""

import os
import shutil

import pytest
from mmengine.registry import DefaultScope

from mmvitkd.datasets import UnlabelledImages, without_labels
from mmvitkd.datasets.labels import count_labelled
from mmvitkd.registry import DATASETS
from tests.shrink import image_folder
from tests.test_datasets.test_image_folder import logged  # noqa: F401

PIPELINE = [{'type': 'LoadImageFromFile'}, {'type': 'PackInputs'}]


@pytest.fixture
def root(tmp_path):
    """Twenty images of classes below ``train``, and others beside them."""
    root = image_folder(tmp_path) / 'train'
    first = root / 'digit_0' / '0.png'
    deep = root / 'digit_0' / 'Österreich 2' / 'a b'
    deep.mkdir(parents=True)
    shutil.copy(first, deep / 'UPPER.PNG')
    shutil.copy(first, root / 'beside.png')
    shutil.copy(first, root / '.hidden.png')
    (root / 'notes.txt').write_text('no image')
    return root


def names(dataset) -> set[str]:
    infos = (dataset.get_data_info(i) for i in range(len(dataset)))
    return {os.path.relpath(info['img_path'], dataset.img_prefix) for info in infos}


def test_all_images_at_any_depth(root, logged):  # noqa: F811
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        cfg = {'type': 'mmvitkd.UnlabelledImages', 'data_root': str(root)}
        dataset = DATASETS.build({**cfg, 'pipeline': PIPELINE})
        sample = dataset[0]['data_samples']
    assert len(dataset) == 22
    assert {'beside.png', 'digit_0/Österreich 2/a b/UPPER.PNG'} <= names(dataset)
    assert 'gt_label' not in sample
    assert count_labelled(dataset) == (0, 22)
    assert 'skipped 1 file that is no image by their extension: 1 .txt' in logged()


def test_a_list_of_images(root):
    (root / 'list.txt').write_text('beside.png\ndigit_3/0.png\n')
    dataset = UnlabelledImages(str(root), ann_file=str(root / 'list.txt'))
    assert names(dataset) == {'beside.png', 'digit_3/0.png'}


def test_what_can_not_be_read(root):
    (root / 'bad.jpg').write_bytes(b'no picture')
    assert len(UnlabelledImages(str(root), skip_unreadable=1)) == 22
    (root / 'worse.jpg').write_bytes(b'neither')
    with pytest.raises(ValueError, match='2 images that can not be read'):
        UnlabelledImages(str(root), skip_unreadable=1)


def test_no_folder_and_no_images(tmp_path):
    with pytest.raises(ValueError, match="'.*nowhere' does not exist"):
        UnlabelledImages(str(tmp_path / 'nowhere'))
    (tmp_path / 'a.heic').write_text('')
    with pytest.raises(ValueError, match='no images .*at any depth; skipped 1 file'):
        UnlabelledImages(str(tmp_path))


@pytest.mark.parametrize('serialised', [True, False])
def test_a_data_set_without_its_labels(serialised):
    cfg = {'type': 'mmvitkd.Digits', 'split': 'val', 'serialize_data': serialised}
    plain, bare = DATASETS.build(cfg), without_labels(cfg)
    assert len(bare) == len(plain)
    assert count_labelled(bare) == (0, len(plain))
    assert 'classes' not in bare.metainfo
    for i in (0, 5):
        one, other = plain.get_data_info(i), bare.get_data_info(i)
        assert (one['img'] == other['img']).all()
        assert one['sample_idx'] == other['sample_idx'] == i
    assert 'gt_label' in plain.get_data_info(0)
