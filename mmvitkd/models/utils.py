"""Small checks and steps that losses and necks share."""

import math
from numbers import Real
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.dist import get_comm_device, get_world_size
from torch import Tensor, nn
from torch.distributed.nn import all_gather

ROUNDING = 1e-6  # of a number of tokens
MULTI_LABEL_ADVICE = (
    "of several labels an image, use KDLoss(activation='sigmoid') or terms on features"
)


def check_same_shape(student: Tensor, teacher: Tensor) -> None:
    """Refuse two tap values that can't be compared element by element.

    Raises:
        ValueError: If the shapes differ; the message tells both.
    """
    if student.ndim != teacher.ndim:
        raise ValueError(
            f"the student's tap yields {tuple(student.shape)} and the teacher's "
            f'{tuple(teacher.shape)}: tap the same kind of tokens on both sides, '
            "e.g. dict(path=..., tokens='cls') for the class token"
        )
    if student.shape != teacher.shape:
        raise ValueError(
            f"the student's tokens are {tuple(student.shape)} and the teacher's "
            f'{tuple(teacher.shape)}, but this loss compares them one by one: give '
            "the term a neck that maps the student's width to the teacher's, such "
            "as neck=dict(type='mmvitkd.LinearProjector'), or tap the same grid; if "
            'these are logits, the teacher must know the same classes'
        )


def check_logits(student: Tensor, teacher: Tensor) -> None:
    """Refuse logits that don't belong to the same classes.

    Raises:
        ValueError: If either is not ``(B, K)``, or the class counts differ.
    """
    if student.ndim != 2 or teacher.ndim != 2:
        raise ValueError(
            'a loss on logits takes (B, K) from both sides, got '
            f'{tuple(student.shape)} from the student and {tuple(teacher.shape)} '
            "from the teacher: tap the classification heads ('head')"
        )
    if student.shape[1] != teacher.shape[1]:
        raise ValueError(
            f'the student has {student.shape[1]} classes and the teacher '
            f'{teacher.shape[1]}: a loss on logits needs the same classes on both '
            'sides; fine-tune the teacher on them, or keep terms on features only'
        )


def check_same_tokens(student: Tensor, teacher: Tensor) -> None:
    """Refuse tokens that can't be related among themselves on both sides alike.

    Raises:
        ValueError: If either is not ``(B, N, C)``, or ``B`` or ``N`` differ; the
            widths may.
    """
    if student.ndim != 3 or student.shape[:-1] != teacher.shape[:-1]:
        raise ValueError(
            f"the student's tokens are {tuple(student.shape)} and the teacher's "
            f'{tuple(teacher.shape)}, but this loss relates the tokens of a side with '
            'each other: it takes (B, N, C) from both, of any width but with the '
            'same number of tokens; tap the same grid'
        )


def check_no_mask(mask: Tensor | None, loss: str) -> None:
    """Refuse the mask of a neck, for a loss that compares every token.

    Raises:
        ValueError: If there is one.
    """
    if mask is not None:
        raise ValueError(
            f'{loss} compares every token, but the neck masked some: '
            'use ViTKDGenLoss, or a neck without a mask'
        )


