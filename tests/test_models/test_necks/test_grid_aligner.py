import pytest
import torch
import torch.nn.functional as F

from mmvitkd.models import GridAligner


@pytest.mark.parametrize('pixels', [192, 224])
@pytest.mark.parametrize('stride', [8, 16, 32])
def test_output_has_the_teachers_shape(pixels, stride):
    """Of a CNN's stages, for a ViT with patches of 16, at any size of the images."""
    side, side_t = pixels // 16, pixels // stride
    neck = GridAligner(6, 10)
    x = torch.randn(2, side * side, 6, requires_grad=True)
    t = torch.randn(2, side_t * side_t, 10, requires_grad=True)
    student, teacher = neck(x, (side, side), t, (side_t, side_t))
    assert student.shape == teacher.shape == t.shape
    assert teacher is t
    student.square().mean().backward()
    assert x.grad.any()
    assert t.grad is None
    assert all(p.grad.any() for p in neck.parameters())


def test_places_stay_where_they_are():
    """One token alone lights its own corner of a larger map, off the square."""
    neck = GridAligner(1, 1)
    x = torch.zeros(1, 6, 1)
    x[0, 5] = 1.0  # the last of 2x3
    with torch.no_grad():
        neck.layers[0].weight.zero_()
        neck.layers[0].weight[..., 1, 1] = 1.0
        neck.layers[1].weight.fill_(1.0)
    out, _ = neck(x, (2, 3), torch.zeros(1, 24, 1), (4, 6))
    lit = out[0, :, 0].unflatten(0, (4, 6))
    assert lit.argmax() == 23
    expected = F.interpolate(x.view(1, 1, 2, 3), (4, 6), mode='bilinear')
    assert torch.equal(lit > lit.amin(), expected[0, 0] > 0)


def test_a_smaller_grid_takes_the_mean_of_what_it_covers():
    """Antialiased, of 1x6 tokens to 1x2: by triangles three tokens wide on either side
    of 1 and 4, in shares of 1, 2, 3, 2 and 1, which end at the edge."""
    neck = GridAligner(1, 1)
    x = torch.tensor([9.0, 0, 0, 0, 0, 0]).view(1, 6, 1)
    seen = []
    neck.layers.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    neck(x, (1, 6), torch.zeros(1, 2, 1), (1, 2))
    first = 9 * 2 / (2 + 3 + 2 + 1)
    torch.testing.assert_close(seen[0].flatten(), torch.tensor([first, 0.0]))


def test_the_norm_alone_shifts():
    names = {name for name, _ in GridAligner(4, 3).named_parameters()}
    norm = {'layers.2.weight', 'layers.2.bias'}
    assert names == {'layers.0.weight', 'layers.1.weight'} | norm


def test_scale_of_the_tokens_does_not_matter():
    """The norm: the teacher's scale is learned, by one factor a channel."""
    neck = GridAligner(4, 3)
    x, t = torch.randn(4, 4, 4), torch.randn(4, 16, 3)
    one, _ = neck(x, (2, 2), t, (4, 4))
    other, _ = neck(7 * x, (2, 2), t, (4, 4))
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
    assert not list(neck.buffers())


def test_a_grid_that_is_not_the_tokens():
    with pytest.raises(ValueError, match='does not match 6 patch tokens'):
        GridAligner(4, 3)(torch.randn(1, 6, 4), (2, 2), torch.randn(1, 4, 3), (2, 2))
