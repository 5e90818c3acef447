import pytest
import torch

from mmvitkd.models import SmoothL1Loss

STUDENT = torch.tensor([[1.5, 1.0], [-1.0, 4.0]], requires_grad=True)
TEACHER = torch.tensor([[3.0, 1.0], [5.0, 7.0]])  # 1, -1 and -1, 1 when standardised


def test_by_hand():
    loss = SmoothL1Loss(loss_weight=2.0)(STUDENT, TEACHER)
    # errors 0.5, 2, 0 and 3
    expected = 2 * (0.125 + 1.5 + 0 + 2.5) / 4
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    plain = SmoothL1Loss('none')(STUDENT, TEACHER)  # -1.5, 0, -6, -3
    assert plain.item() == pytest.approx((1 + 0 + 5.5 + 2.5) / 4)


def test_scale_and_shift_of_the_teacher_do_not_matter():
    loss = SmoothL1Loss()
    other = 100 * TEACHER - 7
    torch.testing.assert_close(loss(STUDENT, other), loss(STUDENT, TEACHER))


def test_zero_where_the_student_has_standardised_features():
    x = torch.nn.functional.layer_norm(torch.randn(3, 4, 8), (8,))
    assert SmoothL1Loss()(x, 3 * x + 1).item() < 1e-8


def test_an_unknown_norm_is_refused():
    with pytest.raises(ValueError, match=r"teacher_norm must be one of .*got 'batch'"):
        SmoothL1Loss('batch')
