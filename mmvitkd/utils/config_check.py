"""Settings that nothing reads: a misspelt one would be passed over in silence.

What is built by a registry refuses unknown arguments by itself. This looks at the rest:
names at the top level, and dicts of which MMEngine and MMPretrain take what they know.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.registry import Registry
from mmengine.runner import Runner, set_random_seed
from mmengine.utils.dl_utils import set_multi_processing
from torch.distributed import init_process_group
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from mmvitkd.registry import (
    HOOKS,
    METRICS,
    MODELS,
    OPTIM_WRAPPER_CONSTRUCTORS,
    OPTIMIZERS,
    TRANSFORMS,
)

from .config_file import (
    merge_options,
    open_config,
    require_dicts,
    teachers_files,
)
from .config_names import SETTINGS, check_names, check_option, own_files
from .config_variables import changed_variables, variables_of
from .hooks import ALWAYS, DEFAULT, WATCHING
from .places import note_config
from .spelling import distance, is_slip, suggest
from .types import class_of


def _arguments(function: Any) -> set[str]:
    try:
        return set(inspect.signature(function).parameters) - {'self'}
    except ValueError:  # of one that is written in C
        return set()


def all_arguments(cls: type) -> set[str]:
    """Return the arguments of a class's constructor, and of those it inherits from."""
    made = [vars(base)['__init__'] for base in cls.__mro__ if '__init__' in vars(base)]
    return set().union(*map(_arguments, made))


# dicts with a fixed set of keys
FIXED: dict[str, set[str]] = {
    'env_cfg': {'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'},
    'env_cfg.mp_cfg': _arguments(set_multi_processing) - {'distributed'},
    'env_cfg.dist_cfg': _arguments(init_process_group) | {'init_backend', 'port'},
    'randomness': _arguments(set_random_seed),
    'auto_scale_lr': {'enable', 'base_batch_size'},
}
MULTIPLIERS = {'lr_mult', 'decay_mult'}


class Unread(NamedTuple):
    """A key that is in a dict where nothing reads it."""

    place: str
    key: str
    known: Collection[str]


def read_config(path: str | Path, options: dict[str, Any] | None = None) -> Config:
    """Read a config, and refuse settings that nothing reads.

    Args:
        path: Of the config.
        options: Settings to change, by their dotted names. Defaults to None.

    Raises:
        ValueError: If there is such a setting in the user's own files or options; the
            message offers the nearest right name.
    """
    cfg = open_config(path, options)
    require_dicts(cfg)
    check_names(cfg, path, changed_variables(path))
    for option in options or {}:
        check_option(cfg, option.split('.')[0], variables_of(path))
    merge_options(cfg, options or {})
    require_dicts(cfg)
    note_config(cfg, path)
    if cfg.get('strategy') and 'runner_type' not in cfg:
        raise ValueError(
            "nothing reads 'strategy' without runner_type='FlexibleRunner' beside it"
        )
    own = {*map(str, options or {}), *(str(v) for v in (options or {}).values())}
    for file in [Path(path), *teachers_files(cfg)]:
        # a dumped config has upstream's slips as well: nothing tells whose they are
        texts = (f for f, names, _ in own_files(file) if not names.dumped)
        own |= {f.read_text(encoding='utf-8') for f in texts}
    for place, key, known in find_unread(cfg):
        if any(re.search(rf'\b{re.escape(key)}\b', text) for text in own):
            hint = suggest(key, known) or f'. What is read: {", ".join(sorted(known))}'
            raise ValueError(f"nothing reads '{place}.{key}'{hint}")
    return cfg


def find_unread(cfg: Config) -> Iterator[Unread]:
    """List the keys of a config's dicts that nothing reads, whoever wrote them."""
    for place, fixed in FIXED.items():
        given: Any = cfg
        for key in place.split('.'):
            given = given.get(key) if isinstance(given, dict | Config) else None
        yield from _unknown(place, given, fixed)
    yield from _unread_hooks(cfg)
    given = cfg.get('default_scope')
    scope = given if isinstance(given, str) and given else 'mmengine'
    yield from _unread_options('optim_wrapper', cfg.get('optim_wrapper') or {}, scope)
    for name in ('val_evaluator', 'test_evaluator'):
        yield from _unread_by_metrics(name, cfg.get(name), scope)
    parts = {
        name: cfg.get(name)
        for name in ('model', 'train_dataloader', 'val_dataloader', 'test_dataloader')
    }
    for file in teachers_files(cfg):
        teacher = open_config(file)
        note_config(teacher, file, main=False)
        parts[str(file)] = teacher.get('model')
    for name in sorted(SETTINGS & set(cfg) - set(parts)):
        parts[name] = cfg[name]
    for name, whole in parts.items():
        for place, part in _dicts(whole, name):
            yield from _misspelt_type(place, part)
            yield from _unread_arch(place, part, scope)
            yield from _unread_by_policies(place, part, scope)


