"""``tools/export_student.py``: an ordinary MMPretrain checkpoint and its config."""

import os
import shutil

import pytest
import torch
from mmengine.config import Config
from mmpretrain import ImageClassificationInferencer
from mmpretrain.apis import get_model
from mmpretrain.models import (
    DeiTClsHead,
    DistilledVisionTransformer,
    VisionTransformer,
    VisionTransformerClsHead,
)

from mmvitkd.datasets import Digits
from mmvitkd.utils import export
from tests.helpers import build, vit
from tests.test_tools.runs import PIPELINE, assert_same, config, message, run, weights


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A run of one epoch with averaged weights."""
    folder = tmp_path_factory.mktemp('trained')
    changes = {
        'train_cfg.max_epochs': 1,
        'custom_hooks': [{'type': 'EMAHook', 'momentum': 0.1}],
    }
    cfg = config(folder, **changes)
    run('train', cfg, '--work-dir', folder / 'run', '--no-validate')
    return cfg, folder / 'run' / 'epoch_1.pth'


def predictions(model):
    """Of every class, on a few images."""
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return torch.stack([x.pred_score for x in model.eval().predict(images)])


def test_logits_equal_the_distillers(trained, tmp_path):
    cfg, checkpoint = trained
    out = tmp_path / 'new' / 'student.pth'
    run('export_student', checkpoint, out, '--config', cfg)
    distiller = build(Config.fromfile(cfg).model)
    distiller.load_state_dict(weights(checkpoint))
    plain = get_model(str(out.with_suffix('.py')), pretrained=str(out))
    assert torch.equal(predictions(plain), predictions(distiller))


def test_upstream_loads_it_unchanged(trained, tmp_path):
    """All keys fit a classifier of MMPretrain's own, and nothing else is there."""
    _, checkpoint = trained
    out = tmp_path / 'student.pth'
    run('export_student', checkpoint, out)
    exported = torch.load(out)  # weights-only: nothing of MMEngine's in it
    build(vit(16)).load_state_dict(exported['state_dict'], strict=True)
    assert set(exported) == {'meta', 'state_dict'}
    assert list(exported['meta']['dataset_meta']['classes']) == list('0123456789')
    assert exported['meta']['mmvitkd_version']
    assert not out.with_suffix('.py').exists()


def test_raw_and_averaged_weights(trained, tmp_path):
    _, checkpoint = trained
    averaged = weights(checkpoint)
    raw = weights(checkpoint, 'ema_state_dict')
    for option, source, prefix in (
        ([], averaged, 'student.'),
        (['--ema'], averaged, 'student.'),
        (['--raw'], raw, 'module.student.'),
    ):
        run('export_student', checkpoint, tmp_path / 'out.pth', '--force', *option)
        assert_same(
            weights(tmp_path / 'out.pth'),
            {
                k.removeprefix(prefix): v
                for k, v in source.items()
                if k.startswith(prefix)
            },
        )
    key = 'student.backbone.pos_embed'
    assert not torch.equal(averaged[key], raw['module.' + key])


def test_inferencer_of_mmpretrain_classifies_an_image(trained, tmp_path):
    cfg, checkpoint = trained
    out = tmp_path / 'student.pth'
    run('export_student', checkpoint, out, '--config', cfg)
    infer = ImageClassificationInferencer(str(out.with_suffix('.py')), str(out))
    result = infer(Digits('test')[0]['img'])[0]
    assert result['pred_class'] in Digits.METAINFO['classes']
    assert len(result['pred_scores']) == 10


def test_plain_config_stands_in_mmpretrains_scope():
    """Names that mean ours are written in full; the rest is as it was."""
    student = {'type': 'ImageClassifier', 'backbone': {'type': 'DeiT3', 'arch': 's'}}
    preprocessor = {'num_classes': 10, 'mean': [1.0] * 3}
    cfg = {
        'model': {
            'type': 'mmvitkd.ViTKDDistiller',
            'student': {**student, 'train_cfg': {'augments': {'type': 'Mixup'}}},
            'data_preprocessor': {'std': [2.0] * 3},
        },
        'data_preprocessor': preprocessor,
        'test_dataloader': {'dataset': {'type': 'Digits', 'pipeline': PIPELINE}},
        'optim_wrapper': {'optimizer': {'type': 'SGD', 'lr': 1.0}},
    }
    for scope, digits in (('mmvitkd', 'mmvitkd.Digits'), ('mmpretrain', 'Digits')):
        plain = export.plain_config(Config({**cfg, 'default_scope': scope})).to_dict()
        assert plain == {
            'default_scope': 'mmpretrain',
            'model': {
                'type': 'ImageClassifier',
                'backbone': {'type': 'mmvitkd.DeiT3', 'arch': 's'},
                'data_preprocessor': {'std': [2.0] * 3},
            },
            'data_preprocessor': preprocessor,
            'test_dataloader': {'dataset': {'type': digits, 'pipeline': PIPELINE}},
        }


