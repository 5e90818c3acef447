"""From a distillation checkpoint to an ordinary one of its student's framework."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope, Registry
from torch import Tensor, nn

from mmvitkd import __version__, registry

from .checkpoint import load_checkpoint, load_strictly, weights_of
from .config_file import open_named, require_model
from .errors import ConfigError
from .finite import require_finite
from .pruned_widths import kept_widths, make_narrower, slice_blocks
from .quantisers import is_quantiser
from .skipped_blocks import kept_blocks, make_shallower, without_skipped

PREFIX = 'student.'
PARENT = 'mmpretrain'
FRAMEWORKS = ('mmdet', 'mmseg', 'mmpose')  # whose scope a student's may be instead
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
    """Write the student of a distillation checkpoint as its framework knows it.

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
    weights = take_student(loaded, f"checkpoint '{checkpoint}'", cfg, ema)
    if drop_dist_token:
        weights = without_dist_token(weights, cfg)
    exported = {'meta': exported_meta(loaded), 'state_dict': weights}
    if cfg is not None:
        what = f"config '{config}' and checkpoint '{checkpoint}'"
        build_student(cfg, weights, what)
    out.parent.mkdir(parents=True, exist_ok=True)
    if cfg is not None:
        replace_file(plain, cfg.dump)
    replace_file(out, partial(torch.save, exported))
    return out


def take_student(
    checkpoint: dict[str, Any],
    what: str,
    cfg: Config | None = None,
    ema: bool | None = None,
    prefix: str = PREFIX,
) -> dict[str, Tensor]:
    """Take the student's weights out of a checkpoint, without what was pruned.

    Args:
        checkpoint: As ``load_checkpoint`` returns it.
        what: Names the checkpoint to the user.
        cfg: Of :func:`plain_config`, made as shallow and narrow as the weights, in
            place. Defaults to None.
        ema: As for :func:`export_student`.
        prefix: As for :func:`student_weights`.

    Raises:
        ValueError: If there are no such weights, or they are not finite.
    """
    weights = student_weights(checkpoint, ema, prefix)
    kept, widths = kept_blocks(checkpoint), kept_widths(checkpoint)
    if kept is not None:
        blocks, numbers = kept
        weights = without_skipped(weights, blocks, numbers)
        if cfg is not None:
            make_shallower(cfg.model, blocks, numbers)
        if widths is not None:
            widths = widths.of(numbers)
            weights = slice_blocks(weights, blocks, widths)
            if cfg is not None:
                make_narrower(cfg.model, blocks, widths)
    require_finite(weights, what)
    return weights


def student_weights(
    checkpoint: dict[str, Any], ema: bool | None = None, prefix: str = PREFIX
) -> dict[str, Tensor]:
    """Take the student's weights out of a distillation checkpoint.

    MMEngine's ``EMAHook`` saves the averaged weights as ``state_dict``, and the raw
    ones as ``ema_state_dict``, below ``module.``.

    Args:
        checkpoint: As ``load_checkpoint`` returns it.
        ema: As for :func:`export_student`.
        prefix: Of the weights' names; ``''`` for a classifier that was trained alone.
            Defaults to ``'student.'``.

    Raises:
        ValueError: If there are no such weights.
    """
    weights = weights_of(_averaged_or_raw(checkpoint, ema), prefix)
    return {k: v for k, v in weights.items() if not k.startswith('data_preprocessor.')}


def student_quantisers(
    checkpoint: dict[str, Any], ema: bool | None = None
) -> dict[str, Tensor]:
    """Take the ranges of a student's inputs that it was quantised by in training.

    Args:
        checkpoint: As ``load_checkpoint`` returns it.
        ema: As for :func:`export_student`.

    Returns:
        By names in the student; empty if it was not quantised.
    """
    state = weights_of(_averaged_or_raw(checkpoint, ema))
    return {k.removeprefix(PREFIX): v for k, v in state.items() if is_quantiser(k)}


def _averaged_or_raw(checkpoint: dict[str, Any], ema: bool | None) -> dict[str, Any]:
    averaged = 'ema_state_dict' in checkpoint
    if ema and not averaged:
        raise ValueError(
            'the checkpoint has no averaged weights: its run had no EMAHook'
        )
    if averaged and ema is False:
        raw = checkpoint['ema_state_dict']
        return {'state_dict': {k: v for k, v in raw.items() if k != 'steps'}}
    return checkpoint


def without_dist_token(
    weights: dict[str, Tensor], cfg: Config | None = None
) -> dict[str, Tensor]:
    """Leave DeiT's distillation token out of a classifier's weights.

    Args:
        weights: Of the classifier.
        cfg: Its config, changed in place. Defaults to None.

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
    if cfg is not None:
        cfg.model.backbone.type = 'VisionTransformer'
        cfg.model.head.type = 'VisionTransformerClsHead'
    return left


def exported_meta(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Tell of a checkpoint what goes on with its student."""
    meta = checkpoint.get('meta', {})
    kept = ('dataset_meta', 'epoch', 'iter', 'seed', 'time', 'mmengine_version')
    return {k: meta[k] for k in kept if k in meta} | {'mmvitkd_version': __version__}


def plain_config(cfg: Config, alone: bool = False) -> Config:
    """Make the config of only the student, for testing and inference.

    It stands in MMPretrain's scope, or that of the student's own framework; types of
    this package are named in full, or as what MMPretrain has of the same weights, if
    the type's ``upstream`` knows that.

    Args:
        cfg: Of a run.
        alone: Whether a classifier that is trained alone is a student, too. Defaults to
            False.

    Raises:
        ValueError: If the config has no student.
    """
    require_model(cfg)
    distilled = 'student' in cfg.model
    if not distilled and not alone:
        raise ValueError(f"config '{cfg.filename}' has no model.student")
    model = (cfg.model.student if distilled else cfg.model).to_dict()
    scope, prefix = framework_of(cfg), str(model.get('type')).partition('.')[0]
    if prefix in FRAMEWORKS:
        model.setdefault('_scope_', prefix)
    classifies = scope == PARENT and prefix not in FRAMEWORKS
    if classifies:
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
    ours = cfg.get('default_scope') == registry.SCOPE
    named = _name_in_full(plain, _own_types() if ours else {})
    if distilled and classifies:  # whose scope is ours
        named['model'] = _name_in_full(named['model'], _own_types())
    return Config({'default_scope': scope, **named})


def framework_of(cfg: Config) -> str:
    """Return the scope in which a run's student is built without this package."""
    scope = cfg.get('default_scope')
    return scope if scope in FRAMEWORKS else PARENT


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


def build_student(cfg: Config, weights: dict[str, Tensor], what: str) -> nn.Module:
    """Build the model of :func:`plain_config`, with its weights, all and no others.

    Args:
        cfg: Of the model.
        weights: For it.
        what: Names both to the user.

    Raises:
        ConfigError: If they don't fit.
    """
    with DefaultScope.overwrite_default_scope(framework_of(cfg)):
        model = registry.MODELS.build(cfg.model)
    problems = load_strictly(model, weights)
    if problems:
        raise ConfigError(f'{what} have different students:\n' + '\n'.join(problems))
    return model


def replace_file(path: Path, write: Callable[[str], Any]) -> None:
    """Write a file that is complete or not there."""
    part = path.with_name(f'{path.name}.part{path.suffix}')
    write(str(part))
    os.replace(part, path)
