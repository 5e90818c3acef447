"""What is said before the first step, and that saying it changes nothing."""

import random

import numpy as np
import pytest
import torch

from mmvitkd.engine import DistillationCheckHook
from mmvitkd.engine.hooks.accuracy import watch_logits
from mmvitkd.engine.hooks.distillation_check_hook import measure_models
from mmvitkd.models.classifiers.classes import count_classes
from mmvitkd.utils.costs import count_flops, count_parameters
from tests.helpers import NKD, build, samples, vit
from tests.test_engine.test_hooks.watched import (
    MEAN,
    STD,
    TERMS,
    said,
    taught,
    teach,
    train,
)
from tests.test_tools.runs import (
    PLAIN,
    assert_same,
    cache,
    config,
    run,
    run_together,
    weights,
)

HOOK = {'type': 'DistillationCheckHook', 'allow_chance': True}
STRICT = {'type': 'DistillationCheckHook'}
ONE_EPOCH = {'train_cfg.max_epochs': 1}


@pytest.fixture(scope='module')
def teacher(tmp_path_factory):
    """Weights of a teacher that knows its digits."""
    return teach(tmp_path_factory.mktemp('teacher'))


def report(work_dir):
    """The lines that say what is distilled."""
    (log,) = work_dir.rglob('*.log')
    _, _, rest = log.read_text().partition('What is distilled:\n')
    lines = rest.splitlines()
    return [line.strip() for line in lines if line.startswith('  ')][: 3 + len(TERMS)]


# --------------------------------------------------------------- it changes nothing


@pytest.mark.parametrize('kind', ['random', 'cached'])
def test_training_is_the_same_with_it(tmp_path, kind):
    """Bit by bit, and so are the streams of random numbers: it draws of its own."""
    found = []
    changes = {**ONE_EPOCH, 'train_dataloader.num_workers': 0}
    for name, hooks in (('without', []), ('with', [HOOK])):
        if kind == 'random':
            train(tmp_path, name, hooks, **changes)
        else:
            cfg = config(tmp_path, custom_hooks=[], **ONE_EPOCH)
            if not (tmp_path / 'cache').exists():
                cache(cfg, tmp_path / 'cache')
            how = [] if hooks else ['--cfg-options', 'default_hooks.check=None']
            stored = tmp_path / 'cache' / f'{cfg.stem}_cached.py'
            run('train', stored, '--work-dir', tmp_path / name, *how)
        streams = torch.get_rng_state(), np.random.get_state()[1], random.getstate()
        found.append((weights(tmp_path / name / 'epoch_1.pth'), streams))
    (one, before), (other, after) = found
    assert_same(one, other)
    assert torch.equal(before[0], after[0])
    assert (before[1] == after[1]).all()
    assert before[2] == after[2]
    assert not report(tmp_path / 'without')
    shown = report(tmp_path / 'with')
    assert 'of 64 training images' in shown[1]
    assert shown[1].startswith(
        'teacher: stored' if kind == 'cached' else 'teacher: Vis'
    )


def test_two_processes_try_the_teacher_on_half_each(tmp_path):
    """And the first one of them tells it."""
    counts = []
    for count, size in ((1, 16), (2, 8)):
        plain = {**PLAIN, 'train_dataloader.batch_size': size}
        cfg = config(tmp_path, f'by{count}', **plain)
        run_together(count, 'train', cfg, '--work-dir', tmp_path / f'by{count}')
        counts.append(report(tmp_path / f'by{count}')[1])
    assert counts[0] == counts[1]
    assert 'of 16 training images' in counts[0]


# --------------------------------------------------------------------- what it says


def test_it_says_what_is_distilled_into_what(tmp_path, teacher):
    train(tmp_path, 'run', [HOOK], **taught(teacher))
    student, one, *rest = report(tmp_path / 'run')
    sizes = {}
    for width in (16, 24):
        model = build(vit(width)).eval()
        sizes[width] = (
            f'VisionTransformer, {count_parameters(model) / 1e6:.3g} M parameters, '
            f'{count_flops(model, (32, 32)) / 1e9:.3g} G multiply-adds at 32x32'
        )
    assert student == f'student: {sizes[16]}'
    assert one.startswith(f'teacher: {sizes[24]}, right on ')
    assert int(one.partition('right on ')[2].split()[0]) > 80  # of 100
    assert one.endswith(' of 100 training images')
    assert sorted(rest) == [
        'gen: backbone.ln1 (16, 24) on 4x4 -> backbone.ln1 (16, 16) on 4x4, '
        'ConvGenerativeProjector of 10848 parameters, ViTKDGenLoss x 0.0001',
        'mimic0: backbone.layers.0 (16, 24) on 4x4 -> backbone.layers.0 (16, 16) on '
        '4x4, LinearProjector of 408 parameters, ViTKDMimicLoss x 0.001',
        'nkd: head (10,) -> head (10,), NKDLoss x 1',
        "task: the student's own loss x 1",
    ]
    assert said(tmp_path / 'run') == []


def test_a_teacher_that_will_watch_the_student_is_tried_on_whole_images(
    tmp_path, teacher
):
    """As good as one that always sees them, before the student knows where to look."""
    counts = []
    for kind in ('Teacher', 'MaskedTeacher'):
        changes = {
            **taught(teacher),
            'model.teacher.type': kind,
            'model.terms': {'_delete_': True, 'nkd': NKD},
        }
        train(tmp_path, kind, [HOOK], **changes)
        counts.append(report(tmp_path / kind)[1])
    assert counts[0] == counts[1]


