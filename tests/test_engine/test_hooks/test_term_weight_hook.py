import json
from uuid import uuid4

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from mmvitkd.engine import TermWeightHook
from mmvitkd.registry import MODEL_WRAPPERS
from tests.helpers import MIMIC, NKD, build, distiller, samples, vit
from tests.test_tools.runs import in_processes

EPOCHS, STEPS = 2, 4
BY_ITER = {'type': 'IterBasedTrainLoop', 'max_iters': EPOCHS * STEPS}


class Wrapped(nn.Module):
    """As a data-parallel wrapper holds its model."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def train_step(self, *args, **kwargs):
        return self.module.train_step(*args, **kwargs)


class Interrupted(Exception):
    pass


class TeacherCount(Hook):
    """Count the real forwards of every teacher, by iteration; write them to a file."""

    def __init__(self, folder):
        self.folder, self.counts = folder, {}

    def before_train(self, runner):
        model = getattr(runner.model, 'module', runner.model)
        for name, teacher in model.teachers.items():
            # a teacher ends its forward at its last tap, so its own hooks never run
            teacher.model.backbone.patch_embed.register_forward_hook(
                lambda *_, name=name: self.counts[name].append(runner.iter)
            )
            self.counts[name] = []

    def after_train(self, runner):
        torch.save(self.counts, self.folder / f'rank{runner.rank}.pth')


class Recorder(Hook):
    """Note the weights that every iteration was run with; stop before one."""

    priority = 'LOWEST'

    def __init__(self, stop=None):
        self.weights, self.stop = [], stop

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.stop:
            raise Interrupted
        model = getattr(runner.model, 'module', runner.model)
        weights = {name: term.loss.loss_weight for name, term in model.terms.items()}
        self.weights.append(weights)


def images():
    """Two a step, the same in every run."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.rand(2 * STEPS, 3, 32, 32, generator=generator)
    labels = samples(list(range(2 * STEPS)))
    return [
        {'inputs': x, 'data_samples': y} for x, y in zip(inputs, labels, strict=True)
    ]


def runner_of(folder, hooks, model=None, loop=None, **changes):
    """A real runner of 2 epochs of 4 steps on a small distiller, without chance."""
    torch.manual_seed(0)
    return Runner(
        model=model or distiller(folder, terms={'mimic': MIMIC, 'nkd': NKD}),
        work_dir=str(folder / 'work_dir'),
        train_dataloader={
            'batch_size': 2,
            'dataset': images(),
            'sampler': {'type': 'DefaultSampler', 'shuffle': False},
            'collate_fn': {'type': 'pseudo_collate'},
        },
        train_cfg=loop or {'by_epoch': True, 'max_epochs': EPOCHS},
        optim_wrapper={'optimizer': {'type': 'SGD', 'lr': 0.1}},
        default_hooks={
            'logger': {'type': 'LoggerHook', 'interval': 1},
            'checkpoint': {'type': 'CheckpointHook', 'interval': 1},
        },
        custom_hooks=hooks,
        default_scope='mmvitkd',
        randomness={'seed': 0},
        experiment_name=uuid4().hex,
        **changes,
    )


def factors(folder, schedule, **kwargs):
    """Factors of all 8 iterations by which the weight of ``nkd`` (1) was changed."""
    recorder = Recorder()
    by_epoch = kwargs.pop('by_epoch', True)
    hook = {
        'type': 'TermWeightHook',
        'terms': {'nkd': schedule},
        'by_epoch': by_epoch,
    }
    runner = runner_of(folder, [hook, recorder], **kwargs)
    runner.train()
    logged = runner.message_hub.get_scalar('train/weight_nkd').data[0]
    assert logged.tolist() == [weights['nkd'] for weights in recorder.weights]
    assert {weights['mimic'] for weights in recorder.weights} == {3e-5}
    return logged.tolist()


