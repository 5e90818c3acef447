"""What holds for every generative projector, and each one's own arithmetic."""

import math

import pytest
import torch

from mmvitkd.models import (
    ConvGenerativeProjector,
    ViTKDGenLoss,
    ViTKDMimicLoss,
)
from mmvitkd.models.utils import bernoulli_mask
from tests.helpers import GEN, build, distiller, samples
from tests.test_models.test_necks.projectors import (
    ATTENTION,
    EVERY,
    HW,
    MASKINGS,
    TOKENS,
    neck_of,
    some_mask,
)


@pytest.mark.parametrize('cls', EVERY)
@pytest.mark.parametrize('hw', [(3, 5), (1, 7), (4, 4)])
@pytest.mark.parametrize(('heads', 'width'), [(2, 6), (3, 9), (1, 1)])
def test_any_grid_and_any_width_that_the_heads_divide(cls, hw, heads, width):
    neck = neck_of(cls, 4, width, **({'num_heads': heads} if cls in ATTENTION else {}))
    out, mask = neck(torch.randn(2, hw[0] * hw[1], 4), hw)
    assert out.shape == (2, hw[0] * hw[1], width)
    assert mask.shape == (2, hw[0] * hw[1])
    assert out.isfinite().all()


@pytest.mark.parametrize('cls', EVERY)
def test_masked_tokens_own_content_never_reaches_the_output(cls):
    neck, x, mask = neck_of(cls), torch.randn(2, TOKENS, 4), some_mask()
    moved = x + mask[..., None] * 10
    assert torch.equal(neck(x, HW, mask)[0], neck(moved, HW, mask)[0])


@pytest.mark.parametrize('cls', EVERY)
def test_masked_places_are_generated_from_visible_tokens(cls):
    neck, x, mask = neck_of(cls), torch.randn(2, TOKENS, 4), some_mask()
    moved = x + ~mask[..., None] * torch.randn(4)
    change = (neck(x, HW, mask)[0] - neck(moved, HW, mask)[0]).abs().sum(-1)
    assert (change[mask] > 1e-4).all()


@pytest.mark.parametrize('cls', EVERY)
@pytest.mark.parametrize('masking', MASKINGS)
@pytest.mark.parametrize('ratio', [0, 0.5])
def test_gradient_reaches_neck_and_visible_tokens_alone(cls, masking, ratio):
    """Every parameter has one also at ratio 0: data-parallel training demands it."""
    neck = neck_of(cls, mask_ratio=ratio, masking=masking)
    x = torch.randn(2, TOKENS, 4, requires_grad=True)
    out, mask = neck(x, HW)
    out.square().sum().backward()
    assert all(p.grad is not None for p in neck.parameters())
    assert all(p.grad.any() for n, p in neck.named_parameters() if n != 'mask_token')
    assert neck.mask_token.grad.any() == mask.any()
    assert torch.equal(x.grad.any(-1), ~mask)


@pytest.mark.parametrize('cls', EVERY)
def test_loss_on_masked_tokens_reaches_student_and_neck(cls):
    neck = neck_of(cls)
    x = torch.randn(2, TOKENS, 4, requires_grad=True)
    out, mask = neck(x, HW)
    ViTKDGenLoss()(out, torch.randn(2, TOKENS, 6), mask=mask).backward()
    assert x.grad.any()
    assert neck.align.fc.weight.grad.any()
    assert neck.mask_token.grad.any()


@pytest.mark.parametrize('cls', EVERY)
@pytest.mark.parametrize('masking', MASKINGS)
def test_in_the_distiller_the_teacher_gets_no_gradient(cls, masking, tmp_path):
    neck = {'type': f'mmvitkd.{cls.__name__}', 'masking': masking}
    model = build(distiller(tmp_path, terms={'gen': {**GEN, 'neck': neck}}))
    model.loss(torch.randn(4, 3, 32, 32), samples([0, 1, 2, 3]))['loss_gen'].backward()
    assert all(p.grad is not None for p in model.terms.parameters())
    teacher = model.teachers['teacher'].model
    assert all(p.grad is None for p in teacher.parameters())
    patch = model.student.backbone.patch_embed.projection.weight.grad
    assert patch.any()


@pytest.mark.parametrize('cls', EVERY)
@pytest.mark.parametrize('masking', MASKINGS)
def test_ratio_0_masks_none_and_the_loss_compares_all(cls, masking):
    out, mask = neck_of(cls, mask_ratio=0, masking=masking)(torch.randn(2, 15, 4), HW)
    assert not mask.any()
    teacher = torch.randn(2, TOKENS, 6)
    loss = ViTKDGenLoss(1.0)(out, teacher, mask=mask)
    torch.testing.assert_close(loss, ViTKDMimicLoss(1.0)(out, teacher))


@pytest.mark.parametrize(
    ('ratio', 'masked'), [(0, 0), (0.3, 5), (0.5, 8), (0.7, 11), (0.9, 14)]
)
@pytest.mark.parametrize('cls', EVERY)
def test_exact_masking_masks_the_same_number_in_every_sample(cls, ratio, masked):
    mask = neck_of(cls, mask_ratio=ratio)(torch.randn(3, TOKENS, 4), HW)[1]
    assert mask.sum(1).tolist() == [masked] * 3


@pytest.mark.parametrize('ratio', [0.1, 0.3, 0.5, 0.7, 0.9])
def test_bernoulli_masks_every_token_by_itself(ratio):
    """Mean and variance of a sample's count are those of the binomial."""
    torch.manual_seed(0)
    samples, tokens = 4000, 100
    mask = bernoulli_mask(samples, tokens, ratio, torch.device('cpu'))
    count = mask.sum(1).double()
    variance = tokens * ratio * (1 - ratio)
    error = 4 * math.sqrt(variance / samples)  # four standard errors
    assert count.mean().item() == pytest.approx(tokens * ratio, abs=error)
    assert count.var().item() == pytest.approx(variance, rel=0.1)
    share = mask.double().mean(0)  # of every place
    assert (share - ratio).abs().max() < 5 * math.sqrt(ratio * (1 - ratio) / samples)


