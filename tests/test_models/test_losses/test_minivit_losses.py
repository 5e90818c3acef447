from math import exp, log

import pytest
import torch
from torch import nn

from mmvitkd.models import HiddenRelationLoss, ManifoldLoss, QKVRelationLoss

EVERY = [QKVRelationLoss(), HiddenRelationLoss()]


def named(loss: nn.Module) -> str:
    return type(loss).__name__


def tokens(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def rotation(width: int) -> torch.Tensor:
    return torch.linalg.qr(tokens(width, width))[0]


def relation(qkv: torch.Tensor, i: int, j: int, heads: int) -> torch.Tensor:
    """MiniViT's R_ij, written down one head after the other, ``(B, heads, N, N)``."""
    width = qkv.shape[-1] // 3
    x, y = (qkv[..., k * width : (k + 1) * width] for k in (i, j))
    d = width // heads
    parts = [(x[..., h * d :][..., :d], y[..., h * d :][..., :d]) for h in range(heads)]
    maps = [x @ y.transpose(1, 2) / d**0.5 for x, y in parts]
    return torch.stack(maps, 1).softmax(-1)


def cross_entropy(s: torch.Tensor, t: torch.Tensor, heads: int) -> torch.Tensor:
    """The loss as the released code has it."""
    pairs = [(i, j) for i in range(3) for j in range(3)]
    terms = [
        -(relation(t, i, j, heads) * relation(s, i, j, heads).log()).sum(-1).mean()
        for i, j in pairs
    ]
    return sum(terms) / 9


def test_qkv_relations_by_hand():
    """Two tokens of width 1. The student's are all zero: every relation is (1/2, 1/2).
    The teacher's only other one is Q Q^T: a row of (4, 0) and one of zeros."""
    student = torch.zeros(1, 2, 3)
    teacher = torch.tensor([[[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]]])
    p = 1 / (1 + exp(-4))
    row = log(2) + p * log(p) + (1 - p) * log(1 - p)
    by_hand = row / 2 / 9  # the mean over two rows, over nine relations
    loss = QKVRelationLoss(loss_weight=3.0)
    assert loss(student, teacher).item() == pytest.approx(3 * by_hand)


@pytest.mark.parametrize('heads', [1, 2])
def test_tinymims_two_relations_are_their_sum_as_released(heads):
    student = tokens(2, 5, 12).requires_grad_()
    teacher = tokens(2, 5, 24)
    released = 0
    for i, j in ((0, 1), (2, 2)):
        s, t = relation(student, i, j, heads), relation(teacher, i, j, heads)
        divergence = nn.KLDivLoss(reduction='none')(s.log(), t)
        released = released + divergence.sum(-1).mean()
    loss = QKVRelationLoss(heads, loss_weight=2.0, relations=('qk', 'vv'))
    ours = loss(student, teacher)
    torch.testing.assert_close(ours, released)
    (expected,) = torch.autograd.grad(released, student)
    torch.testing.assert_close(torch.autograd.grad(ours, student)[0], expected)


def test_a_relation_is_not_its_transpose():
    student, teacher = tokens(2, 5, 12), tokens(2, 5, 24)
    one, other = (
        QKVRelationLoss(relations=[r])(student, teacher) for r in ('qk', 'kq')
    )
    assert abs(one - other) > 1e-3


@pytest.mark.parametrize('relations', [(), ('qk', 'qk'), ('qx',)])
def test_relations_that_there_are_not(relations):
    with pytest.raises(ValueError, match='relations must be'):
        QKVRelationLoss(relations=relations)


@pytest.mark.parametrize('heads', [1, 2])
def test_qkv_relations_are_the_cross_entropy_less_the_teachers_entropy(heads):
    """And the gradient, computed beside the value, is that of either."""
    student = tokens(2, 5, 12).requires_grad_()
    teacher = tokens(2, 5, 24)
    loss = QKVRelationLoss(heads)(student, teacher)
    expected = cross_entropy(student, teacher, heads)
    entropy = cross_entropy(teacher, teacher, heads)
    assert loss.item() == pytest.approx((expected - entropy).item(), rel=1e-4)
    gradients = [torch.autograd.grad(x, student)[0] for x in (loss, expected)]
    assert torch.allclose(*gradients, atol=1e-7)


def test_qkv_relations_ignore_a_common_rotation():
    """Of queries, keys and values alike, on either side."""
    student, teacher = tokens(2, 5, 12), tokens(2, 5, 24)
    before = QKVRelationLoss()(student, teacher).item()
    turned = (student.unflatten(-1, (3, 4)) @ rotation(4)).flatten(-2)
    assert QKVRelationLoss()(turned, teacher).item() == pytest.approx(before, rel=1e-4)
    turned = (teacher.unflatten(-1, (3, 8)) @ rotation(8)).flatten(-2)
    assert QKVRelationLoss()(student, turned).item() == pytest.approx(before, rel=1e-4)
    # one that turns the queries alone changes what they have to do with the keys
    alone = student.clone()
    alone[..., :4] = student[..., :4] @ rotation(4)
    assert QKVRelationLoss()(alone, teacher).item() != pytest.approx(before, rel=1e-2)


def test_relation_heads_change_the_relations():
    student, teacher = tokens(2, 5, 12), tokens(2, 5, 24)
    one, two = (QKVRelationLoss(n)(student, teacher).item() for n in (1, 2))
    assert one != pytest.approx(two, rel=1e-2)


def test_no_map_waits_for_the_backward_pass():
    """Of 64 tokens of width 2 a map would be larger than all queries, keys, values."""
    saved = []
    student = tokens(1, 64, 6).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(
        lambda x: saved.append(x.numel()) or x, lambda x: x
    ):
        QKVRelationLoss()(student, tokens(1, 64, 12)).backward()
    assert saved
    assert max(saved) <= student.numel() < 64 * 64


@pytest.mark.parametrize('widths', [(16, 12), (4, 6)])
def test_hidden_relations_are_those_of_the_manifold_times_the_window(widths):
    """Also where there are more tokens than channels, which are multiplied first."""
    student, teacher = tokens(3, 9, widths[0]), tokens(3, 9, widths[1])
    student.requires_grad_()
    intra = ManifoldLoss(intra=1.0, inter=0.0, random=0.0)(student, teacher)
    hidden = HiddenRelationLoss(window_area=16, loss_weight=0.5)(student, teacher)
    assert hidden.item() == pytest.approx(0.5 * 16 * intra.item(), rel=1e-5)
    mine, theirs = (torch.autograd.grad(x, student)[0] for x in (hidden, intra))
    assert torch.allclose(mine, 8 * theirs, atol=1e-6)


def test_hidden_relations_by_hand():
    """Two parallel tokens against two at right angles: two of four entries differ by
    one. The default factor is 49, the default weight 0.1."""
    student = torch.tensor([[[3.0, 0.0], [2.0, 0.0]]])
    teacher = torch.tensor([[[1.0, 0.0], [0.0, 4.0]]])
    assert HiddenRelationLoss()(student, teacher).item() == pytest.approx(4.9 * 2 / 4)


@pytest.mark.parametrize('tall', [2, 40])
def test_hidden_relations_ignore_length_and_rotation(tall):
    student, teacher = tokens(2, tall, 8), tokens(2, tall, 6)
    length = 0.1 + tokens(2, tall, 1).abs()
    loss = HiddenRelationLoss()
    before = loss(student, teacher).item()
    assert before > 0
    assert loss(student * length, teacher).item() == pytest.approx(before, rel=1e-4)
    assert loss(student, teacher @ rotation(6)).item() == pytest.approx(
        before, rel=1e-4
    )


@pytest.mark.parametrize('tall', [4, 16, 200])
@pytest.mark.parametrize('turned', [False, True])
def test_hidden_relations_keep_their_digits_near_the_teacher(tall, turned):
    """Where the relations all but agree, the features too or but for a rotation; the
    reference are the matrices themselves, in float64."""
    teacher = tokens(3, tall, 8)
    student = (teacher + 3e-5 * tokens(3, tall, 8).flip(0)).requires_grad_()
    student = student @ rotation(8) if turned else student
    out = HiddenRelationLoss()(student, teacher)

    def matrices(x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.normalize(x.double(), dim=-1)
        return x @ x.transpose(1, 2)

    error = matrices(student) - matrices(teacher)
    reference = 0.1 * 49 * error.square().mean()
    assert 0 < reference < 5e-7
    assert out.item() == pytest.approx(reference.item(), rel=2e-2 if turned else 1e-3)
    mine, theirs = (
        torch.autograd.grad(x, student, retain_graph=True)[0] for x in (out, reference)
    )
    assert (mine - theirs).norm() < 3e-2 * theirs.norm()


@pytest.mark.parametrize('loss', EVERY, ids=named)
def test_zero_when_identical(loss):
    for shape in ((2, 4, 12), (2, 20, 12)):
        assert loss(tokens(*shape), tokens(*shape)).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize('loss', EVERY, ids=named)
def test_windows_are_samples_of_the_batch(loss):
    student, teacher = tokens(6, 4, 12), tokens(6, 4, 24)
    halves = loss(student[:3], teacher[:3]) + loss(student[3:], teacher[3:])
    assert loss(student, teacher).item() == pytest.approx(halves.item() / 2)


@pytest.mark.parametrize('loss', EVERY, ids=named)
@pytest.mark.parametrize('tall', [4, 20])
def test_autocast_does_not_lower_the_precision(loss, tall):
    student = tokens(2, tall, 12).requires_grad_()
    teacher = tokens(2, tall, 24)
    loss(student, teacher).backward()
    before, student.grad = student.grad, None
    with torch.autocast('cpu', dtype=torch.bfloat16):
        out = loss(student, teacher)
    out.backward()
    assert out.item() == loss(student, teacher).item()
    assert torch.equal(student.grad, before)


@pytest.mark.parametrize('loss', EVERY, ids=named)
@pytest.mark.parametrize('shape', [(2, 9, 12), (4, 4, 12), (4, 12)])
def test_other_tokens_or_windows_are_refused(loss, shape):
    """Windows of another size give other numbers of tokens and of windows."""
    with pytest.raises(ValueError, match=r'\(2, 4, 12\).*same number of tokens'):
        loss(tokens(2, 4, 12), torch.zeros(shape))


def test_a_width_that_can_not_be_cut():
    with pytest.raises(ValueError, match=r'width 16 is no multiple of 3.*attn\.qkv'):
        QKVRelationLoss()(tokens(2, 4, 12), tokens(2, 4, 16))
    with pytest.raises(ValueError, match='relation_heads=5.*12 is no multiple of 15'):
        QKVRelationLoss(5)(tokens(2, 4, 12), tokens(2, 4, 30))


def test_bad_arguments():
    with pytest.raises(ValueError, match='relation_heads must be above 0, got 0'):
        QKVRelationLoss(0)
    with pytest.raises(ValueError, match='window_area must be above 0, got -1'):
        HiddenRelationLoss(window_area=-1)
