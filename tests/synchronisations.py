"""Counts, on a CPU, where a step would wait for a GPU."""

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

# operators whose result, or its size, the host has to know
READING = {
    '_local_scalar_dense',  # item(), bool(), float(), int()
    '_unique2',
    'bincount',
    'equal',
    'is_nonzero',
    'linalg_eigh',
    'linalg_svd',
    'masked_select',
    'nonzero',
    'unique_consecutive',
    'unique_dim',
}
# numbers of the host that become a tensor, as in torch.tensor([1, 2], device='cuda')
WRITING = {'lift_fresh'}
# methods that no operator shows on CPUs
METHODS = {'tolist', 'numpy', 'cpu', '__array__'}
QUIET = {F.one_hot}  # looks at its values on CPUs alone
TORCH = str(Path(torch.__file__).parent)
OPTIMISERS = str(Path(torch.optim.__file__).parent)  # whose counters lie on the host


class Synchronisations(TorchFunctionMode):
    """Lists where the host waits, as ``'module.function: operator'``, with a count.

    A copy between host and device can't be seen where all is on the host; numbers that
    become a tensor are.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()
        self._operators = _Operators(self)
        self._quiet = 0

    def __enter__(self) -> 'Synchronisations':
        self._operators.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._operators.__exit__(*error)

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = getattr(func, '__name__', '')
        if name in METHODS:
            self.note(name)
        self._quiet += func in QUIET
        try:
            return func(*args, **(kwargs or {}))
        finally:
            self._quiet -= func in QUIET

    def note(self, operator: str) -> None:
        place = None if self._quiet else _place()
        if place is not None:
            self.found[f'{place}: {operator}'] += 1


class _Operators(TorchDispatchMode):
    def __init__(self, owner: Synchronisations) -> None:
        super().__init__()
        self.owner = owner

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = func.overloadpacket.__name__
        masks = name in (
            'index',
            'index_put',
            'index_put_',
            '_index_put_impl_',
        ) and any(
            isinstance(i, Tensor) and i.dtype in (torch.bool, torch.uint8)
            for i in args[1]
        )
        if masks or name in READING | WRITING:
            self.owner.note(name)
        return func(*args, **(kwargs or {}))


def _place() -> str | None:
    """Name the innermost function that is neither torch's nor this module's.

    None inside an optimiser of torch.
    """
    frame = sys._getframe(1)
    while frame.f_back is not None:
        file = frame.f_code.co_filename
        if file.startswith(OPTIMISERS):
            return None
        if not file.startswith((TORCH, __file__)):
            break
        frame = frame.f_back
    module = frame.f_globals.get('__name__', '?')
    return f'{module}.{frame.f_code.co_name}'
