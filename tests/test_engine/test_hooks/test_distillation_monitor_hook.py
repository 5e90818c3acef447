"""What is logged while a distillation runs, what is warned of, and what it changes."""

import random

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook

from mmvitkd.engine import DistillationMonitorHook
from mmvitkd.engine.hooks.accuracy import binomial_cdf, near_chance, rates
from mmvitkd.engine.hooks.distillation_monitor_hook import default_interval
from mmvitkd.engine.hooks.term_watch import TermGradient, TermWatch
from tests.test_engine.test_hooks.watched import (
    TERMS,
    runner_of,
    said,
    scalars,
    taught,
    teach,
    train,
)
from tests.test_models.test_classifiers.test_dry_run import resnet
from tests.test_tools.runs import (
    PLAIN,
    assert_same,
    cache,
    config,
    run,
    run_together,
    weights,
)

HOOK = {'type': 'DistillationMonitorHook', 'interval': 1}
# no validation either
GENTLE = {
    'optim_wrapper.optimizer': {'type': 'SGD', 'lr': 1e-5},
    **dict.fromkeys(('val_dataloader', 'val_evaluator', 'val_cfg')),
}
ONE_EPOCH = {'train_cfg.max_epochs': 1}
ALWAYS = {'default_hooks.monitor.interval': 1}
NEVER = {'default_hooks.monitor': None}


@pytest.fixture(scope='module')
def teacher(tmp_path_factory):
    """Weights of a teacher that knows its digits."""
    return teach(tmp_path_factory.mktemp('teacher'))


# --------------------------------------------------------------- it changes nothing

CHECKPOINTED = {
    'model.student': {'_delete_': True, **resnet(with_cp=True)},
    'model.terms': {'_delete_': True, 'nkd': TERMS['nkd']},
}


def test_a_look_that_fails_does_not_end_training(tmp_path):
    """Reentrant checkpointing refuses single gradients; the weights stay the same."""
    for name, hooks in (('without', []), ('with', [HOOK])):
        train(tmp_path, name, hooks, **ONE_EPOCH, **CHECKPOINTED)
    assert_same(
        *(weights(tmp_path / name / 'epoch_1.pth') for name in ('without', 'with'))
    )
    (warning,) = (w for w in said(tmp_path / 'with') if 'could not look' in w)
    assert 'step 1' in warning and 'ActivationCheckpointingHook' in warning
    looks = scalars(tmp_path / 'with')
    assert len(looks) == 3  # all but the first
    assert 'distill/accuracy/student' in looks[0]
    assert not any('grad_norm' in key for look in looks for key in look)


KINDS = {
    'plain': {},
    'bfloat16': {'optim_wrapper.type': 'Bfloat16OptimWrapper'},
    'accumulated': {'optim_wrapper.accumulative_counts': 3},
    'unlabelled': {'model.task_weight': 0.0},
    'features': {'model.terms.nkd': None},
}
BESIDE = {
    'ema': [{'type': 'EMAHook', 'momentum': 0.1}],
    'checkpointing': [{'type': 'ActivationCheckpointingHook'}],
}


@pytest.mark.parametrize('kind', [*KINDS, *BESIDE])
def test_training_is_the_same_with_it(tmp_path, kind):
    """Bit by bit, and so are the streams of random numbers afterwards."""
    changes, beside = {**ONE_EPOCH, **KINDS.get(kind, {})}, BESIDE.get(kind, [])
    if kind == 'features':  # so that the teacher would stop before its head
        features = {name: TERMS[name] for name in ('mimic0', 'gen')}
        changes = {**ONE_EPOCH, 'model.terms': {'_delete_': True, **features}}
    found = []
    for name, hooks in (('without', []), ('with', [HOOK])):
        train(tmp_path, name, [*beside, *hooks], **changes)
        saved = torch.load(tmp_path / name / 'epoch_1.pth', weights_only=False)
        streams = torch.get_rng_state(), np.random.get_state()[1], random.getstate()
        found.append((saved, streams))
    (one, before), (other, after) = found
    assert_same(one['state_dict'], other['state_dict'])
    if kind == 'ema':
        assert_same(one['ema_state_dict'], other['ema_state_dict'])
    assert torch.equal(before[0], after[0])
    assert (before[1] == after[1]).all()
    assert before[2] == after[2]
    assert len(said(tmp_path / 'with', 'INFO')) == 4


