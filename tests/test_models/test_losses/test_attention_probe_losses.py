import math

import pytest
import torch

from mmvitkd.models import NoiseAdaptedCELoss, ProbeLoss
from mmvitkd.utils.export import PREFIX
from tests.helpers import NKD, build, distiller

LOG = math.log


def tokens(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def test_probe_by_hand():
    """Cosines of the class token to two patches: 1 and 0, and 0.6 and -1."""
    student = torch.tensor([[[2.0, 0.0], [3.0, 0.0], [0.0, 1.0]]])
    teacher = torch.tensor([[[0.0, 5.0], [0.8, 0.6], [0.0, -7.0]]])
    loss = ProbeLoss(loss_weight=2.0)(student, teacher)
    assert loss.item() == pytest.approx(2 * ((1 - 0.6) ** 2 + 1) / 2)


def test_probe_is_zero_for_equal_features_in_any_basis_and_width():
    student, teacher = tokens(2, 5, 8), tokens(2, 5, 12)
    rotation = torch.linalg.qr(tokens(12, 12))[0]
    assert ProbeLoss()(student, student) == 0
    assert ProbeLoss()(teacher, 3 * teacher @ rotation) < 1e-12
    turned = ProbeLoss()(student, teacher @ rotation)
    assert torch.allclose(turned, ProbeLoss()(student, teacher))


def test_probe_does_not_compare_patches_with_each_other():
    """Only the first row of the Gram matrix: patches may trade places in C."""
    student = torch.eye(4)[None]
    teacher = student[:, [0, 2, 3, 1]].clone()
    teacher[:, 3] = teacher[:, 2]
    assert ProbeLoss()(student, teacher) == 0
    assert ProbeLoss()(student, student[:, [1, 1, 0, 2]]) > 0


def test_probe_of_patches_alone_is_refused():
    with pytest.raises(ValueError, match="2x3 patches alone.*tokens='all'"):
        ProbeLoss()(tokens(1, 6, 4), tokens(1, 6, 4), hw=(2, 3))


def noisy(**changes) -> NoiseAdaptedCELoss:
    return NoiseAdaptedCELoss(**{'num_classes': 3, 'teacher_accuracy': 0.8, **changes})


def test_transitions_are_probabilities_around_the_accuracy():
    loss = noisy()
    assert torch.allclose(
        loss.log_transitions().exp()[0], torch.tensor([0.8, 0.1, 0.1])
    )
    torch.nn.init.normal_(loss.transition)
    rows = loss.log_transitions().exp()
    assert torch.allclose(rows.sum(1), torch.ones(3))
    assert torch.allclose(rows.diagonal(), torch.full((3,), 0.8))


def test_noise_adapted_ce_by_hand():
    """The student says 1/2, 1/4, 1/4, the teacher the second class. Of an image of the
    first it would say so with 3/4 of the 0.2 that are left, of the third with half."""
    loss = noisy(loss_weight=2.0)
    with torch.no_grad():
        loss.transition[0, 1] = LOG(3)
    student = torch.tensor([[LOG(2), 0.0, 0.0]])
    teacher = torch.tensor([[0.0, 1.0, 0.0]])
    said = 1 / 2 * 0.15 + 1 / 4 * 0.8 + 1 / 4 * 0.1
    assert loss(student, teacher).item() == pytest.approx(-2 * LOG(said))


def test_with_a_teacher_that_is_always_right_it_is_hard_kd():
    student, teacher = tokens(6, 3), tokens(6, 3).flip(0)
    ours = noisy(teacher_accuracy=1 - 1e-9)(student, teacher)
    hard = torch.nn.functional.cross_entropy(student, teacher.argmax(1))
    assert torch.allclose(ours, hard, atol=1e-5)


def test_the_gradient_reaches_the_transitions_but_not_their_diagonal():
    loss, student = noisy(), tokens(6, 3).requires_grad_()
    loss(student, tokens(6, 3).flip(0)).backward()
    gradient = loss.transition.grad
    assert gradient.isfinite().all()
    assert gradient.diagonal().tolist() == [0, 0, 0]
    assert gradient.any()
    assert student.grad.isfinite().all()
    assert student.grad.any()


def test_true_labels_are_not_read():
    sides = tokens(6, 3), tokens(6, 3).flip(0)
    without = noisy()(*sides)
    assert noisy()(*sides, target=torch.tensor([0, 1, 2, 0, 1, 2])) == without


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'teacher_accuracy': 76.3}, 'between 0 and 1, got 76.3: write 0.763'),
        ({'teacher_accuracy': 1}, 'between 0 and 1, got 1$'),
        ({'teacher_accuracy': 0.0}, 'between 0 and 1, got 0$'),
        ({'teacher_accuracy': '0.8'}, "must be a number, got the text '0.8'"),
        ({'num_classes': 1}, 'num_classes must be at least 2, got 1'),
        ({'num_classes': 2.5}, 'num_classes must be a whole number, got 2.5'),
    ],
)
def test_wrong_settings_are_told(changes, message):
    with pytest.raises(ValueError, match=message):
        noisy(**changes)


def test_another_number_of_classes_is_told_by_the_term(tmp_path):
    loss = {'type': 'NoiseAdaptedCELoss', 'num_classes': 7, 'teacher_accuracy': 0.9}
    message = "term 'noise'.*num_classes=7, but.*10 classes: set num_classes=10"
    with pytest.raises(ValueError, match=message):
        build(distiller(tmp_path, terms={'noise': {**NKD, 'loss': loss}}))


def test_the_transitions_are_no_part_of_the_student(tmp_path):
    """What is exported is below ``student.``"""
    loss = {'type': 'NoiseAdaptedCELoss', 'num_classes': 10, 'teacher_accuracy': 0.9}
    model = build(distiller(tmp_path, terms={'noise': {**NKD, 'loss': loss}}))
    (name,) = (key for key in model.state_dict() if 'transition' in key)
    assert name == 'terms.noise.loss.transition'
    assert not name.startswith(PREFIX)
