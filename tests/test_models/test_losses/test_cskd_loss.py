import pytest
import torch

from mmvitkd.models import CSKDLoss

# one image, two places, three classes: by itself the first place says class 0, and the
# second class 1; on the whole it is class 2
TEACHER = torch.tensor([[[3.0, 0.0, 2.0], [0.0, 3.0, 2.0]]])
STUDENT = torch.tensor([[[2.0, 1.0, 0.0], [1.0, 0.0, 4.0]]])


def by_hand(*labels: int) -> float:
    return -sum(
        STUDENT[0, i].log_softmax(0)[k].item() for i, k in enumerate(labels)
    ) / len(labels)


@pytest.mark.parametrize(
    ('share', 'labels'),
    # 3 - 1.5 r against 2 for their own class
    [(0.0, (0, 1)), (0.6, (0, 1)), (0.7, (2, 2)), (1.0, (2, 2))],
)
def test_every_place_gets_the_label_of_its_mixed_logits(share, labels):
    loss = CSKDLoss(share, loss_weight=2.0)(STUDENT, TEACHER)
    assert loss.item() == pytest.approx(2 * by_hand(*labels))


def test_one_place_is_a_hard_label_whatever_the_share():
    values = {
        CSKDLoss(share)(STUDENT[:, :1], TEACHER[:, :1]).item() for share in (0, 0.5, 1)
    }
    assert len(values) == 1


def test_shares_out_of_range_are_named():
    with pytest.raises(ValueError, match='global_share must be between 0 and 1, got 2'):
        CSKDLoss(2)