def test_two_processes_train_the_same_and_log_the_joint_batch(tmp_path):
    joint = config(tmp_path, 'joint', **PLAIN, **ALWAYS)
    halves = {**PLAIN, 'train_dataloader.batch_size': 8}
    for name, how in (('two', ALWAYS), ('alone', NEVER)):
        cfg = config(tmp_path, name, **halves, **how)
        run_together(2, 'train', cfg, '--work-dir', tmp_path / name)
    assert_same(
        *(weights(tmp_path / name / 'epoch_1.pth') for name in ('two', 'alone'))
    )
    run('train', joint, '--work-dir', tmp_path / 'joint')
    (two,), (one,) = scalars(tmp_path / 'two'), scalars(tmp_path / 'joint')
    assert two == pytest.approx(one, rel=1e-3, abs=1e-4)
    assert not scalars(tmp_path / 'alone')


def test_sharded_by_fsdp_it_logs_values_alone_and_says_so_once(tmp_path):
    cfg = config(
        tmp_path,
        **{
            **PLAIN,
            **ALWAYS,
            'train_dataloader.batch_size': 4,
            'runner_type': 'FlexibleRunner',
            'strategy': {'type': 'mmvitkd.FSDPStrategy', 'shard_teacher': True},
        },
    )
    run_together(2, 'train', cfg, '--work-dir', tmp_path / 'run')
    seen = scalars(tmp_path / 'run')
    assert len(seen) == 2
    assert not [key for line in seen for key in line if 'norm' in key or 'cos' in key]
    assert {'distill/accuracy/teacher', 'distill/agreement/teacher'} <= set(seen[0])
    warnings = [w for w in said(tmp_path / 'run') if 'FSDPStrategy' in w]
    assert len(warnings) == 1


# --------------------------------------------------------------------- what it logs


class ByHand(Hook):
    """Take the gradients of a step one by one, as torch does by itself."""

    priority = 'HIGH'

    def __init__(self, module):
        self.module, self.found = module, {}

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        model = runner.model
        part = list(model.student.get_submodule(self.module).parameters())
        data = model.data_preprocessor(data_batch, training=True)
        vectors = {}
        for name in model.loss(**data):
            loss = model.loss(**data)[name]
            loss.backward()
            # the last layers' terms reach everything, the first ones' not
            grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in part]
            vectors[name] = torch.cat([grad.flatten() for grad in grads])
            model.zero_grad()
            self.found[name.replace('_', '/')] = loss.item()
        task = vectors['loss']
        for name, vector in vectors.items():
            key = name.replace('loss', 'grad_norm').replace('norm_', 'norm/')
            self.found[key] = vector.norm().item()
            if vector is not task:
                cosine = torch.cosine_similarity(vector, task, dim=0).item()
                self.found[name.replace('loss_', 'cosine/')] = cosine
        # as float16 has it; that it is scaled by is taken back
        scaler = torch.amp.GradScaler('cpu', init_scale=2.0**10)
        scaler.scale(torch.ones(()))
        runner.optim_wrapper.loss_scaler = scaler


@pytest.mark.parametrize('module', [None, 'backbone.layers.0', ''])
def test_norms_and_cosines_are_those_of_plain_autograd(tmp_path, module):
    by_hand = ByHand('backbone.patch_embed' if module is None else module)
    train(tmp_path, 'run', [{**HOOK, 'module': module}, by_hand], **PLAIN)
    (seen,) = scalars(tmp_path / 'run')
    assert len(by_hand.found) == 4 + 4 + 3
    for key, value in by_hand.found.items():
        assert seen[f'distill/{key}'] == pytest.approx(value, rel=1e-3, abs=1e-5), key


def test_rates_by_hand():
    """Of mixed labels the largest share counts; other classes are left out."""
    logits = {
        'student': torch.eye(4)[[0, 1, 2, 3]],
        'teacher': torch.eye(4)[[0, 1, 1, 2]],
        'other': torch.randn(4, 7),
    }
    agreement = {'agreement/teacher': 0.5}
    label = torch.tensor([0, 2, 1, 2])
    known = {**agreement, 'accuracy/student': 0.25, 'accuracy/teacher': 0.75}
    mixed = 0.6 * torch.eye(4)[label] + 0.4 * torch.eye(4)[(label + 1) % 4]
    for target, expected in ((None, agreement), (label, known), (mixed, known)):
        assert {k: v.item() for k, v in rates(logits, target).items()} == (
            pytest.approx(expected)
        )
    assert rates({'teacher': logits['teacher']}, label) == {}


