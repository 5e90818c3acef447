import math

import pytest
import torch
from torch import nn

from mmvitkd.models import (
    DISTLoss,
    DKDLoss,
    HardKDLoss,
    KDLoss,
    LogitMSELoss,
    NKDLoss,
)

LOG = math.log
# softmax: 1/2, 1/4, 1/4 and 1/4, 1/2, 1/4
STUDENT = torch.tensor([[LOG(2), 0.0, 0.0]])
TEACHER = torch.tensor([[0.0, LOG(2), 0.0]])
LABEL = torch.tensor([0])
EVERY = [
    DISTLoss(),
    DKDLoss(),
    HardKDLoss(),
    KDLoss(),
    LogitMSELoss(),
    NKDLoss(),
]


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
    with pytest.raises(ValueError, match=r"'mean', 'none'\), got 'sum'"):
        KDLoss(reduction='sum')


def test_kd_of_several_labels_by_hand():
    """Shares 1/2 and 1/4 of the student, 1/4 and 1/2 of the teacher: binary divergences
    1/4 ln(1/2) + 3/4 ln(3/2) and 1/2 ln 2 + 1/2 ln(2/3)."""
    odds = torch.tensor([[1.0, 1 / 3]]).log()
    student, teacher = odds, odds.flip(1)
    by_hand = 0.25 * LOG(1 / 2) + 0.75 * LOG(3 / 2) + 0.5 * LOG(2) + 0.5 * LOG(2 / 3)
    several = torch.tensor([[1.0, 1.0]])
    loss = KDLoss(temperature=1.0, loss_weight=3.0, activation='sigmoid')
    assert loss(student, teacher, several).item() == pytest.approx(3 * by_hand)
    soft = KDLoss(temperature=2.0, activation='sigmoid')
    assert soft(2 * student, 2 * teacher).item() == pytest.approx(4 * by_hand)
    mean = KDLoss(temperature=1.0, activation='sigmoid', reduction='mean')
    twice = (x.repeat(3, 1) for x in (student, teacher))
    assert mean(*twice).item() == pytest.approx(by_hand / 2)
    with pytest.raises(ValueError, match="activation must be one of .* got 'relu'"):
        KDLoss(activation='relu')


def test_kd_of_several_labels_is_the_binary_cross_entropy_less_the_entropy():
    torch.manual_seed(0)
    student, teacher = 5 * torch.randn(2, 6, 4, dtype=torch.float64)
    share = teacher.sigmoid()
    cross = nn.functional.binary_cross_entropy_with_logits(student, share)
    entropy = nn.functional.binary_cross_entropy_with_logits(teacher, share)
    loss = KDLoss(1.0, reduction='mean', activation='sigmoid')(student, teacher)
    torch.testing.assert_close(loss, cross - entropy, rtol=1e-12, atol=0)
    certain = KDLoss(1.0, activation='sigmoid')(100 * student, 100 * teacher)
    assert certain.isfinite()


def test_nkd_by_hand():
    """Label 0: target part 1/4 ln 2; the others, over two classes: teacher 2/3, 1/3
    and student 1/2, 1/2, so ln 2."""
    loss = NKDLoss(gamma=1.5)(STUDENT, TEACHER, torch.tensor([0]))
    assert loss.item() == pytest.approx(0.25 * LOG(2) + 1.5 * LOG(2))


def test_nkd_temperature_touches_the_other_classes_only():
    """At temperature 2 the teacher's others are sqrt(2) : 1, the student's equal."""
    loss = NKDLoss(temperature=2.0, gamma=1.0)(STUDENT, TEACHER, torch.tensor([0]))
    assert loss.item() == pytest.approx(0.25 * LOG(2) + 4 * LOG(2))


def test_nkd_temperature_by_hand():
    """At temperature 2 the others are 2 : 1 of the student, 1 : 2 of the teacher; the
    label has 1/6 of both at temperature 1."""
    student, teacher = (torch.tensor([x]).log() for x in ([1.0, 4, 1], [1.0, 1, 4]))
    loss = NKDLoss(temperature=2.0, gamma=1.0)(student, teacher, LABEL)
    others = -(LOG(2 / 3) / 3 + 2 * LOG(1 / 3) / 3)
    assert loss.item() == pytest.approx(LOG(6) / 6 + 4 * others)


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


