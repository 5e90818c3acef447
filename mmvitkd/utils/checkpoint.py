"""Reading checkpoints without running what a stranger put into them."""

import io
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine import fileio
from mmengine.dist import barrier, get_dist_info
from mmengine.logging import HistoryBuffer
from torch import Tensor, nn


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


def _read(path: str) -> Any:
    """Open a local file, download a URL once, or fetch from a storage backend."""
    if path.startswith(('http://', 'https://')):
        folder = Path(torch.hub.get_dir()) / 'checkpoints'
        file = folder / os.path.basename(path.split('?')[0])
        if get_dist_info()[0] == 0 and not file.exists():
            folder.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(path, str(file))
        barrier()
        return file
    if '://' in path:
        return io.BytesIO(fileio.get(path))
    if Path(path).is_dir():
        return _file_in(Path(path))
    if not Path(path).is_file():
        raise ValueError(
            f"checkpoint '{path}' does not exist (looked in {Path.cwd()}): give a "
            'file or a URL'
        )
    return path


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


def load_checkpoint(path: str | Path, weights_only: bool = True) -> dict[str, Any]:
    """Read a checkpoint file or URL to the CPU.

    Args:
        path: A ``.pth``, ``.bin`` or ``.safetensors`` file, a folder that DeepSpeed's
            ZeRO-1 or ZeRO-2 wrote, a URL (downloaded once, into torch's hub folder),
            or an address of MMEngine's storage backends.
        weights_only: Refuse pickles that could run code. Defaults to True.

    Raises:
        ValueError: If it is missing, damaged, not a dict, or holds more than
            data although ``weights_only``.
    """
    name = str(path)
    source = _read(name)
    try:
        if name.endswith('.safetensors'):
            from safetensors.torch import load_file

            return load_file(source)
        allow_mmengine_globals()
        loaded = torch.load(source, map_location='cpu', weights_only=weights_only)
    except pickle.UnpicklingError as error:
        reason = str(error).rpartition('error: ')[2].strip().split('\n', 1)[0]
        if 'global' not in reason.lower() and 'class' not in reason:
            raise ValueError(f"checkpoint '{name}' is damaged: {reason}") from error
        raise ValueError(
            f"checkpoint '{name}' holds more than weights and was not read, since "
            'loading it could run code. If you trust where it comes from, set '
            f'weights_only=False. ({reason})'
        ) from error
    except Exception as error:  # every format has errors of its own for bad bytes
        raise ValueError(
            f"checkpoint '{name}' can't be read (damaged, or still being written?): "
            f'{type(error).__name__}: {error}'
        ) from error
    if not isinstance(loaded, dict):
        raise ValueError(
            f"checkpoint '{name}' holds a {type(loaded).__name__}, not a dict of "
            'weights'
        )
    return loaded


def weights_of(checkpoint: dict[str, Any], prefix: str = '') -> dict[str, Tensor]:
    """Take the weights out of a checkpoint, by default all of them.

    Args:
        checkpoint: As :func:`load_checkpoint` returns it: MMEngine's, timm's
            (``model``), DeepSpeed's (``module``), or the bare weights.
        prefix: Take the weights below it alone, and strip it, such as
            ``'student.'`` of a distillation checkpoint. Defaults to ``''``.

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
        k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)
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