def test_steps_and_backends(tmp_path):
    """Every third step, on disk and in TensorBoard, under the step's own number."""
    events = pytest.importorskip(
        'tensorboard.backend.event_processing.event_accumulator'
    )
    backends = [{'type': 'LocalVisBackend'}, {'type': 'TensorboardVisBackend'}]
    train(
        tmp_path, 'run', [{**HOOK, 'interval': 3}],
        visualizer={'type': 'UniversalVisualizer', 'vis_backends': backends},
    )  # fmt: skip
    seen = scalars(tmp_path / 'run')
    assert [line['step'] for line in seen] == [3, 6]
    (folder,) = (tmp_path / 'run').rglob('vis_data')
    board = events.EventAccumulator(str(folder))
    board.Reload()
    for key in set(seen[0]) - {'step', 'iter'}:
        found = [(event.step, event.value) for event in board.Scalars(key)]
        assert found == [(line['step'], pytest.approx(line[key])) for line in seen]
    lines = [text for text in said(tmp_path / 'run', 'INFO') if '[' in text]
    assert [line.partition(']')[0] for line in lines] == [
        'Distillation [3', 'Distillation [6',
    ]  # fmt: skip
    assert 'teacher: ' in lines[0]
    assert 'mimic0: loss' in lines[0]


def test_a_short_run_is_monitored_too(tmp_path):
    """By default; eight steps are fewer than the twenty looks that it would have."""
    kind = HOOK['type']
    train(tmp_path, 'run', [{'type': kind}])
    assert [line['step'] for line in scalars(tmp_path / 'run')] == [*range(1, 9)]
    # in 41 steps every second one, and the last
    changes = {**PLAIN, 'train_cfg.max_epochs': 41, **GENTLE}
    train(tmp_path, 'longer', [{'type': kind}], **changes)
    steps = [line['step'] for line in scalars(tmp_path / 'longer')]
    assert steps == [*range(2, 41, 2), 41]


@pytest.mark.parametrize(
    ('steps', 'interval'), [(1, 1), (39, 1), (48, 2), (1999, 99), (10**6, 100)]
)
def test_the_default_interval_fits_the_run(steps, interval):
    assert default_interval(steps) == interval


def test_an_interval_that_is_given_stays_and_one_beyond_the_run_is_said(tmp_path):
    train(tmp_path, 'run', [{**HOOK, 'interval': 9}])
    assert scalars(tmp_path / 'run') == []
    assert 'interval=9, but the run has 8 steps' in said(tmp_path / 'run')[0]


def test_stored_answers(tmp_path):
    """Of logits, the teacher's accuracy; of features alone, the student's only."""
    features = {name: TERMS[name] for name in ('mimic0', 'gen')}
    keys = {}
    for name, terms in (('logits', TERMS), ('features', features)):
        folder = tmp_path / name
        folder.mkdir()
        cfg = config(
            folder, **ONE_EPOCH, **{'model.terms': {'_delete_': True, **terms}}
        )
        cached = cache(cfg, folder / 'cache')
        options = ['--cfg-options', 'default_hooks.monitor.interval=1']
        run('train', cached, '--work-dir', folder / 'run', *options)
        (line, *_) = [
            text for text in said(folder / 'run', 'INFO') if text.startswith('Dist')
        ]
        keys[name] = line
    assert 'teacher: accuracy' in keys['logits']
    assert 'agreement' in keys['logits'].partition('teacher: ')[2]
    assert 'teacher: ' not in keys['features']
    assert 'student: accuracy' in keys['features']


# ------------------------------------------------------------------ what it warns of


def test_a_healthy_run_is_quiet(tmp_path, teacher):
    train(tmp_path, 'run', [HOOK], **taught(teacher))
    seen = scalars(tmp_path / 'run')
    assert len(seen) == 16
    assert min(line['distill/accuracy/teacher'] for line in seen) > 0.7
    assert said(tmp_path / 'run') == []


FAULTS = {
    'weightless': (
        {'model.terms.gen.loss.loss_weight': 0.0},
        "term 'gen' has no gradient: 3 times",
    ),
    'dominating': (
        {'model.terms.mimic0.loss.loss_weight': 10.0},
        "term 'mimic0' dominates the task: 5 times",
    ),
}


@pytest.mark.parametrize('fault', FAULTS)
def test_a_term_that_goes_wrong_is_named_once(tmp_path, teacher, fault):
    changes, message = FAULTS[fault]
    train(tmp_path, 'run', [HOOK], **taught(teacher), **changes)
    (warning,) = said(tmp_path / 'run')
    assert warning.startswith(message)


def test_a_term_that_a_schedule_ends_is_not_named(tmp_path, teacher):
    ends = {'type': 'TermWeightHook', 'terms': {'gen': {'kind': 'stop', 'end': 2}}}
    train(tmp_path, 'run', [ends, HOOK], **taught(teacher))
    assert scalars(tmp_path / 'run')[-1]['distill/grad_norm/gen'] == 0
    assert said(tmp_path / 'run') == []


