import shutil

import pytest
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope

from mmvitkd.datasets import ImageFolder
from mmvitkd.registry import DATASETS
from tests.shrink import image_folder


@pytest.fixture
def root(tmp_path):
    return image_folder(tmp_path)


@pytest.fixture
def logged(tmp_path):
    """What the data set says."""
    file, name = tmp_path / 'said.log', tmp_path.name
    MMLogger.get_instance(name, log_file=str(file))
    yield file.read_text
    del MMLogger._instance_dict[name]


def empty(folder):
    for image in folder.iterdir():
        image.unlink()
    return folder


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


@pytest.mark.parametrize(
    ('names', 'skipped'),
    [
        ([], ''),
        (['a.heic', 'b.HEIC', 'notes.txt'], '2 .heic, 1 .txt'),
        (['.DS_Store', 'Thumbs.db'], ''),
        (['._1.png', '.1.png.part'], ''),
        (['deep/er/README'], '1 without extension'),
    ],
)
def test_a_class_without_training_images_is_named(root, names, skipped):
    """Whatever its folder holds instead of images."""
    folder = empty(root / 'train' / 'digit_4')
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b'no image')
    with pytest.raises(ValueError, match='no images of 1 of 10 classes: digit_4') as e:
        ImageFolder(str(root), 'train', num_classes=10)
    assert ('skipped' in str(e.value)) == bool(skipped)
    assert skipped in str(e.value)
    assert 'allow_empty=True' in str(e.value)


def test_of_many_classes_without_images_the_first_are_listed(root):
    for i in range(1, 10):
        empty(root / 'train' / f'digit_{i}')
        (root / 'train' / f'more_{i}').mkdir()
    with pytest.raises(ValueError, match='no images of 18 of 19 .* and 8 more'):
        ImageFolder(str(root), './train/', num_classes=19)


def test_empty_classes_may_be_allowed_and_then_are_logged(root, logged):
    empty(root / 'train' / 'digit_4')
    empty(root / 'train' / 'digit_6')
    dataset = ImageFolder(str(root), 'train', num_classes=10, allow_empty=True)
    expected = {f'digit_{i}': {i} for i in range(10) if i not in (4, 6)}
    assert labels_by_class(dataset) == expected
    assert 'no images of 2 of 10 classes: digit_4, digit_6' in logged()


def test_classes_that_validation_lacks_are_logged(root, logged):
    empty(root / 'val' / 'digit_4')
    shutil.rmtree(root / 'val' / 'digit_6')
    ImageFolder(str(root), 'val', num_classes=10)
    assert "val': no images of 2 of 10 classes: digit_4, digit_6" in logged()
    # of training nothing needs to be there to test
    empty(root / 'train' / 'digit_1')
    assert len(ImageFolder(str(root), 'val', num_classes=10)) == 16


def test_files_that_are_no_images_are_counted_and_litter_is_not(root, logged):
    folder = root / 'train' / 'digit_4'
    for name in ('a.heic', 'b.HEIC', 'c.txt', '.DS_Store', 'Thumbs.db', '._0.png'):
        (folder / name).write_bytes(b'no image')
    (root / 'train' / 'beside.PNG').write_bytes(b'image')
    (folder / '.ipynb_checkpoints').mkdir()
    shutil.copy(folder / '0.png', folder / '.ipynb_checkpoints' / '0.png')
    assert len(ImageFolder(str(root), 'train', num_classes=10)) == 20
    said = logged()
    text = 'skipped 3 files that are no images by their extension: 2 .heic, 1 .txt'
    assert text in said
    assert '1 images (beside.PNG, ...) lie beside the folders of the classes' in said


def test_a_complete_folder_says_nothing(root, logged):
    for split in ('train', 'val'):
        ImageFolder(str(root), split, num_classes=10)
    assert logged() == ''


def test_a_few_images_of_a_complete_folder_may_lack_classes(root):
    dataset = ImageFolder(str(root), 'train', num_classes=10, indices=3)
    assert len(dataset) == 3


def test_the_home_folder_may_be_written_short(root, monkeypatch):
    monkeypatch.setenv('HOME', str(root.parent))
    dataset = ImageFolder(f'~/{root.name}', 'train', num_classes=10)
    assert len(dataset) == 20