def test_bernoulli_leaves_every_sample_a_token_and_changes_no_other():
    """Of two tokens at 0.9, one stays in 0.81 + 0.18 of the samples, both in 0.01."""
    torch.manual_seed(0)
    visible = (~bernoulli_mask(20000, 2, 0.9, torch.device('cpu'))).sum(1)
    shares = [(visible == n).double().mean().item() for n in (0, 1, 2)]
    assert shares == pytest.approx([0, 0.99, 0.01], abs=0.003)


def test_generation_loss_divides_by_the_share_that_bernoulli_masked():
    """Errors of 1 everywhere: 15 a sample, however many tokens were drawn."""
    student, teacher = torch.zeros(2, TOKENS, 1), torch.ones(2, TOKENS, 1)
    mask = torch.zeros(2, TOKENS, dtype=torch.bool)
    mask[0, :11] = mask[1, 2] = True
    assert ViTKDGenLoss(1.0)(student, teacher, mask=mask).item() == pytest.approx(15)


@pytest.mark.parametrize('ratio', [0.05, 0.9])
@pytest.mark.parametrize('cls', ATTENTION)
def test_bernoulli_samples_of_few_tokens_stay_finite(cls, ratio):
    neck = neck_of(cls, mask_ratio=ratio, masking='bernoulli')
    out, mask = neck(torch.randn(64, 2, 4), (1, 2))
    out.sum().backward()
    assert 0 < mask.sum() < mask.numel()
    assert out.isfinite().all()
    assert all(p.grad.isfinite().all() for p in neck.parameters())


@pytest.mark.parametrize('cls', EVERY)
def test_a_sample_given_without_a_visible_token_is_finite(cls):
    neck, mask = neck_of(cls), some_mask()
    mask[1] = True
    out = neck(torch.randn(2, TOKENS, 4), HW, mask)[0]
    assert out.isfinite().all()
    assert out.grad_fn is not None


@pytest.mark.parametrize('cls', EVERY)
def test_bad_arguments(cls):
    with pytest.raises(ValueError, match=r'\[0, 1\), got 1'):
        neck_of(cls, mask_ratio=1)
    with pytest.raises(ValueError, match=r"'exact', 'bernoulli'\), got 'block'"):
        neck_of(cls, masking='block')
    x = torch.randn(2, TOKENS, 4)
    with pytest.raises(ValueError, match='does not match 15 patch tokens'):
        neck_of(cls)(x, (4, 4))
    with pytest.raises(ValueError, match=r'\(2, 15\), got \(1, 15\)'):
        neck_of(cls)(x, HW, some_mask(1))


@pytest.mark.parametrize('sparse', [False, True])
def test_no_visible_token_at_all(sparse):
    """A mask that is given, as the drawn ones leave a token: the gradients are there,
    and the same either way."""
    neck = neck_of(ConvGenerativeProjector, sparse=sparse)
    x = torch.randn(2, TOKENS, 4, requires_grad=True)
    out = neck(x, HW, torch.ones(2, TOKENS, dtype=torch.bool))[0]
    out.square().sum().backward()
    assert not x.grad.any()
    assert neck.mask_token.grad.any()
    plain = neck_of(ConvGenerativeProjector, sparse=False)
    expected = plain(x, HW, torch.ones(2, TOKENS, dtype=torch.bool))[0]
    torch.testing.assert_close(out, expected)
    expected.square().sum().backward()
    for mine, theirs in zip(neck.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('masking', MASKINGS)
def test_a_ratio_below_one_token_is_warned_of_once(masking, log):
    neck = neck_of(ConvGenerativeProjector, mask_ratio=0.01, masking=masking)
    for _ in range(2):
        neck(torch.randn(2, TOKENS, 4), HW)
    assert log.text.count('of 15 tokens is less than one') == 1
    assert 'from 0.067 on' in log.text
    for ratio in (0, 0.07):
        other = neck_of(ConvGenerativeProjector, mask_ratio=ratio, masking=masking)
        other(torch.randn(2, TOKENS, 4), HW)
    assert log.text.count('less than one') == 1


@pytest.mark.parametrize('masking', MASKINGS)
def test_a_ratio_that_masks_nothing_is_refused(masking):
    neck = neck_of(ConvGenerativeProjector, masking=masking)
    with pytest.raises(ValueError, match=r'0.5, .* of 1 tokens masks none: 0 has'):
        neck(torch.randn(2, 1, 4), (1, 1))
    neck.mask_ratio = 1e-9
    if masking == 'exact':
        with pytest.raises(ValueError, match='of 15 tokens masks none: 0 has every'):
            neck(torch.randn(2, TOKENS, 4), HW)


def test_a_ratio_that_masks_nothing_is_found_at_construction(tmp_path):
    neck = {**GEN['neck'], 'mask_ratio': 1e-9}
    with pytest.raises(ValueError, match="term 'gen': mask_ratio=1e-09, exact"):
        build(distiller(tmp_path, terms={'gen': {**GEN, 'neck': neck}}))


@pytest.mark.parametrize('ratio', ['0.5', True, None])
def test_a_ratio_is_a_number(ratio):
    with pytest.raises(ValueError, match='mask_ratio must be a number, got'):
        neck_of(ConvGenerativeProjector, mask_ratio=ratio)
