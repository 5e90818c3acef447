"""One process at a time works in a folder."""

import errno
import json
import os
import shlex
import socket
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = '.lock'
HOLDER = '.lock.json'
# seconds in which a killed process's data loading workers notice, and end
ORPHANS = 15.0
# what a file system says that has no locks
WITHOUT_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


@contextmanager
def lock_dir(folder: Path) -> Iterator[None]:
    """Hold a folder, made if need be, against every other process.

    The system releases the lock with the process, however that ends. Where the file
    system has no locks, a warning says so.

    Args:
        folder: Gets two hidden files: the lock, and for as long as it is held the
            name of its holder.

    Raises:
        ValueError: If another one holds it, or it can't be written to.
    """
    lock = FileLock(folder / LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _acquire(lock, folder)
        (folder / HOLDER).write_text(json.dumps(_this_process()), encoding='utf-8')
    except (OSError, NotImplementedError) as error:  # the latter by older filelocks
        number = error.errno if isinstance(error, OSError) else errno.ENOSYS
        if number not in WITHOUT_LOCKS:
            lock.release()
            reason = error.strerror if isinstance(error, OSError) else error
            raise ValueError(f"'{folder}' can't be written to: {reason}") from error
        warnings.warn(
            f"the file system of '{folder}' has no locks ({error}): see to it that no "
            'other run works there',
            stacklevel=3,
        )
    try:
        yield
    finally:
        if lock.is_locked:
            with suppress(OSError):
                (folder / HOLDER).unlink()
        lock.release()


@contextmanager
def lock_dir_together(folder: Path) -> Iterator[None]:
    """Hold a folder for all processes of a distributed run, by the first of them.

    Raises:
        ValueError: In the first process, if another run holds the folder.
        SystemExit: In the others then, so that none goes on.
    """
    from mmengine.dist import (  # which takes seconds
        broadcast_object_list,
        is_main_process,
    )

    with ExitStack() as held:
        free = [False]
        try:
            if is_main_process():
                held.enter_context(lock_dir(folder))
                free = [True]
        finally:
            broadcast_object_list(free)
        if not free[0]:
            sys.exit(1)
        yield


def _acquire(lock: FileLock, folder: Path) -> None:
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        holder = _read_holder(folder)
        if not _is_gone(holder):
            raise ValueError(_refusal(folder, holder)) from error
        try:
            lock.acquire(timeout=ORPHANS)
        except Timeout:
            raise ValueError(_refusal(folder, _read_holder(folder))) from error


def _this_process() -> dict[str, str | int]:
    return {
        'host': socket.gethostname(),
        'pid': os.getpid(),
        'since': time.strftime('%Y-%m-%d %H:%M:%S'),
        'command': shlex.join([Path(sys.executable).name, *sys.argv])[:300],
    }


def _read_holder(folder: Path) -> dict[str, str | int]:
    try:
        holder = json.loads((folder / HOLDER).read_text(encoding='utf-8'))
    except (OSError, ValueError):  # its holder has just come, or went
        return {}
    return holder if isinstance(holder, dict) else {}


def _is_gone(holder: dict[str, str | int]) -> bool:
    """Whether the holder was a process of this machine that runs no more."""
    pid = holder.get('pid')
    if holder.get('host') != socket.gethostname() or not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:  # it is another user's
        return False
    return False


def _refusal(folder: Path, holder: dict[str, str | int]) -> str:
    who = 'another process'
    if {'pid', 'host', 'since', 'command'} <= set(holder):
        who = 'process {pid} on {host}, since {since}: {command}'.format(**holder)
    return (
        f"another run works in '{folder}' ({who}): wait for it, or give another "
        '--work-dir'
    )