RIGHT = [
    # in epochs of 4 iterations
    ({'kind': 'stop', 'end': 1}, [1, 1, 1, 1, 0, 0, 0, 0]),
    (
        {'kind': 'stop', 'end': 0.5, 'factor_after': 0.2},
        [1, 1, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2],
    ),
    ({'kind': 'ramp', 'end': 1}, [0, 0.25, 0.5, 0.75, 1, 1, 1, 1]),
    (
        {
            'kind': 'ramp',
            'begin': 0.5,
            'end': 1.5,
            'start_factor': 2,
            'end_factor': 0,
        },
        [2, 2, 2, 1.5, 1, 0.5, 0, 0],
    ),
    (
        {'kind': 'cosine', 'begin': 0, 'end': 1},
        [0, (1 - 0.5**0.5) / 2, 0.5, (1 + 0.5**0.5) / 2, 1, 1, 1, 1],
    ),
    (
        {'kind': 'cosine', 'begin': 1, 'end': 2, 'start_factor': 1, 'end_factor': 0.5},
        [1, 1, 1, 1, 1, 0.75 + 0.125**0.5 / 2, 0.75, 0.75 - 0.125**0.5 / 2],
    ),
]


@pytest.mark.parametrize(('schedule', 'expected'), RIGHT)
def test_factors_by_hand(schedule, expected, tmp_path):
    assert factors(tmp_path, schedule) == pytest.approx(expected)


@pytest.mark.parametrize('loop', [None, BY_ITER])
def test_iterations_are_counted_in_either_loop(loop, tmp_path):
    schedule = {'kind': 'ramp', 'begin': 1, 'end': 6}
    expected = [0, 0, 0.2, 0.4, 0.6, 0.8, 1, 1]
    assert factors(tmp_path, schedule, loop=loop, by_epoch=False) == pytest.approx(
        expected
    )


def test_the_factor_multiplies_the_configured_weight(tmp_path):
    """Also that of a term which was trained before: factors never pile up."""
    recorder = Recorder()
    terms = {'mimic': {'kind': 'ramp', 'end': 8, 'end_factor': 4}}
    hook = TermWeightHook(terms, by_epoch=False)
    runner = runner_of(tmp_path, [hook, recorder])
    runner.train()
    hook.before_train(runner)
    hook.before_train_iter(runner, 0)
    assert runner.iter == 8
    assert runner.model.terms['mimic'].loss.loss_weight == pytest.approx(4 * 3e-5)
    weights = [weights['mimic'] for weights in recorder.weights]
    assert weights == pytest.approx([3e-5 * step / 2 for step in range(8)])


def test_another_number_of_a_loss_is_the_factor_itself(tmp_path):
    ramp = {'kind': 'ramp', 'end': 2, 'start_factor': 1, 'end_factor': 3}
    hook = {'type': 'TermWeightHook', 'settings': {'nkd.temperature': ramp}}
    recorder = Recorder()
    runner = runner_of(tmp_path, [hook, recorder])
    runner.train()
    logged = runner.message_hub.get_scalar('train/temperature_nkd').data[0]
    assert logged.tolist() == [1, 1.25, 1.5, 1.75, 2, 2.25, 2.5, 2.75]
    assert runner.model.terms['nkd'].loss.temperature == 2.75
    assert {weights['nkd'] for weights in recorder.weights} == {1}


@pytest.mark.parametrize('name', ['nkd', 'nkd.heat', 'kd.temperature'])
def test_numbers_that_no_loss_has(name, tmp_path):
    hook = {'type': 'TermWeightHook', 'settings': {name: {'kind': 'stop', 'end': 1}}}
    with pytest.raises(ValueError, match=f"'{name}' is no number of a term's loss"):
        runner_of(tmp_path, [hook]).train()


def test_a_wrapped_model_is_looked_through(tmp_path):
    name = f'Wrapped{uuid4().hex}'
    MODEL_WRAPPERS.register_module(name=name, module=Wrapped)
    runner = runner_of(tmp_path, [])
    runner.model = MODEL_WRAPPERS.build({'type': name, 'module': runner.model})
    recorder = Recorder()
    runner.register_hook(TermWeightHook({'nkd': {'kind': 'stop', 'end': 1}}))
    runner.register_hook(recorder)
    runner.train()
    assert [weights['nkd'] for weights in recorder.weights] == [1] * 4 + [0] * 4


