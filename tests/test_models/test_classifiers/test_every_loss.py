"""What holds for every loss, alone and as a term, whatever it compares."""

import inspect

import pytest
import torch
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mmvitkd.models import LogitLoss, losses
from mmvitkd.registry import MODELS
from tests.helpers import GEN, MIMIC, NKD, build, distiller, samples, vit

EVERY = [name for name in losses.__all__ if name in MODELS.module_dict]
LOGITS = [name for name in EVERY if issubclass(getattr(losses, name), LogitLoss)]
OF_IMAGES = [name for name in EVERY if getattr(losses, name).of_images]
EXCLUSIVE = [name for name in LOGITS if getattr(losses, name).exclusive]
TOKENS = [name for name in EVERY if name not in LOGITS]
SHAPE, GRID = (3, 6, 12), (2, 3)  # the width is that of queries, keys and values
# what has no default, for five classes
REQUIRED = {
    'NoiseAdaptedCELoss': {'num_classes': 5, 'teacher_accuracy': 0.9},
    'QueueKLLoss': {'size': 3},  # a batch, so that it always holds the same
    'UNICLoss': {'momentum': 0.0},  # so that its statistics stay
}
DIRECTIONS = ('QueueKLLoss',)  # of means, which are all alike where entries are
CLASS_TOKEN = ('ProbeLoss',)  # compared with; the tokens have no grid then


def make(name: str, **kwargs) -> nn.Module:
    return getattr(losses, name)(**{**REQUIRED.get(name, {}), **kwargs})


def term_with(name: str, base: dict) -> dict:
    """A term of a model of ten classes."""
    loss = {'type': name, **REQUIRED.get(name, {})}
    if 'num_classes' in loss:
        loss['num_classes'] = 10
    sides = {}
    if name in CLASS_TOKEN:
        sides = {
            side: {'path': base[side], 'tokens': 'all'}
            for side in ('student', 'teacher')
        }
    return {**base, **sides, 'loss': loss}


