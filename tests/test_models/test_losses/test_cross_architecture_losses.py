import math

import pytest
import torch

from mmvitkd.models import AdversarialFeatureLoss, PartialCrossAttentionLoss

# two tokens: attention of width 2, then values
STUDENT = torch.tensor([[[1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 2.0]]])
TEACHER = torch.tensor([[[0.0, 0.0, 1.0, 1.0], [0.0, 3.0, 0.0, 1.0]]])


def test_attention_and_values_by_hand():
    """Attention differs by 1 and 3 in four entries. Values make [[1, 0], [0, 4]] of the
    student and [[2, 1], [1, 1]] of the teacher, over the root of 2: squares of 1, 1, 1
    and 9, halved."""
    parts = (1 + 9) / 4, (1 + 1 + 1 + 9) / 4 / 2
    loss = PartialCrossAttentionLoss(loss_weight=2.0)(STUDENT, TEACHER)
    assert loss.item() == pytest.approx(2 * sum(parts))
    for weights in ((1.0, 0.0), (0.0, 1.0), (0.2, 0.05)):
        by_hand = weights[0] * parts[0] + weights[1] * parts[1]
        loss = PartialCrossAttentionLoss(*weights)(STUDENT, TEACHER)
        assert loss.item() == pytest.approx(by_hand)


def test_equal_sides_have_no_loss():
    assert PartialCrossAttentionLoss()(STUDENT, STUDENT) == 0


def test_signs_of_the_values_do_not_matter():
    """Their relations are products of two of them."""
    turned = STUDENT * torch.tensor([1.0, 1.0, -1.0, -1.0])
    loss = PartialCrossAttentionLoss()
    assert loss(turned, TEACHER) == loss(STUDENT, TEACHER)


@pytest.mark.parametrize('shape', [(2, 4, 7), (2, 8)])
def test_what_is_no_attention_and_values(shape):
    message = 'takes attention and values .*PartialCrossAttentionNeck'
    with pytest.raises(ValueError, match=message):
        PartialCrossAttentionLoss()(torch.ones(shape), torch.ones(shape))


def test_features_and_verdicts_by_hand():
    """Features differ by 2 in one of four channels; the discriminator gives the
    student's tokens 1/2 and 1/4, the teacher's 1/2 and 3/4."""
    logit = math.log(3)
    student = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 0.0, -logit]]])
    teacher = torch.tensor([[[3.0, 0.0, 0.0], [0.0, 0.0, logit]]])
    told = -(2 * math.log(1 / 2) + 2 * math.log(3 / 4)) / 2
    for adversarial in (0.0, 0.3):
        loss = AdversarialFeatureLoss(adversarial, loss_weight=2.0)(student, teacher)
        assert loss.item() == pytest.approx(2 * (4 / 4 + adversarial * told))


def test_who_can_not_tell_has_twice_log_2():
    same = torch.zeros(2, 3, 4)
    loss = AdversarialFeatureLoss(adversarial=0.5)(same, same)
    assert loss.item() == pytest.approx(math.log(2))


def test_certain_verdicts_stay_finite():
    student, teacher = torch.zeros(1, 1, 2), torch.zeros(1, 1, 2)
    student[..., -1], teacher[..., -1] = 1000, -1000
    assert AdversarialFeatureLoss()(student, teacher).item() == 2000
