from functools import cache
from pathlib import Path

import mmpretrain
import pytest
import yaml
from mmengine.config import Config
from mmengine.hub import get_config

from mmvitkd.models import DeiT3, Teacher
from mmvitkd.utils.config_check import read_config
from tests.helpers import build
from tests.shrink import CONFIGS

UPSTREAM = Path(mmpretrain.__file__).parent / '.mim'
PAIRS = sorted(
    p.stem.removeprefix('vitkd_') for p in (CONFIGS / 'vitkd').glob('vitkd_*.py')
)
# one of each method, and what has a root of its own
ON_IMAGENET = {
    **{p.parent.name: p for p in sorted(CONFIGS.glob('*/*_in1k.py'), reverse=True)},
    **{pair: CONFIGS / 'vitkd' / f'vitkd_{pair}.py' for pair in PAIRS},
    **{p.stem: p for p in CONFIGS.glob('*/*-384px-*_in1k.py')},
    **{p.stem: p for p in CONFIGS.glob('*/*-half_in1k.py')},
}
RECIPES = {
    'deit-tiny': 'mmpretrain::deit/deit-tiny_4xb256_in1k.py',
    'deit-small': 'mmpretrain::deit/deit-small_4xb256_in1k.py',
    'deit-base': 'mmpretrain::deit/deit-base_16xb64_in1k.py',
    'swin-tiny': 'mmpretrain::swin_transformer/swin-tiny_16xb64_in1k.py',
}


def load(method: str, pair: str) -> dict:
    return Config.fromfile(CONFIGS / 'vitkd' / f'{method}_{pair}.py').to_dict()


@cache
def zoo() -> dict[str, dict]:
    """MMPretrain's published models by the path of their weights, host left out."""
    models = [
        model
        for file in (UPSTREAM / 'configs').glob('*/metafile.yml')
        for model in yaml.safe_load(file.read_text()).get('Models', [])
    ]
    return {url_path(m['Weights']): m for m in models if m.get('Weights')}


def url_path(url: str) -> str:
    scheme, _, rest = url.partition('://')
    assert scheme == 'https'
    return rest.partition('/')[2]


def unscoped(cfg):
    """Without the scope that MMEngine writes into what it reads from a package."""
    if isinstance(cfg, dict):
        return {k: unscoped(v) for k, v in cfg.items() if k != '_scope_'}
    return [unscoped(v) for v in cfg] if isinstance(cfg, (list, tuple)) else cfg


def test_the_papers_pairs_are_all_there():
    teachers = {
        'deit-tiny_deit-small',
        'deit-tiny_deit3-small',
        'deit-small_deit3-base',
        'deit-base_deit3-large',
        'swin-tiny_swin-base',
    }
    assert {pair.removesuffix('_8xb128_in1k') for pair in PAIRS} == teachers


@pytest.mark.parametrize('pair', PAIRS)
def test_recipe_is_upstreams(pair):
    """Everything but the model, the batch on a GPU and the kept checkpoints."""
    cfg = load('vitkd', pair)
    upstream = get_config(RECIPES[pair.split('_')[0]]).to_dict()
    assert unscoped(cfg['model'].pop('student')) == unscoped(upstream.pop('model'))
    del cfg['model'], cfg['vitkd_terms']
    assert (cfg.pop('data_root'), cfg.pop('image_size')) == ('data/imagenet', 224)
    del cfg['sizes']
    assert cfg['train_dataloader'].pop('batch_size') == 128
    assert cfg['default_hooks']['checkpoint'].pop('max_keep_ckpts') == 3
    del upstream['train_dataloader']['batch_size']
    assert unscoped(cfg) == unscoped(upstream)


@pytest.mark.parametrize('path', ON_IMAGENET.values(), ids=ON_IMAGENET)
def test_images_and_their_size_have_one_place_each(path):
    values = {'data_root': 'data/in100', 'image_size': 384}
    cfg = read_config(path, values)
    for split in ('train', 'val', 'test'):
        dataset = cfg[f'{split}_dataloader'].dataset
        dataset = dataset.get('dataset', dataset)
        if dataset.type == 'ImageNet':  # the Attention Probe learns from others
            assert dataset.data_root == 'data/in100'
        text = str(dataset.pipeline)
        assert '384' in text and '224' not in text and '256' not in text
    student = cfg.model.get('student', cfg.model)
    if 'img_size' in student.backbone:
        assert student.backbone.img_size in (384, (384, 384))


