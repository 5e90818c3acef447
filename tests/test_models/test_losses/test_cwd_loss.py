import math

import pytest
import torch

from mmvitkd.models import CWDLoss


def test_of_two_places_by_hand():
    """The teacher's channel is thrice as active in the first place."""
    student = torch.zeros(2, 2, 1)
    teacher = torch.tensor([math.log(3), 0]).view(1, 2, 1).expand(2, -1, -1)
    by_hand = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    loss = CWDLoss(loss_weight=2.0)(student, teacher)
    assert loss.item() == pytest.approx(2 * by_hand)
    softened = CWDLoss(temperature=2.0, loss_weight=1.0)(student, 2 * teacher)
    assert softened.item() == pytest.approx(4 * by_hand)


def test_is_a_mean_over_images_and_channels():
    student, teacher = torch.randn(2, 3, 6, 4)
    loss = CWDLoss()
    channels = [
        loss(student[b : b + 1, :, c : c + 1], teacher[b : b + 1, :, c : c + 1])
        for b in range(3)
        for c in range(4)
    ]
    torch.testing.assert_close(loss(student, teacher), torch.stack(channels).mean())


def test_the_level_of_a_channel_does_not_matter():
    teacher = torch.randn(2, 6, 4)
    assert CWDLoss()(teacher + torch.randn(2, 1, 4), teacher).item() < 1e-5


def test_logits_of_images_have_no_places():
    with pytest.raises(ValueError, match=r'compares the places .* got \(2, 5\)'):
        CWDLoss()(torch.randn(2, 5), torch.randn(2, 5))
