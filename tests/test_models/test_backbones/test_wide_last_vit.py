import pytest
import torch
from torch import nn

from mmvitkd.models import StrictPretrained, WideLastViT
from tests.helpers import build, distiller, samples, vit


def plain(**backbone) -> nn.Module:
    torch.manual_seed(0)
    model = build(vit(**backbone)['backbone'])
    model.init_weights()
    model.eval()
    return model


def made(**backbone) -> WideLastViT:
    """Three layers of width 16, the last of 24, of 32x32 images on 4x4 patches."""
    wide = {'type': 'WideLastViT', 'last_dims': 24, 'last_heads': 3}
    return plain(**{**wide, **backbone})


def images() -> torch.Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize('out_type', ['cls_token', 'avg_featmap', 'featmap', 'raw'])
def test_equal_widths_and_no_projection_are_the_plain_vit(out_type):
    ours = made(last_dims=16, last_heads=2, out_type=out_type)
    ours.layers[-1].proj_in = nn.Identity()
    theirs = plain(out_type=out_type)
    ours.load_state_dict(theirs.state_dict())
    assert torch.equal(ours(images())[-1], theirs(images())[-1])


def test_projection_and_norm_lead_to_the_layer_without_a_shortcut():
    model = made()
    layer = model.layers[-1]
    x = torch.randn(2, 17, 16)
    linear, norm = layer.proj_in
    assert (linear.weight.shape, linear.bias) == ((24, 16), None)
    h = norm(x @ linear.weight.T)
    h = h + layer.attn(layer.ln1(h))
    h = h + layer.ffn.layers(layer.ln2(h))
    torch.testing.assert_close(layer(x), h)
    assert layer.ffn.layers[0][0].weight.shape == (48, 24)  # in proportion
    assert model(images())[-1].shape == (2, 24)


def test_it_begins_as_released():
    model = made(arch='deit-tiny', img_size=224, patch_size=16)
    for weight in (model.layers[-1].proj_in[0].weight, model.cls_token):
        assert weight.std().item() == pytest.approx(0.02, rel=0.2)


def test_size_is_the_papers():
    """1.59M parameters more than DeiT-Tiny, its classifier's included."""
    model = build({'type': 'WideLastViT', 'arch': 'deit-tiny'})
    ours = sum(p.numel() for p in model.parameters()) + 385 * 1000
    assert ours == 7_313_896
    theirs = build({'type': 'VisionTransformer', 'arch': 'deit-tiny'})
    assert sum(p.numel() for p in theirs.parameters()) + 193 * 1000 == 5_717_416


def test_its_last_layer_needs_no_neck(tmp_path):
    student = vit(type='WideLastViT', last_dims=24, last_heads=2)
    student['head']['in_channels'] = 24
    mse = {
        'student': 'backbone.layers.2',
        'teacher': 'backbone.layers.2',
        'loss': {'type': 'ViTKDMimicLoss', 'reduction': 'mean'},
    }
    model = build(distiller(tmp_path, student=student, terms={'mse': mse}))
    model.loss(images(), samples([0, 1]))['loss_mse'].backward()
    assert model.student.backbone.layers[2].proj_in[0].weight.grad.any()


def test_an_ordinary_vit_does_not_take_its_weights(tmp_path):
    """Downstream, too: what differs is named."""
    state = {f'backbone.{k}': v for k, v in made().state_dict().items()}
    torch.save({'state_dict': state}, tmp_path / 'wide.pth')
    init = StrictPretrained(str(tmp_path / 'wide.pth'))
    with pytest.raises(ValueError, match=r'(?s)another shape.*layers\.2.*proj_in'):
        init(plain())


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'last_heads': 5}, 'multiple of last_heads, got 24 and 5'),
        ({'last_dims': 0}, 'last_dims must be above 0, got 0'),
        ({'out_indices': [0, 2]}, r'leave out_indices=\[0, 2\] out'),
    ],
)
def test_what_does_not_fit_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        made(**wrong)
