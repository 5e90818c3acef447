"""A device that is not the CPU, in the CPU's memory: what a GPU demands of code.

Tensors on it can't be mixed with those on the CPU, nor be read by NumPy. What they
hold, random numbers too, is computed by the CPU: results are the same to rounding.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import mmengine.device.utils
import torch
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._python_dispatch import (
    TorchDispatchMode,
    return_and_correct_aliasing,
)
from torch.utils._pytree import tree_leaves, tree_map_only

NAME = 'standin'
aten = torch.ops.aten
# operators that take tensors of both; a GPU takes places in a tensor from the CPU, too
CROSSING = {
    aten._copy_from.default,
    aten._index_put_impl_.default,
    aten._to_copy.default,
    aten.copy_.default,
    aten.index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
}


@contextmanager
def stand_in() -> Iterator[torch.device]:
    """Make it the device that MMEngine finds, in a process of its own."""
    _register()
    own = torch.load

    def load(*args: Any, map_location: Any = None, **kwargs: Any) -> Any:
        if isinstance(map_location, (str, torch.device)):
            map_location = 'cpu'  # storages can't lie elsewhere
        return own(*args, map_location=map_location, **kwargs)

    with (
        mock.patch.object(mmengine.device.utils, 'DEVICE', NAME),
        mock.patch.object(torch, 'load', load),
        mock.patch('torch.utils.data._utils.pin_memory.pin_memory', lambda x, _: x),
        _Mode(),
    ):
        yield torch.device(NAME, 0)


class Held(Tensor):
    """A tensor on it, whose values a tensor of the CPU has."""

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: Tensor) -> 'Held':
        return Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=torch.device(NAME, 0),
        )

    def __init__(self, held: Tensor) -> None:
        self.held = held

    def __repr__(self) -> str:
        return f'{self.held!r} on {NAME}'

    def tolist(self) -> Any:
        return self.held.tolist()

    def numpy(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"can't convert {NAME} device type tensor to numpy")

    __array__ = numpy

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _run(func, args, kwargs or {})


class _Mode(TorchDispatchMode):
    """Sees the operators that make tensors, too."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    there = [x for x in tensors if isinstance(x, Held)]
    if there and func not in CROSSING:
        here = [tuple(x.shape) for x in tensors if not isinstance(x, Held) and x.ndim]
        if here:
            raise RuntimeError(f'{func}: {NAME} and the CPU, which has {here}')
    plain, named = tree_map_only(Held, lambda x: x.held, (args, kwargs))
    asked = kwargs.get('device')
    if asked is not None:
        named = {**named, 'device': 'cpu', 'pin_memory': False}
        if func is aten._to_copy.default:
            named.pop('pin_memory')
    found = func(*plain, **named)
    if func is aten.copy_.default:
        return args[0]
    if not there if asked is None else torch.device(asked).type != NAME:
        return found
    known = {id(x.held): x for x in there}  # what was changed in place
    found = tree_map_only(
        Tensor, lambda x: known[id(x)] if id(x) in known else Held(x), found
    )
    return return_and_correct_aliasing(func, args, kwargs, found) if there else found


class _Backend(backend_registration._DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]


def _register() -> None:
    """Tell torch of the device, and what ``torch.tensor`` does below all modes."""
    backend_registration._setup_privateuseone_for_python_backend(NAME, _Backend())

    def empty(size: Any, *args: Any, dtype: Any = None, **kwargs: Any) -> Tensor:
        return Held(torch.empty(size, dtype=dtype))

    def copy(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
        getattr(target, 'held', target).copy_(getattr(source, 'held', source))
        return target

    library = torch.library.Library('aten', 'IMPL')
    for name, function in (
        ('empty.memory_format', empty),
        ('empty_strided', empty),
        ('_copy_from', copy),
        ('_local_scalar_dense', lambda x: x.held.item()),
    ):
        library.impl(name, function, 'PrivateUse1')
    _LIBRARIES.append(library)  # which are gone with their last reference


_LIBRARIES: list[torch.library.Library] = []
