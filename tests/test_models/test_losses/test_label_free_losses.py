"""LightlyTrain's two losses by hand, and the queue's life."""

import math

import pytest
import torch

from mmvitkd.models import QueueKLLoss, RelationKLLoss


def divergence(p: list[float], q: list[float]) -> float:
    """KL of two distributions, by their logits."""
    p, q = ([math.exp(x) for x in one] for one in (p, q))
    p, q = ([x / sum(one) for x in one] for one in (p, q))
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


T = torch.tensor([[3.0, 0.0], [0.0, 2.0]])  # of lengths that do not matter
S = torch.tensor([[5.0, 0.0], [1.0, 0.0]])


def test_the_batch_is_in_the_queue():
    """Two images, at right angles; the second student points to the first."""
    loss = QueueKLLoss(size=4, temperature=0.5)
    expected = (0 + divergence([0, 2], [2, 0])) / 2
    assert loss(S, T).item() == pytest.approx(expected, rel=1e-5)
    assert loss.count == 2
    assert loss.queue[:2].tolist() == [[1, 0], [0, 1]]


def test_a_queue_is_first_in_first_out():
    """The first batch leaves; what is left of both are the classes."""
    loss = QueueKLLoss(size=3, temperature=1.0)
    loss(S, T)
    loss(S, -T)
    assert loss.queue.tolist() == [[-1, 0], [0, -1], [1, 0]]
    (value,) = loss(S[:1], T[:1]).reshape(1)
    assert value == 0
    assert loss.queue.tolist() == [[1, 0], [-1, 0], [0, -1]]
    assert loss.count == 3
    # of a batch that is larger, a part fills it
    loss(S.repeat(3, 1), T.repeat(3, 1))
    assert loss.queue.tolist() == [[1, 0], [0, 1], [1, 0]]


def test_rows_that_are_still_empty_are_no_classes():
    small, large = QueueKLLoss(size=2), QueueKLLoss(size=100)
    torch.testing.assert_close(small(S, T), large(S, T))
    assert not large(S, T).isnan()


def test_of_patches_the_mean():
    tokens = torch.randn(3, 5, 4), torch.randn(3, 5, 4)
    plain = QueueKLLoss(size=8)(tokens[0].mean(1), tokens[1].mean(1))
    torch.testing.assert_close(QueueKLLoss(size=8)(*tokens), plain)


def test_in_evaluation_nothing_stays():
    loss = QueueKLLoss(size=4).eval()
    first = loss(S, T)
    assert loss.count == 0
    assert loss(S, T) == first > 0


def test_it_is_saved_and_emptied():
    loss, other = QueueKLLoss(size=4), QueueKLLoss(size=4)
    loss(S, T), other(S, T.flip(0))
    other.load_state_dict(loss.state_dict())
    assert torch.equal(other.queue, loss.queue)
    assert loss(S, -T) == other(S, -T)
    loss.forget()
    assert loss.count == 0 and not loss.queue.any()


def test_relations_by_hand():
    """Two tokens: at right angles for the teacher, alike for the student."""
    teacher = torch.tensor([[[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    student = torch.tensor([[[1.0, 0.0], [3.0, 0.0]]])
    loss = RelationKLLoss(temperature=0.5)
    expected = divergence([2, 0], [2, 2])
    assert loss(student, teacher).item() == pytest.approx(expected, rel=1e-5)
    both = [x.repeat(4, 1, 1) for x in (student, teacher)]
    assert loss(*both).item() == pytest.approx(expected, rel=1e-5)


def test_relations_know_no_rotation_and_no_length():
    tokens = torch.randn(2, 6, 4)
    turned = 3 * tokens @ torch.linalg.qr(torch.randn(4, 4))[0]
    assert RelationKLLoss()(turned, tokens).item() == pytest.approx(0, abs=1e-5)
