import pytest
import torch

from mmvitkd.models import LiftClsHead
from tests.helpers import build, distiller, samples, vit

SPECTRAL = {
    'student': 'head.lift',
    'teacher': 'backbone.layers.2',
    'loss': {'type': 'SpectralLoss'},
}


def student() -> dict:
    """A ViT of width 16 lifted to 24."""
    cfg = vit(out_type='featmap', final_norm=False)
    cfg['head'] = {
        'type': 'LiftClsHead',
        'num_classes': 10,
        'in_channels': 16,
        'lift_channels': 24,
        'loss': {'type': 'CrossEntropyLoss'},
    }
    return cfg


def images() -> torch.Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_the_mean_of_lifted_tokens_is_classified():
    head = LiftClsHead(5, 4, lift_channels=6)
    head.init_weights()
    linear, norm = head.lift
    assert (linear.weight.shape, linear.bias) == ((6, 4), None)
    maps = torch.randn(2, 4, 2, 3)
    tokens = torch.stack([norm(maps[..., i, j] @ linear.weight.T)
                          for i in range(2) for j in range(3)])  # fmt: skip
    torch.testing.assert_close(head((maps,)), head.fc(tokens.mean(0)))


def test_lifted_tokens_are_tapped_with_their_grid_and_need_no_neck(tmp_path):
    model = build(distiller(tmp_path, student=student(), terms={'s': SPECTRAL}))
    model.loss(images(), samples([0, 1]))['loss_s'].backward()
    assert model.student.head.lift[0].weight.grad.any()
    assert model.terms['s'].neck is None


def test_the_class_token_is_not_read():
    """No label's gradient gets to it at the last layer."""
    model = build(student())
    model.init_weights()
    seen = []
    model.backbone.layers[-1].register_forward_hook(lambda *args: seen.append(args[2]))
    out = model(images(), mode='tensor')
    seen[0].retain_grad()
    out.square().sum().backward()
    assert not seen[0].grad[:, 0].any()
    assert seen[0].grad[:, 1:].any()


def test_tokens_without_a_grid_are_refused():
    with pytest.raises(ValueError, match=r"got \(2, 4\): set out_type='featmap'"):
        LiftClsHead(5, 4)((torch.zeros(2, 4),))


def test_numbers_out_of_range_are_named():
    with pytest.raises(ValueError, match='lift_channels must be above 0, got 0'):
        LiftClsHead(5, 4, lift_channels=0)