def _unknown(place: str, given: Any, known: Collection[str]) -> Iterator[Unread]:
    for key in given if isinstance(given, dict) else ():
        if key not in known:
            yield Unread(place, str(key), known)


def _misspelt_type(place: str, part: dict[str, Any]) -> Iterator[Unread]:
    """Find ``type`` with a letter wrong, which some parts do without."""
    for key, value in part.items() if 'type' not in part else ():
        name = str(key).lower()
        near = distance(name, 'type') < 2 or sorted(name) == sorted('type')
        if near and isinstance(value, str | type):
            yield Unread(place, str(key), ['type'])


def _unread_hooks(cfg: Config) -> Iterator[Unread]:
    """Find default hooks of misspelt names, which would be hooks of their own."""
    known = [*DEFAULT, *ALWAYS, *WATCHING, 'visualization']
    for name, hook in (cfg.get('default_hooks') or {}).items():
        untyped = isinstance(hook, dict) and 'type' not in hook
        if name not in known and (untyped or is_slip(name, known)):
            yield Unread('default_hooks', name, known)
    saving = (cfg.get('default_hooks') or {}).get('checkpoint')
    saver = _find((saving or {}).get('type', 'CheckpointHook'), HOOKS, 'mmengine')
    if isinstance(saver, type) and issubclass(saver, CheckpointHook):
        # what it does not know it hands on to save_checkpoint(), at the first one
        keys = {'type'} | all_arguments(saver) | _arguments(Runner.save_checkpoint)
        yield from _unknown('default_hooks.checkpoint', saving, keys)


def _find(kind: Any, registry: Registry, scope: str) -> Any:
    """Look a type up as the runner will, in the config's scope first."""
    if isinstance(kind, str) and '.' not in kind:
        found = class_of(f'{scope}.{kind}', registry)
        if found is not None:
            return found
    return class_of(kind, registry)


def _unread_options(place: str, wrapper: Any, scope: str) -> Iterator[Unread]:
    """Check the options of an optimiser's constructor, of several by their names."""
    if not isinstance(wrapper, dict):
        return
    if 'optimizer' not in wrapper:
        for name, inner in wrapper.items():
            if isinstance(inner, dict):
                yield from _unread_options(f'{place}.{name}', inner, scope)
        return
    clips = _arguments(clip_grad_norm_) | _arguments(clip_grad_value_) | {'type'}
    yield from _unknown(
        f'{place}.clip_grad', wrapper.get('clip_grad'), clips - {'parameters'}
    )
    optimizer = _optimizer(wrapper['optimizer'], scope)
    if optimizer is not None:  # before its constructor misses what is misspelt
        known = all_arguments(optimizer) | {'type', '_scope_'}
        yield from _unknown(f'{place}.optimizer', wrapper['optimizer'], known)
    given = wrapper.get('paramwise_cfg')
    kind = wrapper.get('constructor', 'DefaultOptimWrapperConstructor')
    constructor = _find(kind, OPTIM_WRAPPER_CONSTRUCTORS, scope)
    if not isinstance(given, dict) or not isinstance(constructor, type):
        return
    read = keys_read(constructor, 'paramwise_cfg')
    yield from _unknown(f'{place}.paramwise_cfg', given, read)
    keys = given.get('custom_keys') or {}
    if not isinstance(keys, dict):
        raise ValueError(
            f'{place}.paramwise_cfg.custom_keys must be a dict, got {keys!r}'
        )
    if optimizer is not None:
        known = MULTIPLIERS | all_arguments(optimizer) | keys_read(optimizer, 'group')
        for name, options in keys.items():
            inner = f"{place}.paramwise_cfg.custom_keys['{name}']"
            yield from _unknown(inner, options, known)


def _optimizer(given: Any, scope: str) -> type | None:
    """Look up an optimiser's class, if it says which arguments it takes."""
    kind = given.get('type') if isinstance(given, dict) else None
    found = _find(kind, OPTIMIZERS, scope)
    if not isinstance(found, type):
        return None
    kinds = [p.kind for p in inspect.signature(found).parameters.values()]
    return None if inspect.Parameter.VAR_KEYWORD in kinds else found


