"""A setting that nothing reads is an error, and all that is read is none."""

import random
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from mmengine.config import Config

from mmvitkd.utils.config_check import find_unread, read_config
from tests.shrink import FIRST, RUNNABLE

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / 'configs' / 'digits' / 'vitkd-nkd_digits.py'
DOWNSTREAM = ('mmdet', 'mmseg', 'mmpose')
PACKAGES = (
    'mmpretrain',
    *(pytest.param(p, marks=pytest.mark.onedl_only) for p in DOWNSTREAM),
)


def write(folder: Path, text: str, base: str | Path = DIGITS) -> Path:
    """Write a config that inherits from another one."""
    path = folder / 'mine.py'
    path.write_text(f'_base_ = [{str(base)!r}]\n{text}\n')
    return path


def refusal(path: Path, **options) -> str:
    with pytest.raises(ValueError) as error:
        read_config(path, options)
    return str(error.value)


MISSPELT = {
    'defaut_hooks = dict(checkpoint=dict(interval=5))': 'default_hooks',
    'randomnes = dict(seed=1)': 'randomness',
    "custom_hook = [dict(type='EMAHook')]": 'custom_hooks',
    'data_preprocesor = dict(mean=[1.0])': 'data_preprocessor',
    "lod_from = 'some.pth'": 'load_from',
    'lod_from = None': 'load_from',
    'train_dataloadr = dict(batch_size=2)': 'train_dataloader',
    'env_cfg = dict(cudnn_benchmrk=True)': 'cudnn_benchmark',
    'env_cfg = dict(mp_cfg=dict(mp_start_methd="fork"))': 'mp_start_method',
    'env_cfg = dict(dist_cfg=dict(backnd="gloo"))': 'backend',
    'randomness = dict(sed=1)': 'seed',
    'auto_scale_lr = dict(base_batchsize=64)': 'base_batch_size',
    'optim_wrapper = dict(paramwise_cfg=dict(norm_decay_mul=0.0))': 'norm_decay_mult',
    "optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'a': dict(lr_mul=2)}))": (
        'lr_mult'
    ),
    "optim_wrapper = dict(constructor='LearningRateDecayOptimWrapperConstructor',"
    ' paramwise_cfg=dict(layer_decay=0.7))': 'layer_decay_rate',
    'default_hooks = dict(chekpoint=dict(interval=5))': 'checkpoint',
    "default_hooks = dict(loger=dict(type='LoggerHook'))": 'logger',
    'default_hooks = dict(monitr=dict(interval=5))': 'monitor',
    'model = dict(student=dict(backbone=dict(arch=dict(embed_dim=8))))': 'embed_dims',
    "strategy = dict(type='mmvitkd.FSDPStrategy')": "runner_type='FlexibleRunner'",
    "train_dataloader = dict(dataset=dict(pipeline=[dict(type='RandAugment', policies=["
    "dict(type='Rotate', angle=30.0)], num_policies=1, hparams=dict(pad_vall=1))]))": (
        'pad_val'
    ),
}


@pytest.mark.parametrize('text', MISSPELT)
def test_misspelt_setting_is_refused_with_the_right_name(text, tmp_path):
    told = refusal(write(tmp_path, text))
    assert 'nothing reads' in told
    assert MISSPELT[text] in told


def test_misspelt_setting_by_option_and_in_a_dumped_config(tmp_path):
    options = {'model.student.backbone.arch.embed_dim': 8}
    assert "did you mean 'embed_dims'?" in refusal(DIGITS, **options)
    assert "did you mean 'default_hooks'?" in refusal(DIGITS, **{'defaut_hooks.a': 1})
    cfg = Config.fromfile(DIGITS)
    cfg.randomnes = {'seed': 1}
    cfg.dump(tmp_path / 'dumped.py')
    assert "did you mean 'randomness'?" in refusal(tmp_path / 'dumped.py')


def test_the_teachers_architecture_is_looked_at_too(tmp_path):
    """In the distiller's config and in a file of its own."""
    arch = {'embed_dims': 8, 'num_layers': 1, 'num_heads': 1, 'embed_dim': 4}
    backbone = {'type': 'VisionTransformer', 'arch': arch}
    teacher = Config({'model': {'type': 'ImageClassifier', 'backbone': backbone}})
    teacher.dump(tmp_path / 'teacher.py')
    inside = f'model = dict(teacher=dict(cfg={teacher.model.to_dict()}))'
    beside = f"model = dict(teacher=dict(cfg='{tmp_path / 'teacher.py'}'))"
    for text in (inside, beside):
        assert "did you mean 'embed_dims'?" in refusal(write(tmp_path, text))