def sides(name: str, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Logits of three samples, or their tokens."""
    shape = (3, 5) if name in LOGITS else SHAPE
    draw = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, *shape, generator=draw, dtype=torch.float64)
    return student.to(dtype), teacher.to(dtype)


def value(loss: nn.Module, student: Tensor, teacher: Tensor, **extra) -> Tensor:
    """The loss on labels and a grid, with the same random tokens whenever asked."""
    torch.manual_seed(0)
    if loss.takes_grid and type(loss).__name__ not in CLASS_TOKEN:
        extra = {'hw': GRID, **extra}
    return loss(student, teacher, target=torch.tensor([0, 1, 2]), **extra)


@pytest.mark.parametrize('name', EVERY)
@pytest.mark.parametrize(
    ('weight', 'message'),
    [
        ('3e-5', "must be a number, got the text '3e-5'.*3.0e-5"),
        (True, 'must be a number, got True'),
        (None, 'must be a number, got None'),
        (-1, 'must be at least 0, got -1'),
        (float('nan'), 'must be finite, got nan'),
        (float('inf'), 'must be finite, got inf'),
    ],
)
def test_a_weight_is_a_number_of_at_least_0(name, weight, message):
    with pytest.raises(ValueError, match=f'loss_weight {message}'):
        make(name, loss_weight=weight)


@pytest.mark.parametrize('name', EVERY)
def test_a_number_below_its_range_is_named(name):
    parameters = inspect.signature(getattr(losses, name)).parameters.values()
    numbers = [p.name for p in parameters if type(p.default) in (int, float)]
    assert 'loss_weight' in numbers
    for number in numbers:
        with pytest.raises(ValueError, match=f'^{number} must be '):
            make(name, **{number: -1})


@pytest.mark.parametrize('name', EVERY)
def test_a_reduction_is_one_of_its_choices(name):
    """By name; where there is none to choose, the argument is refused."""
    with pytest.raises((ValueError, TypeError), match='reduction'):
        make(name, reduction='median')


@pytest.mark.parametrize('name', OF_IMAGES)
def test_of_each_image_a_number_whose_mean_is_the_loss(name):
    """Of a class with several reductions the first; a number is of its image alone."""
    student, teacher = sides(name, torch.float64)
    student.requires_grad_()
    extra = {}
    if make(name).takes_mask:  # two tokens of each image
        extra['mask'] = torch.eye(6, dtype=torch.bool)[:3].logical_or(
            torch.eye(6, dtype=torch.bool)[3:]
        )
    whole = value(make(name, loss_weight=0.5), student, teacher, **extra)
    each = value(
        make(name, loss_weight=0.5, reduction='none'), student, teacher, **extra
    )
    assert each.shape == (3,)
    assert len(each.unique()) == 3
    torch.testing.assert_close(each.mean(), whole)
    of_whole, of_mean, of_first = (
        torch.autograd.grad(y, student, retain_graph=True)[0]
        for y in (whole, each.mean(), each[0])
    )
    torch.testing.assert_close(of_mean, of_whole)
    torch.testing.assert_close(of_first[0], 3 * of_whole[0])
    assert not of_first[1:].any()


@pytest.mark.parametrize('name', sorted({*EVERY} - {*OF_IMAGES}))
def test_what_relates_images_has_no_number_of_each(name):
    """Of some other images, that of the first is another."""
    with pytest.raises((ValueError, TypeError), match='reduction'):
        make(name, reduction='none')
    student, teacher = sides(name, torch.float64)
    student.requires_grad_()
    loss = make(name, loss_weight=1.0)
    gradients = [
        torch.autograd.grad(value(loss, student, t), student)[0][0]
        for t in (teacher, torch.cat([teacher[:1], teacher[1:].flip(0)]))
    ]
    assert not torch.allclose(*gradients)


@pytest.mark.parametrize('name', EVERY)
def test_the_weight_is_a_factor_that_may_change(name):
    loss = make(name, loss_weight=1)
    one = value(loss, *sides(name))
    assert one > 0
    loss.loss_weight = 0.25  # as TermWeightHook does
    assert value(loss, *sides(name)) == 0.25 * one
    loss.loss_weight = 0.0
    assert value(loss, *sides(name)) == 0


@pytest.mark.parametrize('name', EVERY)
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('autocast', [False, True])
def test_lower_precisions_are_raised_to_float32(name, dtype, autocast):
    student, teacher = sides(name, dtype)
    exact = value(make(name), student.float(), teacher.float())
    with torch.autocast('cpu', dtype=torch.bfloat16, enabled=autocast):
        assert value(make(name), student, teacher.float()).item() == exact.item()
        low = value(make(name), student, teacher)
    assert low.dtype == torch.float32
    assert low.item() == exact.item()


@pytest.mark.parametrize('name', [n for n in TOKENS if n not in DIRECTIONS])
def test_sums_do_not_overflow_half_precision(name):
    """196 tokens of width 768 and entries of 100: beyond float16 everywhere."""
    draw = torch.Generator().manual_seed(0)
    student = (100 + torch.randn(3, 196, 768, generator=draw)).half()
    gridded = make(name).takes_grid and name not in CLASS_TOKEN
    grid = {'hw': (14, 14)} if gridded else {}
    out = value(make(name), student, -student.flip(0), **grid)
    assert 0 < out < float('inf')


@pytest.mark.parametrize('name', EVERY)
def test_float64_stays_float64(name):
    """Or the numerical gradient would be of rounding alone."""
    student, teacher = sides(name, torch.float64)
    loss = make(name, loss_weight=1.0)
    assert value(loss, student, teacher).dtype == torch.float64
    assert value(loss, student, teacher.float()).dtype == torch.float64
    student.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: value(loss, x, teacher), student)


@pytest.mark.parametrize('name', EVERY)
def test_a_mask_where_there_can_be_none(name):
    student, teacher = sides(name)
    mask = torch.ones(student.shape[:2], dtype=torch.bool)
    if make(name).takes_mask:
        assert value(make(name), student, teacher, mask=mask).isfinite()
        return
    with pytest.raises(ValueError, match=f'{name} compares every token'):
        value(make(name), student, teacher, mask=mask)


@pytest.mark.parametrize('name', EVERY)
def test_sides_that_do_not_fit_are_told_by_their_shapes(name):
    student, teacher = sides(name)
    bad = teacher[:, None] if name in LOGITS else teacher[:2]
    shapes = r'\(3, 5\).*\(3, 1, 5\)' if name in LOGITS else r'\(3, 6, 12\).*\(2, 6, 12'
    with pytest.raises(ValueError, match=shapes):
        value(make(name), student, bad)


@pytest.mark.parametrize('name', EXCLUSIVE)
@pytest.mark.parametrize(
    ('target', 'found'),
    [
        (torch.tensor([[1.0, 1, 0, 0, 0], [1, 0, 0, 0, 0], [0, 1, 0, 0, 0]]), '2'),
        (torch.tensor([[1, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 1, 0, 0, 0]]), '0'),
        (torch.tensor([0, 1, 1, 2]), '4 for 3 images'),
    ],
)
def test_several_labels_an_image_are_refused(name, target, found):
    """Where classes exclude each other, and within the first batches."""
    message = rf"{name} takes labels of classes that exclude.*{found}.*'sigmoid'"
    loss, (student, teacher) = make(name), sides(name)
    loss(student, teacher, target=torch.eye(5)[:3])
    with pytest.raises(ValueError, match=message):
        loss(student, teacher, target=target)


@pytest.mark.parametrize('name', LOGITS)
def test_mixed_and_smoothed_labels_are_those_of_one_class(name):
    mixed = 0.9 * torch.eye(5)[:3] + 0.1 * torch.eye(5)[2:].flip(0)
    for target in (mixed, mixed.bfloat16(), 0.9 * mixed + 0.02):
        loss = make(name)(*sides(name), target=target)
        assert loss.isfinite()


@pytest.mark.parametrize('name', EVERY)
def test_the_gradient_reaches_student_and_neck_and_never_the_teacher(name, tmp_path):
    """Teacher weights that want a gradient stay without one, too."""
    base = GEN if name == 'ViTKDGenLoss' else NKD if name in LOGITS else MIMIC
    term = term_with(name, base)
    model = build(distiller(tmp_path, terms={'term': term}))
    teacher = model.teachers['teacher'].model.requires_grad_(True)
    losses_of_batch = model.loss(torch.randn(4, 3, 32, 32), samples([0, 1, 2, 3]))
    losses_of_batch['loss_term'].backward()
    patch = model.student.backbone.patch_embed.projection.weight
    assert patch.grad.isfinite().all()
    assert patch.grad.any()
    assert all(p.grad is not None for p in model.terms.parameters())
    assert all(p.grad is None for p in teacher.parameters())


class SumOfSquares(nn.Module):
    """A loss of somebody else's: no weight, no base of ours."""

    def forward(self, student, teacher, target=None, mask=None):
        return (student - teacher).square().sum()


def test_a_loss_needs_no_base_class(tmp_path):
    term = {**MIMIC, 'loss': {'type': SumOfSquares}}
    model = build(distiller(tmp_path, terms={'t': term}))
    out = model.loss(torch.randn(4, 3, 32, 32), samples([0, 1, 2, 3]))['loss_t']
    out.backward()
    assert out > 0
    assert model.terms['t'].neck.fc.weight.grad.any()


@pytest.mark.parametrize('head', ['MultiLabelLinearClsHead', 'CSRAClsHead'])
@pytest.mark.parametrize('name', EXCLUSIVE)
def test_a_head_of_several_labels_is_told_at_construction(name, head, tmp_path):
    student = vit(16, **({'out_type': 'featmap'} if head == 'CSRAClsHead' else {}))
    student['head'] = {'type': head, 'num_classes': 10, 'in_channels': 16}
    if head == 'CSRAClsHead':
        student['head'].update(num_heads=1, lam=0.1)
    terms = {'t': term_with(name, NKD)}
    message = f"term 't': {name} takes classes that exclude.*student's {head} has"
    with pytest.raises(ValueError, match=message):
        build(distiller(tmp_path, student=student, terms=terms))


@pytest.mark.parametrize('kind', ['scores', 'indices'])
def test_several_labels_an_image_are_distilled_by_sigmoids_and_features(kind, tmp_path):
    student = vit(16)
    student['head'] = {
        'type': 'MultiLabelLinearClsHead', 'num_classes': 10, 'in_channels': 16,
    }  # fmt: skip
    kd = {**NKD, 'loss': {'type': 'KDLoss', 'activation': 'sigmoid'}}
    model = build(distiller(tmp_path, student=student, terms={'kd': kd, 'm': MIMIC}))
    labels = [[0, 3], [1], [2, 4, 9], [5, 6]]
    data = [DataSample().set_gt_label(several) for several in labels]
    if kind == 'scores':
        for sample in data:
            sample.set_gt_score(torch.eye(10)[sample.gt_label].sum(0))
    out = model.loss(torch.randn(4, 3, 32, 32), data)
    assert set(out) == {'loss', 'loss_kd', 'loss_m'}
    sum(out.values()).backward()
    assert model.student.head.fc.weight.grad.any()
