"""From a distillation checkpoint to an ordinary MMPretrain one."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope, Registry
from torch import Tensor

from mmvitkd import __version__, registry

from .checkpoint import load_checkpoint, load_strictly, weights_of
from .config_file import open_named, require_model
from .finite import require_finite
from .pruned_widths import kept_widths, make_narrower, slice_blocks
from .skipped_blocks import kept_blocks, make_shallower, without_skipped

PREFIX = 'student.'
PARENT = 'mmpretrain'
# of MMPretrain's distilled DeiT
DIST_TOKEN = 'backbone.dist_token'
DIST_HEAD = 'head.layers.head_dist.'
POSITIONS = 'backbone.pos_embed'


def export_student(
    checkpoint: str | Path,
    out: str | Path,
    ema: bool | None = None,
    config: str | Path | None = None,
    force: bool = False,
    drop_dist_token: bool = False,
) -> Path:
    """Write the student of a distillation checkpoint as MMPretrain knows it.

    Upstream's configs load it unchanged: the keys are without ``student.``, the
    terms are dropped, the classes are kept. A student with a distillation token is
    MMPretrain's distilled DeiT then. Blocks that ``BlockSkippingHook`` has learnt to
    skip are left out, the others numbered anew; what it has pruned of these is cut out
    of their matrices.

    Args:
        checkpoint: A checkpoint of a distillation run.
        out: The file to write.
        ema: Take the averaged weights, or the raw ones. Defaults to None: those
            that the run validated with, the averaged ones if it had any.
        config: The run's config. With it, a plain config is written beside
            ``out``, with the suffix ``.py``, that needs this package only if the
            student or its data do. Defaults to None.
        force: Write over existing files. Defaults to False.
        drop_dist_token: Leave the distillation token out, with its position and its
            head: a plain ViT is left, for what takes no other. Its layers were never
            trained without that token, so its predictions change. Defaults to False.

    Returns:
        ``out``.

    Raises:
        ValueError: If the checkpoint has no student or not the weights asked for, if
            they are not finite, if the config's student is another, or if a file
            exists already.
    """
    out = Path(out)
    if not out.name or out.is_dir():
        raise ValueError(f"'{out}' is a folder: give a file, such as student.pth")
    plain = out.with_suffix('.py')
    if out.resolve() == Path(checkpoint).resolve():
        raise ValueError(f"'{out}' is the checkpoint itself: give another name")
    for path in [out] if config is None else [out, plain]:
        if path.exists() and not force:
            raise ValueError(f"'{path}' exists: give another name, or --force")
    cfg = None if config is None else plain_config(open_named(config))
    loaded = load_checkpoint(checkpoint)
    weights = student_weights(loaded, ema)
    if drop_dist_token:
        weights = without_dist_token(weights)
    kept, widths = kept_blocks(loaded), kept_widths(loaded)
    if kept is not None:
        blocks, numbers = kept
        weights = without_skipped(weights, blocks, numbers)
        if widths is not None:
            widths = widths.of(numbers)
            weights = slice_blocks(weights, blocks, widths)
    require_finite(weights, f"checkpoint '{checkpoint}'")
    exported = {'meta': _meta(loaded), 'state_dict': weights}
    out.parent.mkdir(parents=True, exist_ok=True)
    if cfg is not None:
        if drop_dist_token:
            cfg.model.backbone.type = 'VisionTransformer'
            cfg.model.head.type = 'VisionTransformerClsHead'
        if kept is not None:
            make_shallower(cfg.model, blocks, numbers)
            if widths is not None:
                make_narrower(cfg.model, blocks, widths)
        what = f"config '{config}' and checkpoint '{checkpoint}'"
        _check(cfg, exported['state_dict'], what)
        _replace(plain, cfg.dump)
    _replace(out, partial(torch.save, exported))
    return out


def student_weights(
    checkpoint: dict[str, Any], ema: bool | None = None
) -> dict[str, Tensor]:
    """Take the student's weights out of a distillation checkpoint.

    MMEngine's ``EMAHook`` saves the averaged weights as ``state_dict``, and the raw
    ones as ``ema_state_dict``, below ``module.``.

    Args:
        checkpoint: As ``load_checkpoint`` returns it.
        ema: As for :func:`export_student`.

    Raises:
        ValueError: If there are no such weights.
    """
    averaged = 'ema_state_dict' in checkpoint
    if ema and not averaged:
        raise ValueError(
            'the checkpoint has no averaged weights: its run had no EMAHook'
        )
    source = checkpoint
    if averaged and ema is False:
        source = {'state_dict': checkpoint['ema_state_dict']}
    weights = weights_of(source, PREFIX)
    return {k: v for k, v in weights.items() if not k.startswith('data_preprocessor.')}


def without_dist_token(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Leave DeiT's distillation token out of a classifier's weights.

    Raises:
        ValueError: If there is none.
    """
    if DIST_TOKEN not in weights:
        raise ValueError(
            f"the student has no distillation token: no weight '{DIST_TOKEN}'"
        )
    left = {
        key: value
        for key, value in weights.items()
        if key != DIST_TOKEN and not key.startswith(DIST_HEAD)
    }
    positions = weights[POSITIONS]  # (1, 2 + N, C): class, distillation, patches
    left[POSITIONS] = torch.cat((positions[:, :1], positions[:, 2:]), 1)
    return left


