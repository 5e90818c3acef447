"""Files of the network, kept under the whole address they came from."""

import hashlib
import http.client
import os
import re
import shutil
import tempfile
import urllib.request
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

import torch
from filelock import FileLock
from mmengine.logging import print_log
from rich.console import Console
from rich.progress import wrap_file

from .teacher_cache import sha256

TIMEOUT = 60  # seconds without a byte
# torch.hub's and OpenMMLab's names end with the first digits of the file's SHA-256
CHECKSUM = re.compile(r'-([0-9a-f]{8,64})(?:\.[A-Za-z]\w*)+$')
DATE = re.compile(r'(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])\d*')


def download(url: str) -> Path:
    """Download a file once, into torch's hub folder.

    The folder that it lies in is named by a digest of the whole URL, so that files
    of one name from two places are two. A file of that name that a user has put into
    the hub's ``checkpoints`` is taken where the checksum in its name proves it. Any
    number of processes may ask for the same file at once; one of a machine downloads.

    Returns:
        The file.

    Raises:
        ValueError: If it can't be downloaded, or is not what the checksum in its name
            says.
    """
    file, placed = _places(url)
    wanted = checksum_in(file.name)
    if _is_intact(file, wanted):
        print_log(f"'{url}': using '{file}', downloaded before", logger='current')
        return file
    if wanted and placed.is_file() and _is_intact(placed, wanted):
        print_log(
            f"'{url}': using '{placed}', whose checksum {wanted} is right",
            logger='current',
        )
        return placed
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_name('.lock')):
            if not _is_intact(file, wanted):  # else another process was quicker
                _fetch(url, file, wanted)
    except (OSError, http.client.HTTPException) as error:
        unproven = f" ('{placed}' may be another file of that name)"
        raise ValueError(
            f"'{url}' can't be downloaded: {error or type(error).__name__}. Without a "
            f"network, put the file at '{file}'"
            f'{unproven if placed.is_file() and not wanted else ""}, or give the path '
            'of a file instead of the URL'
        ) from error
    print_log(f"'{url}': downloaded to '{file}'", logger='current')
    return file


def _places(url: str) -> tuple[Path, Path]:
    """Return where a download lies, and where a user may have put the file."""
    top = Path(torch.hub.get_dir()) / 'checkpoints'
    name = unquote(urlsplit(url).path).rpartition('/')[2]
    name = re.sub(r'[^\w.+-]', '_', name)[-150:] or 'file'
    return top / hashlib.sha256(url.encode()).hexdigest()[:16] / name, top / name


def find_downloaded(url: str) -> Path | None:
    """Return the file of a URL, if it need not be downloaded; not verified yet."""
    file, placed = _places(url)
    proven = placed.is_file() and checksum_in(placed.name)
    return file if file.is_file() else placed if proven else None


def checksum_in(name: str) -> str | None:
    """Return the beginning of a SHA-256 that a file's name ends with, if it does."""
    found = CHECKSUM.search(name)
    return None if found is None or DATE.fullmatch(found[1]) else found[1]


def _is_intact(file: Path, wanted: str | None) -> bool:
    return file.is_file() and (wanted is None or sha256(file).startswith(wanted))


def _fetch(url: str, file: Path, wanted: str | None) -> None:
    """Download a file that is whole and right under its name, or not there."""
    handle, part = tempfile.mkstemp(dir=file.parent, suffix='.part')
    try:
        with os.fdopen(handle, 'wb') as stream:
            _copy(url, stream)
        found = sha256(Path(part))
        if wanted is not None and not found.startswith(wanted):
            raise ValueError(
                f"'{url}' is not the file that its name promises: its SHA-256 begins "
                f'with {found[: len(wanted)]}, not {wanted}. It was not kept: was it '
                'replaced, or does a proxy answer for the server? Try again, or '
                'download it by hand and give its path'
            )
        os.chmod(part, 0o644)
        os.replace(part, file)
    finally:
        Path(part).unlink(missing_ok=True)


def _copy(url: str, target: IO[bytes]) -> None:
    """Copy all that a server sends; one that breaks off is an error."""
    request = urllib.request.Request(url, headers={'User-Agent': 'mmvitkd'})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        size = int(answer.headers.get('Content-Length') or 0)
        shown = wrap_file(
            answer, size, description=url, console=Console(stderr=True), transient=True
        )
        with shown as stream:
            shutil.copyfileobj(stream, target, 1 << 20)
    if size and target.tell() != size:
        raise OSError(f'the server sent {target.tell()} of {size} bytes')
