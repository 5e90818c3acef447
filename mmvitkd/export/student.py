"""The student of a checkpoint, built, with what another program must know of it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import TRANSFORMS
from torch import Tensor, nn

from mmvitkd.datasets.pipeline_size import pipeline_size
from mmvitkd.models.classifiers.classes import is_multi_label
from mmvitkd.models.classifiers.image_shape import Shape, find_image_shape
from mmvitkd.registry import SCOPE
from mmvitkd.utils.blocks import input_channels
from mmvitkd.utils.checkpoint import load_checkpoint
from mmvitkd.utils.class_names import checkpoint_classes
from mmvitkd.utils.config_file import open_named
from mmvitkd.utils.config_text import parse_config
from mmvitkd.utils.errors import ConfigError
from mmvitkd.utils.export import (
    PARENT,
    PREFIX,
    build_student,
    exported_meta,
    plain_config,
    take_student,
    without_dist_token,
)
from mmvitkd.utils.strangers import nothing_run, require_registered
from mmvitkd.utils.types import name_of

NAME_IT = 'Or name its config: --config FILE'


@dataclass(frozen=True)
class Student:
    """A student to be exported.

    Args:
        model: The classifier, in eval mode.
        cfg: Its plain config.
        meta: What the checkpoint tells of it.
        named: Whether the user has named the config, and so trusts it.
        run: The whole config that it was trained by, or its plain one.
    """

    model: Any
    cfg: Config
    meta: dict[str, Any]
    named: bool
    run: Config

    @property
    def steps(self) -> list[dict[str, Any]]:
        """The test pipeline."""
        dataset = (self.cfg.get('test_dataloader') or {}).get('dataset') or {}
        while 'pipeline' not in dataset and isinstance(dataset.get('dataset'), dict):
            dataset = dataset['dataset']
        return list(dataset.get('pipeline') or [])

    @property
    def loads_bgr(self) -> bool:
        """Whether its pipeline hands images over as BGR."""
        for step in self.steps:
            if name_of(step['type']) == 'LoadImageFromFile':
                return step.get('channel_order', 'bgr') == 'bgr'
        return bool(self.model.data_preprocessor.to_rgb)

    def image_shape(self) -> Shape:
        """Return ``(C, H, W)`` of the images that it is tested on, or else takes."""
        dataset = (self.cfg.get('test_dataloader') or {}).get('dataset')
        with self.building():
            size = pipeline_size(dataset, PARENT) if dataset else None
        channels = input_channels(self.model) or 3
        if size is not None:
            return channels, *size
        try:
            return find_image_shape(self.model)
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def building(self) -> AbstractContextManager[None]:
        """Build parts of the config; nothing of one that was only recorded is run."""
        return nullcontext() if self.named else nothing_run()

    def prepare(self, images: Tensor) -> Tensor:
        """Preprocess ``(B, C, H, W)``, RGB from 0 to 255, as it is tested."""
        if self.loads_bgr and images.shape[1] == 3:
            images = images.flip(1)
        return self.model.data_preprocessor({'inputs': images})['inputs']

    @torch.no_grad()
    def predict(self, images: Tensor) -> Tensor:
        """Return the logits ``(B, K)`` of such images, as PyTorch has them.

        Raises:
            ConfigError: If the model yields others.
        """
        logits = self.model(self.prepare(images))
        if not isinstance(logits, Tensor) or logits.ndim != 2:
            raise ConfigError(
                f'the student, {type(self.model).__name__}, yields no logits of '
                '(images, classes), but several or none, so it has no place in a graph'
            )
        return logits


def load_student(
    checkpoint: str | Path,
    config: str | Path | None = None,
    ema: bool | None = None,
    drop_dist_token: bool = False,
) -> Student:
    """Build the student of a checkpoint of a distillation, or a classifier's.

    Args:
        checkpoint: File, folder or URL.
        config: The config of the run, or the plain one of an exported student.
            Defaults to None: the one that the run has recorded in the checkpoint, which
            is read as data.
        ema: As for :func:`~mmvitkd.utils.export.export_student`.
        drop_dist_token: Likewise.

    Raises:
        ConfigError: If there is no config, it does not fit, or weights are not finite.
    """
    loaded = load_checkpoint(checkpoint)
    what = f"checkpoint '{checkpoint}'"
    whole = _recorded(loaded, what) if config is None else open_named(config)
    scope = whole.get('default_scope', PARENT)
    if scope not in (PARENT, SCOPE):
        raise ConfigError(
            f"the config is of '{scope}': of detectors and the like the backbone's "
            'checkpoint is exported, not the whole'
        )
    cfg = plain_config(whole, alone=True)
    if cfg.get('data_preprocessor') is not None:  # as runners hand it over
        cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)
    try:
        prefix = PREFIX if 'student' in whole.model else ''
        weights = take_student(loaded, what, cfg, ema, prefix)
        if drop_dist_token:
            weights = without_dist_token(weights, cfg)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if config is None:
        model = _build_recorded(cfg, weights, what)
    else:
        model = build_student(cfg, weights, f"{what} and config '{config}'")
    model.requires_grad_(False)
    model.eval()
    if getattr(model.data_preprocessor, 'pad_size_divisor', 1) > 1:
        raise ConfigError(
            'the data_preprocessor pads images (pad_size_divisor='
            f'{model.data_preprocessor.pad_size_divisor}), which an exported student '
            'does not: set it to 1 and let the pipeline pad'
        )
    return Student(model, cfg, exported_meta(loaded), config is not None, whole)


def _recorded(checkpoint: dict[str, Any], what: str) -> Config:
    """Read the config that a run has written into its checkpoint."""
    meta = checkpoint.get('meta')
    text = meta.get('cfg') if isinstance(meta, dict) else None
    if not isinstance(text, str) or not text:
        raise ConfigError(f'{what} has no record of its config: give it by --config')
    try:
        return Config(parse_config(text))
    except ValueError as error:
        raise ConfigError(
            f'the config that {what} has recorded can not be read: {error}. {NAME_IT}'
        ) from error


def _build_recorded(cfg: Config, weights: dict[str, Tensor], what: str) -> Any:
    """Build the model of a recorded config, which may be a stranger's."""
    dataset = (cfg.get('test_dataloader') or {}).get('dataset')
    try:
        require_registered(cfg.model, 'model')
        require_registered(dataset, 'test_dataloader.dataset')
        with nothing_run():
            return build_student(cfg, weights, f'{what} and its recorded config')
    except ValueError as error:
        raise ConfigError(f'{error}. {NAME_IT}') from error


