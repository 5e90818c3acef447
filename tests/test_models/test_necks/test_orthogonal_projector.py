import copy
from itertools import pairwise

import pytest
import torch

from mmvitkd.models import OrthogonalProjector
from tests.helpers import build, distiller, samples

VKD = {
    'student': {'path': 'backbone.ln1', 'tokens': 'mean'},
    'teacher': {'path': 'backbone.ln1', 'tokens': 'mean'},
    'neck': {'type': 'OrthogonalProjector'},
    'loss': {'type': 'SmoothL1Loss'},
}


def made(seed: int = 0) -> OrthogonalProjector:
    torch.manual_seed(seed)
    return OrthogonalProjector(8, 24)


def test_columns_stay_orthonormal_and_turn_smoothly_under_weight_decay():
    neck = made()
    x, y = torch.randn(64, 8), torch.randn(64, 24)
    optimizer = torch.optim.AdamW(neck.parameters(), lr=1e-2, weight_decay=0.5)
    seen, losses = [neck.projection.detach()], []
    for _ in range(20):
        loss = (neck(x) - y).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen.append(neck.projection.detach())
        losses.append(loss.item())
    for p in seen:
        torch.testing.assert_close(p.T @ p, torch.eye(8), atol=1e-5, rtol=0)
    assert max((b - a).abs().max() for a, b in pairwise(seen)) < 0.1
    assert (seen[-1] - seen[0]).abs().max() > 0.1
    assert losses[-1] < losses[0]


def test_products_and_distances_are_the_students():
    x = torch.randn(2, 5, 8)
    y = made()(x)
    torch.testing.assert_close(y @ y.mT, x @ x.mT)
    torch.testing.assert_close(torch.cdist(y, y), torch.cdist(x, x))


def test_weight_decay_alone_does_not_move_it():
    neck = made()
    before = neck.projection.detach()
    with torch.no_grad():
        neck.fc.weight *= 0.3
    torch.testing.assert_close(neck.projection, before)


def test_gradient_is_the_numerical_one():
    neck = made().double()
    x = torch.randn(3, 8, dtype=torch.float64, requires_grad=True)

    def out(x, weight):
        return torch.func.functional_call(neck, {'fc.weight': weight}, x)

    weight = neck.fc.weight.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(out, (x, weight))


def test_half_precision_is_left_to_the_students_forward():
    neck, x = made(), torch.randn(2, 8)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        low = neck(x.bfloat16())
    assert low.dtype == torch.float32
    assert torch.equal(low, neck(x.bfloat16().float()))


def test_a_narrower_teacher_is_refused():
    with pytest.raises(ValueError, match="width 24 has no orthogonal.*teacher's 8"):
        OrthogonalProjector(24, 8)


def test_as_a_term_it_is_in_checkpoints_and_never_in_the_student(tmp_path):
    model = build(distiller(tmp_path, terms={'vkd': VKD}))
    images = torch.randn(2, 3, 32, 32)
    model.loss(images, samples([0, 1]))['loss_vkd'].backward()
    assert model.terms['vkd'].neck.fc.weight.grad.any()
    state = copy.deepcopy(model.state_dict())
    assert 'terms.vkd.neck.fc.weight' in state
    assert not any('neck' in name for name in model.student.state_dict())
    other = build(distiller(tmp_path, terms={'vkd': VKD}))
    other.load_state_dict(state)
    assert torch.equal(
        other.terms['vkd'].neck.projection, model.terms['vkd'].neck.projection
    )