def test_variables_that_are_used_are_no_settings(tmp_path):
    read_config(
        write(
            tmp_path,
            'size = 3\nsizes = [size]\nx_mine = 1\n_mine = 2\n'
            'train_dataloader = dict(batch_size=sizes[0])\ncustom_imports = dict('
            "imports=['tests.test_tools.kill_hook'])\n",
        ),
        {'x_mine': 2, 'x-mine': 3, '_mine': 4},
    )


def test_variable_that_nothing_uses_is_refused(tmp_path):
    assert "nothing reads 'banana'" in refusal(write(tmp_path, 'banana = 3.25'))


def test_variable_whose_value_was_copied_is_refused(tmp_path):
    """In a dumped config no setting can follow it."""
    cfg = Config.fromfile(DIGITS)
    cfg.folder = 'data/one'
    cfg.train_dataloader.dataset.split = 'data/one/train'
    cfg.dump(tmp_path / 'dumped.py')
    told = refusal(tmp_path / 'dumped.py', folder='data/two')
    assert 'changing it does nothing: change train_dataloader.dataset.split' in told


def test_dumped_config_with_its_variables_passes(tmp_path):
    cfg = Config.fromfile(ROOT / 'configs' / 'own_data' / 'vitkd_own-data.py')
    cfg.dump(tmp_path / 'dumped.py')
    assert 'data_root' in read_config(tmp_path / 'dumped.py')


@pytest.mark.parametrize('first', [True, pytest.param(False, marks=pytest.mark.slow)])
def test_every_config_of_this_repository_passes(first):
    for path in RUNNABLE:
        if (path in FIRST) == first:
            read_config(path)


@pytest.mark.parametrize('package', PACKAGES)
def test_configs_of_the_installed_packages_pass(package, tmp_path):
    """As they are, and with a line of the user's own."""
    spec = find_spec(package)
    every = sorted((Path(spec.origin).parent / '.mim' / 'configs').rglob('*.py'))
    every = [path for path in every if '_base_' not in path.parts]
    for path in random.Random(0).sample(every, 25):
        try:
            Config.fromfile(path)
        except Exception:
            continue
        read_config(path)
        if not Config._is_lazy_import(str(path)):
            read_config(write(tmp_path, 'train_cfg = dict(val_interval=2)', path))


SLIP = (
    "optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1, weight_decay=0.1), "
    "paramwise_cfg=dict(custom_keys={'a': dict(decay_multi=0.0)}))\n"
)


def test_upstreams_own_slips_are_not_the_users(tmp_path):
    """Some of MMDetection's configs say ``decay_multi``, which nothing reads."""
    upstream = tmp_path / '.mim' / 'slip.py'
    upstream.parent.mkdir()
    upstream.write_text(f'{SLIP}unused = 2.5\n')
    path = write(tmp_path, 'train_cfg = dict(max_epochs=2)', upstream)
    assert [key for _, key, _ in find_unread(Config.fromfile(path))] == ['decay_multi']
    read_config(path)
    path.write_text(SLIP)
    assert "did you mean 'decay_mult'?" in refusal(path)


def test_new_style_configs(tmp_path):
    (tmp_path / 'base.py').write_text(
        'folder = "data/one"\nmodel = dict()\nload_from = folder\nsome = 2.5\n'
    )
    path = tmp_path / 'mine.py'
    head = 'from mmengine.config import read_base\nwith read_base():\n'
    head += '    from .base import *\n'
    path.write_text(f'{head}train_cfg = dict(max_epochs=some)\n')
    read_config(path)
    path.write_text(f'{head}randomnes = dict(seed=1)\n')
    assert "did you mean 'randomness'?" in refusal(path)
    path.write_text(f'{head}folde = "data/two"\n')
    assert "nothing reads 'folde'" in refusal(path)


def test_it_costs_little():
    read_config(DIGITS)  # imports what training imports anyway
    start = time.perf_counter()
    Config.fromfile(DIGITS)
    alone = time.perf_counter() - start
    read_config(DIGITS)
    assert time.perf_counter() - start - 2 * alone < 0.5
