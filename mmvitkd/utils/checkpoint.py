"""Reading checkpoints without running what a stranger put into them."""

import io
import os
import pickle
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import torch
from mmengine import fileio
from mmengine.logging import HistoryBuffer
from torch import Tensor, nn

from .download import download
from .pickle_contents import read_contents
from .quantisers import is_quantiser

SHOWN = 5  # names in a message
# torch's own variables, for all that does not say by itself how it wants to load
TRUST_ALL = 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'
TRUST_NONE = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'


def allow_mmengine_globals() -> None:
    """Let ``torch.load(weights_only=True)`` read what MMEngine's runner writes.

    A runner's checkpoint holds, beside weights, the log's ``HistoryBuffer`` and
    NumPy arrays and scalars: plain data, no code.
    """
    try:
        from numpy._core import multiarray
    except ImportError:  # NumPy 1
        from numpy.core import multiarray  # type: ignore[no-redef]
    allowed: list[Any] = [
        HistoryBuffer,
        (_history_method, 'builtins.getattr'),
        multiarray._reconstruct,
        multiarray.scalar,
        np.ndarray,
        np.dtype,
    ]
    allowed += {type(np.dtype(c)) for c in np.typecodes['AllFloat'] + '?bhilqBHILQ'}
    # the names that NumPy 1 wrote the same functions under
    allowed += [
        (getattr(multiarray, name), f'numpy.core.multiarray.{name}')
        for name in ('_reconstruct', 'scalar')
    ]
    torch.serialization.add_safe_globals(allowed)


def _history_method(owner: type, name: str) -> Any:
    """Stand in for ``getattr``, by which a ``HistoryBuffer`` names its methods."""
    if owner is not HistoryBuffer or name.startswith('_'):
        raise pickle.UnpicklingError(
            f'Unsupported global: getattr of {owner!r} was not allowed'
        )
    return getattr(owner, name)


def _source(path: str) -> Path | io.BytesIO:
    """Find a local file, download a URL once, or fetch from a storage backend."""
    if path.startswith(('http://', 'https://')):
        return download(path)
    if '://' in path:
        try:
            return io.BytesIO(fileio.get(path))
        except Exception as error:  # every storage has errors of its own
            reason = ' '.join(f'{type(error).__name__}: {error}'.split())
            raise ValueError(f"checkpoint '{path}' can't be read: {reason}") from error
    file = Path(path).expanduser()
    if file.is_dir():
        return _file_in(file)
    if not file.is_file():
        raise ValueError(
            f"checkpoint '{path}' does not exist (looked in {Path.cwd()}): give a "
            'file or a URL'
        )
    return file


def _file_in(folder: Path) -> Path:
    """Find the file with the weights in a checkpoint folder of DeepSpeed's."""
    file = folder / 'mp_rank_00_model_states.pt'
    if not file.is_file():
        raise ValueError(
            f"checkpoint '{folder}' is a folder without {file.name}, which DeepSpeed's "
            'ZeRO-1 and ZeRO-2 write: of ZeRO-3, make a file by the zero_to_fp32.py '
            'that is beside it; other shards are for the strategy that wrote them'
        )
    return file


def load_checkpoint(
    path: str | Path, weights_only: bool | None = None, map_location: Any = 'cpu'
) -> dict[str, Any]:
    """Read a checkpoint file or URL.

    Args:
        path: A ``.pth``, ``.bin`` or ``.safetensors`` file, a folder that DeepSpeed's
            ZeRO-1 or ZeRO-2 wrote, a URL (downloaded once, by :func:`download`), or
            an address of MMEngine's storage backends.
        weights_only: Refuse pickles that could run code. Defaults to None: yes, unless
            the environment has ``TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1``, as for torch.
        map_location: Where to, as for ``torch.load``. Defaults to the CPU.

    Raises:
        ValueError: If it is missing, damaged, not a dict, or holds more than
            data although ``weights_only``.
    """
    name = str(path)
    source = _source(name)
    if weights_only is None:
        weights_only = not is_set(TRUST_ALL)
    weights_only = weights_only or is_set(TRUST_NONE)
    if urlsplit(name).path.endswith('.safetensors'):
        loaded = _load_safetensors(source, name)
    else:
        loaded = _load_pickle(source, name, weights_only, map_location)
    if not isinstance(loaded, dict):
        raise ValueError(
            f"checkpoint '{name}' holds a {type(loaded).__name__}, not a dict of "
            'weights'
        )
    return loaded


def _load_safetensors(source: Path | io.BytesIO, name: str) -> Any:
    try:
        from safetensors.torch import load, load_file
    except ImportError as error:
        raise ValueError(
            f"checkpoint '{name}' needs the package safetensors, which is not "
            'installed: pip install safetensors'
        ) from error
    try:
        return load_file(source) if isinstance(source, Path) else load(source.read())
    except Exception as error:  # of Rust, for bad bytes
        raise ValueError(_unreadable(name, error)) from error


