"""Where in a config the dict stands that a registry or a constructor refused."""

from __future__ import annotations

import inspect
import linecache
import re
import traceback
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any, NamedTuple

import mmengine.registry
from mmengine.registry import Registry

from mmvitkd import registry as registries

from .config_names import walk
from .errors import ConfigError
from .places import are_equal, everything, place_of, placed
from .spelling import suggest
from .suspects import find_mistyped, find_suspects, is_odd
from .types import name_of

NO_DATA = 'need at least one array to concatenate'  # of MMEngine's data sets
LONGEST = 80  # characters of a value in a message
UNEXPECTED = re.compile(
    r"(?:([\w.<>]+)\(\) )?got an unexpected keyword argument '(\w+)'"
)
MISSING = re.compile(r'(?:([\w.<>]+)\(\) )?missing \d+ required .*arguments?: (.+)')
TWICE = re.compile(r"(?:([\w.<>]+)\(\) )?got multiple values for .*argument '(\w+)'")
UNKNOWN = re.compile(r'^.*? is not in the .*registry', re.DOTALL)
UNTYPED = re.compile('must contain the key "type"|Empty module name|Failed to get')
WRAPPED = re.compile(r'^class `\w+` in \S+: ')  # by older MMEngines
# a step's code, whose errors are no config's
WHOLE = ('runner', 'loop')  # names of registries
LOOPS = re.compile(r'mmengine[/\\]runner[/\\]loops\.py$')
RUNNERS = re.compile(r'mmengine[/\\]runner[/\\](runner|_flexible_runner)\.py$')


class Build(NamedTuple):
    """A dict that a registry could not build something from."""

    registry: Registry
    cfg: Any
    cls: Any


_made: dict[int, tuple[weakref.ref, Build]] = {}


