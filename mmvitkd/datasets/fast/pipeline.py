"""Training pipelines, of the same transforms in less time."""

from copy import deepcopy
from typing import Any

from mmcv.transforms import LoadImageFromFile, RandomFlip
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.datasets import (
    PackInputs,
    RandAugment,
    RandomErasing,
    RandomResizedCrop,
)

from mmvitkd.registry import SCOPE, TRANSFORMS
from mmvitkd.utils.types import class_of

from .fast_resized_crop import FILTERS

SAME_PIXELS, SAME_DISTRIBUTION = KINDS = ('same-pixels', 'same-distribution')
FASTER = {
    RandAugment: 'mmvitkd.FastRandAugment',
    RandomFlip: 'mmvitkd.FastRandomFlip',
    PackInputs: 'mmvitkd.FastPackInputs',
}


def faster(pipeline: list[Any], kind: str) -> list[Any]:
    """Put faster transforms in the place of MMPretrain's and MMCV's.

    Args:
        pipeline: Configs of transforms. Those of other types, such as a user's own,
            stay as they are, as does a resize by another library than Pillow.
        kind: ``'same-pixels'``, to the rounding of the resize; or
            ``'same-distribution'``: also large JPEGs are decoded at a part of their
            size, all JPEGs faster and less exactly where simplejpeg is installed,
            RandAugment's bicubic warps are bilinear, and the noise of RandomErasing
            comes from a faster generator.

    Raises:
        ValueError: If ``kind`` is neither, or there is nothing to make faster.
    """
    if kind not in KINDS:
        raise ValueError(f'{kind!r}: must be one of {KINDS}')
    steps = [_faster(step, kind) for step in deepcopy(list(pipeline))]
    if steps == list(pipeline):
        raise ValueError(
            'the training pipeline has no transform that could be made faster: '
            f'{[step.get("type") for step in pipeline]}'
        )
    if kind == SAME_DISTRIBUTION:
        steps = _read_crops(steps)
    return steps


def _faster(step: dict[str, Any], kind: str) -> dict[str, Any]:
    found = class_of(step['type'], TRANSFORMS)
    if found is RandomResizedCrop and _by_pillow(step):
        return {**step, 'type': 'mmvitkd.FastRandomResizedCrop'}
    if found is RandomErasing and kind == SAME_DISTRIBUTION:
        return {**step, 'type': 'mmvitkd.FastRandomErasing'}
    if found is RandAugment and kind == SAME_DISTRIBUTION:
        step = _bilinear(step)
    if found in FASTER:
        return {**step, 'type': FASTER[found]}
    return step


def _bilinear(step: dict[str, Any]) -> dict[str, Any]:
    """Let rotations, shears and shifts interpolate in a quarter of bicubic's time."""
    hparams = step.get('hparams') or {}
    if hparams.get('interpolation') != 'bicubic':
        return step
    return {**step, 'hparams': {**hparams, 'interpolation': 'bilinear'}}


def _by_pillow(step: dict[str, Any]) -> bool:
    # MMPretrain's defaults
    filter_ = step.get('interpolation', 'bilinear')
    return step.get('backend', 'cv2') == 'pillow' and filter_ in FILTERS


def _read_crops(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Join reading and cropping where the one follows the other."""
    joined: list[dict[str, Any]] = []
    for step in steps:
        crops = step['type'] == 'mmvitkd.FastRandomResizedCrop'
        before = joined[-1] if joined else None
        if (
            crops
            and before
            and class_of(before['type'], TRANSFORMS) is LoadImageFromFile
        ):
            crop = {
                key: value
                for key, value in step.items()
                if key not in ('type', '_scope_')
            }
            reading = {**before, 'type': 'mmvitkd.ReadRandomResizedCrop', 'crop': crop}
            joined[-1] = reading
        else:
            joined.append(step)
    return joined


def speed_up_data(cfg: Config, kind: str) -> None:
    """Make a config's training pipeline faster, in whatever its data set is wrapped.

    Args:
        cfg: Is changed.
        kind: As for :func:`faster`.

    Raises:
        ValueError: As :func:`faster`, or if the config is none of a classifier.
    """
    scope = cfg.get('default_scope', 'mmpretrain')
    if scope not in ('mmpretrain', SCOPE):
        raise ValueError(
            f"default_scope = '{scope}': classifiers' transforms alone can be made "
            'faster'
        )
    with DefaultScope.overwrite_default_scope(scope):
        _speed_up(cfg.train_dataloader.dataset, kind)


def _speed_up(dataset: dict[str, Any], kind: str) -> None:
    inner = [dataset['dataset']] if dataset.get('dataset') else dataset.get('datasets')
    if dataset.get('pipeline'):
        dataset['pipeline'] = faster(dataset['pipeline'], kind)
    elif inner:
        for one in inner:
            _speed_up(one, kind)
    else:
        raise ValueError(f'the data set {dataset.get("type")} has no pipeline')