def _unread_by_metrics(place: str, given: Any, scope: str) -> Iterator[Unread]:
    """Check metrics that take any argument, and leave what they do not know."""
    for part in given if isinstance(given, list | tuple) else [given]:
        if not isinstance(part, dict):
            continue
        metric = _find(part.get('type'), METRICS, scope)
        if isinstance(metric, type) and _swallows(metric):
            yield from _unknown(
                place, part, all_arguments(metric) | {'type', '_scope_'}
            )


def _unread_arch(place: str, part: dict[str, Any], scope: str) -> Iterator[Unread]:
    """Check the keys of a backbone's own architecture."""
    arch = part.get('arch')
    if not isinstance(arch, dict):
        return
    backbone = _find(part.get('type'), MODELS, scope)
    known = arch_keys(backbone) if isinstance(backbone, type) else frozenset()
    if known:
        yield from _unknown(f'{place}.arch', arch, known)


def _unread_by_policies(
    place: str, part: dict[str, Any], scope: str
) -> Iterator[Unread]:
    """Check what an automatic augmentation hands to those policies that take it."""
    policies, given = part.get('policies'), part.get('hparams')
    if not isinstance(policies, list | tuple) or not isinstance(given, dict):
        return
    kinds = [p for _, p in _dicts(list(policies), '') if 'type' in p]
    found = [_find(policy['type'], TRANSFORMS, scope) for policy in kinds]
    classes = [kind for kind in found if isinstance(kind, type)]
    known = set().union(*map(all_arguments, classes))
    if known:
        yield from _unknown(f'{place}.hparams', given, known)


def _dicts(value: Any, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Go through all dicts in a part of a config, each with its place."""
    if isinstance(value, dict):
        yield place, value
        for key in value:
            yield from _dicts(value[key], f'{place}.{key}')
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _dicts(item, f'{place}.{number}')


@cache
def keys_read(cls: type, name: str) -> frozenset[str]:
    """Find the keys that a class's methods take out of a dict of this name."""
    found = set()
    for node in _nodes(cls):
        if isinstance(node, ast.Subscript):
            holder, key = node.value, node.slice
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ('get', 'pop', 'setdefault')
            and node.args
        ):
            holder, key = node.func.value, node.args[0]
        else:
            continue
        if name in ast.unparse(holder) and isinstance(key, ast.Constant):
            found.add(key.value)
    return frozenset(key for key in found if isinstance(key, str))


@cache
def arch_keys(cls: type) -> frozenset[str]:
    """Find the keys that a backbone's ``arch`` may have, if it says so; else none."""
    zoo = getattr(cls, 'arch_zoo', None) or getattr(cls, 'arch_settings', None) or {}
    archs = zoo.values() if isinstance(zoo, dict) else ()
    known = {key for arch in archs if isinstance(arch, dict) for key in arch}
    for node in _nodes(cls):
        if isinstance(node, ast.Set):  # essential_keys
            known |= {e.value for e in node.elts if isinstance(e, ast.Constant)}
    if known:
        known |= keys_read(cls, 'arch')
    return frozenset(str(key) for key in known)


def _nodes(cls: type) -> Iterator[ast.AST]:
    """Go through the code of the methods that a class has, those it overrides not."""
    seen: set[str] = set()
    for base in cls.__mro__:
        if base.__module__.split('.')[0] in ('torch', 'builtins', 'abc'):
            continue
        for name, method in vars(base).items():
            if not inspect.isfunction(method) or name in seen:
                continue
            try:
                source = textwrap.dedent(inspect.getsource(method))
            except (OSError, TypeError):  # made at run time
                continue
            if f'super().{name}' not in source:
                seen.add(name)
            yield from ast.walk(ast.parse(source))


@cache
def _swallows(cls: type) -> bool:
    """Whether a class's constructor takes any arguments and uses them nowhere."""
    variable = inspect.signature(cls).parameters.values()
    names = [p.name for p in variable if p.kind is p.VAR_KEYWORD]
    if not names or '__init__' not in vars(cls):
        return False
    tree = ast.parse(textwrap.dedent(inspect.getsource(vars(cls)['__init__'])))
    return all(not isinstance(n, ast.Name) or n.id not in names for n in ast.walk(tree))