def released_dist(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Twice the released loss of two softmaxes, as its strategies weigh it."""
    parts = []
    for s, t in ((student, teacher), (student.T, teacher.T)):
        s, t = s - s.mean(1, keepdim=True), t - t.mean(1, keepdim=True)
        norms = s.norm(dim=1) * t.norm(dim=1) + 1e-8
        parts.append(1 - ((s * t).sum(1) / norms).mean())
    return 2.0 * sum(parts)


@pytest.mark.parametrize('scale', [1, 10, 50])
def test_dist_is_the_released_loss(scale):
    """Value and gradient, also under a teacher so confident that most of its columns'
    deviations are far below 1e-8."""
    draw = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 16, 10, generator=draw, dtype=torch.float64)
    student.requires_grad_()
    teacher *= scale
    mine = DISTLoss()(student, teacher)
    theirs = released_dist(student.softmax(1), teacher.softmax(1))
    torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=0)
    ours, other = (torch.autograd.grad(x, student)[0] for x in (mine, theirs))
    torch.testing.assert_close(ours, other, rtol=1e-9, atol=1e-14)


def test_logit_mse_by_hand():
    """Squares 4, 0, 1 and 0, 9, 0: 14 of two samples, of three classes."""
    student = torch.tensor([[1.0, 2.0, 3.0], [0.0, 1.0, 5.0]])
    teacher = torch.tensor([[3.0, 2.0, 2.0], [0.0, 4.0, 5.0]])
    assert LogitMSELoss(loss_weight=3.0)(student, teacher).item() == 3 * 14 / 2
    mean = LogitMSELoss(reduction='mean')(student, teacher)
    assert mean.item() == pytest.approx(14 / 6)


def test_logit_mse_is_what_kd_tends_to():
    """At a high temperature, of logits without their means, divided by 2 K."""
    draw = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 4, 5, generator=draw, dtype=torch.float64)
    kd = KDLoss(temperature=1e4)(student, teacher)
    centred = (x - x.mean(1, keepdim=True) for x in (student, teacher))
    mse = LogitMSELoss()(*centred)
    assert kd.item() == pytest.approx(mse.item() / (2 * 5), rel=1e-3)


def test_logit_mse_of_several_labels():
    """It compares logits one by one, so classes need not exclude each other."""
    several = torch.tensor([[1.0, 1.0, 0.0]])
    loss = LogitMSELoss()(STUDENT, TEACHER, several)
    assert loss.item() == pytest.approx(2 * LOG(2) ** 2)


@pytest.mark.parametrize('classes', [5, 1000])
def test_dist_of_a_head_that_begins_at_zero_is_finite_without_gradient(classes):
    """MMPretrain's heads do: every row and column is constant."""
    student = torch.zeros(4, classes, requires_grad=True)
    loss = DISTLoss(loss_weight=1.0)(student, torch.randn(4, classes))
    loss.backward()
    assert loss.item() == pytest.approx(2)
    assert torch.equal(student.grad, torch.zeros(4, classes))


def test_dist_of_one_sample_compares_its_row_alone():
    student = STUDENT.clone().requires_grad_()
    loss = DISTLoss(loss_weight=1.0)(student, STUDENT)
    loss.backward()
    assert loss.item() == pytest.approx(1)  # a column of one sample is constant
    assert student.grad.isfinite().all()


@pytest.mark.parametrize(
    'loss', [DISTLoss(), DKDLoss(), KDLoss(), LogitMSELoss()], ids=named
)
def test_zero_when_identical(loss):
    torch.manual_seed(0)
    logits = torch.randn(4, 5)
    # DIST's 1e-8 beside the norms leaves 1e-6
    assert loss(logits, logits, torch.arange(4)).item() == pytest.approx(0, abs=2e-6)


@pytest.mark.parametrize('cls', [DKDLoss, NKDLoss])
def test_mixed_labels_count_by_their_largest_share(cls):
    scores = torch.tensor([[0.7, 0.0, 0.3]])
    by_score = cls()(STUDENT, TEACHER, scores)
    assert torch.equal(by_score, cls()(STUDENT, TEACHER, LABEL))


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


def test_two_teachers_of_half_the_weight_teach_the_mean_of_their_distributions():
    """LIB-KD's terms: the gradient is that of one teacher, the values are not."""
    torch.manual_seed(0)
    student, one, other = torch.randn(3, 5, 7).unbind()
    student.requires_grad_()
    mean = (one.softmax(1) + other.softmax(1)) / 2
    half, whole = KDLoss(1.0, loss_weight=0.25), KDLoss(1.0, loss_weight=0.5)
    (by_two,) = torch.autograd.grad(half(student, one) + half(student, other), student)
    (by_mean,) = torch.autograd.grad(whole(student, mean.log()), student)
    torch.testing.assert_close(by_two, by_mean)
    assert by_mean.abs().max() > 0.01