@contextmanager
def noting_builds() -> Iterator[None]:
    """Let errors know from which dicts things were being built."""
    original = Registry.build
    _made.clear()

    def build(self: Registry, cfg: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            _require_types(self, cfg)
            made = original(self, cfg, *args, **kwargs)
        except Exception as error:
            builds_of(error).append(Build(self, cfg, _class(self, cfg)))
            raise
        with suppress(TypeError):  # of a list or the like
            _made[id(made)] = weakref.ref(made), Build(self, cfg, type(made))
        return made

    Registry.build = build
    try:
        yield
    finally:
        Registry.build = original


def _require_types(registry: Registry, cfg: Any) -> None:
    """Refuse text in the place of a number, before it is taken for true.

    Raises:
        ConfigError: If there is any.
    """
    cls = _class(registry, cfg)
    wrong = find_mistyped(cls, cfg) if isinstance(cls, type) else None
    if wrong is not None:
        place = place_of([Build(registry, cfg, cls)]) or f'dict(type={cls.__name__!r})'
        raise ConfigError(
            f'{place}.{wrong.key}={_shown(wrong.value)}: {cls.__name__} takes '
            f'{wrong.taken}'
        )


def parts_at_work(error: BaseException) -> list[Build]:
    """Return from which dicts the parts were built in which an error came.

    The innermost part is the first; runners and their loops, which hold all others,
    are left out, and so is what built another, in which the error came.
    """
    found: list[Build] = []
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename == __file__:  # a registry's build()
            found.clear()
        part = frame.f_locals.get('self')
        held, build = _made.get(id(part), (None, None))
        if build is not None and held is not None and held() is part:
            found.append(build)
    return [b for b in reversed(found) if b.registry.name not in WHOLE]


def builds_of(error: BaseException) -> list[Build]:
    """Return the dicts from which things were being built, the innermost one first."""
    return error.__dict__.setdefault('builds', [])


def _class(registry: Registry, cfg: Any) -> Any:
    kind = cfg.get('type') if isinstance(cfg, dict) else None
    try:
        return registry.get(kind) if isinstance(kind, str) else kind
    except Exception:  # of a scope that can't be imported, which is told elsewhere
        return None


def explain_build(
    chain: Sequence[BaseException], is_ours: Callable[[BaseException], bool]
) -> str | None:
    """Say what in a config was refused, and where it stands.

    Args:
        chain: An error and its causes.
        is_ours: Whether our own code raised one, with words for the user.

    Returns:
        A line, or None if no config is to blame.
    """
    root = next((e for e in chain if is_ours(e)), chain[-1])
    builds = [build for error in reversed(chain) for build in builds_of(error)]
    if not builds and not _is_building(chain[0].__traceback__):
        return None
    argument = _argument_line(chain[-1], builds)
    if argument is not None:
        return argument
    if not builds:
        return None if is_ours(root) else _by_runner(chain[0])
    inner = builds[0]
    place = place_of(builds)
    if not place and _is_dict(inner):  # of a config that was read elsewhere
        place = f'dict(type={inner.cfg.get("type")!r})'
    if UNTYPED.search(str(root)) and _is_dict(inner) and not inner.cfg.get('type'):
        what = f'which {inner.registry.name} it is, by its'
        alike = [p for p, v in everything() if '.' in p and v == inner.cfg]
        place = alike[0] if len(alike) == 1 else place or str(inner.cfg)
        return f"{place}={_shown(inner.cfg)} does not say {what} 'type'"
    if UNKNOWN.match(str(root)) and _is_dict(inner):
        name = str(inner.cfg.get('type'))
        hint = suggest(name.rpartition('.')[2], _names(inner.registry)) or (
            "; a class of one's own needs the config's custom_imports"
        )
        return f"{place}.type='{name}': there is no such {inner.registry.name}{hint}"
    if is_ours(root):
        own = str(chain[0]) if is_ours(chain[0]) else str(root)
        keys = [key for key in _keys(inner) if _names_value(own, key, inner.cfg[key])]
        place = f'{place}.{keys[0]}' if len(keys) == 1 else place
        own += '' if root is chain[-1] else _suspicion(chain[-1])
        return own if place in ('', 'model') else f'{place}: {own}'
    place, inner = _suspected(root) or (place, inner)
    return f'{with_key(place, inner, root)}: {reason(root)}'


def _suspicion(cause: BaseException) -> str:
    """Point at settings of the part in which a cause came, if any looks wrong."""
    found = _suspected(cause)
    return f'. Is it {with_key(*found, cause)}?' if found else ''


def _suspected(error: BaseException) -> tuple[str, Build] | None:
    """Find the innermost part at work of which a setting looks wrong, and its place."""
    for place, part in placed(parts_at_work(error)):
        if _is_dict(part) and find_suspects(part.cls, part.cfg):
            return place, part
    return None


def _keys(build: Build) -> list[str]:
    return [key for key in build.cfg if key != 'type'] if _is_dict(build) else []


def _is_dict(build: Build) -> bool:
    return isinstance(build.cfg, dict)


def _names_value(text: str, key: str, value: Any) -> bool:
    return _has_word(text, key) and str(value) in text


def _is_building(trace: TracebackType | None) -> bool:
    """Whether an error came while a runner was being made of its config."""
    frames = traceback.extract_tb(trace)
    at_work = any(LOOPS.search(f.filename) and f.name != '__init__' for f in frames)
    return not at_work and any(RUNNERS.search(f.filename) for f in frames)


def _by_runner(error: BaseException) -> str | None:
    """Explain what failed while a runner was being made, by what the config has."""
    quoted = set(re.findall(r"'([^']+)'", str(error)))
    places = [p for p, v in everything() if isinstance(v, str) and v in quoted]
    if len(places) == 1:
        return f'{places[0]}: {reason(error)}'
    frames = traceback.extract_tb(error.__traceback__)
    if frames[-1].name == 'call_hook':  # which names a hook of any error's
        return None
    if RUNNERS.search(frames[-1].filename):
        return f'the config: {reason(error)}'
    known = {name for registry in _registries() for name in registry.module_dict}
    for place, value in everything() if 'None' in str(error) else ():
        kind = value.get('type') if isinstance(value, dict) else None
        if isinstance(kind, str) and name_of(kind) not in known and kind.count('.') < 2:
            return f"{place}.type='{kind}' is unknown{suggest(name_of(kind), known)}"
    given = _settings_near(error)
    alike = [
        (place, value)
        for place, value in everything()
        for key in [place.rpartition('.')[2]]
        if key in given and are_equal(value, given[key])
    ]
    for place, value in sorted(alike, key=lambda item: not is_odd(item[1])):
        return f'{place}={_shown(value)}: {reason(error)}'
    return None


def _settings_near(error: BaseException) -> dict[str, Any]:
    """Return what a function that a runner called had in its hands."""
    if not isinstance(error, (ValueError, TypeError)):
        return {}
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    below = [i for i, f in enumerate(frames) if RUNNERS.search(f.f_code.co_filename)]
    inner = frames[below[-1] + 1 :] if below else []
    return {key: value for f in inner[:1] for key, value in f.f_locals.items()}


def _registries() -> list[Registry]:
    """List all that types are looked up in."""
    both = [*vars(registries).values(), *vars(mmengine.registry).values()]
    found = [r for r in both if isinstance(r, Registry)]
    for registry in found:  # which grows
        registry.import_from_location()
        if registry.parent is not None and registry.parent not in found:
            found.append(registry.parent)
    return found


def _argument_line(error: BaseException, builds: list[Build]) -> str | None:
    """Explain arguments that a constructor does not know, or misses."""
    text = str(error)
    unexpected, missing, twice = (p.search(text) for p in (UNEXPECTED, MISSING, TWICE))
    if not isinstance(error, TypeError) or not (unexpected or missing or twice):
        return None
    if twice:
        place = _key_place(twice[2], builds) or place_of(builds)
        return f"{place}: {twice[1] or 'it'} gets '{twice[2]}' by itself: leave it out"
    owner = _owner(error, (unexpected or missing)[1] or '')  # type: ignore[index]
    cls = owner or (builds[0].cls if builds else None)
    name = getattr(cls, '__name__', '') or 'what is built'
    if missing:  # loops are built of what an empty dict is no part of
        place = place_of(builds) or ('train_cfg' if 'TrainLoop' in str(error) else '')
        return f'{place}: {name} needs {missing[2]}' if place else None
    key = unexpected[2]  # type: ignore[index]
    found = _key_place(key, builds)
    if found is None:
        return None
    known = sorted(_all_arguments(cls)) if cls is not None else []
    hint = suggest(key, known)
    if not hint and known:
        hint = f'. It takes {", ".join(known)}'
    return f"{found}: {name} takes no argument '{key}'{hint}"


def _owner(error: BaseException, function: str) -> Any:
    """Find the class or function that a call named, where it was called."""
    frame = _innermost(error)
    if frame is None:
        return None
    name = function.removesuffix('.__init__').rpartition('.')[2]
    for value in [*frame.f_locals.values(), *frame.f_globals.values()]:
        if getattr(value, '__name__', None) == name and callable(value):
            return value
    return None


def _all_arguments(made: Any) -> set[str]:
    """Return the arguments of a function, or of a class and those it inherits from."""
    classes = made.__mro__ if isinstance(made, type) else ()
    functions = [vars(c)['__init__'] for c in classes if '__init__' in vars(c)]
    found: set[str] = set()
    for function in functions or [made]:
        try:
            parameters = inspect.signature(function).parameters.values()
        except (TypeError, ValueError):  # of one that is written in C
            continue
        variable = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        found |= {p.name for p in parameters if p.kind not in variable}
    return found - {'self', 'args', 'kwargs'}


def _names(registry: Registry) -> set[str]:
    """List what a registry and those above it know."""
    found: set[str] = set()
    above: Registry | None = registry
    while above is not None:
        for one in (above, *above.children.values()):
            found |= set(one.module_dict)
        above = above.parent
    return found


def _key_place(key: str, builds: list[Build]) -> str | None:
    """Find a key in the dict that was built, in those around it, or anywhere."""
    for number, build in enumerate(builds):
        if isinstance(build.cfg, dict) and key in build.cfg:
            around = place_of(builds[number:])
            return f'{around}.{key}={_shown(build.cfg[key])}' if around else None
    for place, value in everything():
        if place.rpartition('.')[2] == key:
            return f'{place}={_shown(value)}'
    return None


def with_key(place: str, build: Build, error: BaseException) -> str:
    """Add the key that an error is about to its dict's place, if it names one."""
    kind = name_of(build.cfg.get('type')) if _is_dict(build) else ''
    owner = f' ({kind})' if kind else ''
    text = str(error)
    named = [key for key in _keys(build) if _has_word(text, key)]
    suspects = find_suspects(build.cls, build.cfg) if _is_dict(build) else []
    if not named and 0 < len(suspects) < 4:
        given = ', '.join(f'{place}.{s.key}={_shown(s.value)}' for s in suspects)
        taken = suspects[0].taken if len(suspects) == 1 else ''
        return f'{given} ({kind}{f" takes {taken}" if taken else ""})'
    quoted = [
        f'{where}={_shown(value)}'
        for where, value in walk(build.cfg, place)
        if isinstance(value, str) and len(value) > 3 and value in text
    ]
    if not named and len(quoted) == 1:
        return f'{quoted[0]}{owner}'
    text = f'{text} {_source_line(error)}'
    named = named or [key for key in _keys(build) if _has_word(text, key)]
    held = _locals(error)
    named = named or [k for k in _keys(build) if _same(build.cfg[k], held.get(k))]
    if not named:  # a part that was made without a registry
        alike = [
            (where, value)
            for key, value in held.items()
            for where, setting in (everything() if _has_word(text, key) else ())
            if where.endswith(f'.{key}') and are_equal(setting, value)
        ]
        near = [pair for pair in alike if pair[0].startswith(f'{place}.')]
        for where, value in sorted(near or alike, key=lambda item: not is_odd(item[1])):
            return f'{where}={_shown(value)}'
        return f'{place}{owner}'
    given = ', '.join(f'{place}.{k}={_shown(build.cfg[k])}' for k in named[:3])
    return f'{given}{owner}'


def _same(setting: Any, held: Any) -> bool:
    one, other = (
        list(v) if isinstance(v, (list, tuple)) else [v] for v in (setting, held)
    )
    return held is not None and are_equal(one, other)


def _has_word(text: str, word: str) -> bool:
    return bool(re.search(rf'\b{re.escape(str(word))}\b', text, re.IGNORECASE))


def _innermost(error: BaseException) -> FrameType | None:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return None if trace is None else trace.tb_frame


def _locals(error: BaseException) -> dict[str, Any]:
    frame = _innermost(error)
    return {} if frame is None else dict(frame.f_locals)


def _source_line(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return ''
    last = frames[-1]
    return linecache.getline(last.filename, last.lineno or 0).strip()


def reason(error: BaseException) -> str:
    """Put an error into a line."""
    text = str(error)
    if isinstance(error, KeyError) and error.args:  # whose str() has quotes around it
        text = str(error.args[0])
    text = ' '.join(WRAPPED.sub('', text).split())
    if text == NO_DATA:
        return (
            'it has no images, or its filter_cfg leaves out all: do the annotations '
            'have objects of its classes?'
        )
    line = _source_line(error)
    if not text and line.startswith('assert '):
        return f'refused, since this does not hold: {line.removeprefix("assert ")}'
    name = type(error).__name__
    if isinstance(error, (ValueError, AssertionError)) and text:
        return shorten(text)
    told = f'{name}: {shorten(text)}' if text else f'{name} in "{line}"'
    return f'{told} (--debug shows where)'  # which may be a bug of somebody else's


def shorten(text: str, most: int = 300) -> str:
    """Cut a message that lists much more than its reader wants."""
    return text if len(text) <= most else f'{text[:most]}...'


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else f'{text[: LONGEST - 3]}...'
