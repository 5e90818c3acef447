"""What a step runs, and whom it tells: terms that are off, observers, teachers."""

from typing import Any

import pytest
import torch
from torch import nn

from mmvitkd.models.classifiers.tap import Tap
from tests.helpers import MIMIC, NKD, build, distiller, samples, vit

LABELS = samples([0, 1])


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def made(tmp_path: Any, **changes: Any) -> Any:
    torch.manual_seed(0)
    model = build(distiller(tmp_path, **changes))
    model.init_weights()
    return model


def runs_of(module: nn.Module) -> list[int]:
    """The batch sizes of a module's forwards, as they come."""
    seen: list[int] = []
    module.register_forward_hook(lambda _, args, __: seen.append(len(args[0])))
    return seen


def off(term: dict) -> dict:
    return {**term, 'loss': {**term['loss'], 'loss_weight': 0.0}}


def test_a_term_of_weight_0_costs_nothing_and_changes_nothing(tmp_path, images):
    """Its loss is still logged, and its neck has the gradient that DDP waits for."""
    model = made(tmp_path, terms={'mimic0': off(MIMIC)})
    neck = model.terms['mimic0'].neck
    with torch.no_grad():
        neck.fc.weight.fill_(float('nan'))
    forwards = runs_of(model.teachers['teacher'].model)
    losses = model.loss(images, LABELS)
    assert forwards == []
    assert losses['loss_mimic0'].item() == 0
    losses['loss_mimic0'].backward()
    assert neck.fc.weight.grad.tolist() == torch.zeros(24, 16).tolist()
    below = model.student.backbone.patch_embed.projection.weight
    assert not below.grad.any()


def test_a_term_that_is_switched_off_as_it_trains_is_left_out(tmp_path, images):
    model = made(tmp_path, terms={'mimic0': MIMIC, 'nkd': NKD})
    outputs: list[Any] = []
    model.observers.append(lambda _, seen, __: outputs.append(seen))
    model.loss(images, LABELS)
    model.terms['nkd'].loss.loss_weight = 0
    model.loss(images, LABELS)
    both = [Tap('backbone.layers.0'), Tap('head')]
    assert [list(seen['teacher']) for seen in outputs] == [both, both[:1]]


def test_only_the_teachers_of_active_terms_run(tmp_path, images):
    one = distiller(tmp_path)['teacher']
    terms = {
        'a': {**MIMIC, 'teacher': 'first:backbone.layers.0'},
        'b': off({**NKD, 'teacher': 'second:head'}),
    }
    model = made(
        tmp_path, teacher=None, teachers={'first': one, 'second': one}, terms=terms
    )
    runs = {
        name: runs_of(t.model.backbone.patch_embed)
        for name, t in model.teachers.items()
    }
    losses = model.loss(images, LABELS)
    assert {name: len(seen) for name, seen in runs.items()} == {'first': 1, 'second': 0}
    assert losses['loss_a'] > 0
    assert losses['loss_b'] == 0


def test_all_observers_see_the_step_before_its_backward_pass(tmp_path, images):
    model = made(tmp_path, terms={'mimic0': MIMIC, 'nkd': NKD})
    seen: list[tuple] = []
    for name in 'ab':
        model.observers.append(lambda *args, name=name: seen.append((name, *args)))
    losses = model.loss(images, LABELS)
    assert [call[0] for call in seen] == ['a', 'b']
    for _, told, outputs, target in seen:
        assert told is losses
        assert told['loss_nkd'].requires_grad
        assert target.tolist() == [0, 1]
        with torch.no_grad():
            logits = model.teachers['teacher'].model(images)
        assert torch.equal(outputs['teacher'][Tap('head')].value, logits)
    model.observers.clear()
    model.loss(images, LABELS)
    assert len(seen) == 2


def test_teachers_can_be_asked_for_all_or_some_of_their_terms(tmp_path, images):
    model = made(tmp_path, terms={'mimic0': MIMIC, 'nkd': NKD})
    model.load_teachers()
    every = model.forward_teachers(images, None)['teacher']
    assert list(every) == [Tap('backbone.layers.0'), Tap('head')]
    some = model.forward_teachers(images, None, model._specs[1:])
    assert list(some['teacher']) == [Tap('head')]
    assert model.forward_teachers(images, None, []) == {}
    # it requires nothing of the student, so it has run already
    assert model.forward_teachers(images, None, student_features={}) == {}


def test_a_teacher_that_looks_at_the_student_runs_behind_it(tmp_path, images):
    """Once, on the patches that this student attends to."""
    teacher = {**distiller(tmp_path)['teacher'], 'type': 'MaskedTeacher'}
    model = made(tmp_path, teacher=teacher, terms={'nkd': NKD})
    assert model.student_taps[0] == Tap('head')
    assert len(model.student_taps) > 1
    order: list[str] = []
    student, taught = model.student, model.teachers['teacher'].model
    for name, module in (('student', student), ('teacher', taught)):
        module.backbone.layers[0].register_forward_hook(
            lambda *_, name=name: order.append(name)
        )
    assert model.loss(images, LABELS)['loss_nkd'] > 0
    assert order == ['student', 'teacher']


def test_teachers_weights_are_read_once(tmp_path, images):
    model = made(tmp_path)
    (tmp_path / 'teacher.pth').unlink()
    model.load_teachers()
    model.init_weights()
    assert model.loss(images, LABELS)['loss_nkd'].isfinite()


def test_a_term_named_as_one_of_the_students_losses_is_refused(tmp_path, images):
    model = made(tmp_path, terms={'nkd': NKD})
    own = model.student.loss
    model.student.loss = lambda *args: {'loss_nkd': own(*args)['loss']}
    with pytest.raises(ValueError, match=r"terms \['nkd'\] have the names of"):
        model.loss(images, LABELS)


def test_a_student_that_is_built_already(tmp_path, images):
    torch.manual_seed(0)
    student = build(vit(16))
    model = build(distiller(tmp_path, student=student))
    assert model.student is student
    assert student.data_preprocessor is model.data_preprocessor
    assert model.loss(images, LABELS)['loss_mimic0'] > 0


def test_the_dry_run_tells_shapes_without_holding_content(tmp_path):
    model = build(distiller(tmp_path))
    assert model.image_shape == (3, 32, 32)
    assert list(model.probe_features) == ['mimic0', 'gen', 'nkd']
    spec, ours, theirs = model.probe_features['mimic0']
    assert spec.name == 'mimic0'
    assert (ours.value.shape[1:], ours.hw) == ((16, 16), (4, 4))
    assert (theirs.value.shape[1:], theirs.hw) == ((16, 24), (4, 4))
    assert ours.value.is_meta
    assert theirs.value.is_meta
    torch.manual_seed(5)
    given = build(distiller(tmp_path, input_size=(48, 32), student=vit(16)))
    assert given.image_shape == (3, 48, 32)


def test_drawing_the_necks_leaves_the_stream_where_the_student_left_it(tmp_path):
    after = []
    for terms in ({'mimic0': MIMIC}, None):
        torch.manual_seed(0)
        build(distiller(tmp_path, terms=terms))
        after.append(torch.rand(()).item())
    assert after[0] == after[1]
