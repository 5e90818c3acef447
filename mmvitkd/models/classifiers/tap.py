"""Taps: one tensor a forward from a module of an untouched model."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .feature import Feature, flatten_map, join_features, window_shift
from .grids import (
    MAX_EXTRA_TOKENS,
    Grid,
    fitting_grid,
    grids_in,
    is_grid,
)
from .module_hints import near_paths

TOKENS = ('patch', 'cls', 'all', 'mean')
KEYS = ('path', 'tokens', 'grid', 'output', 'through', 'call')
PATCH_EMBEDDINGS = ('patch_embed', 'patch_embeddings', 'patch_embedding')


@dataclass(frozen=True)
class Tap:
    """One dotted module path, and which of its tokens to take.

    Args:
        path: As in ``model.named_modules()``, e.g. ``'backbone.layers.0'``.
        tokens: ``'patch'``, ``'cls'``, ``'all'`` or ``'mean'``, that of the patch
            tokens. Defaults to ``'patch'``.
        grid: ``(H, W)`` of its patch tokens, where the model does not show it. Defaults
            to None.
        output: Which tensor of a module that yields several. Defaults to None: it
            yields one.
        through: Path of another module of the model, to which what was taken is given:
            a classifier makes logits ``(B, N, K)`` of every place of a CNN's map.
            Defaults to None.
        call: Which run of a module that runs several times a forward, as a head that
            all levels of a feature pyramid share, from 1 on. Defaults to None: it runs
            once.
        others: Paths of further modules, whose tokens are put beside these along the
            channels. Defaults to none.

    Raises:
        ValueError: If one of them is out of range.
    """

    path: str
    tokens: str = 'patch'
    grid: Grid | None = None
    output: int | None = None
    through: str | None = None
    call: int | None = None
    others: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.tokens not in TOKENS:
            raise ValueError(
                f"tap '{self.path}': tokens must be one of {TOKENS}, "
                f"got '{self.tokens}'"
            )
        if self.grid is not None:
            if not is_grid(self.grid) or min(self.grid) < 1:
                raise ValueError(
                    f"tap '{self.path}': grid must be (rows, columns), such as "
                    f'(7, 7), got {self.grid!r}'
                )
            # a config has lists, which can't be keys
            object.__setattr__(self, 'grid', tuple(self.grid))
        if self.output is not None and not _is_whole(self.output):
            raise ValueError(
                f"tap '{self.path}': output must be the number of a tensor, from 0 on, "
                f'got {self.output!r}'
            )
        if self.call is not None and not (_is_whole(self.call) and self.call > 0):
            raise ValueError(
                f"tap '{self.path}': call must be the number of a run, from 1 on, got "
                f'{self.call!r}'
            )

    @classmethod
    def parse(cls, spec: Any) -> 'Tap':
        """Make a tap of a path, several, or ``dict(path=..., tokens=...)``.

        ``index`` is another name of ``output``.

        Raises:
            ValueError: If it is none of them, has other keys, or one under both names.
        """
        if isinstance(spec, (str, list, tuple)):
            spec = {'path': spec}
        if isinstance(spec, dict) and {'index', 'output'} <= set(spec):
            raise ValueError(
                f'a tap has an output or, by its other name, an index, got {spec!r}: '
                'give one of them'
            )
        if isinstance(spec, dict) and 'index' in spec:
            spec = {'output' if k == 'index' else k: v for k, v in spec.items()}
        if isinstance(spec, dict) and 'path' in spec and set(spec) <= set(KEYS):
            path, *others = _paths_of(spec['path'])
            return cls(**{**spec, 'path': path, 'others': tuple(others)})
        raise ValueError(
            f'a tap is a module path, a list of them, or dict(path=..., '
            f'tokens={TOKENS}, grid=(H, W), '
            f"output=number, through='path', call=number), all but the path optional, "
            f'got {spec!r}'
        )

    @property
    def parts(self) -> tuple['Tap', ...]:
        """A tap of each of the modules."""
        paths = self.path, *self.others
        return tuple(replace(self, path=path, others=()) for path in paths)

    @property
    def name(self) -> str:
        """What messages call it."""
        more = f' and {len(self.others)} more' if self.others else ''
        return f'{self.path}{more}'


def _paths_of(path: Any) -> list:
    """List the paths of one tap.

    Raises:
        ValueError: If there are none, or one twice.
    """
    if not isinstance(path, (list, tuple)):
        return [path]
    if not path or len(set(path)) < len(path):
        raise ValueError(f'a tap of several modules names each once, got {path!r}')
    return list(path)


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
    near = ' or '.join(map(repr, near_paths(model, path)))
    raise ValueError(
        f"tap '{path}': {type(model).__name__} has no such module; did you mean {near}?"
    )


def find_patch_embed(model: nn.Module) -> nn.Module | None:
    """Return the first patch embedding, by the names that all libraries use."""
    for name, module in model.named_modules():
        if name.rpartition('.')[2] in PATCH_EMBEDDINGS:
            return module
    return None


class TapError(ValueError):
    """Of a tap that yields nothing that can be distilled, and says so in a text."""

    def __init__(self, tap: Tap, text: str) -> None:
        super().__init__(text)
        self.tap = tap


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
            output can't be read as tokens or logits, which is a :class:`TapError`.
    """
    taps = list(dict.fromkeys(taps))
    seen: dict[Tap, Feature] = {}
    forward = _Forward(model, [part for tap in taps for part in tap.parts], stop)
    try:
        yield seen
    except _AllFired:
        pass
    finally:
        forward.remove_hooks()
    forward.require_all(taps)
    for tap in taps:
        try:
            parts = {part.path: forward.feature(part) for part in tap.parts}
            seen[tap] = join_features(parts)
        except ValueError as error:
            raise TapError(tap, str(error)) from error


