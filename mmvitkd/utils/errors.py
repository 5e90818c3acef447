"""The end of a program: mistakes of its user in one line, bugs with their traceback.

Light to import, so that the command line is read under it.
"""

from __future__ import annotations

import re
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import NoReturn

MISTAKE = 2  # in a config or on the command line, as argparse has it
FAILURE = 1


class ConfigError(ValueError):
    """A setting that can't be right."""


class Refusal(SystemExit):
    """The end of a program with a line for its user.

    Args:
        line: What to say.
        status: The program's exit status.
    """

    def __init__(self, line: str, status: int) -> None:
        super().__init__(line)
        self.code = status


@contextmanager
def readable_errors(debug: bool = False) -> Iterator[None]:
    """End the program with a line where the mistake is its user's.

    That is one that our own code found, that a registry or a constructor refused, or
    that the machine made. Errors inside a training step keep their traceback.

    Args:
        debug: Whether mistakes have one, too. Defaults to False.
    """
    from .built import noting_builds

    try:
        with noting_builds():
            yield
    except Exception as error:
        found = None if debug else explain(error)
        if found is None:
            raise
        refuse(*found, cause=error)


def refuse(line: str, status: int, cause: BaseException | None = None) -> NoReturn:
    """Say a line, and end."""
    line = re.sub(r'\s*\n\s*', ' ', line.strip())
    print(f'error: {line}', file=sys.stderr, flush=True)
    raise Refusal(f'error: {line}', status) from cause


def explain(error: Exception) -> tuple[str, int] | None:
    """Say what a user can mend, with the exit status; None for anybody else's bug."""
    from .built import builds_of, explain_build
    from .environment import explain_environment
    from .first_step import explain_first_step

    # registries raise an error of their own from ours
    chain = list(_causes(error))
    for cause in chain:
        if isinstance(cause, ConfigError):
            return str(cause), MISTAKE
        in_config = isinstance(cause, FileNotFoundError) and builds_of(cause)
        line = None if in_config else explain_environment(cause)
        if line is not None:
            return line, FAILURE
    line = explain_build(chain, _is_told)
    if line is not None:
        return line, MISTAKE
    for cause in chain:
        if _is_told(cause):
            return str(cause), FAILURE
    line = explain_first_step(chain)
    return None if line is None else (line, MISTAKE)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        quiet = cause.__suppress_context__ and not _is_by_hook(cause)
        cause = cause.__cause__ or (None if quiet else cause.__context__)


def _is_by_hook(error: BaseException) -> bool:
    """Whether MMEngine named the hook in which another error came, and hid that."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and frames[-1].name == 'call_hook'


def _is_told(error: BaseException) -> bool:
    """Whether our own code raised an error, with words for the user."""
    meant = isinstance(error, (ValueError, FloatingPointError, ImportError))
    return meant and bool(str(error)) and _is_ours(error.__traceback__)


def _is_ours(trace: TracebackType | None) -> bool:
    """Whether the innermost frame is in this package, the script or beside it."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return False
    name = str(trace.tb_frame.f_globals.get('__name__'))
    if name.split('.')[0] in ('__main__', 'mmvitkd'):
        return True
    beside = Path(sys.argv[0]).resolve().parent  # a project, maybe with its .venv
    above = Path(trace.tb_frame.f_code.co_filename).parents
    libraries = (sysconfig.get_path(p) for p in ('stdlib', 'purelib', 'platlib'))
    return beside in above and not any(Path(p) in above for p in libraries)
