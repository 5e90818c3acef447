"""What the console shows of a log: a screenful before training, the rest is on file."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine._strategy import BaseStrategy
from mmengine.runner import Runner

FRAMEWORKS = ('mmengine', 'mmcv', 'mmpretrain', 'mmdet', 'mmseg', 'mmpose', 'torch')
# of their parts, those that tell how a run gets on
TOLD = ('mmengine.hooks', 'mmengine.runner.loops', 'mmengine.evaluator')
# which no user can do anything about, wherever they would be written
USELESS = re.compile(
    r'"FileClient" will be deprecated|"HardDiskBackend" is the alias|'
    r'Fail to import ``MultiScaleDeformableAttention|paramwise_options -- '
)


class Useful(logging.Filter):
    """Leave out what tells nobody anything."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is kept."""
        return not USELESS.search(record.getMessage())


class Brief(Useful):
    """Keep warnings, and what we, the user's own code, and the hooks say."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is shown."""
        message = record.getMessage()
        if not super().filter(record):
            return False
        if record.levelno > logging.INFO:
            return True
        caller = _caller()
        if caller.startswith(TOLD):
            return not message.startswith('Exp name: ')
        return caller.split('.')[0] not in FRAMEWORKS


def _caller() -> str:
    """Return the module that logged, passing over those that logging goes through."""
    frame = sys._getframe(1)
    while frame is not None:
        name = str(frame.f_globals.get('__name__'))
        if name != __name__ and not name.startswith(('logging', 'mmengine.logging')):
            return name
        frame = frame.f_back  # type: ignore[assignment]
    return ''


@contextmanager
def brief_console() -> Iterator[None]:
    """Let runners that are built inside say little on the console, all on file."""
    originals = {kind: kind.build_logger for kind in (Runner, BaseStrategy)}

    def brief(original: Any) -> Any:
        def build_logger(self: Any, *args: Any, **kwargs: Any) -> Any:
            logger = original(self, *args, **kwargs)
            for handler in logger.handlers if logger.level != logging.DEBUG else ():
                on_file = isinstance(handler, logging.FileHandler)
                handler.addFilter(Useful() if on_file else Brief())
            return logger

        return build_logger

    for kind, original in originals.items():
        kind.build_logger = brief(original)
    try:
        yield
    finally:
        for kind, original in originals.items():
            kind.build_logger = original
