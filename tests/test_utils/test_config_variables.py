"""A variable of a config is one place, which all that was made of it follows."""

from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from mmvitkd.utils.config_check import read_config
from mmvitkd.utils.config_file import open_config

BASE = """
data_root = 'data/one'
image_size = 224
edges = dict(short=int(image_size * 256 / 224), crop=image_size)
model = dict(backbone=dict(img_size=image_size))
train_dataloader = dict(dataset=dict(data_root=data_root, scale=edges))
val_dataloader = dict(dataset=dict(data_root=data_root + '/val', scale=edges['short']))
"""
MIDDLE = """
_base_ = './base.py'
model = dict(teacher=dict(img_size=_base_.image_size))
test_dataloader = dict(dataset=dict(data_root={{_base_.data_root}}))
"""
NEW_MIDDLE = """
from mmengine.config import read_base
with read_base():
    from .base import *
model.update(dict(teacher=dict(img_size=image_size)))
test_dataloader = dict(dataset=dict(data_root=data_root))
"""
HEAD = '_base_ = "./middle.py"\n'
NEW_HEAD = """
from mmengine.config import read_base
with read_base():
    from .middle import *
"""
STYLES = {'old': (MIDDLE, HEAD), 'new': (NEW_MIDDLE, NEW_HEAD)}


@pytest.fixture(params=STYLES)
def child(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A config with two generations above it, in either of MMEngine's styles."""
    middle, head = STYLES[request.param]
    (tmp_path / 'base.py').write_text(BASE)
    (tmp_path / 'middle.py').write_text(middle)
    path = tmp_path / 'child.py'
    path.write_text(head)
    return path


def add(path: Path, text: str) -> Path:
    path.write_text(path.read_text() + text)
    return path


def seen(cfg: Config) -> list[Any]:
    """What the settings say: data roots, then sizes."""
    loaders = [cfg[f'{split}_dataloader'].dataset for split in ('train', 'val', 'test')]
    sizes = [cfg.model.backbone.img_size, cfg.model.teacher.img_size]
    return [*(d.data_root for d in loaders), loaders[0].scale, loaders[1].scale, *sizes]


OLD = [
    'data/one',
    'data/one/val',
    'data/one',
    {'short': 256, 'crop': 224},
    256,
    224,
    224,
]
NEW = ['new', 'new/val', 'new', {'short': 438, 'crop': 384}, 438, 384, 384]


def test_nothing_changes_by_itself(child):
    assert seen(read_config(child)) == OLD == seen(Config.fromfile(child))


def test_a_child_changes_all_of_it(child):
    cfg = read_config(add(child, 'data_root = "new"\nimage_size = 384\n'))
    assert seen(cfg) == NEW
    assert (cfg.data_root, cfg.image_size) == ('new', 384)


def test_options_change_all_of_it(child):
    options = {'data_root': 'new', 'image_size': 384}
    assert seen(read_config(child, options)) == NEW


def test_options_come_before_the_child(child):
    add(child, 'data_root = "other"\nimage_size = 384\n')
    assert seen(read_config(child, {'data_root': 'new'})) == NEW


def test_in_between_as_well(child):
    """Changed by a base that others inherit from."""
    head = child.read_text().replace('middle', 'child')
    add(child, 'image_size = 384\n')
    grandchild = child.with_name('grandchild.py')
    grandchild.write_text(f'{head}data_root = "new"\n')
    assert seen(read_config(grandchild)) == NEW


def test_also_where_the_child_uses_it_itself(child):
    add(
        child, 'image_size = 384\ndata_root = "new"\nload_from = data_root + "/a.pth"\n'
    )
    cfg = read_config(child)
    assert (seen(cfg), cfg.load_from) == (NEW, 'new/a.pth')


def test_settings_are_stronger_than_variables(child):
    options = {'data_root': 'new', 'val_dataloader.dataset.data_root': 'own'}
    assert seen(read_config(child, options))[:3] == ['new', 'own', 'new']


def test_a_part_of_a_variable(child):
    cfg = read_config(child, {'edges.short': 300})
    assert cfg.train_dataloader.dataset.scale == {'short': 300, 'crop': 224}
    assert cfg.val_dataloader.dataset.scale == 300


def test_the_files_are_read_as_before_afterwards(child):
    read_config(child, {'data_root': 'new'})
    assert seen(Config.fromfile(child)) == OLD


def test_names_inside_functions_and_dicts_are_others(tmp_path):
    path = tmp_path / 'base.py'
    path.write_text(
        'size = 2\ndef twice(x):\n    size = 2 * x\n    return size\n'
        'model = dict(a=twice(size), b=[size for size in (5, 6)], size=7)\n'
    )
    model = open_config(path, {'size': 3}).model
    assert model == {'a': 6, 'b': [5, 6], 'size': 7}


@pytest.mark.parametrize('text', ['size = 1\nsize += 1\n', 'size, other = 2, 3\n'])
def test_however_it_is_assigned(tmp_path, text):
    path = tmp_path / 'base.py'
    path.write_text(f'{text}model = dict(a=size)\n')
    assert (open_config(path).model.a, open_config(path, {'size': 9}).model.a) == (2, 9)


def test_variables_of_an_installed_packages_config(tmp_path):
    path = tmp_path / 'mine.py'
    base = 'mmpretrain::deit/deit-tiny_4xb256_in1k.py'
    path.write_text(f'_base_ = {base!r}\ndataset_type = "CIFAR10"\n')
    cfg = read_config(path)
    assert cfg.train_dataloader.dataset.type == 'CIFAR10'
    assert read_config(path, {'dataset_type': 'X'}).val_dataloader.dataset.type == 'X'


def test_what_can_not_be_followed_is_an_error(child):
    with pytest.raises(ValueError, match="use 'image_size' can't follow"):
        read_config(child, {'image_size': float('inf')})
    with pytest.raises(
        ValueError, match=r'image_size\.a: image_size is 224, which has'
    ):
        read_config(child, {'image_size.a': 3})