def is_compiling() -> bool:
    """Whether ``torch.compile`` is tracing what runs; always False before torch 2.3."""
    compiler: Any = getattr(torch, 'compiler', None)
    return getattr(compiler, 'is_compiling', bool)()


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> str:
    """Return ``value`` if it is one of ``choices``, else raise ValueError."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {choices}, got '{value}'")
    return value


def check_number(name: str, value: Any) -> float:
    """Return ``value`` if it is a finite number, else raise ValueError."""
    if isinstance(value, str):
        raise ValueError(
            f"{name} must be a number, got the text '{value}': write it without "
            'quotes; to YAML 3e-5 is a text, and 3.0e-5 a number'
        )
    # a bool is a number to Python
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(f'{name} must be a number, got {value!r}')
    if not math.isfinite(value):
        raise ValueError(f'{name} must be finite, got {value}')
    return value  # type: ignore[return-value]  # a float by PEP 484


def check_weight(name: str, value: Any) -> float:
    """Return ``value`` if it is a number of at least 0, else raise ValueError."""
    if check_number(name, value) < 0:
        raise ValueError(f'{name} must be at least 0, got {value}')
    return value


def check_positive(name: str, value: Any) -> float:
    """Return ``value`` if it is a number above 0, else raise ValueError."""
    if check_number(name, value) <= 0:
        raise ValueError(f'{name} must be above 0, got {value}')
    return value


def check_count(name: str, value: Any) -> int:
    """Return ``value`` if it is a whole number above 0, else raise ValueError."""
    if check_positive(name, value) != int(value):
        raise ValueError(f'{name} must be a whole number, got {value}')
    return int(value)


def check_ratio(ratio: Any) -> float:
    """Return a mask ratio if it is in [0, 1), else raise ValueError."""
    if not 0 <= check_number('mask_ratio', ratio) < 1:
        raise ValueError(f'mask_ratio must be in [0, 1), got {ratio}')
    return ratio


def check_share(name: str, value: Any) -> float:
    """Return ``value`` if it is a number from 0 to 1, else raise ValueError."""
    if not 0 <= check_number(name, value) <= 1:
        raise ValueError(f'{name} must be between 0 and 1, got {value}')
    return value


def check_heads(num_heads: int, channels: int) -> int:
    """Return a number of heads if it divides the width, else raise ValueError."""
    if num_heads < 1 or channels % num_heads:
        fitting = [n for n in range(1, min(channels, 32) + 1) if channels % n == 0]
        raise ValueError(
            f"num_heads must divide the teacher's width {channels}, got {num_heads}; "
            f'{fitting} do'
        )
    return num_heads


def check_grid(hw: tuple[int, int] | None, tokens: int) -> None:
    """Refuse a grid that is not that of the patch tokens.

    Raises:
        ValueError: If there is no grid, or ``H * W`` is not the number of tokens.
    """
    if hw is None or hw[0] * hw[1] != tokens:
        raise ValueError(
            f'a grid {hw} does not match {tokens} patch tokens: H * W must be N'
        )


def hard_labels(target: Tensor | None, loss: str) -> Tensor:
    """Return class indices ``(B,)``; of mixed labels, the class of largest share.

    Raises:
        ValueError: If there are no labels; the message names the loss.
    """
    if target is None:
        raise ValueError(f'{loss} needs labels, but the data samples have none')
    return target.argmax(1) if target.ndim == 2 else target


def resize_labels(labels: Tensor, hw: tuple[int, int]) -> Tensor:
    """Take the labels ``(B, H, W)`` of a grid's places, the nearest ones."""
    return F.interpolate(labels[:, None].float(), hw)[:, 0].long()


def unit_length(x: Tensor, dim: int = -1, least: Tensor | float = 0.0) -> Tensor:
    """Divide vectors by their length.

    Those not longer than ``least`` become zero and get no gradient; that of a tiny
    length would be huge.
    """
    length = x.norm(dim=dim, keepdim=True)
    return x / length.masked_fill(length <= least, torch.inf)


def gram(x: Tensor) -> Tensor:
    """Multiply all rows with each other, ``(..., N, C)`` to ``(..., N, N)``."""
    return x @ x.transpose(-2, -1)