class _Forward:
    """What hooks see of one forward.

    Args:
        model: Whose hooks they are.
        taps: Of the modules whose outputs are kept.
        stop: End the forward as soon as all is seen.

    Attributes:
        outputs: What the modules yield, and the grids among their inputs, by path and
            number of the run.
        images: How many there are, and their size.
        patches: The grid that the patch embedding yields, if there is one.
    """

    def __init__(self, model: nn.Module, taps: list[Tap], stop: bool) -> None:
        self.model = model
        self.modules = {tap.path: find_module(model, tap.path) for tap in taps}
        self.stop = stop
        self.wanted = {(tap.path, tap.call or 1) for tap in taps}
        # whose modules run once, or it is an error
        self.single = {tap.path for tap in taps if tap.call is None}
        self.calls = dict.fromkeys(self.modules, 0)
        self.outputs: dict[tuple[str, int], tuple[Any, list[Grid]]] = {}
        self.images: tuple[int, Grid] | None = None
        self.patches: list[Grid] = []
        patch_embed = find_patch_embed(model)
        inside = [] if patch_embed is None else patch_embed.modules()
        self.convs = [module for module in inside if isinstance(module, nn.Conv2d)]
        # a classifier's loss() runs its parts, but not the classifier itself
        self.handles = [
            module.register_forward_pre_hook(self._keep_size, with_kwargs=True)
            for module in (model, *model.children())
        ]
        self.handles += [
            module.register_forward_hook(partial(self._keep, path), with_kwargs=True)
            for path, module in self.modules.items()
        ]
        self.handles += [
            conv.register_forward_hook(self._keep_grid) for conv in self.convs
        ]

    def remove_hooks(self) -> None:
        for handle in self.handles:
            handle.remove()

    def _keep_size(self, _: nn.Module, args: tuple, kwargs: dict) -> None:
        for x in (*args, *kwargs.values()):
            if isinstance(x, Tensor) and x.ndim == 4 and self.images is None:
                self.images = len(x), (x.shape[-2], x.shape[-1])

    def _keep_grid(self, _: nn.Module, __: tuple, output: Tensor) -> None:
        self.patches = [(output.shape[-2], output.shape[-1])]

    def _keep(
        self, path: str, _: nn.Module, args: tuple, kwargs: dict, output: Any
    ) -> None:
        self.calls[path] += 1
        if self.calls[path] > 1 and path in self.single:
            raise ValueError(
                f"tap '{path}' fired twice in one forward: tap a module that "
                'runs once, such as the block around it, or choose a run, as of a head '
                f"that all levels share, by dict(path='{path}', call=1)"
            )
        call = path, self.calls[path]
        if call in self.wanted:
            self.outputs[call] = output, grids_in((*args, *kwargs.values()))
        every = len(self.outputs) == len(self.wanted)
        if self.stop and every and (self.patches or not self.convs):
            raise _AllFired

    def require_all(self, taps: list[Tap]) -> None:
        """Refuse a forward in which a tap did not fire.

        Raises:
            ValueError: If there was one.
        """
        silent = [path for path, calls in self.calls.items() if not calls]
        if silent:
            inside = [n for n, _ in self.modules[silent[0]].named_children()]
            hint = f'; inside, there are {inside}' if inside else ''
            raise ValueError(
                f'these taps did not fire in the forward: {silent}. A module that is '
                f'run by another method than forward(), as heads may be, does not{hint}'
            )
        for owner, part in ((tap, part) for tap in taps for part in tap.parts):
            if (part.path, part.call or 1) not in self.outputs:
                raise TapError(
                    owner,
                    f"tap '{part.path}' has no call {part.call}: it ran "
                    f'{self.calls[part.path]} times in the forward, numbered from 1 on',
                )

    def feature(self, tap: Tap) -> Feature:
        """Read the tap's tokens or logits, when the forward is over."""
        output, handed = self.outputs[tap.path, tap.call or 1]
        number, size = self.images or (None, None)
        tensor = _tensor_of(tap, output)
        one_each = number in (None, len(tensor))
        is_map = False
        if tensor.ndim == 4:
            module = self.modules[tap.path]
            tensor, grid, is_map = flatten_map(self.model, module, tensor, size)
            grids = [grid]
        else:
            grids = [*grids_in(output), *handed, *self.patches]
        found = _choose(tap, tensor, grids, size, one_each)._replace(is_map=is_map)
        if tap.through is not None:
            found = found._replace(value=self._through(tap, found.value))
        if one_each:
            return found
        # it counts windows
        return found._replace(shift=window_shift(self.model, tap.path))

    def _through(self, tap: Tap, value: Tensor) -> Tensor:
        """Give what a tap has taken to another module.

        Raises:
            ValueError: If that does not take it.
        """
        module = find_module(self.model, str(tap.through))
        try:
            return module(value)
        except torch.cuda.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise ValueError(
                f"tap '{tap.path}', through='{tap.through}': the "
                f'{type(module).__name__} does not take {tuple(value.shape)}: {error}'
            ) from error


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _tensor_of(tap: Tap, output: Any) -> Tensor:
    """Take the tap's tensor out of what its module yields."""
    parts = output if isinstance(output, (tuple, list)) else (output,)
    if isinstance(output, Mapping):  # Hugging Face's
        parts = tuple(output.values())
    tensors = [part for part in parts if isinstance(part, Tensor)]
    if tap.output is not None:
        if not 0 <= tap.output < len(tensors):
            raise ValueError(
                f"tap '{tap.path}' has no output {tap.output}: it yields "
                f'{_shapes(tensors, output)}, numbered from 0 on'
            )
        tensors = [tensors[tap.output]]
    if len(tensors) > 1:
        raise ValueError(
            f"tap '{tap.path}' yields several tensors, {_shapes(tensors, output)}: "
            f"choose one by its number, dict(path='{tap.path}', output=0)"
        )
    if not tensors or tensors[0].ndim not in (2, 3, 4):
        raise ValueError(
            f"tap '{tap.path}' must yield a tensor, logits (B, K), tokens (B, N, C) or "
            f'a map (B, C, H, W), but yields {_shapes(tensors, output)}'
        )
    return tensors[0]