def test_a_teacher_of_another_class_order_is_named_once(tmp_path, teacher):
    state = torch.load(teacher)['state_dict']
    for name in ('head.layers.head.weight', 'head.layers.head.bias'):
        state[name] = state[name].roll(1, 0)
    torch.save({'state_dict': state}, tmp_path / 'rolled.pth')
    train(tmp_path, 'run', [HOOK], **taught(tmp_path / 'rolled.pth'))
    (warning,) = [text for text in said(tmp_path / 'run') if 'near chance' in text]
    assert warning.startswith("teacher 'teacher' is near chance: right on ")
    assert 'where chance is 10.0%' in warning


def watch(*steps, task=1.0):
    looking = TermWatch('patches')
    return [looking.look({'a': TermGradient(*step)}, task) for step in steps]


def test_faults_must_last():
    dominating, fine = (11.0, 0.5), (9.0, 0.5)
    said = watch(*[dominating] * 4, fine, *[dominating] * 7)
    assert [len(s) for s in said] == [0] * 9 + [1, 0, 0]
    against, weak = (0.2, -0.3), (0.09, -0.3)
    assert [len(s) for s in watch(*[against] * 11)] == [0] * 9 + [1, 0]
    assert "'a' pulls against the task: 10 times" in watch(*[against] * 10)[-1][0]
    assert not any(watch(*[weak] * 12))
    assert not any(watch(*[(0.0, 0.0, True)] * 5))
    assert not any(watch(*[(99.0, None)] * 9, task=None))


def test_a_task_that_is_learnt_by_heart_is_not_swamped():
    """Its gradient vanishes, that of a term on features need not."""
    looking = TermWatch('patches')
    term = {'a': TermGradient(1.0, 0.1)}
    assert not any(looking.look(term, norm) for norm in [1.0] * 6 + [1e-3] * 6)


def test_chance_by_hand():
    assert binomial_cdf(1, 3, 0.5) == pytest.approx(0.5)
    assert binomial_cdf(0, 10, 0.2) == pytest.approx(0.8**10)
    assert binomial_cdf(500, 5000, 0.1) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize('classes', [2, 10, 1000])
def test_a_small_batch_says_nothing_of_a_poor_teacher(classes):
    """One just above slight agreement is accused less than once in a thousand."""
    rate = 1 / classes + 0.2 * (1 - 1 / classes)
    for images in (1, 8, 64, 512):
        accused = [k for k in range(images + 1) if near_chance(k, images, classes)]
        assert accused == list(range(len(accused)))
        if accused:
            assert binomial_cdf(accused[-1], images, rate) < 1e-3
    assert not near_chance(0, 4, classes)
    assert near_chance(round(600 / classes), 600, classes)


# ------------------------------------------------------------------ users' mistakes


def test_what_it_refuses(tmp_path):
    with pytest.raises(ValueError, match='interval must be at least 1, got 0'):
        DistillationMonitorHook(0)
    for module, message in (
        ('backbone.blocks.0', "no module 'backbone.blocks.0'"),
        ('backbone.drop_after_pos', "nothing is trained in 'backbone.drop_after_pos'"),
    ):
        with pytest.raises(ValueError, match=message):
            train(tmp_path, 'run', [{**HOOK, 'module': module}], **PLAIN)


def test_without_terms_it_says_that_it_does_nothing(tmp_path):
    without = {'model.terms': None, 'model.teacher': None}
    train(tmp_path, 'without', [HOOK], **PLAIN, **without)
    assert 'nothing is distilled' in said(tmp_path / 'without', 'INFO')[0]


def test_a_compiled_step_is_left_alone(tmp_path):
    cfg = config(tmp_path, custom_hooks=[], compile=True)
    runner = runner_of(cfg, tmp_path / 'run')
    hook = DistillationMonitorHook(1)
    hook.before_train(runner)
    hook.before_train_iter(runner, 0)
    assert runner.model.observers == []
    (warning,) = said(tmp_path / 'run')
    assert 'a compiled step can not be looked into' in warning


def test_the_tool_leaves_them_out_when_told(tmp_path):
    """One by its name, the other one as the user's own hook is there."""
    own = {'custom_hooks': [{**HOOK, 'module': 'backbone.layers.0'}]}
    check = {'default_hooks.check': None}
    cfg = config(tmp_path, **{**PLAIN, **own, **check})
    runner = run('train', cfg, '--work-dir', tmp_path / 'run')
    names = [type(hook).__name__ for hook in runner.hooks]
    assert names.count('DistillationMonitorHook') == 1
    assert 'DistillationCheckHook' not in names