@pytest.fixture(scope='module')
def distilled(tmp_path_factory):
    """A run of one epoch of a student with a distillation token."""
    folder = tmp_path_factory.mktemp('distilled')
    changes = {
        'train_cfg.max_epochs': 1,
        'model.student.backbone.type': 'DistilledVisionTransformer',
        'model.student.head.type': 'ExtraTokenClsHead',
        'model.terms.dist': {
            'student': 'head.layers.head_dist',
            'teacher': 'head',
            'loss': {'type': 'HardKDLoss'},
        },
    }
    cfg = config(folder, **changes)
    run('train', cfg, '--work-dir', folder / 'run', '--no-validate')
    return cfg, folder / 'run' / 'epoch_1.pth'


def test_distilled_deit_is_mmpretrains(distilled, tmp_path):
    """Its own backbone and head, from its own registry, and the same predictions."""
    cfg, checkpoint = distilled
    out = tmp_path / 'student.pth'
    run('export_student', checkpoint, out, '--config', cfg)
    assert 'mmvitkd' not in str(Config.fromfile(out.with_suffix('.py')).model)
    plain = get_model(str(out.with_suffix('.py')), pretrained=str(out))
    assert type(plain.backbone) is DistilledVisionTransformer
    assert type(plain.head) is DeiTClsHead
    ours = build(Config.fromfile(cfg).model)
    ours.load_state_dict(weights(checkpoint))
    assert torch.equal(predictions(plain), predictions(ours))


def test_distillation_token_is_dropped_by_name_alone(distilled, trained, tmp_path):
    cfg, checkpoint = distilled
    out, token = tmp_path / 'student.pth', tmp_path / 'token.pth'
    run('export_student', checkpoint, token)
    with pytest.raises(RuntimeError, match='dist_token'):  # of a plain ViT
        build(vit(16)).load_state_dict(weights(token))

    run('export_student', checkpoint, out, '--config', cfg, '--drop-dist-token')
    plain = get_model(str(out.with_suffix('.py')), pretrained=str(out))
    assert type(plain.backbone) is VisionTransformer
    assert type(plain.head) is VisionTransformerClsHead
    exported, whole = plain.state_dict(), weights(token)
    left = {'backbone.dist_token', 'head.layers.head_dist.weight'}
    left.add('head.layers.head_dist.bias')
    assert set(whole) - set(exported) == left
    positions = whole['backbone.pos_embed']  # class, distillation, 16 patches
    assert torch.equal(
        exported.pop('backbone.pos_embed'), positions[:, [0, *range(2, 18)]]
    )
    assert all(torch.equal(exported[key], whole[key]) for key in exported)

    _, other = trained
    text = message('export_student', other, tmp_path / 'o.pth', '--drop-dist-token')
    assert text.startswith('error: the student has no distillation token')


def test_nothing_is_written_over(trained, tmp_path):
    cfg, checkpoint = trained
    out = tmp_path / 'student.pth'
    out.write_text('mine')
    assert f"'{out}' exists" in message('export_student', checkpoint, out)
    out.rename(tmp_path / 'student.py')
    text = message('export_student', checkpoint, out, '--config', cfg)
    assert f"'{tmp_path / 'student.py'}' exists" in text
    assert os.listdir(tmp_path) == ['student.py']
    text = message('export_student', checkpoint, checkpoint, '--force')
    assert 'is the checkpoint itself' in text
    run('export_student', checkpoint, out, '--config', cfg, '--force')
    assert sorted(os.listdir(tmp_path)) == ['student.pth', 'student.py']


def test_checkpoints_without_what_is_asked_for(trained, tmp_path):
    cfg, checkpoint = trained
    out, plain = tmp_path / 'out.pth', tmp_path / 'plain.pth'
    run('export_student', checkpoint, plain)
    text = message('export_student', plain, out)
    assert text == (
        "error: no weight begins with 'student.'; this checkpoint has "
        "['backbone.', 'head.']"
    )
    loaded = torch.load(checkpoint, weights_only=False)
    del loaded['ema_state_dict']
    torch.save(loaded, tmp_path / 'no_ema.pth')
    text = message('export_student', tmp_path / 'no_ema.pth', out, '--ema')
    assert 'no averaged weights' in text
    other = shutil.copy(cfg, tmp_path / 'other.py')
    with open(other, 'a') as file:
        file.write('\nmodel["student"]["backbone"]["arch"]["num_layers"] = 4\n')
    text = message('export_student', checkpoint, out, '--config', other)
    assert 'different students' in text
    assert 'backbone.layers.3.ln1.weight' in text
    assert not out.exists()
    assert not out.with_suffix('.py').exists()
