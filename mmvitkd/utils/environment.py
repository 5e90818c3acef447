"""What the machine refuses, in words: no room, no rights, no memory, no network."""

from __future__ import annotations

import errno
import os
import re
import traceback
from contextlib import suppress
from pathlib import Path

from .built import shorten

ADVICE = {
    errno.ENOSPC: 'the disk is full: free some room',
    errno.EDQUOT: "the user's quota of the disk is used up: free some room",
    errno.EFBIG: 'the file may not become so large (see ulimit -f)',
    errno.EROFS: 'the disk can only be read: give another folder',
    errno.EACCES: 'there are no rights to it: change them, or give another folder',
    errno.EPERM: 'there are no rights to it: change them, or give another folder',
    errno.ENAMETOOLONG: 'the name is too long for the file system: give a shorter one',
    errno.EMFILE: 'too many files are open: raise the limit (ulimit -n 65536), or take '
    'fewer num_workers in the data loaders',
    errno.ENFILE: 'too many files are open on this machine: take fewer num_workers in '
    'the data loaders',
    errno.ENOMEM: 'there is not enough memory: take a smaller batch_size, or fewer '
    'num_workers',
    errno.EIO: 'the disk fails: look at the system log',
    errno.ENOTDIR: 'a part of the path is a file, no folder: give another folder',
    errno.EEXIST: 'there is a file of this name: give another folder',
    errno.ELOOP: 'its links lead to each other: give the file itself',
    errno.ESTALE: 'the network disk has lost it: start again when it is there',
}
OUT_OF_MEMORY = re.compile(
    r"out of memory|can't allocate memory|Unable to allocate", re.IGNORECASE
)
TORCH_WRITES = re.compile(
    r'PytorchStreamWriter failed|iostream error|unexpected pos|file write failed'
)
# of errors that come out of another process as text
NUMBERED = re.compile(r"\[Errno (\d+)\] [^:\n]+(?:: '([^']+)')?")
HANDLES = re.compile(r'Too many open files|received \d+ items of ancdata')
MAKE = ('mkdir', 'makedirs')
LOOP = re.compile(r"Symlink loop from '(.+)'")  # by pathlib
KILLED = re.compile(r'DataLoader worker \(pid[^)]*\) is killed by signal: (\w+)')
LOST = (
    'Checkpoints that were written before are whole; a training goes on from the last '
    'one with --resume'
)


def explain_environment(error: BaseException) -> str | None:
    """Say what the machine refused, where, and what is left; None for other errors."""
    text = str(error)
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and OUT_OF_MEMORY.search(text)
    ):
        where = 'the GPU' if 'CUDA' in text or 'HIP' in text else 'the machine'
        line = ' '.join(text.split())[:200]
        return (
            f'{where} has not enough memory{f" ({line})" if line else ""}: take a '
            'smaller batch_size with optim_wrapper.accumulative_counts, --amp, or '
            f'fewer num_workers. {LOST}'
        )
    killed = KILLED.search(text) if isinstance(error, RuntimeError) else None
    if killed:
        return (
            f'a data loading process was killed ({killed[1]}), mostly for lack of '
            f'memory or of shared memory (/dev/shm): take fewer num_workers. {LOST}'
        )
    if isinstance(error, RuntimeError) and TORCH_WRITES.search(text):
        return f'a file of weights can not be written: is the disk full? {LOST}'
    number, name = _number(error), _name(error)
    if number in ADVICE:
        what = f"'{shorten(name)}'" if name else 'a file'
        return f'{what}: {os.strerror(number)}: {ADVICE[number]}. {LOST}'
    if isinstance(error, FileNotFoundError) and name:
        folder = Path(name).parent
        if traceback.extract_tb(error.__traceback__)[-1].name in MAKE:
            return f"'{name}' can't be made: give another folder"
        if not folder.is_dir():
            return (
                f"'{name}': its folder '{folder}' is not there (any more): was it "
                'removed, or its disk unmounted? The run has ended; what else it had '
                'written is as it was'
            )
    return None


def _number(error: BaseException) -> int:
    """Return the system's number of an error, or 0."""
    if not isinstance(error, (OSError, RuntimeError)):
        return 0
    if isinstance(error, OSError) and error.errno:
        return error.errno
    found = NUMBERED.search(str(error))
    if found:
        return int(found[1])
    if LOOP.search(str(error)):
        return errno.ELOOP
    return errno.EMFILE if HANDLES.search(str(error)) else 0


def _name(error: BaseException) -> str:
    """Return the file that an error is about, as far as it or its frames tell."""
    if isinstance(error, OSError) and error.filename is not None:
        return '' if isinstance(error.filename, int) else os.fsdecode(error.filename)
    found = NUMBERED.search(str(error))
    if found and found[2]:
        return found[2]
    loop = LOOP.search(str(error))
    if loop:
        return loop[1]
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        for value in frame.f_locals.values():
            with suppress(AttributeError):  # of a path that could not be made
                is_open = hasattr(value, 'fileno')
                name = getattr(value, 'name', None) if is_open else value
                if isinstance(name, Path) or (isinstance(name, str) and os.sep in name):
                    return str(name) if len(str(name)) < 4096 else ''
    return ''