def _load_pickle(
    source: Path | io.BytesIO, name: str, weights_only: bool, map_location: Any
) -> Any:
    allow_mmengine_globals()
    try:
        return torch.load(source, map_location=map_location, weights_only=weights_only)
    except Exception as error:  # every format has errors of its own for bad bytes
        if weights_only and not isinstance(error, (OSError, MemoryError)):
            refused = _why_refused(source, name)
            if refused is not None:
                raise ValueError(refused) from error
        raise ValueError(_unreadable(name, error)) from error


def _why_refused(source: Path | io.BytesIO, name: str) -> str | None:
    """Say what a file holds beside weights, or None if there is nothing else in it."""
    if isinstance(source, Path):
        with source.open('rb') as stream:
            contents = read_contents(stream)
    else:
        contents = read_contents(source)
    if contents.calls:
        return (
            f"checkpoint '{name}' would run code when it is loaded: it calls "
            f'{_listed(contents.calls)}. Nothing in it was run, and it was not read. '
            "No file of weights needs that: don't use it, and look where else the "
            'weights are to be had'
        )
    if not contents.classes:
        return None
    file = str(source) if isinstance(source, Path) else name
    read = f"torch.load({file!r}, map_location='cpu', weights_only=False)"
    as_it_is = (
        "Or have it read as it is: a teacher's by weights_only=False in the teacher's "
        f'config, others by {TRUST_ALL}=1 in the environment'
    )
    if contents.plain:
        read, as_it_is = f"pickle.load(open({file!r}, 'rb'))", ''
    return (
        f"checkpoint '{name}' holds more than weights, {_listed(contents.classes)}, "
        'and was not read, since loading such a file can run code. If you trust where '
        'it comes from, write its weights to a file of their own: python -c '
        f'"import pickle, torch; torch.save({read}{contents.weights}, '
        f"'weights.pth')\". {as_it_is}".rstrip()
    )


def _listed(names: list[str]) -> str:
    more = f' and {len(names) - SHOWN} more' if len(names) > SHOWN else ''
    return ', '.join(names[:SHOWN]) + more


def _unreadable(name: str, error: Exception) -> str:
    text = str(error)
    # torch's advice around it is to load the file without any check
    reason = re.split(r'WeightsUnpickler error: |with your use case: ', text)[-1]
    if 'weights_only' in reason:
        reason = 'it is no file that torch.save wrote'
    line = next(iter(reason.strip().splitlines()), '')
    return (
        f"checkpoint '{name}' can't be read (damaged, still being written, or no file "
        f'of weights?): {type(error).__name__}: {line}'
    )


def weights_of(checkpoint: dict[str, Any], prefix: str = '') -> dict[str, Tensor]:
    """Take the weights out of a checkpoint, by default all of them.

    Args:
        checkpoint: As :func:`load_checkpoint` returns it: MMEngine's, timm's
            (``model``), DeepSpeed's (``module``), or the bare weights.
        prefix: Take only the weights below it, and strip it, such as
            ``'student.'`` of a distillation checkpoint; the ranges of a student that
            was quantised in training stay behind. Defaults to ``''``.

    Raises:
        ValueError: If no weight has the prefix; the message tells what there is.
    """
    for key in ('state_dict', 'model', 'module'):
        if isinstance(checkpoint.get(key), dict):
            checkpoint = checkpoint[key]
            break
    weights = {
        key.removeprefix('module.'): value
        for key, value in checkpoint.items()
        if isinstance(value, Tensor)
    }
    found = {
        k.removeprefix(prefix): v
        for k, v in weights.items()
        if k.startswith(prefix) and not (prefix and is_quantiser(k))
    }
    if not found:
        tops = sorted({key.split('.')[0] + '.' for key in weights})
        raise ValueError(
            f"no weight begins with '{prefix}'; this checkpoint has {tops or 'none'}"
        )
    if prefix and all(key.startswith('model.') for key in found):
        # timm's and HuggingFace's wrappers, which read and write bare names
        found = {key.removeprefix('model.'): value for key, value in found.items()}
    return found


def load_strictly(model: nn.Module, weights: dict[str, Tensor]) -> list[str]:
    """Load all of a model's weights and no others, but for its preprocessor's.

    Returns:
        What does not fit, one line for every kind; empty if all is well.
    """
    weights = {
        k: v for k, v in weights.items() if not k.startswith('data_preprocessor.')
    }
    try:
        result = model.load_state_dict(weights, strict=False)
    except RuntimeError as error:  # shapes that differ
        return [str(error)]
    problems = []
    for what, keys in (
        ('missing in the file', result.missing_keys),
        ('unknown to the model', result.unexpected_keys),
    ):
        if keys:
            problems.append(f'{len(keys)} weights {what}: {", ".join(sorted(keys))}')
    return problems


def is_set(variable: str) -> bool:
    """Tell whether a switch is on in the environment, as torch reads them."""
    return os.environ.get(variable, '0') in ('1', 'y', 'yes', 'true')
