import re
from collections.abc import Iterable, Sequence
from math import isqrt
from typing import Any

from mmengine.logging import print_log
from mmengine.model import BaseModule
from mmengine.model.weight_init import update_init_info
from mmpretrain.models import VisionTransformer
from mmpretrain.models.utils import resize_pos_embed
from torch import Tensor, nn

from mmvitkd.registry import WEIGHT_INITIALIZERS
from mmvitkd.utils import load_checkpoint, weights_of

PREFIXES = ('student.backbone.', 'backbone.')
SHOWN = 40  # names in a message


@WEIGHT_INITIALIZERS.register_module()
class StrictPretrained:
    """Begin with a checkpoint's weights: all that the module has, and no others.

    For a backbone's ``init_cfg``, in place of MMEngine's ``Pretrained``, which passes
    over what does not fit. What differs on purpose is listed; the log tells what was
    loaded. Into a ViT without a class token, its position is left out and the others
    are resized to the map of the ViT's ``img_size``.

    Args:
        checkpoint: File or URL of a distillation run, of a student exported from
            it, or of any classifier.
        prefix: What the backbone's weights begin with. Defaults to None:
            ``'student.backbone.'`` if the checkpoint has such, or else
            ``'backbone.'``.
        expected_missing: Regular expressions of names, to be matched whole, that
            the module has and the checkpoint may lack. Defaults to none.
        expected_unused: The same of names that the checkpoint has and the module may
            lack. Defaults to none.
    """

    def __init__(
        self,
        checkpoint: str,
        prefix: str | None = None,
        expected_missing: Sequence[str] = (),
        expected_unused: Sequence[str] = (),
    ) -> None:
        self.checkpoint = checkpoint
        self.prefix = prefix
        self.expected_missing = expected_missing
        self.expected_unused = expected_unused

    def __call__(self, module: nn.Module) -> None:
        """Load the weights into a module.

        Raises:
            ValueError: If the checkpoint can't be read or has no weight with the
                prefix, or if a weight is missing, unused or of another shape and not
                listed.
        """
        prefix, weights = self._read()
        weights = _without_class_position(module, weights)
        _initialise_children(module)
        problems, missing, unused = self._load(module, weights)
        name = type(module).__name__
        if problems:
            raise ValueError(
                f"checkpoint '{self.checkpoint}' (weights below '{prefix}') does not "
                f'fit the {name}:\n' + '\n'.join(problems)
            )
        info = (
            f"{name}: {len(weights) - len(unused)} weights of '{self.checkpoint}', "
            f"below '{prefix}'; as expected, it lacks {_names(missing)} and "
            f'{_names(unused)} of it stay unused'
        )
        print_log(f'Loaded into {info}', logger='current')
        if hasattr(module, '_params_init_info'):
            update_init_info(module, init_info=info)
        if isinstance(module, BaseModule):
            # MMPretrain's backbones go on to draw their positions unless this says so
            module.init_cfg = {'type': 'Pretrained', 'checkpoint': self.checkpoint}

    def _read(self) -> tuple[str, dict[str, Tensor]]:
        """Read the weights below the prefix, and tell which it is."""
        checkpoint = load_checkpoint(self.checkpoint)
        prefix = self.prefix
        if prefix is None:
            names = weights_of(checkpoint)
            found = [p for p in PREFIXES if any(n.startswith(p) for n in names)]
            prefix = [*found, PREFIXES[-1]][0]
        return prefix, weights_of(checkpoint, prefix)

    def _load(
        self, module: nn.Module, weights: dict[str, Tensor]
    ) -> tuple[list[str], list[str], list[str]]:
        """Load what fits; tell what does not, and what was expected not to.

        Returns:
            The problems, one line for every kind; the expected names that are
            missing; those that are unused.
        """
        problems = []
        try:
            missing, unused = module.load_state_dict(weights, strict=False)
        except (RuntimeError, AssertionError) as error:
            own = module.state_dict()
            missing = [name for name in own if name not in weights]
            unused = [name for name in weights if name not in own]
            _, *shapes = [line.strip() for line in str(error).splitlines()]
            if isinstance(error, AssertionError):  # MMPretrain's, of pos_embed's length
                shapes = _other_shapes(weights, own)
            problems.append(
                f'- {max(len(shapes), 1)} have another shape, for example: '
                f'{(shapes or [str(error)])[0]} Is it of another width or architecture?'
            )
        expected = _matching(missing, self.expected_missing)
        spare = _matching(unused, self.expected_unused)
        for names, known, what, option in (
            (missing, expected, 'are missing in the file', 'expected_missing'),
            (unused, spare, 'are unknown to the model', 'expected_unused'),
        ):
            names = [name for name in names if name not in known]
            if names:
                problems.append(f'- {_names(names)} {what} and not in {option}')
        return problems, expected, spare


def _without_class_position(
    module: Any, weights: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Fit a classifier's position embedding to MMPretrain's ViT without a class token.

    Its own hook resizes without a class token, or drops its position where the numbers
    of tokens agree, but does not do both. What is of another form is left to the hook,
    as are subclasses to theirs.
    """
    if type(module) is not VisionTransformer or module.with_cls_token:
        return weights
    stored = weights.get('pos_embed')  # (1, extra + N, C)
    extra = sum(name in weights for name in ('cls_token', 'dist_token'))
    if stored is None or extra == 0:
        return weights
    side = isqrt(stored.shape[1] - extra)
    if side**2 != stored.shape[1] - extra:
        return weights
    height, width = module.patch_resolution
    print_log(
        f"pos_embed: left out the class token's, resized the others from {side}x{side} "
        f'to {height}x{width} tokens',
        logger='current',
    )
    fitted = resize_pos_embed(
        stored[:, extra:], (side, side), (height, width), module.interpolate_mode, 0
    )
    return {**weights, 'pos_embed': fitted}


def _initialise_children(module: nn.Module) -> None:
    """Let a module's parts draw their own weights first.

    MMEngine would do so after an initialiser other than its ``Pretrained``, and so
    overwrite what was loaded.
    """
    child: Any
    for child in module.children():
        if hasattr(child, 'init_weights') and not getattr(child, 'is_init', False):
            child.init_weights()
            child.is_init = True


def _other_shapes(weights: dict[str, Tensor], own: dict[str, Tensor]) -> list[str]:
    """Tell which weights have another shape than the module's own."""
    return [
        f'size mismatch for {name}: {list(weights[name].shape)} in the file, '
        f'{list(tensor.shape)} in the model.'
        for name, tensor in own.items()
        if name in weights and weights[name].shape != tensor.shape
    ]


def _matching(names: Iterable[str], patterns: Sequence[str]) -> list[str]:
    return [n for n in names if any(re.fullmatch(p, n) for p in patterns)]


def _names(names: list[str]) -> str:
    more = f' and {len(names) - SHOWN} more' if len(names) > SHOWN else ''
    listed = f' ({", ".join(sorted(names)[:SHOWN])}{more})' if names else ''
    return f'{len(names)} weights{listed}'
