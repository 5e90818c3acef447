"""Weights are read as weights only by what this project calls, too."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as mmengine_loaders

from .checkpoint import (
    TRUST_ALL,
    TRUST_NONE,
    allow_mmengine_globals,
    is_set,
    load_checkpoint,
)

# addresses that load_checkpoint reads by itself
DIRECT = ('', 'http://', 'https://', r'(\S+\:)?s3://', r'(\S+\:)?petrel://')
_safe: set[Callable] = set()


def read_weights_only() -> None:
    """Let MMEngine read all checkpoints as :func:`load_checkpoint` does.

    Its own loaders run what a pickle says, and keep downloads by their base name. They
    are behind ``init_cfg=dict(type='Pretrained')``, ``load_from``, resuming and the
    strategies of ``FlexibleRunner``. May be called any number of times.
    """
    allow_mmengine_globals()
    # by which it reads names such as torchvision://resnet18
    mmengine_loaders.load_from_http = _load
    for prefix, loader in list(CheckpointLoader._schemes.items()):
        if prefix in DIRECT:
            CheckpointLoader.register_scheme(prefix, _load, force=True)
        elif loader not in _safe:
            loader = weights_only_loads()(loader)
            _safe.add(loader)
            CheckpointLoader.register_scheme(prefix, loader, force=True)


def _load(filename: str, map_location: Any = None, **_: Any) -> dict[str, Any]:
    return load_checkpoint(filename, map_location=map_location)


@contextmanager
def weights_only_loads(always: bool = False) -> Iterator[None]:
    """Let every ``torch.load`` read weights only, whoever calls it and however.

    Args:
        always: Also where the user trusts all files, by torch's
            ``TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD``. Defaults to False.
    """
    if is_set(TRUST_ALL) and not always:
        yield
        return
    allow_mmengine_globals()
    kept = {name: os.environ.pop(name, None) for name in (TRUST_ALL, TRUST_NONE)}
    os.environ[TRUST_NONE] = '1'
    try:
        yield
    finally:
        del os.environ[TRUST_NONE]
        os.environ.update({k: v for k, v in kept.items() if v is not None})
