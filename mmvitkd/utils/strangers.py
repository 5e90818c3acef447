"""Models and images of a work dir that came from somebody else: nothing of it is run.

Its config is read as data. That is not enough: MMEngine imports whatever a ``type``
names, some registered types take code from the network or evaluate a text, and a path
in a config may be that of another config.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.fileio.handlers.registry_utils import file_handlers
from mmengine.registry import Registry
from mmengine.registry import registry as lookup
from mmengine.utils import get_installed_path

from mmvitkd import registry
from mmvitkd.utils.own_configs import PREFIX, config_folders, find_own_config
from mmvitkd.utils.safe_loading import weights_only_loads

SCOPES = ('mmengine', 'mmcv', 'mmpretrain', 'mmvitkd')
# parts of them that fetch code or data of a stranger's choice
LEFT_OUT = (
    'mmpretrain.datasets.onedl',
    'mmpretrain.models.multimodal',
    'mmpretrain.models.utils.huggingface',
    'mmpretrain.models.utils.tokenizer',
)
FILES = ('disk', 'local')  # backends of files that import nothing
PLAIN = re.compile(r'[\w.-]*')  # a text that torchvision's wrapper may evaluate
TORCHVISION = 'torchvision/'


def require_registered(cfg: Any, path: str = '') -> None:
    """Refuse to build from a stranger's config what could run code.

    Args:
        cfg: The config, or a part of it.
        path: What it is called in messages. Defaults to ``''``.

    Raises:
        ValueError: If a type in it is not registered by the OpenMMLab packages or
            this one, or has settings that run code.
    """
    if isinstance(cfg, (list, tuple)):
        for i, item in enumerate(cfg):
            require_registered(item, f'{path}[{i}]')
    if not isinstance(cfg, dict):
        return
    _require_harmless(cfg, path)
    if 'type' in cfg:
        _require_known(cfg, path)
    for key, value in cfg.items():
        require_registered(value, f'{path}.{key}' if path else str(key))


def _require_harmless(cfg: dict, path: str) -> None:
    where = f' in {path}' if path else ''
    if cfg.get('trust_remote_code'):
        raise ValueError(f'trust_remote_code{where} would run code')
    for key in ('backend_args', 'file_client_args'):
        args = cfg.get(key) or {}
        backend = args.get('backend') if isinstance(args, dict) else args
        if backend is not None and backend not in FILES:
            raise ValueError(f'{key}{where} has the backend {backend!r}, no local file')
    for key in ('_scope_', 'default_scope'):
        if cfg.get(key) not in (None, *SCOPES):
            raise ValueError(f'{key}={cfg[key]!r}{where} is of another package')


def _require_known(cfg: dict, path: str) -> None:
    """Refuse a type that is not registered, and what a registered one may not get."""
    kind = cfg['type']
    scope, _, name = str(kind).rpartition('.')
    found = _registered().get(name, [])
    modules = [str(getattr(one, '__module__', '')) for one in found]
    known = name.startswith(TORCHVISION) or any(
        module.split('.')[0] in (*SCOPES, 'torch') for module in modules
    )
    if not isinstance(kind, str) or not found or scope not in ('', *SCOPES):
        known = False
    if not known or any(module.startswith(LEFT_OUT) for module in modules):
        raise ValueError(
            f'type={kind!r}{f" of {path}" if path else ""} is none that MMPretrain, '
            'MMEngine, MMCV or mmvitkd has registered for images, and no others are '
            'built from what a run has recorded'
        )
    if name.startswith(TORCHVISION) and not all(map(_is_plain, cfg.values())):
        raise ValueError(f'{path} hands {kind} a text that would be evaluated')
    if name == 'HuggingFaceClassifier':
        _require_plain_huggingface(cfg, path)


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        return value.startswith(TORCHVISION) or bool(PLAIN.fullmatch(value))
    return True


def _require_plain_huggingface(cfg: dict, path: str) -> None:
    """Allow Hugging Face numbers alone; by other settings it runs code."""
    own = {'type', 'model_name', 'pretrained', 'loss', 'train_cfg', 'with_cp'}
    own |= {'data_preprocessor', 'init_cfg'}
    for key, value in cfg.items():
        if key not in own and not isinstance(value, (int, float, type(None))):
            raise ValueError(f'{key}={value!r} of {path} is handed to Hugging Face')


@cache
def _registered() -> dict[str, list[Any]]:
    """List what is registered anywhere, by name."""
    own = [one for one in vars(registry).values() if isinstance(one, Registry)]
    for one in own:
        one.import_from_location()
    found: dict[str, list[Any]] = {}
    roots = {one._get_root_registry() for one in own}
    for one in [*roots, *(child for root in roots for child in _below(root))]:
        for name, kind in one.module_dict.items():
            found.setdefault(name, []).append(kind)
    return found


def _below(parent: Registry) -> Iterator[Registry]:
    for child in parent.children.values():
        yield child
        yield from _below(child)


@contextmanager
def nothing_run() -> Iterator[None]:
    """Build from a stranger's config; what would run code raises.

    This holds wherever a name or a path of the config is met, however deep.
    """
    kept = dict(file_handlers)
    with ExitStack() as contexts:
        for owner, name, value in (
            (lookup, 'import_module', _import_known),
            (lookup, 'get_object_from_string', _refuse_import),
            (Config, 'fromfile', staticmethod(_refuse_config)),
        ):
            contexts.enter_context(_replaced(owner, name, value))
        contexts.enter_context(weights_only_loads(always=True))
        for ending in ('pkl', 'pickle'):
            file_handlers.pop(ending, None)
        contexts.callback(file_handlers.update, kept)
        yield


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    own = vars(owner)[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, own)


def _import_known(name: str) -> Any:
    if name.split('.')[0] not in SCOPES:
        raise ImportError(f"'{name}' is not imported for a work dir")
    return import_module(name)


def _refuse_import(name: str) -> Any:
    raise ValueError(f"type '{name}' is not registered")


def _refuse_config(name: str, *args: Any, **kwargs: Any) -> Any:
    raise ValueError(
        f"config '{name}' is a file of Python, which is not run for a work dir"
    )


def installed_config(name: str, read: Callable[[str], Any]) -> Any:
    """Read a config that a work dir names, if it is one of the installed packages'.

    Args:
        name: A path, ``mmpretrain::<config>`` or ``mmvitkd::<config>``.
        read: Reads it.

    Raises:
        ValueError: If it lies anywhere else.
    """
    scope, colons, inner = name.rpartition('::')
    if name.startswith(PREFIX):
        allowed, folders, file = True, config_folders(), find_own_config(name)
    elif colons:
        allowed = scope == 'mmpretrain' and '..' not in Path(inner).parts
        folders = [Path(get_installed_path('mmpretrain')) / '.mim' / 'configs']
        file = folders[0] / inner
    else:
        allowed, folders, file = True, config_folders(), Path(name)
    inside = any(file.resolve().is_relative_to(folder.resolve()) for folder in folders)
    if not (allowed and inside):
        raise ValueError(
            f"its config '{name}' is a file of Python, which a report does not run for "
            "a work dir: give the teacher's own work dir, too"
        )
    return read(name)
