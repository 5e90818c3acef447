"""What a step runs, and whom it tells: terms that are off, observers, teachers."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmpretrain.models import ClsDataPreprocessor
from torch import nn

from mmvitkd.models import Teacher
from mmvitkd.models.classifiers.tap import Tap
from mmvitkd.models.classifiers.teacher import _origin, in_our_scope
from tests.helpers import MIMIC, NKD, build, distiller, samples, save_weights, vit

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


def test_what_student_and_distiller_say_differently_is_refused(tmp_path):
    augments = {'augments': {'type': 'Mixup', 'alpha': 0.8}}
    pixels = {'type': 'ClsDataPreprocessor', 'mean': [0.0] * 3, 'std': [1.0] * 3}
    for name, own in (('train_cfg', augments), ('data_preprocessor', pixels)):
        student = {**vit(16), name: own}
        build(distiller(tmp_path, student=student, **{name: dict(own)}))
        with pytest.raises(ValueError, match=f'^{name} is given to the distiller and'):
            build(distiller(tmp_path, student=student, **{name: {**own, 'x': 1}}))


def test_the_init_cfg_is_kept(tmp_path):
    init = {'type': 'Pretrained', 'checkpoint': 'x.pth'}
    assert build(distiller(tmp_path, init_cfg=init)).init_cfg == init


def test_blocks_are_compiled_once_but_for_those_with_a_tap_inside(
    tmp_path, monkeypatch
):
    """The compiler itself is left out: that takes a minute."""
    compiled: list[Any] = []
    monkeypatch.setattr(torch, 'compile', lambda f: compiled.append(f) or f)
    cfg = vit(24)
    weights = save_weights(cfg, tmp_path / 't.pth')
    teacher = Teacher(cfg, weights, compile=True)
    layers = teacher.model.backbone.layers
    taps = [Tap('backbone.layers.0'), Tap('backbone.layers.1.attn'), Tap('head')]
    for _ in range(2):
        teacher(torch.zeros(1, 3, 32, 32), ClsDataPreprocessor(), taps)
        assert [f.__self__ for f in compiled] == [layers[0], layers[2]]


def hugging_face(folder: Path) -> dict:
    """A ViT of Hugging Face's, whose image processor normalises by 0.5."""
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    config = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, image_size=32, patch_size=8, num_labels=10,
    )  # fmt: skip
    ViTForImageClassification(config).save_pretrained(folder)
    ViTImageProcessor(size={'height': 32, 'width': 32}).save_pretrained(folder)
    kind = 'HuggingFaceClassifier'
    return {'type': kind, 'model_name': str(folder), 'pretrained': True}


def test_the_log_tells_where_a_library_has_the_weights_from(tmp_path, log):
    Teacher(hugging_face(tmp_path)).load()
    assert f'Teacher weights: {tmp_path}, by pretrained=True; its pixels' in log.text


def test_pixels_other_than_those_that_a_student_was_pretrained_on_are_told(
    tmp_path, log
):
    student = hugging_face(tmp_path)
    build(distiller(tmp_path, student=student, terms=None))
    assert 'the student: its config normalises by nothing' in log.text


def test_a_distillations_checkpoint_needs_its_prefix(tmp_path):
    weights = {f'student.{k}': v for k, v in build(vit()).state_dict().items()}
    torch.save(weights, tmp_path / 'd.pth')
    with pytest.raises(ValueError, match=r"run: prefix='student.' takes its student"):
        Teacher(vit(), tmp_path / 'd.pth').load()


def test_our_own_types_are_taken_at_any_depth():
    theirs = {'type': 'mmpretrain.DeiT3', 'depth': 1}
    cfg = {'type': 'X', 'parts': [3, [{'a': theirs}]], '_scope_': 'mmpretrain'}
    ours = {**theirs, 'type': 'mmvitkd.DeiT3'}
    assert in_our_scope(cfg) == {'type': 'X', 'parts': [3, [{'a': ours}]]}
    assert in_our_scope({'_scope_': 'mmdet'}) == {'_scope_': 'mmdet'}


def test_predictions_are_the_students_in_the_given_samples(tmp_path, images):
    model = build(distiller(tmp_path)).eval()
    given = samples([0, 1])
    with torch.no_grad():
        found = model.predict(images, given)
        scores = model.student(images).softmax(1)
    assert [one is other for one, other in zip(found, given, strict=True)] == [True] * 2
    torch.testing.assert_close(torch.stack([s.pred_score for s in found]), scores)


@pytest.mark.parametrize(
    ('timm', 'origin'),
    [
        ({'architecture': 'vit_tiny', 'tag': 'augreg_in1k'}, 'vit_tiny.augreg_in1k'),
        ({'architecture': 'vit_tiny'}, 'vit_tiny'),
        (None, "the model's own"),
    ],
)
def test_timms_weights_are_called_as_timm_calls_them(timm, origin):
    assert _origin(SimpleNamespace(model=SimpleNamespace(pretrained_cfg=timm))) == (
        origin
    )
