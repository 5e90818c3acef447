import pytest
import torch
from torch import nn

from mmvitkd.models import (
    AdversarialFeatureLoss,
    AdversarialNeck,
    GroupwiseLinearNeck,
    LinearProjector,
    PartialCrossAttentionLoss,
    PartialCrossAttentionNeck,
)
from mmvitkd.models.necks.adversarial_neck import ReverseGradient

HW = (4, 4)


def tokens(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


# ------------------------------------------------------------ partial cross attention


def attention(qkv: torch.Tensor) -> torch.Tensor:
    """Of one head, as the paper writes it."""
    q, k, v = qkv.chunk(3, -1)
    return (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).softmax(-1) @ v


def maps(neck: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Queries, keys and values of a 4x4 map."""
    x = x.transpose(1, 2).reshape(len(x), -1, *HW)
    y = nn.functional.conv2d(x, neck.qkv.weight, neck.qkv.bias, padding=1)
    return y.flatten(2).transpose(1, 2)


def test_attention_by_hand():
    """The scores of the first token are 0 and log 3, so the values 4 and 8 make 7;
    those of the second are 0."""
    neck = PartialCrossAttentionNeck(1, 3)
    log3 = torch.tensor(3.0).log().item()
    t = torch.tensor([[[log3, 0.0, 4.0], [0.0, 1.0, 8.0]]])
    _, target = neck(tokens(1, 2, 1), (1, 2), t, (1, 2))
    assert target.flatten().tolist() == pytest.approx([7, 4, 6, 8])


def test_with_probability_0_nothing_is_the_teachers():
    neck = PartialCrossAttentionNeck(5, 21, prob=0.0)
    x, t = tokens(2, 16, 5), tokens(2, 16, 21)
    out, target = neck(x, HW, t, HW)
    assert torch.equal(out, neck(x, HW, 9 * t, HW)[0])
    qkv = maps(neck, x)
    assert torch.allclose(out[..., :7], attention(qkv), atol=1e-6)
    assert torch.allclose(out[..., 7:], qkv[..., 14:], atol=1e-6)
    assert torch.allclose(target[..., :7], attention(t), atol=1e-6)
    assert torch.equal(target[..., 7:], t[..., 14:])


def test_with_probability_1_only_the_values_are_the_students():
    """The first summand of the loss is 0 then, and the second is not."""
    neck = PartialCrossAttentionNeck(5, 21, prob=1.0)
    sides = neck(tokens(2, 16, 5), HW, tokens(2, 16, 21), HW)
    assert torch.equal(sides[0][..., :7], sides[1][..., :7])
    assert PartialCrossAttentionLoss(values=0.0)(*sides) == 0
    assert PartialCrossAttentionLoss(attention=0.0)(*sides) > 0


def test_every_entry_is_crossed_by_itself():
    """One token attends to itself alone, so that its attention is its value."""
    torch.manual_seed(0)
    neck = PartialCrossAttentionNeck(5, 3000, prob=0.25)
    x, t = tokens(40, 1, 5), tokens(40, 1, 3000)
    out, _ = neck(x, (1, 1), t, (1, 1))
    values = t[..., 2000:]
    taken = out[..., :1000] == values
    assert taken.float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert (taken.float().mean(0) > 0).all()
    assert (taken.float().mean(-1) < 0.35).all()
    own = out[..., 1000:]
    assert torch.equal(out[..., :1000], torch.where(taken, values, own))


def test_evaluation_crosses_nothing():
    neck = PartialCrossAttentionNeck(5, 21)
    x, t = tokens(2, 16, 5), tokens(2, 16, 21)
    trained = neck(x, HW, t, HW)[0]
    out = neck.eval()(x, HW, t, HW)[0]
    assert not torch.equal(out, trained)
    assert torch.equal(out, neck(x, HW, 9 * t, HW)[0])
    neck.train().prob = 0.0
    assert torch.equal(out, neck(x, HW, t, HW)[0])


def test_heads_attend_by_themselves():
    """Each is one of the batch: two of the first image, then two of the second."""
    neck = PartialCrossAttentionNeck(5, 24, num_heads=2, prob=0.0)
    x, t = tokens(2, 16, 5), tokens(2, 16, 24)
    sides = neck(x, HW, t, HW)
    for side, whole in zip(sides, (maps(neck, x), t), strict=True):
        assert side.shape == (4, 16, 8)
        q, k, v = whole.chunk(3, -1)
        for head, part in enumerate((slice(0, 4), slice(4, 8))):
            qkv = torch.cat([y[..., part] for y in (q, k, v)], -1)
            by_hand = torch.cat([attention(qkv), v[..., part]], -1)
            assert torch.allclose(side[head::2], by_hand, atol=1e-5)


def test_the_students_map_is_brought_to_the_teachers_grid():
    """A map that is the same everywhere stays so, but for the edges of a 3x3."""
    neck = PartialCrossAttentionNeck(5, 21, prob=0.0)
    x = tokens(2, 1, 5).expand(2, 36, 5)
    out, target = neck(x, (6, 6), tokens(2, 24, 21), (4, 6))
    assert out.shape == target.shape == (2, 24, 14)
    values = out[..., 7:].unflatten(1, (4, 6))
    assert torch.allclose(values[:, 1, 2], values[:, 2, 3], atol=1e-6)


def test_a_teacher_in_half_precision():
    neck = PartialCrossAttentionNeck(5, 21)
    out, target = neck(tokens(2, 16, 5), HW, tokens(2, 16, 21).bfloat16(), HW)
    assert out.dtype == target.dtype == torch.float32


def test_bad_arguments_of_the_attention():
    with pytest.raises(ValueError, match="width 20 is not that of .*'....attn.qkv'"):
        PartialCrossAttentionNeck(5, 20)
    with pytest.raises(ValueError, match="divide the teacher's width 7, got 2"):
        PartialCrossAttentionNeck(5, 21, num_heads=2)
    with pytest.raises(ValueError, match='prob must be between 0 and 1, got 1.5'):
        PartialCrossAttentionNeck(5, 21, prob=1.5)


# ---------------------------------------------------------------- group-wise linear


def test_blocks_of_a_grid_of_14_are_of_4_4_4_and_2():
    """Each by a layer of its own, row by row."""
    neck = GroupwiseLinearNeck(3, 5, drop_rate=0.0)
    x = tokens(2, 14 * 14, 3)
    out = neck(x, (14, 14)).unflatten(1, (14, 14))
    x = x.unflatten(1, (14, 14))
    assert [len(part) for part in torch.arange(14).split(4)] == [4, 4, 4, 2]
    for row in range(14):
        for column in range(14):
            layer = neck.fcs[4 * (row // 4) + column // 4]
            by_hand = layer(x[:, row, column])
            assert torch.allclose(out[:, row, column], by_hand, atol=1e-6)


def test_other_grids_have_as_many_blocks():
    neck = GroupwiseLinearNeck(3, 5, drop_rate=0.0)
    for hw, (row, column), layer in (
        ((24, 24), (17, 6), 4 * 2 + 1),  # blocks of 6x6
        ((4, 16), (3, 11), 4 * 3 + 2),  # of 1x4
        ((7, 4), (6, 0), 4 * 3),  # of 2x1, the last of 1x1
    ):
        x = tokens(1, hw[0] * hw[1], 3)
        place = row * hw[1] + column
        by_hand = neck.fcs[layer](x[:, place])
        assert torch.allclose(neck(x, hw)[:, place], by_hand, atol=1e-6)


def test_one_group_is_the_linear_projector():
    neck, linear = GroupwiseLinearNeck(3, 5, groups=1), LinearProjector(3, 5)
    neck.fcs[0].load_state_dict(linear.fc.state_dict())
    x = tokens(2, 6, 3)
    assert not torch.allclose(neck(x, (2, 3)), linear(x))  # dropout, in training
    assert torch.allclose(neck.eval()(x, (2, 3)), linear(x), atol=1e-6)


def test_groups_that_do_not_fit():
    message = r'grid \(9, 12\) in blocks of 3x3 has \(3, 4\) .* take groups=3'
    with pytest.raises(ValueError, match=message):
        GroupwiseLinearNeck(3, 5)(tokens(1, 108, 3), (9, 12))
    with pytest.raises(ValueError, match='does not match 16 patch tokens'):
        GroupwiseLinearNeck(3, 5)(tokens(1, 16, 3), (4, 5))
    with pytest.raises(ValueError, match='groups must be above 0, got 0'):
        GroupwiseLinearNeck(3, 5, groups=0)
    with pytest.raises(ValueError, match='drop_rate must be between 0 and 1, got -1'):
        GroupwiseLinearNeck(3, 5, drop_rate=-1)


# ------------------------------------------------------------------ the discriminator


def test_the_reversed_gradient_has_the_other_sign_and_the_same_value():
    x = tokens(2, 3).requires_grad_()
    out = ReverseGradient.apply(x)
    assert torch.equal(out, x)
    (out * torch.tensor([1.0, 2.0, -3.0])).sum().backward()
    assert x.grad[0].tolist() == [-1, -2, 3]


def test_the_student_learns_against_the_discriminator():
    """By the gradient of log(1 - D), which is that of the loss, reversed."""
    neck = AdversarialNeck(3, 5, groups=2, drop_rate=0.0)
    x, t = tokens(2, 16, 3).requires_grad_(), tokens(2, 16, 5)
    s, target = neck(x, HW, t, HW)
    alone = AdversarialFeatureLoss(adversarial=1.0)(s, target)
    distance = AdversarialFeatureLoss(adversarial=0.0)(s, target)
    (got,) = torch.autograd.grad(alone - distance, x, retain_graph=True)
    verdict = neck.discriminator(neck.projector(x, HW)).sigmoid()
    (paper,) = torch.autograd.grad((1 - verdict).log().mean(), x)
    assert torch.allclose(got, paper, atol=1e-6)
    assert got.any()


def test_one_step_of_one_optimiser_pulls_both_ways():
    """Each with the other held: the discriminator's loss falls by its own weights, and
    rises by the student's."""
    torch.manual_seed(0)
    neck = AdversarialNeck(3, 5, groups=2, drop_rate=0.0)
    x, t = tokens(2, 16, 3), 2 + tokens(2, 16, 5)

    def told() -> torch.Tensor:
        sides = neck(x, HW, t, HW)
        return AdversarialFeatureLoss()(*sides) - AdversarialFeatureLoss(0.0)(*sides)

    before = told()
    before.backward()
    state = {k: v.clone() for k, v in neck.state_dict().items()}
    after = {}
    for part in ('discriminator', 'projector'):
        neck.load_state_dict(state)
        with torch.no_grad():
            for parameter in getattr(neck, part).parameters():
                parameter -= 0.01 * parameter.grad
        after[part] = told().item()
    assert after['discriminator'] < before.item() < after['projector']


def test_sides_are_features_and_verdicts():
    neck = AdversarialNeck(3, 5, groups=2).eval()
    x, t = tokens(2, 16, 3), tokens(2, 16, 5)
    s, target = neck(x, HW, t, HW)
    features = neck.projector(x, HW)
    assert torch.equal(s[..., :-1], features)
    assert torch.equal(s[..., -1:], neck.discriminator(features))
    assert torch.equal(target[..., :-1], t)
    assert torch.equal(target[..., -1:], neck.discriminator(t))
    assert sum(isinstance(m, nn.Linear) for m in neck.discriminator) == 3


def test_the_teacher_is_resampled_to_the_students_grid():
    neck = AdversarialNeck(3, 5, groups=2)
    t = tokens(2, 1, 5).expand(2, 36, 5)
    s, target = neck(tokens(2, 16, 3), HW, t.bfloat16(), (6, 6))
    assert s.shape == target.shape == (2, 16, 6)
    assert s.dtype == target.dtype == torch.float32
    assert torch.allclose(target[..., :-1], t[:, :16], atol=0.02)


def test_bad_arguments_of_the_discriminator():
    with pytest.raises(ValueError, match='hidden_channels must be above 0, got 0'):
        AdversarialNeck(3, 5, hidden_channels=0)
    with pytest.raises(ValueError, match='does not match 16 patch tokens'):
        AdversarialNeck(3, 5)(tokens(2, 16, 3), HW, tokens(2, 16, 5), None)


@pytest.mark.parametrize('half', [False, True])
@pytest.mark.parametrize(
    ('neck', 'loss', 'width'),
    [
        (lambda: PartialCrossAttentionNeck(3, 12), PartialCrossAttentionLoss(), 12),
        (lambda: AdversarialNeck(3, 5, groups=2), AdversarialFeatureLoss(), 5),
    ],
    ids=['attention', 'features'],
)
def test_every_parameter_gets_a_gradient(neck, loss, width, half):
    """In mixed precision too."""
    neck = neck()
    x = tokens(2, 16, 3).requires_grad_()
    with torch.autocast('cpu', dtype=torch.bfloat16, enabled=half):
        out = loss(*neck(x, HW, tokens(2, 16, width), HW))
    out.backward()
    assert out.dtype == torch.float32
    assert all(p.grad.any() for p in neck.parameters())
    assert x.grad.any()
