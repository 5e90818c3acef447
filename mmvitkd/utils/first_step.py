"""What failed in the first step, where a setting that can't be right mostly shows."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType, TracebackType

from mmengine.runner.base_loop import BaseLoop

from .built import parts_at_work, reason, with_key
from .config_names import UPSTREAM
from .places import placed


def explain_first_step(chain: Sequence[BaseException]) -> str | None:
    """Say which part of the config was at work when an error came.

    Args:
        chain: An error and its causes.

    Returns:
        A line, or None if the error came in a later step, or out of the user's own
        code, whose bugs have a traceback.
    """
    outer, root = list(_frames(chain[0].__traceback__)), chain[-1]
    inner = list(_frames(root.__traceback__)) or outer
    if not inner or not _is_first(outer) or _is_users(inner):
        return None
    parts = parts_at_work(root) or parts_at_work(chain[0])
    for place, part in placed(parts):
        return f'{with_key(place, part, root)}: {reason(root)}'
    return None


def _frames(trace: TracebackType | None) -> Iterator[FrameType]:
    return (frame for frame, _ in traceback.walk_tb(trace))


def _is_first(frames: list[FrameType]) -> bool:
    """Whether no step was finished before."""
    for frame in frames:
        loop = frame.f_locals.get('self')
        if isinstance(loop, BaseLoop) and vars(loop).get('_iter'):
            return False
        if isinstance(loop, BaseLoop) and frame.f_locals.get('idx', 0):
            return False
    return True


def _is_users(frames: list[FrameType]) -> bool:
    """Whether the innermost code is neither a library's nor ours."""
    libraries = {Path(p) for p in sysconfig.get_paths().values()}
    for frame in reversed(frames):
        file = Path(frame.f_code.co_filename)
        if file.is_absolute():  # others were compiled
            name = str(frame.f_globals.get('__name__')).split('.')[0]
            ours = name in (*UPSTREAM, 'mmvitkd')
            return not ours and not any(f in file.parents for f in libraries)
    return False