def describe(
    student: Student, shape: Shape, classes: tuple[str, ...]
) -> dict[str, Any]:
    """Collect what a program needs to show images to a student and to name the class.

    Args:
        student: To tell of.
        shape: ``(C, H, W)`` of the images.
        classes: Their names, empty where unknown.

    Returns:
        Names with what JSON can hold.
    """
    preprocessor = student.model.data_preprocessor
    mean, std = normalisation(student.model)
    return {
        'classes': list(classes) or None,
        'input_size': list(shape[1:]),
        'channels': shape[0],
        # of values from 0 to 255, in the order of the images, which is RGB
        'mean': _in_rgb(mean, student, preprocessor),
        'std': _in_rgb(std, student, preprocessor),
        'multi_label': is_multi_label(student.model),
        'preprocessing': describe_steps(student),
        'student': {k: v for k, v in student.meta.items() if k != 'dataset_meta'},
    }


def known_classes(student: Student) -> tuple[str, ...]:
    """Return the names of the classes that the checkpoint holds."""
    return checkpoint_classes({'meta': student.meta}) or ()


def normalisation(model: nn.Module) -> tuple[Tensor, Tensor]:
    """Return mean and std ``(C, 1, 1)``, in the order of the channels that it takes."""
    preprocessor: Any = model.data_preprocessor
    if not preprocessor._enable_normalize:
        return torch.zeros(1, 1, 1), torch.ones(1, 1, 1)
    return preprocessor.mean.float(), preprocessor.std.float()


def takes_bgr(student: Student) -> bool:
    """Whether the channels that the model sees are blue first."""
    return student.loads_bgr != bool(student.model.data_preprocessor.to_rgb)


def _in_rgb(values: Tensor, student: Student, preprocessor: Any) -> list[float]:
    flat = [float(value) for value in values.flatten()]
    return flat[::-1] if takes_bgr(student) else flat


def describe_steps(student: Student) -> list[dict[str, Any]] | None:
    """Tell what the test pipeline does between reading an image and packing it.

    Returns:
        Steps ``resize`` (to ``size`` ``[W, H]``, or the ``short`` edge to a length) and
        ``center_crop`` (to ``size``), or None where there is another.
    """
    found = []
    for step in student.steps:
        name = name_of(step['type'])
        if name.startswith('Load') or name == 'PackInputs':
            continue
        with student.building(), DefaultScope.overwrite_default_scope(PARENT):
            told = _describe_step(TRANSFORMS.build(dict(step)))
        if told is None:
            return None
        found.append(told)
    return found


def _describe_step(step: Any) -> dict[str, Any] | None:
    kind = type(step).__name__
    if kind == 'CenterCrop':
        return {'step': 'center_crop', 'size': list(step.crop_size)}
    by = {'interpolation': getattr(step, 'interpolation', None)}
    if kind == 'ResizeEdge' and step.edge == 'short':
        return {'step': 'resize', 'short': step.scale, **by}
    if kind == 'Resize' and step.scale and not step.keep_ratio:
        return {'step': 'resize', 'size': list(step.scale), **by}
    return None
