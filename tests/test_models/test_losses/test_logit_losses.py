import math

import pytest
import torch
from torch import nn

from mmvitkd.models import KDLoss, NKDLoss

LOG = math.log
# softmax: 1/2, 1/4, 1/4 and 1/4, 1/2, 1/4
STUDENT = torch.tensor([[LOG(2), 0.0, 0.0]])
TEACHER = torch.tensor([[0.0, LOG(2), 0.0]])


def test_kd_by_hand():
    """KL = 1/4 ln(1/2) + 1/2 ln 2 = 1/4 ln 2 at temperature 1."""
    loss = KDLoss(temperature=1.0, loss_weight=3.0)(STUDENT, TEACHER)
    assert loss.item() == pytest.approx(3 * 0.25 * LOG(2))


def test_kd_temperature_softens_and_scales_by_its_square():
    soft = KDLoss(temperature=2.0)(2 * STUDENT, 2 * TEACHER)
    assert soft.item() == pytest.approx(4 * 0.25 * LOG(2))


def test_nkd_by_hand():
    """Label 0: target part 1/4 ln 2; the others, over two classes: teacher 2/3, 1/3
    and student 1/2, 1/2, so ln 2."""
    loss = NKDLoss(gamma=1.5)(STUDENT, TEACHER, torch.tensor([0]))
    assert loss.item() == pytest.approx(0.25 * LOG(2) + 1.5 * LOG(2))


def test_nkd_temperature_touches_the_other_classes_only():
    """At temperature 2 the teacher's others are sqrt(2) : 1, the student's equal."""
    loss = NKDLoss(temperature=2.0, gamma=1.0)(STUDENT, TEACHER, torch.tensor([0]))
    assert loss.item() == pytest.approx(0.25 * LOG(2) + 4 * LOG(2))


def test_nkd_is_least_where_the_student_is_the_teacher_on_the_others():
    torch.manual_seed(0)
    teacher, label = torch.randn(8, 5), torch.randint(5, (8,))
    student = torch.randn(8, 5, requires_grad=True)
    optimiser = torch.optim.LBFGS([student], max_iter=60)

    def closure():
        optimiser.zero_grad()
        loss = NKDLoss(gamma=1.5)(student, teacher, label)
        loss.backward()
        return loss

    optimiser.step(closure)
    others = ~nn.functional.one_hot(label, 5).bool()
    shares = [x[others].view(8, 4).softmax(1) for x in (student.detach(), teacher)]
    assert torch.allclose(*shares, atol=0.02)


def test_nkd_takes_mixed_labels_by_their_largest_share():
    scores = torch.tensor([[0.7, 0.0, 0.3]])
    by_score = NKDLoss()(STUDENT, TEACHER, scores)
    assert torch.equal(by_score, NKDLoss()(STUDENT, TEACHER, torch.tensor([0])))


@pytest.mark.parametrize('loss', [KDLoss(), NKDLoss()])
def test_gradient_reaches_the_student_alone(loss):
    student = STUDENT.clone().requires_grad_()
    loss(student, TEACHER, torch.tensor([2])).backward()
    assert (student.grad != 0).any()


@pytest.mark.parametrize('cls', [KDLoss, NKDLoss])
def test_bad_logits(cls):
    target = torch.tensor([0])
    with pytest.raises(ValueError, match='3 classes and the teacher 5'):
        cls()(STUDENT, torch.zeros(1, 5), target)
    with pytest.raises(ValueError, match=r'takes \(B, K\).*\(1, 4, 3\)'):
        cls()(torch.zeros(1, 4, 3), TEACHER, target)
    with pytest.raises(ValueError, match='temperature must be above 0, got 0'):
        cls(temperature=0)


def test_nkd_without_labels():
    with pytest.raises(ValueError, match='needs labels'):
        NKDLoss()(STUDENT, TEACHER)