def run(folder, terms, hooks, task_weight=1.0, **changes):
    """Train a student under these terms in a folder of its own."""
    folder.mkdir()
    model = distiller(folder, terms=terms, task_weight=task_weight)
    runner = runner_of(folder, hooks, model, **changes)
    runner.train()
    return runner


def test_after_stop_the_run_goes_on_as_without_the_term(tmp_path):
    """Bit by bit, from the checkpoint of the epoch at whose end it stops."""
    both = {'mimic': MIMIC, 'nkd': NKD}
    hook = TermWeightHook({'nkd': {'kind': 'stop', 'end': 1}})
    stopped = run(tmp_path / 'stopped', both, [hook]).model.state_dict()
    middle = {
        'load_from': str(tmp_path / 'stopped' / 'work_dir' / 'epoch_1.pth'),
        'resume': True,
    }
    others = {'without': {'mimic': MIMIC}, 'with': both}
    without, with_it = (
        run(tmp_path / name, terms, [], **middle).model.state_dict()
        for name, terms in others.items()
    )
    assert all(torch.equal(stopped[key], without[key]) for key in without)
    assert any(not torch.equal(stopped[key], with_it[key]) for key in with_it)


def test_a_weight_of_zero_leaves_the_gradients_of_the_other_losses(tmp_path):
    model = build(distiller(tmp_path, terms={'mimic': MIMIC, 'nkd': NKD}))
    batch = torch.rand(2, 3, 32, 32), samples([1, 2])

    def gradients(*without):
        model.zero_grad()
        losses = model.loss(*batch)
        sum(loss for name, loss in losses.items() if name not in without).backward()
        return [p.grad for p in model.student.parameters()]

    full, without = gradients(), gradients('loss_nkd')
    model.terms['nkd'].loss.loss_weight *= 0.0
    stopped = gradients()
    assert all(torch.equal(a, b) for a, b in zip(stopped, without, strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(full, without, strict=True))


def two_teachers(folder):
    """The two terms, under a teacher each."""
    teacher = distiller(folder)['teacher']
    return distiller(
        folder,
        teacher=None,
        teachers={'a': teacher, 'b': teacher},
        terms={
            'mimic': {**MIMIC, 'teacher': 'a:backbone.layers.0'},
            'nkd': {**NKD, 'teacher': 'b:head'},
        },
    )


def test_a_teacher_whose_terms_weigh_nothing_has_no_forward(tmp_path):
    """The other one goes on; one with a term left is asked for that alone."""
    count = TeacherCount(tmp_path)
    hook = {'type': 'TermWeightHook', 'terms': {'nkd': {'kind': 'stop', 'end': 1}}}
    runner_of(tmp_path, [hook, count], two_teachers(tmp_path)).train()
    assert count.counts == {'a': list(range(8)), 'b': list(range(4))}


def test_a_ramp_from_zero_begins_without_the_teacher(tmp_path):
    count = TeacherCount(tmp_path)
    ramp = {'kind': 'ramp', 'begin': 1, 'end': 2}
    hook = {'type': 'TermWeightHook', 'terms': {'nkd': ramp, 'mimic': ramp}}
    runner_of(tmp_path, [hook, count]).train()
    assert count.counts == {'teacher': [5, 6, 7]}


def test_a_switched_off_term_leaves_gradients_of_zero(tmp_path):
    """Of all that it reached, also where a value is not finite."""
    model = build(distiller(tmp_path, terms={'mimic': MIMIC, 'nkd': NKD}))
    batch = torch.rand(2, 3, 32, 32), samples([1, 2])
    model.terms['mimic'].loss.loss_weight = 0.0
    with torch.no_grad():
        model.terms['mimic'].neck.fc.weight.fill_(float('inf'))
    losses = model.loss(*batch)
    assert losses['loss_mimic'].item() == 0
    losses['loss_mimic'].backward()
    reached = {name for name, p in model.named_parameters() if p.grad is not None}
    assert {n for n in reached if n.startswith('terms.')} == {
        'terms.mimic.neck.fc.weight',
        'terms.mimic.neck.fc.bias',
    }
    assert 'student.backbone.layers.0.ln1.weight' in reached
    assert not any(
        (p.grad != 0).any() for p in model.parameters() if p.grad is not None
    )


STAGES = {
    'type': 'TermWeightHook',
    'terms': {
        'mimic': {'kind': 'stop', 'end': 1},
        'nkd': {'kind': 'stop', 'end': 1},
    },
    'task_weight': {'kind': 'stop', 'end': 1, 'factor_after': 2},
}


def test_two_stages_are_a_schedule(tmp_path):
    """Half of the labels' loss under the teacher, then all of it and no teacher."""
    count = TeacherCount(tmp_path)
    model = distiller(tmp_path, terms={'mimic': MIMIC, 'nkd': NKD}, task_weight=0.5)
    runner = runner_of(tmp_path, [STAGES, count], model)
    runner.train()
    assert count.counts == {'teacher': [0, 1, 2, 3]}
    logged = runner.message_hub.get_scalar('train/task_weight').data[0]
    assert logged.tolist() == [0.5] * 4 + [1] * 4
    assert runner.model.task_weight == 1


def test_second_stage_is_training_alone(tmp_path):
    """Bit by bit, from the checkpoint of the first one's end; a resumed run as well."""
    terms, count = {'mimic': MIMIC, 'nkd': NKD}, TeacherCount(tmp_path)
    whole = run(tmp_path / 'whole', terms, [STAGES], task_weight=0.5).model
    middle = {'load_from': str(tmp_path / 'whole' / 'work_dir' / 'epoch_1.pth')}
    resumed = run(
        tmp_path / 'resumed',
        terms,
        [STAGES, count],
        task_weight=0.5,
        resume=True,
        **middle,
    ).model
    assert count.counts == {'teacher': []}
    # every epoch has the same batches, and its optimiser remembers nothing
    one_epoch = {'by_epoch': True, 'max_epochs': 1}
    alone = run(tmp_path / 'alone', None, [], loop=one_epoch, **middle)
    alone = alone.model.state_dict()
    for state in (whole.state_dict(), resumed.state_dict()):
        assert all(torch.equal(state[key], alone[key]) for key in alone)


def switch_in_two_processes(folder):
    """Train over the switch of a DeiT's distillation token, whose head then idles."""
    torch.distributed.init_process_group('gloo')
    student = vit(16)
    student['backbone']['type'] = 'DistilledVisionTransformer'
    student['head']['type'] = 'ExtraTokenClsHead'
    nkd = {**NKD, 'student': 'head.layers.head_dist'}
    model = distiller(
        folder, student=student, terms={'mimic': MIMIC, 'nkd': nkd}, task_weight=0.5
    )
    runner_of(
        folder,
        [STAGES, TeacherCount(folder)],
        model,
        launcher='pytorch',
        cfg={
            'model_wrapper_cfg': {
                'type': 'MMDistributedDataParallel',
                'device_ids': None,
                'broadcast_buffers': False,
            }
        },
    ).train()


def test_ddp_over_the_switch(tmp_path):
    """No process waits for a gradient that does not come; the teacher is asked no more.

    Without ``find_unused_parameters``: DDP raises where a parameter gets none.
    """
    in_processes(2, switch_in_two_processes, tmp_path)
    counts = [torch.load(tmp_path / f'rank{rank}.pth') for rank in (0, 1)]
    # two epochs of four images for each, two a step
    assert counts == [{'teacher': [0, 1]}] * 2
    state = torch.load(tmp_path / 'work_dir' / 'epoch_2.pth', weights_only=False)
    assert all(weight.isfinite().all() for weight in state['state_dict'].values())


def test_resumed_run_has_the_right_weight_at_once(tmp_path):
    terms = {'nkd': {'kind': 'cosine', 'end': 2}, 'mimic': {'kind': 'stop', 'end': 1.5}}

    def hooks(stop=None):
        return [{'type': 'TermWeightHook', 'terms': terms}, Recorder(stop)]

    both = {'mimic': MIMIC, 'nkd': NKD}
    whole, broken, resumed = hooks(), hooks(stop=6), hooks()
    one = run(tmp_path / 'whole', both, whole).model.state_dict()
    with pytest.raises(Interrupted):
        run(tmp_path / 'broken', both, broken)
    runner = runner_of(
        tmp_path / 'broken',
        resumed,
        distiller(tmp_path / 'broken', terms=both),
        resume=True,  # from the end of the first epoch
    )
    runner.train()
    assert len(broken[1].weights) == 6
    assert resumed[1].weights == whole[1].weights[4:]
    other = runner.model.state_dict()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_checkpoints_hold_nothing_of_it_and_the_log_shows_it(tmp_path):
    hook = {'type': 'TermWeightHook', 'terms': {'nkd': {'kind': 'ramp', 'end': 1}}}
    plain = run(tmp_path / 'plain', {'nkd': NKD}, []).model
    run(tmp_path / 'hook', {'nkd': NKD}, [hook])
    work_dir = tmp_path / 'hook' / 'work_dir'
    saved = torch.load(work_dir / 'epoch_2.pth', weights_only=False)
    assert saved['state_dict'].keys() == plain.state_dict().keys()

    (log,) = work_dir.rglob('vis_data/scalars.json')
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line['weight_nkd'] for line in lines] == [0, 0.25, 0.5, 0.75, 1, 1, 1, 1]
    assert {key for key in lines[0] if 'loss' in key} == {'loss', 'loss_nkd'}


