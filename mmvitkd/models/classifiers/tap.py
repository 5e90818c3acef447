"""Taps: one tensor a forward from a module of an untouched model."""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn

Grid = tuple[int, int]

TOKENS = ('patch', 'cls', 'all')
PATCH_EMBEDDINGS = ('patch_embed', 'patch_embeddings')
# class, distillation and register tokens; more means that the grid is wrong
MAX_EXTRA_TOKENS = 16


class Feature(NamedTuple):
    """What a tap yields in one forward.

    Patch tokens are ``(B, N, C)`` with their grid; ``'all'`` tokens ``(B, L, C)``,
    a class token ``(B, C)`` and logits ``(B, K)`` have none. Inside a window attention
    every window counts as one of the batch, ``(B * windows, N, C)``, and ``shift`` is
    how far they are shifted, where the model says it.
    """

    value: Tensor
    hw: Grid | None
    shift: Grid | None = None


@dataclass(frozen=True)
class Tap:
    """One dotted module path, and which of its tokens to take.

    Args:
        path: As in ``model.named_modules()``, e.g. ``'backbone.layers.0'``.
        tokens: ``'patch'``, ``'cls'`` or ``'all'``. Defaults to ``'patch'``.

    Raises:
        ValueError: If ``tokens`` is none of these.
    """

    path: str
    tokens: str = 'patch'

    def __post_init__(self) -> None:
        if self.tokens not in TOKENS:
            raise ValueError(
                f"tap '{self.path}': tokens must be one of {TOKENS}, "
                f"got '{self.tokens}'"
            )

    @classmethod
    def parse(cls, spec: Any) -> 'Tap':
        """Make a tap of a path, or of ``dict(path=..., tokens=...)``.

        Raises:
            ValueError: If it is neither, or has other keys.
        """
        if isinstance(spec, str):
            return cls(spec)
        if (
            isinstance(spec, dict)
            and 'path' in spec
            and set(spec) <= {'path', 'tokens'}
        ):
            return cls(**spec)
        raise ValueError(
            f'a tap is a module path or dict(path=..., tokens={TOKENS}), got {spec!r}'
        )


def find_module(model: nn.Module, path: str) -> nn.Module:
    """Return the module at a dotted path.

    Raises:
        ValueError: If there is none; the message offers the nearest paths.
    """
    try:
        # looks through FSDP's and checkpointing's wrappers, whose names come between
        module = model.get_submodule(path)
    except AttributeError:
        module = model
    if module is not model:
        return module
    paths = dict(model.named_modules())
    near = difflib.get_close_matches(path, paths, n=3, cutoff=0.4)
    raise ValueError(
        f"tap '{path}': {type(model).__name__} has no such module; "
        f'did you mean {" or ".join(map(repr, near)) or repr("backbone")}?'
    )


def find_patch_embed(model: nn.Module) -> nn.Module | None:
    """Return the first patch embedding, by the names that all libraries use."""
    for name, module in model.named_modules():
        if name.rpartition('.')[2] in PATCH_EMBEDDINGS:
            return module
    return None


class _AllFired(BaseException):
    """Ends a forward of which nothing more is needed; models catch ``Exception``."""


@contextmanager
def record(
    model: nn.Module, taps: Iterable[Tap], stop: bool = False
) -> Iterator[dict[Tap, Feature]]:
    """Collect what the taps yield in the one forward that runs inside.

    The dict that this yields is filled when the block ends.

    Args:
        model: Whose modules the taps name.
        taps: What to collect.
        stop: End the forward, and with it the block, as soon as every tap has fired;
            one that would fire twice is not noticed then. Defaults to False.

    Raises:
        ValueError: If a path does not exist, or did not run exactly once, or its
            output can't be read as tokens or logits.
    """
    seen: dict[Tap, Feature] = {}
    raw: dict[str, tuple[Tensor, Grid | None]] = {}
    patches: list[tuple[int, Grid]] = []  # number of images, and the grid

    def keep(path: str) -> Any:
        def hook(_: nn.Module, args: tuple, kwargs: dict, output: Any) -> None:
            if path in raw:
                raise ValueError(
                    f"tap '{path}' fired twice in one forward: tap a module that "
                    'runs once, such as the block around it'
                )
            raw[path] = _tensor_and_grid(path, (*args, *kwargs.values()), output)
            if stop and len(raw) == len(paths) and (patches or not convs):
                raise _AllFired

        return hook

    def keep_grid(_: nn.Module, __: tuple, output: Tensor) -> None:
        patches[:] = [(len(output), (output.shape[-2], output.shape[-1]))]

    taps = list(dict.fromkeys(taps))
    paths = dict.fromkeys(tap.path for tap in taps)
    modules = {path: find_module(model, path) for path in paths}
    handles = [
        module.register_forward_hook(keep(path), with_kwargs=True)
        for path, module in modules.items()
    ]
    patch_embed = find_patch_embed(model)
    inside = [] if patch_embed is None else patch_embed.modules()
    convs = [module for module in inside if isinstance(module, nn.Conv2d)]
    handles += [conv.register_forward_hook(keep_grid) for conv in convs]
    try:
        yield seen
    except _AllFired:
        pass
    finally:
        for handle in handles:
            handle.remove()
    seen.update(_read(model, taps, raw, patches))