@pytest.mark.parametrize('pair', PAIRS)
def test_recipe_is_the_papers(pair):
    """Batch 1024 at the rate for it; Mixup, CutMix, RandAugment and Erasing."""
    cfg = load('vitkd', pair)
    assert cfg['auto_scale_lr'] == {'base_batch_size': 8 * 128}
    assert cfg['optim_wrapper']['optimizer']['type'] == 'AdamW'
    assert cfg['optim_wrapper']['optimizer']['lr'] == 5e-4 * 1024 / 512
    augments = cfg['model']['student']['train_cfg']['augments']
    assert [a['type'] for a in augments] == ['Mixup', 'CutMix']
    loss = cfg['model']['student']['head']['loss']
    assert (loss['type'], loss['label_smooth_val']) == ('LabelSmoothLoss', 0.1)
    transforms = [t['type'] for t in cfg['train_dataloader']['dataset']['pipeline']]
    assert {'RandAugment', 'RandomErasing'} <= set(transforms)


@pytest.mark.parametrize('pair', PAIRS)
def test_terms_are_the_papers(pair):
    """alpha 3e-5 on the first two layers; beta 3e-6, lambda 0.5 on the last."""
    terms = load('vitkd', pair)['model']['terms']
    assert list(terms) == ['mimic0', 'mimic1', 'gen']
    for name in ('mimic0', 'mimic1'):
        assert terms[name]['loss'] == {'type': 'ViTKDMimicLoss', 'loss_weight': 3e-5}
        assert terms[name]['neck'] == {'type': 'LinearProjector'}
    assert terms['gen']['loss'] == {'type': 'ViTKDGenLoss', 'loss_weight': 3e-6}
    assert terms['gen']['neck']['mask_ratio'] == 0.5
    blocks = 'backbone.stages.0.blocks' if 'swin' in pair else 'backbone.layers'
    last = 'backbone' if 'swin' in pair else 'backbone.ln1'
    taps = {name: (term['student'], term['teacher']) for name, term in terms.items()}
    assert taps == {
        'mimic0': (f'{blocks}.0',) * 2,
        'mimic1': (f'{blocks}.1',) * 2,
        'gen': (last,) * 2,
    }


@pytest.mark.parametrize('pair', PAIRS)
def test_nkd_adds_one_term_and_nothing_else(pair):
    plain, with_nkd = load('vitkd', pair), load('vitkd-nkd', pair)
    del with_nkd['nkd_term']
    nkd = with_nkd['model']['terms'].pop('nkd')
    assert with_nkd == plain
    assert nkd == {
        'student': 'head',
        'teacher': 'head',
        'loss': {'type': 'NKDLoss', 'temperature': 1.0, 'gamma': 1.0},
    }


@pytest.mark.parametrize('pair', PAIRS)
def test_teachers_weights_belong_to_its_config(pair):
    teacher = load('vitkd', pair)['model']['teacher']
    published = zoo()[url_path(teacher['checkpoint'])]
    config = 'mmpretrain::' + published['Config'].removeprefix('configs/')
    assert config == teacher['cfg']
    # the paper's DeiT III and Swin teachers have seen ImageNet-21K, its DeiT has not
    assert ('in21k-pre' in published['Name']) == ('_deit-small_' not in pair)


def test_deit3_inherited_from_mmpretrain_is_the_corrected_one(tmp_path):
    """MMEngine writes MMPretrain's scope, and so its DeiT3, into what is inherited."""
    path = tmp_path / 'inherits.py'
    path.write_text("_base_ = 'mmpretrain::deit3/deit3-small-p16_64xb64_in1k.py'")
    cfg = Config.fromfile(path)
    assert cfg.model._scope_ == 'mmpretrain'
    teachers = Teacher(str(path), checkpoint='unread.pth').model
    student = build({'type': 'ViTKDDistiller', 'student': cfg.model}).student
    assert type(teachers.backbone) is type(student.backbone) is DeiT3