@pytest.mark.parametrize(
    ('schedule', 'message'),
    [
        ({'kind': 'step', 'end': 1}, "one of .'stop', 'ramp', 'cosine'.*'step'"),
        ({'end': 1}, 'needs dict.kind'),
        (0.5, 'needs dict.kind=.*got 0.5'),
        ({'kind': 'stop'}, "'end' must be given"),
        ({'kind': 'stop', 'begin': 0, 'end': 1}, "'end', 'factor_after'.*'begin'"),
        ({'kind': 'ramp', 'end': 1, 'factor': 2}, "'start_factor', .*'factor': 2"),
        ({'kind': 'ramp', 'begin': 2, 'end': 2}, 'begin=2 .* below end=2'),
        ({'kind': 'cosine', 'begin': -1, 'end': 2}, 'begin=-1 must be at least 0'),
        ({'kind': 'stop', 'end': 0}, 'below end=0'),
        ({'kind': 'ramp', 'end': 1, 'end_factor': -1}, r'at least 0, got \(0.0, -1\)'),
    ],
)
def test_schedules_that_can_not_be_read(schedule, message):
    with pytest.raises(ValueError, match=f"term 'nkd'.*{message}"):
        TermWeightHook({'nkd': schedule})
    with pytest.raises(ValueError, match=f'task_weight.*{message}'):
        TermWeightHook(task_weight=schedule)