def _shapes(tensors: list[Tensor], output: Any) -> str:
    return ', '.join(str(tuple(t.shape)) for t in tensors) or type(output).__name__


def _choose(
    tap: Tap, x: Tensor, grids: list[Grid], image: Grid | None, one_each: bool
) -> Feature:
    """Take the tap's tokens; how many extra ones lead is seen, not assumed.

    Args:
        tap: Whose they are.
        x: What its module yields, ``(B, L, C)`` or ``(B, K)``.
        grids: Those that modules tell.
        image: ``(H, W)`` of the images.
        one_each: Whether there are as many of ``x`` as images.
    """
    if x.ndim == 2:
        if tap.tokens != 'patch':
            raise ValueError(
                f"tap '{tap.path}' yields {tuple(x.shape)}, one vector an image: there "
                f"are no tokens to choose '{tap.tokens}' from"
            )
        return Feature(x, None)
    if tap.tokens == 'all':
        return Feature(x, None)
    if not one_each:
        raise ValueError(
            f"tap '{tap.path}' yields {tuple(x.shape)}, which are not the tokens of "
            "whole images: the tokens of single windows are tokens='all'"
        )
    hw = fitting_grid(x.shape[1], [tap.grid] if tap.grid else grids, image)
    if tap.grid not in (None, hw):
        hw = None
    if hw is None:
        known = [tap.grid] if tap.grid else list(dict.fromkeys(grids))
        said = ' or '.join(f'{h}x{w} = {h * w}' for h, w in known)
        unlike = f'which the grid {said} does not match' if said else 'of no known grid'
        raise ValueError(
            f"tap '{tap.path}' yields {x.shape[1]} tokens, {unlike} (up to "
            f'{MAX_EXTRA_TOKENS} of them may be extra ones): tap a module that keeps '
            f"the grid, or give it, dict(path='{tap.path}', grid=(rows, columns))"
        )
    extra = x.shape[1] - hw[0] * hw[1]
    if tap.tokens == 'patch':
        return Feature(x[:, extra:], hw)
    if tap.tokens == 'mean':
        return Feature(x[:, extra:].mean(1), None)
    if extra == 0:
        raise ValueError(
            f"tap '{tap.path}' has no class token (its {x.shape[1]} tokens fill the "
            f"{hw[0]}x{hw[1]} grid): use tokens='patch'"
        )
    return Feature(x[:, 0], None)
