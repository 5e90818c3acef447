"""Weights that timm and Hugging Face fetch by a model's name, and where they lie."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from .config_names import walk
from .types import name_of

TIMM = ('TimmClassifier', 'TIMMBackbone')
HUGGING_FACE = ('HuggingFaceClassifier', 'HuggingFaceModel')
# by which a repository's weights go, whole or as a list of their parts
WEIGHTS = (
    'model.safetensors',
    'pytorch_model.bin',
    'model.safetensors.index.json',
    'pytorch_model.bin.index.json',
)


def find_published(model: Any, place: str) -> Iterator[tuple[str, str, str]]:
    """List the models that libraries will have to fetch, since no cache holds them.

    Args:
        model: Config of a model, or of anything with models in it.
        place: Where in the config it stands.

    Yields:
        Place, what it is in words, and an address that tells whether it is there.
    """
    for where, part in walk(model, place):
        kind = name_of(part.get('type')) if isinstance(part, dict) else None
        name = part.get('model_name') if isinstance(part, dict) else None
        if not isinstance(name, str):
            continue
        fetched = bool(part.get('pretrained'))
        if kind in TIMM and fetched and (url := _of_timm(name)):
            yield f'{where}.model_name', f"timm's weights of '{name}'", url
        elif kind in HUGGING_FACE and (url := _of_hugging_face(name, fetched)):
            yield f'{where}.model_name', f"Hugging Face's model '{name}'", url


def _of_timm(name: str) -> str | None:
    """Return where timm will fetch a model's weights, unless they are there."""
    try:
        import timm
    except ImportError:  # which building the model tells
        return None
    try:
        cfg: Any = timm.get_pretrained_cfg(name)
    except RuntimeError:  # of an unknown tag, likewise
        return None
    if cfg is None or cfg.file or cfg.state_dict:
        return None
    if (
        cfg.url
        and Path(torch.hub.get_dir(), 'checkpoints', Path(cfg.url).name).exists()
    ):
        return None
    if not cfg.hf_hub_id:
        return cfg.url or None
    repository, _, revision = cfg.hf_hub_id.partition('@')
    own = cfg.hf_hub_filename
    weights = (own,) if own else WEIGHTS
    return _in_hub(repository, own or 'config.json', weights, revision or None)


def _of_hugging_face(name: str, fetched: bool) -> str | None:
    if Path(name).expanduser().is_dir() or name.count('/') > 1:
        return None  # a folder, whose files are looked at when they are read
    return _in_hub(name, 'config.json', WEIGHTS if fetched else ('config.json',))


def _in_hub(
    repository: str, file: str, wanted: tuple[str, ...], revision: str | None = None
) -> str | None:
    """Return a file's address in the hub, unless one of those wanted is cached."""
    try:
        from huggingface_hub import hf_hub_url, try_to_load_from_cache
    except ImportError:
        return None
    try:
        for name in wanted:
            found = try_to_load_from_cache(repository, name, revision=revision)
            if isinstance(found, str):
                return None
        return hf_hub_url(repository, file, revision=revision)
    except ValueError:  # of a name that can't be one
        return None


def is_kept_offline(url: str) -> bool:
    """Whether Hugging Face's library is told to ask its hub for nothing."""
    try:
        from huggingface_hub import constants
    except ImportError:
        return False
    return constants.HF_HUB_OFFLINE and url.startswith(constants.ENDPOINT)