def test_a_hook_without_a_schedule():
    with pytest.raises(ValueError, match='give terms=, task_weight= or settings='):
        TermWeightHook()


def test_terms_that_the_model_does_not_have(tmp_path):
    runner = runner_of(tmp_path, [])
    del runner.model.terms['mimic'].loss.loss_weight
    runner.build_train_loop(runner._train_loop)
    stop = {'kind': 'stop', 'end': 1}
    for terms, named in [({'gen': stop}, 'gen'), ({'mimic': stop}, 'mimic')]:
        message = rf"\['{named}'\] .*terms \['mimic', 'nkd'\].*have: \['nkd'\]"
        with pytest.raises(ValueError, match=message):
            TermWeightHook(terms, by_epoch=False).before_train(runner)
    runner.model = nn.Linear(1, 1)
    with pytest.raises(ValueError, match=r'of the terms \[\]'):
        TermWeightHook({'nkd': stop}).before_train(runner)
    with pytest.raises(ValueError, match='Linear has no task_weight'):
        TermWeightHook(task_weight=stop).before_train(runner)


def test_epochs_of_a_loop_that_counts_iterations(tmp_path):
    with pytest.raises(ValueError, match='by_epoch=False'):
        factors(tmp_path, {'kind': 'stop', 'end': 1}, loop=BY_ITER)
