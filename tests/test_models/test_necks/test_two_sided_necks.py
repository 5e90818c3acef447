import pytest
import torch
from torch import nn

from mmvitkd.models import AnchorPointNeck, PatchGroupNeck, TargetAwareNeck
from mmvitkd.models.necks.target_aware_neck import target_aware

HW = (4, 4)
EVERY = [
    lambda **kw: TargetAwareNeck(5, 7, **kw),
    lambda **kw: PatchGroupNeck(5, 7, cells=(2, 2), groups=2, **kw),
    lambda **kw: AnchorPointNeck(5, 7, anchors=(2, 2), **kw),
]
NAMES = ['target-aware', 'patch-group', 'anchor-point']


def tokens(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def test_target_aware_by_hand():
    """Keys 0 and log 3, so that a teacher's 1 weighs them as 1 to 3, its 0 alike and
    its 2 as 1 to 9; the grids need not be equal."""
    keys = torch.tensor([[[1.0], [3.0]]]).log()
    values = torch.tensor([[[0.0], [20.0]]])
    teacher = torch.tensor([[[1.0], [0.0], [2.0]]])
    mixed = target_aware(keys, values, teacher)
    assert mixed.flatten().tolist() == pytest.approx([15, 10, 18])


def test_neck_by_hand():
    """Convolution and norm, then the mixture of every place of the teacher."""
    neck = TargetAwareNeck(5, 7)
    x, t = tokens(2, 16, 5), tokens(2, 6, 7)
    maps = x.transpose(1, 2).reshape(2, 5, 4, 4)
    sides = []
    for layers in (neck.gamma, neck.phi):
        y = nn.functional.conv2d(maps, layers[0].weight, padding=1)
        mean, variance = y.mean((0, 2, 3)), y.var((0, 2, 3), unbiased=False)
        y = (y - mean.view(-1, 1, 1)) / (variance.view(-1, 1, 1) + 1e-5).sqrt()
        sides.append(y.flatten(2).transpose(1, 2))
    out, target = neck(x, HW, t, (2, 3))
    assert target is t
    for image in range(2):
        for i in range(6):
            weights = (sides[0][image] @ t[image, i]).softmax(0)
            by_hand = weights @ sides[1][image]
            assert torch.allclose(out[image, i], by_hand, atol=1e-5)


def test_a_constant_student_is_the_same_for_every_place_of_the_teacher():
    """Whatever the teacher asks; 1x1, since a 3x3 convolution sees the edges."""
    neck = TargetAwareNeck(5, 7, kernel_size=1)
    out, _ = neck(tokens(2, 1, 5).expand(2, 16, 5), HW, tokens(2, 16, 7), HW)
    assert torch.allclose(out, out[:, :1].expand_as(out), atol=1e-6)
    assert not torch.allclose(out[0], out[1])  # but images differ


def test_orthogonal_places_find_themselves():
    """Equal maps of orthogonal tokens, scaled up: each place picks its own."""
    same = 10 * torch.linalg.qr(tokens(8, 8))[0][None, :6]
    assert torch.allclose(target_aware(same, same, same), same, atol=1e-4)


def test_order_of_the_students_places_does_not_matter():
    """Unlike in the transposed form, whose softmax is over the teacher's places."""
    neck = TargetAwareNeck(5, 7, kernel_size=1)
    x, t, order = tokens(2, 16, 5), tokens(2, 16, 7), torch.randperm(16)
    out, _ = neck(x, HW, t, HW)
    assert torch.allclose(neck(x[:, order], HW, t, HW)[0], out, atol=1e-5)
    moved, _ = neck(x, HW, t[:, order], HW)
    assert torch.allclose(moved, out[:, order], atol=1e-5)


def test_one_cell_is_one_to_all():
    whole = TargetAwareNeck(5, 7, kernel_size=1)
    cell = PatchGroupNeck(5, 7, cells=(1, 1), groups=1)
    cell.load_state_dict(whole.state_dict())
    x, t = tokens(2, 16, 5), tokens(2, 8, 7)
    out, _ = whole(x, HW, t, (2, 4))
    assert torch.allclose(cell(x, HW, t, (2, 4))[0], out, atol=1e-6)


def test_as_many_anchors_as_places_are_one_to_all():
    whole = TargetAwareNeck(5, 7, kernel_size=1)
    anchors = AnchorPointNeck(5, 7, anchors=HW)
    anchors.load_state_dict(whole.state_dict())
    x, t = tokens(2, 16, 5), tokens(2, 16, 7)
    out, target = anchors(x, HW, t, HW)
    assert torch.allclose(out, whole(x, HW, t, HW)[0], atol=1e-6)
    assert torch.equal(target, t)


def test_patch_groups_by_hand():
    """A 2x4 map in 1x4 cells of 2x1 places, two groups of two: places (0, 0) and
    (0, 1) are one long vector, (1, 0) and (1, 1) the other one of the first group."""
    neck = PatchGroupNeck(3, 3, cells=(1, 4), groups=2)
    hw = (2, 4)
    x, t = tokens(1, 8, 3), tokens(1, 8, 3)
    keys, values = (
        layers(x.transpose(1, 2).unflatten(2, hw)).flatten(2).transpose(1, 2)[0]
        for layers in (neck.gamma, neck.phi)
    )
    out, target = neck(x, hw, t, hw)
    assert target is t
    for left in (0, 2):  # column that the group begins at
        rows = [[left, left + 1], [4 + left, 4 + left + 1]]
        sides = (keys, values, t[0])
        k, v, q = (torch.stack([y[row].flatten() for row in rows]) for y in sides)
        mixed = (q @ k.T).softmax(1) @ v  # (2, 2 * 3)
        for row, vector in zip(rows, mixed, strict=True):
            assert torch.allclose(out[0, row].flatten(), vector, atol=1e-5)


def test_groups_do_not_see_each_other():
    neck = PatchGroupNeck(5, 7, cells=(2, 2), groups=2)
    x, t = tokens(1, 16, 5), tokens(1, 16, 7)
    moved = t.clone()
    moved[:, 8:] += 1  # the lower two cells
    before, after = (neck(x, HW, y, HW)[0] for y in (t, moved))
    assert torch.equal(before[:, :8], after[:, :8])
    assert not torch.equal(before[:, 8:], after[:, 8:])


def test_anchors_are_means_of_both_sides():
    neck = AnchorPointNeck(5, 7, anchors=(2, 2))
    t = tokens(2, 16, 7)
    out, target = neck(tokens(2, 16, 5), HW, t, HW)
    assert out.shape == target.shape == (2, 4, 7)
    assert torch.allclose(target[:, 0], t[:, [0, 1, 4, 5]].mean(1))


@pytest.mark.parametrize('make', EVERY, ids=NAMES)
def test_unequal_grids_meet_without_resampling(make):
    t = tokens(2, 32, 7)
    out, target = make()(tokens(2, 16, 5), HW, t, (4, 8))
    assert out.shape == target.shape
    assert out.isfinite().all()


@pytest.mark.parametrize('make', EVERY, ids=NAMES)
def test_every_parameter_gets_a_gradient(make):
    neck = make()
    x = tokens(2, 16, 5).requires_grad_()
    out, target = neck(x, HW, tokens(2, 16, 7), HW)
    (out - target).square().mean().backward()
    assert all(p.grad.any() for p in neck.parameters())
    assert x.grad.any()


def test_autocast_does_not_lower_the_precision():
    """A softmax of products that are not scaled would not survive it."""
    keys, values, t = tokens(2, 16, 7), tokens(2, 16, 7), 30 * tokens(2, 8, 7)
    before = target_aware(keys, values, t)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert torch.equal(target_aware(keys, values, t), before)
        half = target_aware(keys.bfloat16(), values.bfloat16(), t.bfloat16())
    assert half.dtype == torch.float32


@pytest.mark.parametrize('make', EVERY, ids=NAMES)
def test_evaluation_uses_the_batch_as_training_does(make):
    """There are no running statistics that a trial on blank images could leave."""
    neck = make()
    assert not list(neck.buffers())
    args = tokens(2, 16, 5), HW, tokens(2, 16, 7), HW
    trained = neck(*args)[0]
    assert torch.equal(neck.eval()(*args)[0], trained)


@pytest.mark.parametrize('make', EVERY, ids=NAMES)
def test_grids_that_do_not_match(make):
    x, t = tokens(2, 16, 5), tokens(2, 16, 7)
    with pytest.raises(ValueError, match='does not match 16 patch tokens'):
        make()(x, (4, 5), t, HW)
    with pytest.raises(ValueError, match='does not match 16 patch tokens'):
        make()(x, HW, t, None)


def test_bad_arguments():
    with pytest.raises(ValueError, match='kernel_size must be odd, such as 3, got 2'):
        TargetAwareNeck(5, 7, kernel_size=2)
    with pytest.raises(ValueError, match=r'divide the 4 cells \(2, 2\), got 3'):
        PatchGroupNeck(5, 7, cells=(2, 2), groups=3)
    with pytest.raises(ValueError, match=r'cells=\(3, 2\) do not divide .* \(4, 4\)'):
        PatchGroupNeck(5, 7, (3, 2), 1)(tokens(2, 16, 5), HW, tokens(2, 16, 7), HW)
    for grid, cells in (((4, 6), (6, 2)), ((6, 4), (2, 6))):
        with pytest.raises(ValueError, match='do not divide the grid'):
            PatchGroupNeck(5, 7, cells, 1)(
                tokens(2, 24, 5), grid, tokens(2, 24, 7), grid
            )
    with pytest.raises(ValueError, match=r'anchors=\(8, 2\) are more .* \(4, 4\)'):
        AnchorPointNeck(5, 7, (8, 2))(tokens(2, 16, 5), HW, tokens(2, 16, 7), HW)
