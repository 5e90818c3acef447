import math

import pytest
import torch
from torch import nn

from mmvitkd.models import DISTLoss, DKDLoss, HardKDLoss, KDLoss, NKDLoss

LOG = math.log
# softmax: 1/2, 1/4, 1/4 and 1/4, 1/2, 1/4
STUDENT = torch.tensor([[LOG(2), 0.0, 0.0]])
TEACHER = torch.tensor([[0.0, LOG(2), 0.0]])
LABEL = torch.tensor([0])
EVERY = [DISTLoss(), DKDLoss(), HardKDLoss(), KDLoss(), NKDLoss()]


def named(loss: nn.Module) -> str:
    return type(loss).__name__


def test_kd_by_hand():
    """KL = 1/4 ln(1/2) + 1/2 ln 2 = 1/4 ln 2 at temperature 1."""
    loss = KDLoss(temperature=1.0, loss_weight=3.0)(STUDENT, TEACHER)
    assert loss.item() == pytest.approx(3 * 0.25 * LOG(2))


def test_kd_temperature_softens_and_scales_by_its_square():
    soft = KDLoss(temperature=2.0)(2 * STUDENT, 2 * TEACHER)
    assert soft.item() == pytest.approx(4 * 0.25 * LOG(2))


def test_kd_mean_over_the_classes_too():
    """DeiT's released reduction: a third, of three classes."""
    student, teacher = (x.repeat(2, 1) for x in (STUDENT, TEACHER))
    loss = KDLoss(temperature=1.0, reduction='mean')(student, teacher)
    assert loss.item() == pytest.approx(0.25 * LOG(2) / 3)
    with pytest.raises(ValueError, match=r"\('batchmean', 'mean'\), got 'sum'"):
        KDLoss(reduction='sum')


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


def test_hard_kd_by_hand():
    """The teacher says class 1, which has 1/4: - ln(1/4) = 2 ln 2."""
    loss = HardKDLoss(loss_weight=0.5)(STUDENT, TEACHER)
    assert loss.item() == pytest.approx(0.5 * 2 * LOG(2))


def test_hard_kd_ignores_how_certain_the_teacher_is():
    """Soft labels do not: those of a weaker teacher are others."""
    loss, weaker = HardKDLoss(), 0.01 * TEACHER - 3
    assert torch.equal(loss(STUDENT, TEACHER), loss(STUDENT, weaker))
    assert KDLoss()(STUDENT, TEACHER) != KDLoss()(STUDENT, weaker)


def test_dkd_by_hand():
    """Label 0. TCKD: teacher 1/4, 3/4 and student 1/2, 1/2, so 3/4 ln 3 - ln 2. NCKD:
    teacher 2/3, 1/3 and student 1/2, 1/2, so 5/3 ln 2 - ln 3."""
    loss = DKDLoss(alpha=2.0, beta=3.0, loss_weight=0.5)(STUDENT, TEACHER, LABEL)
    tckd, nckd = 0.75 * LOG(3) - LOG(2), 5 / 3 * LOG(2) - LOG(3)
    assert loss.item() == pytest.approx(0.5 * (2 * tckd + 3 * nckd))


def test_dkd_temperature_softens_and_scales_by_its_square():
    soft = DKDLoss(temperature=2.0)(2 * STUDENT, 2 * TEACHER, LABEL)
    hard = DKDLoss()(STUDENT, TEACHER, LABEL)
    assert soft.item() == pytest.approx(4 * hard.item())


def test_dkd_is_kd_where_the_others_weigh_as_much_as_the_teacher_gives_them():
    """KD = TCKD + (1 - p_label) NCKD, the paper's decomposition; here p = 1/4."""
    dkd = DKDLoss(alpha=1.0, beta=0.75)(STUDENT, TEACHER, LABEL)
    kd = KDLoss(temperature=1.0)(STUDENT, TEACHER)
    assert dkd.item() == pytest.approx(kd.item())


def test_dkd_is_finite_for_a_teacher_that_is_certain():
    teacher = torch.tensor([[200.0, 0.0, 0.0]])
    student = STUDENT.clone().requires_grad_()
    loss = DKDLoss()(student, teacher, LABEL)
    loss.backward()
    assert loss.isfinite()
    assert student.grad.isfinite().all()


