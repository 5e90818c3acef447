"""Labels that no class of the model belongs to are found before the first step."""

import re
import shutil

import pytest

from tests.helpers import vit
from tests.shrink import image_folder
from tests.test_tools.runs import PIPELINE, config, message, run

ALONE = {'model': {'_delete_': True, **vit(16)}}
LOADED = [{'type': 'LoadImageFromFile'}, *PIPELINE]


def listed(folder, labels, split='train', name='train'):
    """A data set of an annotation file, and the classes' names."""
    root = folder / 'images'
    if not root.exists():
        image_folder(root, each=2)
    lines = [f'digit_{i}/0.png {label}' for i, label in enumerate(labels)]
    (folder / f'{name}.txt').write_text('\n'.join(lines))
    return {
        'type': 'CustomDataset',
        'data_root': str(root),
        'data_prefix': split,
        'ann_file': str(folder / f'{name}.txt'),
        'pipeline': LOADED,
    }


def loaders(train, val=None):
    """Changes of a config by which it reads these."""
    loader = {'_delete_': True, 'batch_size': 5, 'num_workers': 0}
    loader['sampler'] = {'type': 'DefaultSampler', 'shuffle': True}
    changes = {'train_dataloader': {**loader, 'dataset': train}}
    none = {'val_dataloader': None, 'val_evaluator': None, 'val_cfg': None}
    more = none if val is None else {'val_dataloader': {**loader, 'dataset': val}}
    return {**changes, **more, 'train_cfg.max_epochs': 1}


def log_of(work_dir):
    (log,) = work_dir.rglob('*.log')
    return log.read_text()


WRONG = {
    'too large': ([*range(9), 10], r'the labels 10 \(1 images\).*has 10 classes, numb'
                  r'ered 0 to 9: set num_classes=11 in the head'),
    'negative': ([*range(9), -1], r'the labels -1 \(1 images\).*from 0 on'),
    'from one': (range(1, 11), r'the labels 10 .*begin at 0, these at 1: subtract'),
}  # fmt: skip


@pytest.mark.parametrize('alone', [True, False])
@pytest.mark.parametrize('kind', WRONG)
def test_labels_outside_of_the_heads_range(tmp_path, kind, alone):
    labels, text = WRONG[kind]
    changes = {**loaders(listed(tmp_path, labels)), **(ALONE if alone else {})}
    cfg = config(tmp_path, **changes)
    said = message('train', cfg, '--work-dir', tmp_path / 'run')
    assert re.match(f'error: the training data have {text}', said)
    assert not list((tmp_path / 'run').rglob('*.pth'))


def test_they_are_found_in_every_wrapper_and_in_validation(tmp_path):
    good = listed(tmp_path, range(10))
    bad = listed(tmp_path, [*range(9), 12], name='bad')
    wrapped = {'type': 'RepeatDataset', 'dataset': bad, 'times': 2}
    joint = {'type': 'ConcatDataset', 'datasets': [good, wrapped]}
    cfg = config(tmp_path, **ALONE, **loaders(joint))
    assert 'the training data have the labels 12' in message(
        'train', cfg, '--work-dir', tmp_path / 'run'
    )
    cfg = config(tmp_path, **ALONE, **loaders(good, bad))
    assert 'the validation data have the labels 12' in message(
        'train', cfg, '--work-dir', tmp_path / 'run'
    )


def test_classes_without_training_images_are_listed(tmp_path):
    names = [f'digit {i}' for i in range(10)]
    dataset = {
        **listed(tmp_path, [0, 1, 2, 3, 4, 5, 6, 9]),
        'metainfo': {'classes': names},
    }
    cfg = config(tmp_path, **ALONE, **loaders(dataset))
    run('train', cfg, '--work-dir', tmp_path / 'run')
    text = "2 of 10 classes have no training image: 7 ('digit 7'), 8 ('digit 8')."
    assert text in log_of(tmp_path / 'run')
    few = {'train_dataloader.dataset.indices': [0, 1, 2], **ALONE}
    run('train', config(tmp_path, **few), '--work-dir', tmp_path / 'few')
    assert '7 of 10 classes have no training image' in log_of(tmp_path / 'few')


def test_all_is_well(tmp_path):
    run('train', config(tmp_path, **ALONE), '--work-dir', tmp_path / 'run')
    assert 'no training image' not in log_of(tmp_path / 'run')


def test_folders_that_are_numbered_differently(tmp_path):
    """MMPretrain's CustomDataset shifts all classes behind one that is missing."""
    root = image_folder(tmp_path / 'images')
    shutil.rmtree(root / 'val' / 'digit_3')
    train, val = (
        {'type': 'CustomDataset', 'data_prefix': str(root / split), 'pipeline': LOADED}
        for split in ('train', 'val')
    )
    cfg = config(tmp_path, **ALONE, **loaders(train, val))
    said = message('train', cfg, '--work-dir', tmp_path / 'run')
    assert "number the classes otherwise: 'digit_4' is class 3 there and 4 in" in said
    assert '6 in all' in said
    own = {'type': 'ImageFolder', 'data_root': str(root), 'num_classes': 10}
    train, val = ({**own, 'split': s, 'pipeline': LOADED} for s in ('train', 'val'))
    cfg = config(tmp_path, **ALONE, **loaders(train, val))
    run('train', cfg, '--work-dir', tmp_path / 'run')


def test_it_can_be_taken_away(tmp_path):
    changes = {**ALONE, **loaders(listed(tmp_path, [0] * 10))}
    cfg = config(tmp_path, **changes, **{'default_hooks.labels': None})
    run('train', cfg, '--work-dir', tmp_path / 'run')
    assert 'no training image' not in log_of(tmp_path / 'run')
