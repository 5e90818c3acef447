import pytest
import torch
from torch import nn

from mmvitkd.models import ProjectorLoss, SpectralLoss
from tests.helpers import build, distiller, samples, save_weights, vit

GRID = (4, 6)
TERM = {'student': 'backbone.layers.0', 'teacher': 'backbone.layers.0'}


def tokens(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def named(loss: nn.Module) -> str:
    return type(loss).__name__


def value(loss: nn.Module, student: torch.Tensor, teacher: torch.Tensor) -> float:
    grid = {'hw': GRID} if loss is SPECTRAL else {}
    return loss(student, teacher, **grid).item()


SPECTRAL = SpectralLoss(loss_weight=1.0)
PROJECTOR = ProjectorLoss(loss_weight=1.0)
EVERY = [SPECTRAL, PROJECTOR]


@pytest.mark.parametrize('loss', EVERY, ids=named)
def test_zero_when_identical(loss):
    x = tokens(3, 24, 5)
    assert value(loss, x, x) == 0


@pytest.mark.parametrize('loss', EVERY, ids=named)
def test_weight_is_a_factor_and_the_authors_by_default(loss):
    sides = tokens(3, 24, 5), tokens(3, 24, 5).flip(0)
    grid = {'hw': GRID} if loss is SPECTRAL else {}
    default = type(loss)()(*sides, **grid).item()
    assert default == pytest.approx(0.2 * value(loss, *sides))


def test_spectral_by_hand():
    """A 2x2 grid; the student lacks 2 in one corner. The spectrum of the difference is
    2 / sqrt(4) = 1 in all four frequencies: each has a real part 1, an imaginary 0."""
    student = torch.zeros(1, 4, 1)
    teacher = torch.tensor([2.0, 0.0, 0.0, 0.0]).view(1, 4, 1)
    assert SPECTRAL(student, teacher, hw=(2, 2)).item() == pytest.approx(0.5)


@pytest.mark.parametrize('hw', [(4, 6), (6, 4), (3, 5), (5, 1)])
def test_spectral_is_the_squared_error_once_the_mirrored_half_is_counted(hw):
    """Parseval. An odd W has no column W / 2, so all but the first count twice."""
    height, width = hw
    student = tokens(2, height * width, 3)
    teacher = student.flip(0)
    error = (student - teacher).unflatten(1, hw)
    half = torch.fft.rfft2(error, dim=(1, 2), norm='ortho').abs().square()
    alone = [0, width // 2] if width % 2 == 0 else [0]
    count = torch.full((half.shape[2], 1), 2.0)
    count[alone] = 1
    assert (half * count).sum().item() == pytest.approx(error.square().sum().item())
    ours = SPECTRAL(student, teacher, hw=hw).item()
    assert ours * 2 * half.numel() == pytest.approx(half.sum().item())


def test_spectral_sees_the_grid():
    """The same tokens as a column: other frequencies have a mirror image."""
    sides = tokens(2, 24, 3), tokens(2, 24, 3).flip(0)
    values = {SPECTRAL(*sides, hw=hw).item() for hw in ((4, 6), (6, 4), (24, 1))}
    assert len(values) == 3


def test_spectral_averages_a_wider_teachers_neighbouring_channels():
    student, teacher = tokens(2, 24, 3), tokens(2, 24, 6)
    pairs = teacher.unflatten(2, (3, 2)).mean(3)
    assert value(SPECTRAL, pairs, teacher) == pytest.approx(0, abs=1e-12)
    assert value(SPECTRAL, student, teacher) == value(SPECTRAL, student, pairs)


def test_spectral_depends_on_the_order_of_a_wider_teachers_channels():
    """Which means nothing in a ViT; the docstring says so."""
    student, teacher = tokens(2, 24, 3), tokens(2, 24, 6)
    shuffled = teacher[..., [0, 3, 1, 4, 2, 5]]
    before = value(SPECTRAL, student, teacher)
    assert value(SPECTRAL, student, shuffled) != pytest.approx(before, rel=1e-3)


def test_spectral_refuses_what_it_can_not_compare():
    with pytest.raises(ValueError, match=r'\(3, 24, 5\).*\(3, 24, 4\).*neck'):
        SPECTRAL(tokens(3, 24, 5), tokens(3, 24, 4), hw=GRID)
    with pytest.raises(ValueError, match='same number of tokens'):
        SPECTRAL(tokens(3, 24, 5), tokens(3, 16, 5), hw=GRID)
    for hw in (None, (4, 4)):
        with pytest.raises(ValueError, match='does not match 24 patch tokens'):
            SPECTRAL(tokens(3, 24, 5), tokens(3, 24, 5), hw=hw)


def test_a_term_gives_the_grid_to_a_loss_that_takes_it(tmp_path):
    """Of 4x2 tokens, which no square has; without a neck, as the teacher is wider."""
    term = {**TERM, 'loss': {'type': 'SpectralLoss'}}
    teacher = vit(24, img_size=(32, 16))
    weights = save_weights(teacher, tmp_path / 'oblong.pth')
    cfg = distiller(
        tmp_path,
        student=vit(16, img_size=(32, 16)),
        teacher={'cfg': teacher, 'checkpoint': str(weights)},
        terms={'spectral': term},
    )
    model = build(cfg)
    seen = []
    model.terms['spectral'].loss.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append((args[0].shape, kwargs['hw'])),
        with_kwargs=True,
    )
    losses = model.loss(torch.randn(2, 3, 32, 16), samples([0, 1]))
    assert seen == [((2, 8, 16), (4, 2))]
    losses['loss_spectral'].backward()
    assert model.student.backbone.patch_embed.projection.weight.grad.any()


def test_a_tap_without_a_grid_is_refused_by_name(tmp_path):
    term = {side: {'path': TERM[side], 'tokens': 'all'} for side in TERM}
    term['loss'] = {'type': 'SpectralLoss'}
    with pytest.raises(ValueError, match=r"'spectral'.*grid None does not match 17"):
        build(distiller(tmp_path, terms={'spectral': term}))


def test_projector_by_hand():
    """Standardised, the student's channel is (-1, 1), the teacher's (1, -1): both far
    from eps. The squared difference is 4, the most that there is."""
    student = torch.tensor([[[10.0]], [[30.0]]])
    teacher = torch.tensor([[[5.0]], [[-500.0]]])
    assert PROJECTOR(student, teacher).item() == pytest.approx(4, rel=1e-4)
    assert PROJECTOR(student, -teacher).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize('shape', [(6, 5), (3, 24, 5)])
def test_projector_is_twice_one_minus_the_correlation(shape):
    student, teacher = tokens(*shape), tokens(*shape).flip(0) + tokens(*shape)
    s, t = (x.flatten(0, -2) for x in (student, teacher))
    correlation = torch.stack(
        [torch.corrcoef(torch.stack([s[:, c], t[:, c]]))[0, 1] for c in range(5)]
    )
    expected = 2 * (1 - correlation.mean()).item()
    assert value(PROJECTOR, student, teacher) == pytest.approx(expected, rel=1e-3)


def test_projector_ignores_scale_and_shift_of_every_channel():
    student, teacher = tokens(3, 24, 5), tokens(3, 24, 5).flip(0)
    before = value(PROJECTOR, student, teacher)
    assert 0 < before < 4
    scale, shift = 1 + tokens(5).abs(), 3 * tokens(5)
    moved = value(PROJECTOR, student * scale + shift, teacher)
    assert moved == pytest.approx(before, rel=1e-4)
    moved = value(PROJECTOR, student, teacher * scale - shift)
    assert moved == pytest.approx(before, rel=1e-4)


def test_projector_of_a_constant_channel_is_finite():
    student = torch.ones(3, 24, 5, requires_grad=True)
    loss = PROJECTOR(student, tokens(3, 24, 5))
    loss.backward()
    assert loss.isfinite()
    assert student.grad.isfinite().all()


def test_projector_needs_two_tokens():
    with pytest.raises(ValueError, match='variance over the tokens of a batch, got 1'):
        PROJECTOR(tokens(1, 1, 5), tokens(1, 1, 5))
    assert value(PROJECTOR, tokens(1, 2, 5), tokens(1, 2, 5)) == 0


def test_the_projector_itself_learns(tmp_path):
    """Unlike in the released code."""
    term = {
        **TERM,
        'neck': {'type': 'LinearProjector'},
        'loss': {'type': 'ProjectorLoss', 'loss_weight': 1.0},
    }
    model = build(distiller(tmp_path, terms={'projector': term}))
    model.init_weights()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    images, weight = torch.randn(4, 3, 32, 32), model.terms['projector'].neck.fc.weight
    before = weight.clone()
    losses = []
    for _ in range(3):
        loss = model.loss(images, samples([0, 1, 2, 3]))['loss_projector']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert (weight != before).any()
    assert losses[0] > losses[1] > losses[2]