def _meta(checkpoint: dict[str, Any]) -> dict[str, Any]:
    meta = checkpoint.get('meta', {})
    kept = ('dataset_meta', 'epoch', 'iter', 'seed', 'time', 'mmengine_version')
    return {k: meta[k] for k in kept if k in meta} | {'mmvitkd_version': __version__}


def plain_config(cfg: Config) -> Config:
    """Make the config of only the student, for testing and inference.

    It stands in MMPretrain's scope; types of this package are named in full, or as
    what MMPretrain has of the same weights, if the type's ``upstream`` knows that.

    Raises:
        ValueError: If the config has no student.
    """
    require_model(cfg)
    if 'student' not in cfg.model:
        raise ValueError(f"config '{cfg.filename}' has no model.student")
    model = cfg.model.student.to_dict()
    model.pop('train_cfg', None)  # augments that only training has
    model = _without_downloads(model)
    preprocessor = cfg.model.get('data_preprocessor')
    if preprocessor is not None:
        model['data_preprocessor'] = preprocessor.to_dict()
    plain = {'model': model}
    for key in ('data_preprocessor', 'test_dataloader', 'test_evaluator', 'test_cfg'):
        if cfg.get(key) is not None:
            value = cfg[key]
            plain[key] = value.to_dict() if hasattr(value, 'to_dict') else value
    scope = cfg.get('default_scope')
    named = _name_in_full(plain, _own_types() if scope == registry.SCOPE else {})
    student = _name_in_full(named['model'], _own_types())  # the distiller's scope
    return Config({'default_scope': PARENT, **named, 'model': student})


def _without_downloads(value: Any) -> Any:
    """Leave out the weights that training began with: the exported ones replace them.

    Else ``init_weights()`` would read them, from the network maybe.
    """
    if isinstance(value, (list, tuple)):
        return [_without_downloads(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: _without_downloads(item) for key, item in value.items()}
    if _reads_weights(value.get('init_cfg')):
        del kept['init_cfg']
    if kept.get('pretrained'):
        kept['pretrained'] = False if kept['pretrained'] is True else None
    return kept


def _reads_weights(init: Any) -> bool:
    several = init if isinstance(init, (list, tuple)) else [init]
    return any(isinstance(one, dict) and 'checkpoint' in one for one in several)


def _own_types() -> dict[str, type]:
    """List what this package registers, whose bare names mean it in its scope."""
    types = {}
    for child in vars(registry).values():
        if isinstance(child, Registry) and child.scope == registry.SCOPE:
            child.import_from_location()
            types.update(child.module_dict)
    return types


def _name_in_full(value: Any, own: dict[str, type]) -> Any:
    """Write ``type='X'`` as ``type='mmvitkd.X'``, wherever X is one of ours."""
    if isinstance(value, (list, tuple)):
        return [_name_in_full(item, own) for item in value]
    if not isinstance(value, dict):
        return value
    value = {key: _name_in_full(item, own) for key, item in value.items()}
    kind = value.get('type')
    name = str(kind).removeprefix(f'{registry.SCOPE}.')
    if isinstance(kind, type) and own.get(kind.__name__) is kind:
        name = kind.__name__
    if name in own:
        value['type'] = f'{registry.SCOPE}.{name}'
        upstream = getattr(own[name], 'upstream', None)
        return value if upstream is None else upstream(value)
    return value


def _check(cfg: Config, weights: dict[str, Tensor], what: str) -> None:
    """Build the plain config's model and see whether the weights are its own."""
    with DefaultScope.overwrite_default_scope(PARENT):
        model = registry.MODELS.build(cfg.model)
    problems = load_strictly(model, weights)
    if problems:
        raise ValueError(f'{what} have different students:\n' + '\n'.join(problems))


def _replace(path: Path, write: Callable[[str], Any]) -> None:
    """Write a file that is complete or not there."""
    part = path.with_name(f'{path.name}.part{path.suffix}')
    write(str(part))
    os.replace(part, path)