def merge_patches(x: Tensor, hw: tuple[int, int] | None, side: int) -> Tensor:
    """Make one token of every ``side x side`` patches, their channels in a row.

    Args:
        x: Patch tokens ``(B, H * W, C)``.
        hw: Their grid, square or not.
        side: Of the squares, which must fit the grid.

    Returns:
        ``(B, H * W / side**2, side**2 * C)``.

    Raises:
        ValueError: If the tokens have no grid, or the squares do not fit it.
    """
    if hw is None or hw[0] % side or hw[1] % side:
        raise ValueError(
            f'patches are merged {side}x{side}, which must divide their grid, got {hw}'
        )
    x = x.unflatten(1, (hw[0] // side, side, hw[1] // side, side))
    return x.transpose(2, 3).flatten(3).flatten(1, 2)  # (B, h, w, side, side, C)


def gather_batch(x: Tensor) -> Tensor:
    """Join the batches of all processes; gradients find their way back.

    Args:
        x: ``(B, ...)``, of the same shape in every process.

    Returns:
        ``(processes * B, ...)``, ``x`` itself where there is one process.
    """
    if get_world_size() == 1:
        return x
    parts = all_gather(x.to(get_comm_device()))  # NCCL takes only tensors of its GPU
    return torch.cat(parts).to(x.device)


def random_mask(batch: int, tokens: int, ratio: float, device: torch.device) -> Tensor:
    """Mask the same number of tokens in every sample, drawn at random.

    As in MAE, ``int(tokens * (1 - ratio))`` tokens stay, here at least one, so
    that the student always has a say.

    Returns:
        A bool tensor ``(batch, tokens)``, True where a token is masked.
    """
    kept = max(int(tokens * (1 - ratio) + ROUNDING), 1)  # 10 * (1 - 0.9) is 0.99...
    rank = torch.rand(batch, tokens, device=device).argsort(1).argsort(1)
    return rank >= kept


def bernoulli_mask(
    batch: int, tokens: int, ratio: float, device: torch.device
) -> Tensor:
    """Mask every token by itself, with probability ``ratio``.

    A sample may come out with none masked; where all would be, the one whose draw
    was the largest stays, so that the student always has a say.

    Returns:
        A bool tensor ``(batch, tokens)``, True where a token is masked.
    """
    draw = torch.rand(batch, tokens, device=device)
    # the largest is below the ratio only where all are
    return (draw < ratio).scatter(1, draw.argmax(1, keepdim=True), False)


def sincos_positions(
    hw: tuple[int, int], channels: int, device: torch.device
) -> Tensor:
    """Embed the places of a grid by sines and cosines of row and column.

    As in MAE, with frequencies from 1 down to 1/10000, for any grid and width;
    MMPretrain's own function is right on square grids only.

    Returns:
        ``(H * W, channels)``, row by row, in float32.
    """
    frequencies = -(-channels // 4)  # rounded up; the last ones are cut off
    exponent = torch.arange(frequencies, device=device) / frequencies
    rows, columns = (
        torch.arange(size, device=device)[:, None] / 10000**exponent for size in hw
    )
    rows = rows[:, None].expand(-1, hw[1], -1)  # (H, W, F)
    columns = columns[None].expand(hw[0], -1, -1)  # (H, W, F)
    waves = torch.cat([rows.sin(), columns.sin(), rows.cos(), columns.cos()], -1)
    return waves.flatten(0, 1)[:, :channels]


def resample_tokens(x: Tensor, hw: tuple[int, int], to: tuple[int, int]) -> Tensor:
    """Bring patch tokens ``(B, H * W, C)`` to another grid, bilinearly.

    Returns:
        ``(B, N, C)`` with ``N`` the places of ``to``; as they are on an equal grid.
    """
    if hw == to:
        return x
    y = x.transpose(1, 2).unflatten(2, hw).float()  # (B, C, H, W)
    y = F.interpolate(y, to, mode='bilinear', antialias=True)
    return y.flatten(2).transpose(1, 2).to(x.dtype)


def conv_relu_conv(channels: int) -> nn.Sequential:
    """Two 3x3 convolutions with a ReLU between them."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels, channels, 3, padding=1),
    )


def on_grid(layers: nn.Module, x: Tensor, hw: tuple[int, int]) -> Tensor:
    """Run layers for maps ``(B, C, H, W)`` on patch tokens ``(B, N, C)``."""
    x = x.transpose(1, 2).unflatten(2, hw)  # (B, C, H, W)
    return layers(x).flatten(2).transpose(1, 2)  # (B, N, C)
