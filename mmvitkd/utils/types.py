"""What a config's ``type`` stands for."""

from typing import Any

from mmengine.config.lazy import LazyAttr, LazyObject
from mmengine.registry import Registry


def class_of(kind: Any, registry: Registry) -> Any:
    """Look up what a ``type`` names.

    Args:
        kind: A name, with or without its scope, or the class itself, as in configs
            of MMEngine's new style.
        registry: Where names are looked up.

    Returns:
        The class, or None if there is none of this name.
    """
    if isinstance(kind, LazyObject | LazyAttr):
        return kind.build()
    if not isinstance(kind, str):
        return kind
    try:
        return registry.get(kind)
    except RuntimeError:  # of a scope that can't be imported
        return None


def name_of(kind: Any) -> str:
    """Return the name of a ``type``, without scope or module."""
    return getattr(kind, '__name__', None) or str(kind).rpartition('.')[2]


def is_kind(kind: Any, base: type, registry: Registry) -> bool:
    """Whether a ``type`` stands for a class or one of its subclasses."""
    found = class_of(kind, registry)
    return isinstance(found, type) and issubclass(found, base)
