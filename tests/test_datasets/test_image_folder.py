import shutil

import pytest
from mmengine.registry import DefaultScope

from mmvitkd.datasets import ImageFolder
from mmvitkd.registry import DATASETS
from tests.shrink import image_folder


@pytest.fixture
def root(tmp_path):
    return image_folder(tmp_path)


def labels_by_class(dataset: ImageFolder) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for sample in (dataset.get_data_info(i) for i in range(len(dataset))):
        folder = sample['img_path'].split('/')[-2]
        found.setdefault(folder, set()).add(sample['gt_label'])
    return found


def test_every_image_has_its_folders_label(root):
    cfg = {'type': 'mmvitkd.ImageFolder', 'data_root': str(root), 'num_classes': 10}
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        dataset = DATASETS.build({**cfg, 'split': 'train'})
    assert len(dataset) == 20
    assert labels_by_class(dataset) == {f'digit_{i}': {i} for i in range(10)}


def test_a_class_without_validation_images_shifts_no_label(root):
    shutil.rmtree(root / 'val' / 'digit_3')
    dataset = ImageFolder(str(root), 'val', num_classes=10)
    expected = {f'digit_{i}': {i} for i in range(10) if i != 3}
    assert labels_by_class(dataset) == expected
    assert dataset.metainfo['classes'] == tuple(f'digit_{i}' for i in range(10))


def test_hidden_folders_are_no_classes(root):
    (root / 'train' / '.ipynb_checkpoints').mkdir()
    assert len(ImageFolder(str(root), 'train', num_classes=10)) == 20


def test_subfolders_of_a_class_belong_to_it(root):
    inner = root / 'train' / 'digit_7' / 'more'
    inner.mkdir()
    shutil.copy(root / 'train' / 'digit_7' / '0.png', inner / 'a.PNG')
    assert len(ImageFolder(str(root), 'train', num_classes=10)) == 21


@pytest.mark.parametrize('num_classes', [9, 11])
def test_wrong_number_of_classes(root, num_classes):
    with pytest.raises(ValueError, match=f'num_classes={num_classes}.*has 10 sub'):
        ImageFolder(str(root), 'train', num_classes=num_classes)


def test_missing_folders(root):
    with pytest.raises(ValueError, match="nowhere/train' does not exist"):
        ImageFolder('nowhere', 'train', num_classes=10)
    with pytest.raises(ValueError, match="test' does not exist"):
        ImageFolder(str(root), 'test', num_classes=10)


def test_images_beside_the_class_folders(root):
    for folder in (root / 'train').iterdir():
        shutil.rmtree(folder)
    shutil.copy(root / 'val' / 'digit_0' / '0.png', root / 'train')
    with pytest.raises(ValueError, match='has no subfolders'):
        ImageFolder(str(root), 'train', num_classes=10)


def test_a_class_that_training_has_not(root):
    (root / 'val' / 'digit_10').mkdir()
    with pytest.raises(ValueError, match="'train' beside it has not.*digit_10"):
        ImageFolder(str(root), 'val', num_classes=10)


def test_no_images(root):
    for image in (root / 'val').rglob('*.png'):
        image.unlink()
    with pytest.raises(ValueError, match='has no images'):
        ImageFolder(str(root), 'val', num_classes=10)