def test_flops_by_hand():
    """Of a linear layer on every token, and of attention, which is fused."""
    model = build(vit(16, layers=1)).eval()
    tokens = 17
    embedding = 16 * 16 * 3 * 8 * 8
    block = tokens * (4 * 16 * 16 + 2 * 16 * 32) + 2 * tokens * tokens * 16
    products = embedding + block + 16 * 10
    assert products < count_flops(model, (32, 32)) < 1.1 * products


def test_timms_and_huggingfaces_models_are_seen_and_measured(tmp_path):
    from transformers import ViTConfig, ViTForImageClassification

    sizes = {'hidden_size': 16, 'num_hidden_layers': 2, 'num_attention_heads': 2}
    shape = {'intermediate_size': 32, 'image_size': 32, 'patch_size': 8}
    hf = ViTForImageClassification(ViTConfig(**sizes, **shape, num_labels=10))
    hf.save_pretrained(tmp_path)
    vit_of = {'model_name': 'vit_tiny_patch16_224', 'img_size': 32, 'depth': 2}
    taps = {'student': 'model.head', 'teacher': 'model.classifier'}
    model = build(
        {
            'type': 'ViTKDDistiller',
            'student': {'type': 'TimmClassifier', 'num_classes': 10, **vit_of},
            'teacher': {
                'cfg': {
                    'type': 'HuggingFaceClassifier',
                    'model_name': str(tmp_path),
                    'pretrained': True,
                }
            },
            'terms': {'nkd': {**TERMS['nkd'], **taps}},
        }
    )
    images = torch.randn(2, 3, 32, 32)
    with watch_logits(model) as logits:
        model.loss(images, samples([1, 2]))
    assert torch.equal(logits['teacher'], model.teachers['teacher'].model(images))
    assert torch.equal(logits['student'], model.student(images))
    assert count_classes(model.student) == 10
    assert count_classes(model.teachers['teacher'].model) == 10
    for told in measure_models(model).values():
        assert 'multiply-adds at 32x32' in told[1]


# ------------------------------------------------------------------ what it warns of


def wrong_order(state):
    return {k: v.roll(1, 0) if k.startswith('head') else v for k, v in state.items()}


def wrong_weights(state):
    return {k: torch.randn_like(v) for k, v in state.items()}


@pytest.mark.parametrize('change', [wrong_order, wrong_weights])
def test_a_teacher_of_wrong_weights_or_class_order_is_named(tmp_path, teacher, change):
    state = change(torch.load(teacher)['state_dict'])
    torch.save({'state_dict': state}, tmp_path / 'wrong.pth')
    train(tmp_path, 'run', [HOOK], **taught(tmp_path / 'wrong.pth', **ONE_EPOCH))
    (warning,) = said(tmp_path / 'run')
    assert warning.startswith("teacher 'teacher' is near chance: right on ")


@pytest.mark.parametrize(
    ('mean', 'std'), [(0.485, 0.229), (0.0, 1.0), (MEAN * 255, STD * 255)]
)
def test_a_teacher_of_wrong_normalisation_is_named(tmp_path, teacher, mean, std):
    """Mean and std for pixels from 0 to 1, none at all, and 255 times too large."""
    wrong = {'type': 'ClsDataPreprocessor', 'mean': [mean] * 3, 'std': [std] * 3}
    changes = {**ONE_EPOCH, 'model.teacher.cfg.data_preprocessor': wrong}
    train(tmp_path, 'run', [HOOK], **taught(teacher, **changes))
    warning, *_ = said(tmp_path / 'run')
    assert warning.startswith("teacher 'teacher' gets pixels of mean ")


def test_a_term_without_weight_is_named(tmp_path, teacher):
    terms = {**TERMS, 'nkd': {**TERMS['nkd'], 'loss': {'type': 'NKDLoss'}}}
    terms['nkd']['loss']['loss_weight'] = 0.0
    train(tmp_path, 'run', [HOOK], **taught(teacher, terms, **ONE_EPOCH))
    assert said(tmp_path / 'run') == [
        "term 'nkd' has loss_weight=0: nothing is learnt from it"
    ]


def test_a_teacher_of_other_classes_is_not_tried(tmp_path):
    """Nor any when no image is asked for."""
    features = {name: TERMS[name] for name in ('mimic0', 'gen')}
    thirty = vit(24, classes=30)
    changes = {
        **PLAIN,
        'model.terms': {'_delete_': True, **features},
        'model.teacher.cfg': thirty,
    }
    torch.save({'state_dict': build(thirty).state_dict()}, tmp_path / 'thirty.pth')
    changes['model.teacher.checkpoint'] = str(tmp_path / 'thirty.pth')
    train(tmp_path, 'thirty', [HOOK], **changes)
    train(tmp_path, 'none', [{**HOOK, 'num_images': 0}], **PLAIN)
    for name in ('thirty', 'none'):
        assert 'right on' not in report(tmp_path / name)[1]
        assert said(tmp_path / name) == []


def test_what_it_refuses(tmp_path):
    with pytest.raises(ValueError, match='num_images must be at least 0, got -1'):
        DistillationCheckHook(-1)


def test_without_terms_it_says_so(tmp_path):
    without = {'model.terms': None, 'model.teacher': None}
    train(tmp_path, 'run', [HOOK], **PLAIN, **without)
    assert said(tmp_path / 'run', 'INFO') == [
        'DistillationCheckHook: nothing is distilled'
    ]
