"""``mmvitkd::CONFIG``, as MMEngine names a package's configs.

MMEngine looks names up in a table of OpenMMLab's packages, and in a folder ``.mim``
that a checkout has not; MMPretrain lists its own models. Both are completed when they
are imported, so that importing this package stays cheap.
"""

import os
import sys
from collections.abc import Callable
from functools import cache, wraps
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


def find_configs(module: ModuleType) -> None:
    """Let a module of MMEngine find the files behind ``mmvitkd::`` names."""
    for name, make in WRAPPERS.items():
        original = getattr(module, name, None)
        if original is not None and not hasattr(original, '__wrapped__'):
            setattr(module, name, wraps(original)(make(original)))


def remember_metafiles(module: ModuleType) -> None:
    """Have MMEngine read a package's metafiles once, not again for every name."""
    find_configs(module)
    if not hasattr(module.load, '__wrapped__'):
        module.load = cache(module.load)  # type: ignore[attr-defined]


def _split(original: Callable[[str], tuple[str, str]]) -> Callable:
    def split(cfg_path: str) -> tuple[str, str]:
        from mmvitkd.utils.own_configs import PREFIX, find_own_config

        if not cfg_path.startswith(PREFIX):
            return original(cfg_path)
        # MMEngine then asks whether the package is installed, or installs it:
        # MMPretrain is there whenever this one is
        return 'mmpretrain', str(find_own_config(cfg_path))

    return split


def _locate(original: Callable[[str, str], str]) -> Callable:
    def locate(package_path: str, cfg_file: str) -> str:
        found = os.path.isabs(cfg_file)
        return cfg_file if found else original(package_path, cfg_file)

    return locate


def _describe(original: Callable[[str, str], dict[str, Any]]) -> Callable:
    def describe(package_path: str, cfg_path: str) -> dict[str, Any]:
        found = os.path.isabs(cfg_path)
        return {'Config': cfg_path} if found else original(package_path, cfg_path)

    return describe


# what `_base_` and MMEngine's hub look a name up by
WRAPPERS: dict[str, Callable[[Callable], Callable]] = {
    '_get_package_and_cfg_path': _split,
    '_get_external_cfg_path': _locate,
    '_get_cfg_metainfo': _describe,
}


def list_models(module: ModuleType) -> None:
    """Add our models to those that MMPretrain knows by their names."""
    hub = module.ModelHub
    register_theirs = hub._register_mmpretrain_models
    registered = False

    def register() -> None:
        nonlocal registered
        register_theirs()
        if registered:
            return
        from mmengine.fileio import load

        from mmvitkd.utils.own_configs import own_configs

        root = own_configs().parent
        for metafile in load(root / 'model-index.yml')['Import']:
            if '/downstream/' not in metafile:  # of models that MMPretrain can't build
                hub.register_model_index(root / metafile, config_prefix=root)
        registered = True

    hub._register_mmpretrain_models = register


COMPLETE: dict[str, Callable[[ModuleType], None]] = {
    'mmengine.config.utils': remember_metafiles,  # it loads nothing else
    'mmengine.config.config': find_configs,
    'mmengine.hub.hub': find_configs,
    'mmpretrain.apis.model': list_models,
}


class Completion(MetaPathFinder):
    """Completes modules as soon as they have been imported."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        """Find a module as the other finders do, and have it completed."""
        if name not in COMPLETE:
            return None
        found = (f.find_spec(name, path, target) for f in sys.meta_path if f != self)
        spec = next(filter(None, found), None)
        if spec is None or spec.loader is None:
            return spec
        run = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            run(module)
            COMPLETE[name](module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def complete_modules() -> None:
    """Complete what has been imported already, and the rest when it will be."""
    for name, complete in COMPLETE.items():
        if name in sys.modules:
            complete(sys.modules[name])
    sys.meta_path.insert(0, Completion())
