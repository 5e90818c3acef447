"""What is said before the first step, and that saying it changes nothing."""

import random

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook

from mmvitkd.engine import DistillationCheckHook
from mmvitkd.engine.hooks import teacher_trial
from mmvitkd.engine.hooks.accuracy import near_chance, watch_logits
from mmvitkd.engine.hooks.distillation_check_hook import measure_models
from mmvitkd.models.classifiers.classes import count_classes
from mmvitkd.utils.costs import count_flops, count_parameters
from tests.helpers import NKD, build, samples, save_weights, vit
from tests.test_engine.test_hooks.watched import (
    MEAN,
    STD,
    TERMS,
    digits,
    runner_of,
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
    message,
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


FEATURES = {name: TERMS[name] for name in ('mimic0', 'gen')}
NAMES = tuple('0123456789')


def wrong_order(state):
    return {k: v.roll(1, 0) if k.startswith('head') else v for k, v in state.items()}


def wrong_weights(state):
    return {k: torch.randn_like(v) for k, v in state.items()}


def one_class(state):
    """Whatever it sees, a 3."""
    bias = torch.eye(10)[3] * 1e4
    return {k: bias if k.endswith('head.bias') else v for k, v in state.items()}


def changed(teacher, folder, change=dict, **meta):
    """Write the teacher's weights once more, changed."""
    state = change(torch.load(teacher)['state_dict'])
    torch.save({'state_dict': state, 'meta': meta}, folder / 'changed.pth')
    return folder / 'changed.pth'


@pytest.mark.parametrize('change', [wrong_order, wrong_weights, one_class])
def test_a_teacher_near_chance_is_refused_unless_allowed(tmp_path, teacher, change):
    file = changed(teacher, tmp_path, change)
    with pytest.raises(ValueError, match="teacher 'teacher' is near chance") as error:
        train(tmp_path, 'run', [STRICT], **taught(file, **ONE_EPOCH))
    text = str(error.value)
    assert 'its logits, by nkd are taught' in text
    assert 'default_hooks.check.allow_chance=True' in text
    assert ('predicted class 3 for all' in text) == (change is one_class)
    assert not list((tmp_path / 'run').rglob('*.pth'))
    train(tmp_path, 'allowed', [HOOK], **taught(file, **ONE_EPOCH))
    (warning,) = said(tmp_path / 'allowed')
    assert warning.startswith("teacher 'teacher' is near chance: right on ")
    assert ('predicted class 3 for all' in warning) == (change is one_class)


def test_a_teacher_near_chance_whose_features_alone_are_taught(tmp_path, teacher):
    """By the tool: one line, and the flag that it names."""
    file = changed(teacher, tmp_path, wrong_order)
    cfg = config(tmp_path, **taught(file, FEATURES, **ONE_EPOCH))
    strict = ('--cfg-options', 'default_hooks.check.allow_chance=False')
    text = message('train', cfg, '--work-dir', tmp_path / 'run', *strict)
    assert text.startswith("error: teacher 'teacher' is near chance: right on ")
    assert 'Here its features only are taught' in text
    run('train', cfg, '--work-dir', tmp_path / 'run')
    assert (tmp_path / 'run' / 'epoch_1.pth').exists()


def test_a_teacher_that_always_predicts_what_most_images_show(tmp_path, teacher):
    """It is right on most of them, by chance."""
    file = changed(teacher, tmp_path, one_class)
    train(tmp_path, 'digits', [], **taught(file, **ONE_EPOCH))
    labels = [i['gt_label'] for i in map(info_of(tmp_path / 'digits.py'), range(100))]
    threes = [i for i, label in enumerate(labels) if label == 3]
    few = {'train_dataloader.dataset.indices': [*threes, labels.index(4)]}
    train(tmp_path, 'run', [STRICT], **taught(file, **ONE_EPOCH, **few))
    assert said(tmp_path / 'run') == ["teacher 'teacher' always predicts class 3"]


def info_of(cfg):
    """The function that tells an image's annotation."""
    runner = runner_of(cfg, cfg.with_suffix('.again'))
    return runner.build_dataloader(runner.cfg.train_dataloader).dataset.get_data_info


@pytest.mark.parametrize('terms', [TERMS, FEATURES], ids=['logits', 'features'])
@pytest.mark.parametrize('key', ['dataset_meta', 'CLASSES'])
def test_classes_in_another_order_than_the_data_sets(tmp_path, teacher, terms, key):
    """Though the teacher is right on all images, as of a swap that came later."""
    swapped = (*NAMES[:3], '4', '3', *NAMES[5:])
    meta = {key: {'classes': swapped} if key == 'dataset_meta' else swapped}
    changes = taught(changed(teacher, tmp_path, **meta), terms, **ONE_EPOCH)
    where = "class 3 is '3' in the data set and '4' to the teacher; class 4 is '4'"
    if terms is FEATURES:
        train(tmp_path, 'run', [{**STRICT, 'num_images': 0}], **changes)
        (warning,) = said(tmp_path / 'run')
        assert where in warning
        assert 'Only features are taught' in warning
        return
    with pytest.raises(ValueError, match='in another order than the training') as error:
        train(tmp_path, 'run', [{**STRICT, 'num_images': 0}], **changes)
    assert where in str(error.value)
    assert 'The terms on logits (nkd)' in str(error.value)


@pytest.mark.parametrize(
    ('names', 'warned'),
    [
        (NAMES, False),
        (tuple(f'class {i}' for i in NAMES), False),
        (tuple('abcdefghij'), True),
    ],
)
def test_classes_of_other_names(tmp_path, teacher, names, warned):
    meta = {'dataset_meta': {'classes': names}}
    names = {'train_dataloader.dataset.metainfo': {'classes': [f'd{i}' for i in NAMES]}}
    names = names if warned else {}
    changes = taught(changed(teacher, tmp_path, **meta), **ONE_EPOCH, **names)
    train(tmp_path, 'run', [STRICT], **changes)
    warnings = said(tmp_path / 'run')
    assert [w.partition(' for its')[0] for w in warnings] == (
        ["teacher 'teacher' has other names"] if warned else []
    )


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
    for classes in (4, 30):
        cfg = vit(24, classes=classes)
        file = save_weights(cfg, tmp_path / f'{classes}.pth')
        changes = {
            **PLAIN,
            'model.terms': {'_delete_': True, **FEATURES},
            'model.teacher.cfg': cfg,
            'model.teacher.checkpoint': str(file),
        }
        hook = LoggedForwards()
        train(tmp_path, f'of{classes}', [STRICT, hook], **changes)
        told = report(tmp_path / f'of{classes}')[1]
        reason = f"its {classes} classes are none of the student's 10"
        assert told.endswith(f'not tried, as {reason}')
        assert hook.forwards == 1  # in which its multiply-adds are counted
        assert 'Trying' not in log_of(tmp_path / f'of{classes}')
        assert said(tmp_path / f'of{classes}') == []
    train(tmp_path, 'none', [{**STRICT, 'num_images': 0}], **PLAIN)
    assert 'tried' not in report(tmp_path / 'none')[1]
    assert said(tmp_path / 'none') == []


class LoggedForwards(Hook):
    """Count the teacher's forwards before the first step."""

    priority = 'VERY_HIGH'

    def before_train(self, runner):
        self.forwards = 0
        backbone = runner.model.teachers['teacher'].model.backbone
        backbone.register_forward_hook(self.count)

    def count(self, *_):
        self.forwards += 1

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.count = lambda *_: None
        if runner.iter == 0:
            runner.model.teachers['teacher'].model.backbone._forward_hooks.clear()


def log_of(work_dir):
    (log,) = work_dir.rglob('*.log')
    return log.read_text()


def test_it_says_that_it_begins(tmp_path, teacher):
    train(tmp_path, 'run', [STRICT], **taught(teacher, **ONE_EPOCH))
    before, _, _ = log_of(tmp_path / 'run').partition('What is distilled:')
    assert 'Trying teacher on 100 training images, before the first step' in before


def test_it_says_how_far_it_is_when_it_takes_long(tmp_path, teacher, monkeypatch):
    monkeypatch.setattr(teacher_trial, 'PERIOD', 0)
    train(tmp_path, 'run', [STRICT], **taught(teacher, **ONE_EPOCH))
    before, _, _ = log_of(tmp_path / 'run').partition('What is distilled:')
    told = [line for line in before.splitlines() if 'Tried on' in line]
    assert [line.partition('Tried on ')[2] for line in told] == [
        '50 of 100 images', '100 of 100 images',
    ]  # fmt: skip


class CountedImages(Hook):
    """Count the images that are read before the first epoch."""

    priority = 'VERY_HIGH'

    def before_train(self, runner):
        self.images = 0
        self.dataset = runner.train_dataloader.dataset
        read = self.dataset.prepare_data

        def count(index):
            self.images += 1
            return read(index)

        self.dataset.prepare_data = count

    def before_train_epoch(self, runner):
        del self.dataset.prepare_data


def test_where_nothing_can_be_counted_few_images_are_read(tmp_path):
    cfg = vit(24, classes=4)
    file = save_weights(cfg, tmp_path / 'four.pth')
    changes = {
        **PLAIN,
        'model.terms': {'_delete_': True, **FEATURES},
        'model.teacher.cfg': cfg,
        'model.teacher.checkpoint': str(file),
        'train_dataloader': {**digits(200), 'batch_size': 200},
    }
    hook = CountedImages()
    train(tmp_path, 'run', [STRICT, hook], **changes)
    assert 0 < hook.images <= teacher_trial.GLANCE


def test_a_model_of_one_class_is_not_tried():
    assert not near_chance(0, 100, 1)


def test_what_it_refuses(tmp_path):
    with pytest.raises(ValueError, match='num_images must be at least 0, got -1'):
        DistillationCheckHook(-1)


def test_without_terms_it_says_so(tmp_path):
    without = {'model.terms': None, 'model.teacher': None}
    train(tmp_path, 'run', [HOOK], **PLAIN, **without)
    assert said(tmp_path / 'run', 'INFO') == [
        'DistillationCheckHook: nothing is distilled'
    ]
