"""A student as a graph, of which the size of the batch is free."""

from __future__ import annotations

import io
import logging
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import (
    AbstractContextManager,
    contextmanager,
    nullcontext,
    redirect_stderr,
    redirect_stdout,
)
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from mmvitkd.utils.errors import ConfigError

from .student import Student, normalisation, takes_bgr

RESIZES = 'resize_pos_embed'  # what MMPretrain's ViTs call


class Deployed(nn.Module):
    """A student that takes images as they are read, and yields its logits.

    Args:
        student: In eval mode.
        normalises: Whether the images are RGB from 0 to 255; else they are normalised
            already.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, student: Student, normalises: bool) -> None:
        super().__init__()
        self.model = student.model
        self.flips = takes_bgr(student)
        self.normalises = normalises
        mean, std = normalisation(student.model)
        self.register_buffer('mean', mean)
        self.register_buffer('std', std)

    def forward(self, images: Tensor) -> Tensor:
        """Ask about ``(B, C, H, W)``, RGB; return logits ``(B, K)``."""
        x = images.float()
        if self.flips:
            x = x.flip(1)
        if self.normalises:
            x = (x - self.mean) / self.std
        return self.model(x)


def trace(
    module: nn.Module, images: Tensor, dynamic_size: bool = False
) -> ExportedProgram:
    """Trace a module that takes images, for batches of any size.

    Args:
        module: In eval mode, with ``forward(images)``.
        images: ``(B, C, H, W)`` to trace it with, two or more.
        dynamic_size: Whether height and width shall be free, too. Defaults to False.

    Raises:
        ConfigError: If something in it can't be exported; the message has what.
    """
    free: dict[int, Any] = {0: Dim('batch')}
    positions: AbstractContextManager[None] = nullcontext()
    if dynamic_size:
        free |= {2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
        positions = symbolic_positions(module)
    try:
        with torch.no_grad(), symbolic_windows(module), positions, quiet():
            return torch.export.export(module, (images,), dynamic_shapes=(free,))
    except Exception as error:  # of torch's, of many kinds, or of the model's own
        sizes = ' with --dynamic-size' if dynamic_size else ''
        raise ConfigError(
            f"the student can't be exported{sizes}: {_reason(error)}"
        ) from error


def _reason(error: Exception) -> str:
    """Tell what torch can't trace, and where in the model's code."""
    fixed = re.search(r'Constraints violated \((.*?)\)!', str(error))
    if fixed is not None:
        return f'its code takes for a constant what shall be free, {fixed[1]}'
    first = next(iter(str(error).strip().splitlines()), '')
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if 'torch' not in Path(frame.filename).parts and frame.filename != __file__
    ]
    where = ''
    if frames:
        file = Path(frames[-1].filename).name
        where = f", in '{frames[-1].line}' ({file}, line {frames[-1].lineno})"
    return f'{type(error).__name__}: {first}{where}'


@contextmanager
def symbolic_windows(model: nn.Module) -> Iterator[None]:
    """Let Swin's windows be put together without fixing how many images there are.

    MMPretrain's ``window_reverse``, and those of MMDetection and MMSegmentation, get
    the size of the batch by ``int()``, which a tracer takes for a constant.

    Args:
        model: Whose modules are to be traced meanwhile.
    """
    windowed = [m for m in model.modules() if hasattr(m, 'window_reverse')]
    for module in windowed:
        module.window_reverse = _reverse_for(module)  # type: ignore[assignment]
    try:
        yield
    finally:
        for module in windowed:
            del module.window_reverse


def _reverse_for(module: Any) -> Callable[..., Tensor]:
    """Return a ``window_reverse`` for a module, which may hold the windows' size."""

    def window_reverse(
        windows: Tensor, H: int, W: int, window_size: int | None = None
    ) -> Tensor:
        side = module.window_size if window_size is None else window_size
        channels = windows.shape[-1]
        x = windows.view(-1, H // side, W // side, side, side, channels)
        # (B, H // side, side, W // side, side, C)
        return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, H, W, channels)

    return window_reverse


@contextmanager
def symbolic_positions(model: nn.Module) -> Iterator[None]:
    """Let position embeddings be resized to whatever grid an image has.

    MMPretrain's ``resize_pos_embed`` leaves them alone where the grid is that of the
    training, so that a tracer would take this one for the only one.

    Args:
        model: Whose modules are to be traced meanwhile.
    """
    kinds = {kind for module in model.modules() for kind in type(module).__mro__}
    files: list[Any] = [sys.modules.get(name) for name in {k.__module__ for k in kinds}]
    before = {file: file.resize_pos_embed for file in files if hasattr(file, RESIZES)}
    try:
        for file in before:
            file.resize_pos_embed = _resize
        yield
    finally:
        for file, function in before.items():
            file.resize_pos_embed = function


def _resize(
    pos_embed: Tensor,
    src_shape: tuple[int, int],
    dst_shape: tuple[int, int],
    mode: str = 'bicubic',
    num_extra_tokens: int = 1,
) -> Tensor:
    """Resize ``(1, N, C)``, all but the extra tokens'; also to the grid that it has."""
    extra, x = pos_embed[:, :num_extra_tokens], pos_embed[:, num_extra_tokens:]
    x = x.unflatten(1, src_shape).permute(0, 3, 1, 2)  # (1, C, H, W)
    x = F.interpolate(x, dst_shape, mode=mode, align_corners=False)
    return torch.cat((extra, x.flatten(2).transpose(1, 2)), 1)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep torch from telling how it traces."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(before)
