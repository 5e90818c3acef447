import re
from pathlib import Path

import pytest
import torch
from torch import nn

from mmvitkd.models import (
    CorrelationLoss,
    CosineLoss,
    ManifoldLoss,
    NormalisedMSELoss,
    RKDLoss,
)
from tests.test_tools.runs import in_processes

EVERY = [
    CorrelationLoss(),
    CosineLoss(),
    ManifoldLoss(),
    NormalisedMSELoss(),
    RKDLoss(),
]
RELATIONS = [CorrelationLoss(), ManifoldLoss()]
# two images of two tokens: along the first axis, or the second
STUDENT = torch.tensor([[[3.0, 0.0], [2.0, 0.0]], [[0.0, 1.0], [0.0, 5.0]]])
TEACHER = torch.tensor([[[1.0, 0.0], [0.0, 4.0]], [[2.0, 0.0], [0.0, 1.0]]])


def named(loss: nn.Module) -> str:
    return type(loss).__name__


def tokens(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def rotation(width: int) -> torch.Tensor:
    return torch.linalg.qr(tokens(width, width))[0]


def value(loss: nn.Module, student: torch.Tensor, teacher: torch.Tensor) -> float:
    """The loss with the same random tokens whenever it is asked."""
    torch.manual_seed(0)
    return loss(student, teacher).item()


def test_correlation_by_hand():
    """One image, widths 1 and 4. F F^T / sqrt(D) is ((1, 2), (2, 4)) against
    ((8, 0), (0, 2)): squared differences 49, 4, 4 and 4."""
    student = torch.tensor([[[1.0], [2.0]]])
    teacher = torch.tensor([[[4.0, 0.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0]]])
    assert CorrelationLoss(loss_weight=1.0)(student, teacher).item() == 61
    mean = CorrelationLoss(loss_weight=2.0, reduction='mean')
    assert mean(student, teacher).item() == 2 * 61 / 4
    twice = (x.repeat(2, 1, 1) for x in (student, teacher))
    assert CorrelationLoss(loss_weight=1.0)(*twice).item() == 61


def test_correlation_sees_the_length_of_tokens():
    assert value(CorrelationLoss(), TEACHER, 2 * TEACHER) > 0


def test_normalised_mse_by_hand():
    """Directions: equal in the first and the last token, at right angles (distance
    2) in the others."""
    assert NormalisedMSELoss(loss_weight=3.0)(STUDENT, TEACHER).item() == 3 * 4 / 4


@pytest.mark.parametrize('shape', [(3, 5), (3, 4, 5)])
def test_normalised_mse_is_between_0_and_4(shape):
    x, loss = tokens(*shape), NormalisedMSELoss()
    assert loss(x, x).item() == pytest.approx(0, abs=1e-6)
    assert loss(x, -x).item() == pytest.approx(4)
    assert 0 <= loss(x, tokens(*shape).roll(1, 0)).item() <= 4


def test_normalised_mse_ignores_the_length_of_either_side():
    student, teacher, loss = tokens(3, 5), tokens(3, 5).roll(1, 0), NormalisedMSELoss()
    before = loss(student, teacher).item()
    length = 0.1 + tokens(3, 1).abs()
    assert loss(length * student, teacher).item() == pytest.approx(before)
    assert loss(student, length * teacher).item() == pytest.approx(before)


def test_normalised_mse_has_no_gradient_between_parallel_vectors():
    student = torch.tensor([[3.0, 4.0]], requires_grad=True)
    NormalisedMSELoss()(student, torch.tensor([[6.0, 8.0]])).backward()
    assert student.grad.abs().max() < 1e-6


@pytest.mark.parametrize('shape', [(3, 5), (3, 4, 5)])
def test_cosine_is_that_of_the_two_sides(shape):
    student, teacher = tokens(*shape), tokens(*shape).roll(1, 0)
    cosine = torch.nn.functional.cosine_similarity(student, teacher, dim=-1)
    loss = CosineLoss(loss_weight=3.0)(student, teacher)
    assert loss.item() == pytest.approx(3 * (1 - cosine).mean().item())
    assert CosineLoss()(student, -student).item() == pytest.approx(2)


def test_cosine_keeps_its_digits_near_the_teacher():
    """An angle of 1e-4 is 5e-9, of which 1 - cos in float32 leaves nothing."""
    student, teacher = torch.tensor([[1.0, 1e-4]]), torch.tensor([[1.0, 0.0]])
    assert CosineLoss()(student, teacher).item() == pytest.approx(5e-9, rel=1e-3)


@pytest.mark.parametrize(
    'loss', [CosineLoss(), ManifoldLoss(), NormalisedMSELoss()], ids=named
)
def test_zero_vectors_are_finite_without_gradient(loss):
    student = torch.zeros(2, 3, 4, requires_grad=True)
    out = loss(student, tokens(2, 3, 4))
    out.backward()
    assert out.isfinite()
    assert torch.equal(student.grad, torch.zeros(2, 3, 4))


def test_manifold_within_an_image_by_hand():
    """Grams of the unit tokens: all ones for the student, whose two tokens of an image
    are parallel; the identity for the teacher. Two of four entries differ by one."""
    intra = ManifoldLoss(intra=3.0, inter=0.0, random=0.0)
    assert intra(STUDENT, TEACHER).item() == pytest.approx(3 * 2 / 4)
    intra = ManifoldLoss(3.0, 0.0, 0.0, loss_weight=0.5, reduction='frobenius')
    assert intra(STUDENT, TEACHER).item() == pytest.approx(0.5 * 3 * 2)


def test_manifold_across_images_by_hand():
    """The same the other way round: one place's tokens are at right angles for the
    student, and parallel for the teacher."""
    inter = ManifoldLoss(intra=0.0, inter=3.0, random=0.0)
    assert inter(STUDENT, TEACHER).item() == pytest.approx(3 * 2 / 4)
    # alone, an image is only compared with itself
    assert inter(STUDENT[:1], TEACHER[:1]).item() == 0


def test_manifold_of_random_tokens_by_hand():
    """Of all four: each is parallel to one other on either side, another one on each,
    so that 8 of 16 entries differ by one."""
    random = ManifoldLoss(intra=0.0, inter=0.0, random=3.0, num_samples=4)
    assert random(STUDENT, TEACHER).item() == pytest.approx(3 * 8 / 16)


def test_manifold_takes_all_tokens_where_there_are_fewer_than_samples():
    few, many = (ManifoldLoss(num_samples=k) for k in (4, 192))
    assert few(STUDENT, TEACHER).item() == pytest.approx(many(STUDENT, TEACHER).item())


def test_manifold_draws_the_same_tokens_on_both_sides():
    """Or equal features would not be equal."""
    loss = ManifoldLoss(intra=0.0, inter=0.0, random=1.0, num_samples=5)
    student, teacher = tokens(4, 9, 8), tokens(4, 9, 6)
    assert {loss(teacher, teacher).item() for _ in range(5)} == {0}
    assert len({loss(student, teacher).item() for _ in range(5)}) > 1


def test_manifold_ignores_every_tokens_length():
    student, teacher = tokens(4, 9, 8), tokens(4, 9, 6)
    length = 0.1 + tokens(4, 9, 1).abs()
    before = value(ManifoldLoss(), student, teacher)
    assert value(ManifoldLoss(), student * length, teacher) == pytest.approx(before)
    assert value(ManifoldLoss(), student, teacher * length) == pytest.approx(before)


def test_manifold_merges_patches_by_hand():
    """Two images of 2x4 patches of one channel, merged to 1x2 tokens of four channels:
    the left square's patches follow each other by rows, then come the right one's."""
    student = torch.arange(16.0).view(2, 8, 1)
    left, right = [0, 1, 4, 5], [2, 3, 6, 7]
    merged = student[:, left + right].view(2, 2, 4)
    teacher = tokens(2, 8, 3)
    of_teacher = teacher[:, left + right].reshape(2, 2, 12)
    loss = ManifoldLoss(merge=2)
    torch.manual_seed(0)
    out = loss(student, teacher, hw=(2, 4)).item()
    assert out == pytest.approx(value(ManifoldLoss(), merged, of_teacher))
    assert out != pytest.approx(value(ManifoldLoss(), student, teacher))
    for hw in (None, (8, 1), (1, 8)):
        with pytest.raises(ValueError, match=f'2x2.* grid, got {re.escape(str(hw))}'):
            loss(student, teacher, hw=hw)


def manifold_gradients(
    loss: nn.Module, images: slice = slice(None)
) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss of some images of one batch, and the gradient of a shared weight."""
    weight = tokens(8, 8).requires_grad_()
    torch.manual_seed(0)
    out = loss(tokens(4, 9, 8)[images] @ weight, tokens(4, 9, 6)[images])
    out.backward()
    return out.detach(), weight.grad


def save_half(folder: Path) -> None:
    """In one of two processes, of half of the batch."""
    torch.distributed.init_process_group('gloo')
    rank = torch.distributed.get_rank()
    half = slice(2 * rank, 2 * rank + 2)
    found = {
        gather: manifold_gradients(ManifoldLoss(num_samples=10, gather=gather), half)
        for gather in (False, True)
    }
    torch.save(found, folder / f'{rank}.pth')
    torch.distributed.destroy_process_group()


def test_manifold_gathered_is_that_of_the_joint_batch(tmp_path):
    """As DDP averages: the loss over two processes, and its gradient."""
    in_processes(2, save_half, tmp_path)
    halves = [torch.load(tmp_path / f'{rank}.pth') for rank in (0, 1)]
    joint = manifold_gradients(ManifoldLoss(num_samples=10))
    for whole, *parts in zip(joint, *(half[True] for half in halves), strict=True):
        torch.testing.assert_close(sum(parts) / 2, whole)
    alone = [half[False][0] for half in halves]
    assert abs(sum(alone) / 2 - joint[0]) > 0.01 * joint[0]


def test_manifold_gathers_nothing_in_one_process():
    gathered, plain = (
        manifold_gradients(ManifoldLoss(gather=g)) for g in (True, False)
    )
    assert all(torch.equal(a, b) for a, b in zip(gathered, plain, strict=True))


def test_rkd_by_hand():
    """A right triangle of sides 3, 4 and 5 against three points at 0, 1 and 2. Over
    their means, distances 0.75, 1, 1.25 against 0.75, 1.5, 0.75; cosines at the corners
    0, 0.6, 0.8 against 1, -1, 1. Huber's loss makes 1 / 2 of 1 and 1.1 of 1.6; all
    pairs count twice."""
    student = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    teacher = torch.tensor([[0.0], [1.0], [2.0]])
    distance, angle = 2 * 0.25 / 9, 2 * (0.5 + 1.1 + 0.02) / 27
    for loss, by_hand in {
        RKDLoss(3.0, 0.0): 3 * distance,
        RKDLoss(0.0, 2.0): 2 * angle,
        RKDLoss(loss_weight=0.5): 0.5 * (25 * distance + 50 * angle),
    }.items():
        assert loss(student, teacher).item() == pytest.approx(by_hand)


@pytest.mark.parametrize('loss', [RKDLoss(angle=0.0), RKDLoss(distance=0.0)])
def test_rkd_ignores_place_scale_and_rotation(loss):
    student, teacher = tokens(6, 8), tokens(6, 5)
    before = loss(student, teacher).item()
    assert before > 0
    moved = [
        loss(3 * student @ rotation(8) + tokens(1, 8), teacher),
        loss(student, 0.2 * teacher @ rotation(5) + tokens(1, 5)),
    ]
    assert [x.item() for x in moved] == pytest.approx([before] * 2, rel=1e-4)
    assert loss(student, 3 * student @ rotation(8)).item() < 1e-9


def test_rkd_takes_the_mean_over_tokens():
    student, teacher = tokens(5, 9, 8), tokens(5, 4, 6)
    of_means = RKDLoss()(student.mean(1), teacher.mean(1))
    assert RKDLoss()(student, teacher).item() == of_means.item()


@pytest.mark.parametrize('batch', [1, 2])
def test_rkd_of_too_few_images_is_zero(batch):
    """Two have one distance, its own mean, and no angle."""
    student = tokens(batch, 8).requires_grad_()
    loss = RKDLoss()(student, tokens(batch, 6))
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-12)
    assert student.grad.abs().max() < 1e-5


def test_rkd_of_equal_images_is_finite_without_gradient():
    student = torch.ones(3, 8, requires_grad=True)
    loss = RKDLoss()(student, tokens(3, 6))
    loss.backward()
    assert loss.isfinite()
    assert torch.equal(student.grad, torch.zeros(3, 8))


@pytest.mark.parametrize('shape', [(4, 8), (3,), (3, 8, 2, 2)])
def test_rkd_refuses_what_is_no_vector_an_image(shape):
    with pytest.raises(ValueError, match=r'relates images.*\(3, 8\) from the student'):
        RKDLoss()(tokens(3, 8), torch.zeros(shape))
    with pytest.raises(ValueError, match=r'relates images.*\(3, 8\) from the teacher'):
        RKDLoss()(torch.zeros(shape), tokens(3, 8))


@pytest.mark.parametrize('loss', RELATIONS, ids=named)
def test_rotating_the_channels_of_a_side_changes_nothing(loss):
    student, teacher = tokens(4, 9, 8), tokens(4, 9, 6)
    before = value(loss, student, teacher)
    assert before > 0
    rotated = value(loss, student @ rotation(8), teacher)
    assert rotated == pytest.approx(before, rel=1e-4)
    rotated = value(loss, student, teacher @ rotation(6))
    assert rotated == pytest.approx(before, rel=1e-4)


@pytest.mark.parametrize('loss', EVERY, ids=named)
def test_zero_when_identical(loss):
    assert loss(TEACHER, TEACHER).item() == 0


@pytest.mark.parametrize('loss', RELATIONS, ids=named)
@pytest.mark.parametrize('shape', [(2, 3, 2), (3, 2, 2), (2, 2)])
def test_other_tokens_are_refused(loss, shape):
    with pytest.raises(ValueError, match=r'\(2, 2, 2\).*same number of tokens'):
        loss(STUDENT, torch.zeros(shape))
    with pytest.raises(ValueError, match='same number of tokens'):
        loss(torch.zeros(shape), TEACHER)


def test_normalised_mse_refuses_another_width():
    with pytest.raises(ValueError, match=r'\(2, 2, 2\).*\(2, 2, 3\).*neck'):
        NormalisedMSELoss()(STUDENT, torch.zeros(2, 2, 3))


def test_bad_arguments():
    with pytest.raises(
        ValueError, match=r"one of \('sum', 'mean', 'none'\), got 'max'"
    ):
        CorrelationLoss(reduction='max')
    with pytest.raises(ValueError, match=r"'frobenius'\), got 'sum'"):
        ManifoldLoss(reduction='sum')
    with pytest.raises(ValueError, match='num_samples must be above 0, got 0'):
        ManifoldLoss(num_samples=0)
    with pytest.raises(ValueError, match='merge must be above 0, got 0'):
        ManifoldLoss(merge=0)
