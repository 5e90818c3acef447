import pytest
import torch

from mmvitkd.models import ViTKDGenLoss, ViTKDMimicLoss
from tests.helpers import GEN, build, distiller, samples

STUDENT = torch.tensor([[[1.0, 2.0], [0.0, 0.0]], [[3.0, 0.0], [1.0, 1.0]]])
TEACHER = torch.tensor([[[0.0, 2.0], [2.0, 0.0]], [[3.0, 1.0], [1.0, 4.0]]])
# squared errors a token: 1, 4 in the first sample; 1, 9 in the second


def test_mimic_by_hand():
    assert ViTKDMimicLoss(loss_weight=1.0)(STUDENT, TEACHER).item() == 15 / 2
    mean = ViTKDMimicLoss(loss_weight=2.0, reduction='mean')
    assert mean(STUDENT, TEACHER).item() == 2 * 15 / 8


def test_default_weights_are_the_papers():
    assert ViTKDMimicLoss().loss_weight == 3e-5
    assert ViTKDGenLoss().loss_weight == 3e-6


def test_generation_by_hand():
    """Masked tokens only: errors 4 and 1; two samples; half of the tokens."""
    mask = torch.tensor([[False, True], [True, False]])
    loss = ViTKDGenLoss(loss_weight=1.0)(STUDENT, TEACHER, mask=mask)
    assert loss.item() == 5 / 2 / 0.5
    mean = ViTKDGenLoss(loss_weight=1.0, reduction='mean')
    assert mean(STUDENT, TEACHER, mask=mask).item() == 5 / 4


@pytest.mark.parametrize(('ratio', 'masked'), [(0.5, 25), (0.1, 5), (0.02, 1)])
def test_generation_divides_by_the_necks_ratio_as_released(ratio, masked):
    """Of 49 tokens 0.5 draws 25, of which the released code's quotient is 2 % less than
    that by the share that was drawn."""
    draw = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 3, 49, 4, generator=draw, dtype=torch.float64)
    mask = (torch.arange(49) < masked).expand(3, 49)
    squares = (student - teacher).square() * mask[..., None]
    sides = {'mask': mask, 'mask_ratio': ratio}
    released = ViTKDGenLoss(3e-6)(student, teacher, **sides)
    by_hand = squares.sum() / 3 * 3e-6 / ratio
    torch.testing.assert_close(released, by_hand, rtol=1e-12, atol=0)
    drawn = ViTKDGenLoss(3e-6, 'sum_drawn')(student, teacher, **sides)
    by_hand = squares.sum() / 3 * 3e-6 / (masked / 49)
    torch.testing.assert_close(drawn, by_hand, rtol=1e-12, atol=0)
    unknown = ViTKDGenLoss(3e-6)(student, teacher, mask=mask)
    assert torch.equal(unknown, drawn)


def test_generation_has_the_ratio_of_its_neck(tmp_path):
    """Of 16 tokens at 0.1 two are masked."""
    neck = {**GEN['neck'], 'mask_ratio': 0.1}
    terms = {
        name: {**GEN, 'neck': neck, 'loss': {'type': 'ViTKDGenLoss', 'reduction': name}}
        for name in ('sum', 'sum_drawn')
    }
    model = build(distiller(tmp_path, terms=terms))
    model.terms['sum_drawn'].neck = neck = model.terms['sum'].neck
    mask = torch.arange(16).expand(4, 16) < 2
    neck.register_forward_pre_hook(lambda _, args: (*args, mask))
    out = model.loss(torch.randn(4, 3, 32, 32), samples([0, 1, 2, 3]))
    share = (out['loss_sum'] / out['loss_sum_drawn']).item()
    assert share == pytest.approx(2 / 16 / 0.1)


@pytest.mark.parametrize('mask', [None, torch.zeros(2, 2, dtype=torch.bool)])
@pytest.mark.parametrize('reduction', ['sum', 'mean'])
def test_generation_compares_all_tokens_when_none_is_masked(mask, reduction):
    """Also a draw by chance, at a ratio above 0."""
    mimic = ViTKDMimicLoss(1.0, reduction)(STUDENT, TEACHER)
    for ratio in (None, 0, 0.1):
        loss = ViTKDGenLoss(1.0, reduction)
        assert torch.equal(loss(STUDENT, TEACHER, mask=mask, mask_ratio=ratio), mimic)


def test_generation_ignores_unmasked_tokens():
    mask = torch.tensor([[False, True], [True, False]])
    moved = STUDENT + (~mask)[..., None] * 100.0
    loss = ViTKDGenLoss()
    assert torch.equal(
        loss(STUDENT, TEACHER, mask=mask), loss(moved, TEACHER, mask=mask)
    )


@pytest.mark.parametrize('loss', [ViTKDMimicLoss(), ViTKDGenLoss()])
def test_zero_when_identical_and_gradient_reaches_the_student(loss):
    assert loss(TEACHER, TEACHER).item() == 0
    student = STUDENT.clone().requires_grad_()
    loss(student, TEACHER).backward()
    assert (student.grad != 0).any()


@pytest.mark.parametrize('cls', [ViTKDMimicLoss, ViTKDGenLoss])
def test_bad_arguments(cls):
    with pytest.raises(ValueError, match=r"reduction must be one of .* got 'max'"):
        cls(reduction='max')
    with pytest.raises(ValueError, match=r'\(2, 2, 2\).*\(2, 2, 3\).*neck'):
        cls()(STUDENT, torch.zeros(2, 2, 3))


def test_mask_of_another_shape():
    mask = torch.ones(2, 2, dtype=torch.bool)
    with pytest.raises(ValueError, match=r'\(2, 2\), got \(2, 1\)'):
        ViTKDGenLoss()(STUDENT, TEACHER, mask=mask[:, :1])


@pytest.mark.parametrize('reduction', ['sum', 'mean'])
def test_gradients_are_those_of_the_squares_written_out(reduction):
    draw = torch.Generator().manual_seed(0)
    teacher = torch.randn(3, 5, 4, generator=draw)
    leaf = torch.randn(3, 5, 4, generator=draw).requires_grad_()
    mask = torch.rand(3, 5, generator=draw) < 0.5
    square = (leaf - teacher).square()
    masked = (square * mask[..., None]).sum()
    sums = {
        ViTKDMimicLoss: (square.sum() / 3, square.mean()),
        ViTKDGenLoss: (
            masked / (3 * mask.float().mean()),
            masked / (4 * mask.sum()),
        ),
    }
    for cls, written in sums.items():
        loss = cls(2.0, reduction)
        mine = loss(leaf, teacher, mask=mask if cls is ViTKDGenLoss else None)
        theirs = 2 * written[reduction == 'mean']
        torch.testing.assert_close(mine, theirs)
        ours, plain = (
            torch.autograd.grad(x, leaf, retain_graph=True)[0] for x in (mine, theirs)
        )
        torch.testing.assert_close(ours, plain)