def test_dist_by_hand():
    """Rows: the centred shares are (2, -1, -1)/12 and (-1, 2, -1)/12, correlation
    -3/6. Columns, of two samples that swap: -1, -1, and 0 for the constant third."""
    student = torch.cat([STUDENT, TEACHER])
    teacher = torch.cat([TEACHER, STUDENT])
    inter, intra = 1 + 1 / 2, 1 + 2 / 3
    loss = DISTLoss(beta=2.0, gamma=3.0, loss_weight=0.5)(student, teacher)
    assert loss.item() == pytest.approx(0.5 * (2 * inter + 3 * intra))


def test_dist_temperature_softens_and_scales_by_its_square():
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 4, 5)
    soft = DISTLoss(temperature=2.0)(2 * student, 2 * teacher)
    assert soft.item() == pytest.approx(4 * DISTLoss()(student, teacher).item())


def test_dist_ignores_scale_and_shift_of_the_shares():
    """Halfway to the uniform, 1/5 each, the teacher's correlate as before."""
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 4, 5)
    before = DISTLoss()(student, teacher)
    after = DISTLoss()(student, (0.5 * teacher.softmax(1) + 0.1).log())
    assert after.item() == pytest.approx(before.item(), rel=1e-4)


@pytest.mark.parametrize('classes', [5, 1000])
def test_dist_of_a_head_that_begins_at_zero_is_finite_without_gradient(classes):
    """MMPretrain's heads do: every row and column is constant."""
    student = torch.zeros(4, classes, requires_grad=True)
    loss = DISTLoss()(student, torch.randn(4, classes))
    loss.backward()
    assert loss.item() == pytest.approx(2)
    assert torch.equal(student.grad, torch.zeros(4, classes))


def test_dist_of_one_sample_compares_its_row_alone():
    student = STUDENT.clone().requires_grad_()
    loss = DISTLoss()(student, STUDENT)
    loss.backward()
    assert loss.item() == pytest.approx(1)  # a column of one sample is constant
    assert student.grad.isfinite().all()


@pytest.mark.parametrize('loss', [DISTLoss(), DKDLoss(), KDLoss()], ids=named)
def test_zero_when_identical(loss):
    torch.manual_seed(0)
    logits = torch.randn(4, 5)
    assert loss(logits, logits, torch.arange(4)).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize('cls', [DKDLoss, NKDLoss])
def test_mixed_labels_count_by_their_largest_share(cls):
    scores = torch.tensor([[0.7, 0.0, 0.3]])
    by_score = cls()(STUDENT, TEACHER, scores)
    assert torch.equal(by_score, cls()(STUDENT, TEACHER, LABEL))


@pytest.mark.parametrize('loss', EVERY, ids=named)
def test_gradient_reaches_the_student(loss):
    student = STUDENT.clone().requires_grad_()
    loss(student, TEACHER, torch.tensor([2])).backward()
    assert student.grad.isfinite().all()
    assert (student.grad != 0).any()


@pytest.mark.parametrize('loss', EVERY, ids=named)
def test_half_precision_is_computed_in_single(loss):
    """Logits that half precision holds exactly give the value of single precision."""
    student, teacher = STUDENT.half(), TEACHER.half()
    half = loss(student, teacher, LABEL)
    assert half.dtype == torch.float32
    assert torch.equal(half, loss(student.float(), teacher.float(), LABEL))


@pytest.mark.parametrize('loss', EVERY, ids=named)
def test_bad_logits(loss):
    with pytest.raises(ValueError, match='3 classes and the teacher 5'):
        loss(STUDENT, torch.zeros(1, 5), LABEL)
    with pytest.raises(ValueError, match=r'takes \(B, K\).*\(1, 4, 3\)'):
        loss(torch.zeros(1, 4, 3), TEACHER, LABEL)


@pytest.mark.parametrize('cls', [DISTLoss, DKDLoss, KDLoss, NKDLoss])
def test_bad_temperature(cls):
    with pytest.raises(ValueError, match='temperature must be above 0, got 0'):
        cls(temperature=0)


@pytest.mark.parametrize('cls', [DKDLoss, NKDLoss])
def test_without_labels(cls):
    with pytest.raises(ValueError, match=f'{cls.__name__} needs labels'):
        cls()(STUDENT, TEACHER)