def _read(
    model: nn.Module,
    taps: list[Tap],
    raw: dict[str, tuple[Tensor, Grid | None]],
    patches: list[tuple[int, Grid]],
) -> dict[Tap, Feature]:
    """Make of what the modules yielded what the taps ask for.

    Args:
        model: Whose modules they are.
        taps: What is asked.
        raw: Every path's output, and its grid if it hands one along.
        patches: How many images the patch embedding saw, and their grid, if any.
    """
    silent = list(dict.fromkeys(tap.path for tap in taps if tap.path not in raw))
    if silent:
        raise ValueError(f'these taps did not fire in the forward: {silent}')
    images, patch_grid = patches[0] if patches else (None, None)
    seen = {}
    for tap in taps:
        tensor, grid = raw[tap.path]
        if tensor.ndim == 4:
            tensor, grid = _flatten(model, find_module(model, tap.path), tensor)
        seen[tap] = _choose(tap, tensor, grid or patch_grid)
        if images not in (None, len(tensor)):  # it counts windows
            shift = _window_shift(model, tap.path)
            seen[tap] = seen[tap]._replace(shift=shift)
    return seen


def _is_grid(value: Any) -> bool:
    return (
        isinstance(value, (tuple, list))
        and len(value) == 2
        and all(isinstance(side, int) for side in value)
    )


def _tensor_and_grid(
    path: str, inputs: tuple, output: Any
) -> tuple[Tensor, Grid | None]:
    """Read a module's output; Swin hands its grid along, in or beside it."""
    parts = output if isinstance(output, (tuple, list)) else (output,)
    tensors = [part for part in parts if isinstance(part, Tensor)]
    if len(tensors) != 1 or tensors[0].ndim not in (2, 3, 4):
        found = [tuple(t.shape) for t in tensors] or type(output).__name__
        raise ValueError(
            f"tap '{path}' must yield one tensor, logits (B, K), tokens (B, N, C) or "
            f'a map (B, C, H, W), but yields {found}'
        )
    grids = [part for part in (*parts, *inputs) if _is_grid(part)]
    return tensors[0], (grids[0][0], grids[0][1]) if grids else None


def _flatten(model: nn.Module, module: nn.Module, x: Tensor) -> tuple[Tensor, Grid]:
    """Turn a map into tokens: ``(B, C, H, W)``, or timm's ``(B, H, W, C)``."""
    formats = (str(getattr(m, 'output_fmt', '')) for m in model.modules())
    last = any(fmt.endswith('NHWC') for fmt in formats)
    if last and not isinstance(module, nn.Conv2d):
        return x.flatten(1, 2), (x.shape[1], x.shape[2])
    return x.flatten(2).transpose(1, 2), (x.shape[2], x.shape[3])


def _window_shift(model: nn.Module, path: str) -> Grid | None:
    """Return how far the windows are shifted that a module inside them works on."""
    while path := path.rpartition('.')[0]:
        # MMPretrain's is one number, timm's a pair
        shift = getattr(model.get_submodule(path), 'shift_size', None)
        if shift is not None:
            return (shift, shift) if isinstance(shift, int) else (shift[0], shift[1])
    return None


def _choose(tap: Tap, x: Tensor, hw: Grid | None) -> Feature:
    """Take the tap's tokens; how many extra ones lead is seen, not assumed."""
    if x.ndim == 2:
        if tap.tokens != 'patch':
            raise ValueError(
                f"tap '{tap.path}' yields {tuple(x.shape)}, one vector an image: there "
                f"are no tokens to choose '{tap.tokens}' from"
            )
        return Feature(x, None)
    if tap.tokens == 'all':
        return Feature(x, None)
    if hw is None:
        raise ValueError(
            f"tap '{tap.path}': the grid of its {x.shape[1]} tokens is not known, as "
            f'the model has no patch embedding named {" or ".join(PATCH_EMBEDDINGS)}; '
            'tap a module whose output is a map (B, C, H, W)'
        )
    extra = x.shape[1] - hw[0] * hw[1]
    if not 0 <= extra <= MAX_EXTRA_TOKENS:
        raise ValueError(
            f"tap '{tap.path}' yields {x.shape[1]} tokens, which the grid "
            f'{hw[0]}x{hw[1]} = {hw[0] * hw[1]} does not match: tap a module that '
            "keeps the grid, or one that hands its own on (Swin: 'backbone.stages.3'); "
            "the tokens of single windows are tokens='all'"
        )
    if tap.tokens == 'patch':
        return Feature(x[:, extra:], hw)
    if extra == 0:
        raise ValueError(
            f"tap '{tap.path}' has no class token (its {x.shape[1]} tokens fill the "
            f"{hw[0]}x{hw[1]} grid): use tokens='patch'"
        )
    return Feature(x[:, 0], None)
