"""What a distillation config says about its teachers' outputs, read and built."""

import platform
from collections.abc import Iterable
from copy import deepcopy
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import FUNCTIONS, DefaultScope

from mmvitkd.datasets import ReplayedDataset
from mmvitkd.datasets.image_check import require_readable
from mmvitkd.engine.hooks.distillation_check_hook import check_classes
from mmvitkd.models.classifiers.cached_feature_spec import (
    CachedFeatureSpec,
    record_dtype,
    tap_label,
)
from mmvitkd.models.classifiers.preprocessing import normalisation
from mmvitkd.models.classifiers.tap import Feature, Tap
from mmvitkd.models.classifiers.teacher import Teacher, model_cfg_of
from mmvitkd.registry import DATASETS, MODELS, SCOPE
from mmvitkd.utils import load_checkpoint, weights_of
from mmvitkd.utils.teacher_cache import (
    FORMAT,
    FORMAT_OF_SEVERAL,
    digest_weights,
    plain,
)
from mmvitkd.utils.types import class_of, is_kind, name_of

# of a teacher's config; all others change its outputs
DESCRIBED_ELSEWHERE = (
    *('cfg', 'checkpoint', 'input_size', 'prefix', 'type'),
    *('compile', 'stop_early', 'weights_only'),
)
SHARD_BYTES, SHARD_IMAGES = 64 * 2**20, 2**15
TOP_K = 10
# what pixels come from
LIBRARIES = ('torch', 'torchvision', 'numpy', 'pillow', 'opencv-python-headless')


class TappedTeacher(NamedTuple):
    """A teacher whose outputs are stored.

    Args:
        teacher: Ready to run.
        cfg: The teacher's.
        taps: What the terms tap of it.
    """

    teacher: Teacher
    cfg: dict
    taps: list[Tap]


class Source(NamedTuple):
    """Teachers and images of a config, ready to run.

    Args:
        cfg: The config; its ``model`` and data loader say nothing of mixing any more.
        dataset_cfg: Of the :class:`ReplayedDataset`.
        dataset: The same, built.
        model: The distiller, for its data preprocessor.
        teachers: Those that its terms tap, by name; a single one is None's.
        collate: Makes a batch of samples.
        device: Of the teachers.
    """

    cfg: Config
    dataset_cfg: dict
    dataset: ReplayedDataset
    model: Any
    teachers: dict[str | None, TappedTeacher]
    collate: Any
    device: torch.device

    @property
    def workers(self) -> int:
        """How many processes load images."""
        return self.cfg.train_dataloader.get('num_workers', 0)

    def batch(self, keys: Iterable[tuple[int, int]]) -> dict:
        """Load images, of an epoch and an index each, in this process."""
        return self.collate([self.dataset[key] for key in keys])

    def forward(self, batch: dict) -> dict[str | None, dict[Tap, Feature]]:
        """Run every teacher on the same images."""
        preprocessor = self.model.data_preprocessor
        inputs = preprocessor(batch, training=True)['inputs']
        return {
            name: teacher(inputs, preprocessor, taps)
            for name, (teacher, _, taps) in self.teachers.items()
        }


def read_source(cfg: Config, seed: int | None, device: torch.device) -> Source:
    """Build what a distillation config says; ``seed`` None takes its own.

    Raises:
        ValueError: If it is no distillation config, mixes in two places, its sampler
            can't be replayed, a teacher's outputs can't be stored, or its classes are
            in another order than the data set's.
    """
    cfg = deepcopy(cfg)
    if 'terms' not in cfg.model or not (set(cfg.model) & {'teacher', 'teachers'}):
        raise ValueError(
            'a config with model=dict(student=..., teacher=..., terms=...) is needed, '
            f'but its model is a {cfg.model.get("type")} without'
        )
    dataset_cfg = _replayed(cfg, seed)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', SCOPE)):
        model = MODELS.build(_with_preprocessor(cfg))
    if not model.task.classifies:
        raise ValueError(
            f'the outputs of teachers of classifiers alone can be stored, and the '
            f'student is a {type(model.student).__name__}'
        )
    teachers = _teachers(cfg, model)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', SCOPE)):
        dataset = DATASETS.build(deepcopy(dataset_cfg))
    model.load_teachers()
    require_readable([dataset])
    errors, _ = check_classes(model, dataset)
    if errors:
        raise ValueError('\n'.join(errors))
    model.to(device)
    loader = cfg.train_dataloader
    collate = loader.get('collate_fn', {'type': 'default_collate'})['type']
    collate = class_of(collate, FUNCTIONS)
    return Source(cfg, dataset_cfg, dataset, model, teachers, collate, device)


def _teachers(cfg: Config, model: Any) -> dict[str | None, TappedTeacher]:
    """Return the teachers that a distiller's terms tap.

    Raises:
        ValueError: If there are none, or the outputs of one can't be stored.
    """
    cfgs = cfg.model.get('teachers') or {'teacher': cfg.model.get('teacher')}
    found: dict[str | None, TappedTeacher] = {}
    for name in sorted(model.teacher_taps):
        teacher = model.teachers[name]
        kind = f"teacher '{name}', a {type(teacher).__name__},"
        if teacher.model is None:
            raise ValueError(f'{kind} has no model that could be run')
        if teacher.required_student_taps(model.student):
            raise ValueError(
                f'the outputs of {kind} depend on the student as it trains: they can '
                'not be stored beforehand'
            )
        taps = sorted(set(model.teacher_taps[name]), key=lambda t: (t.path, t.tokens))
        found[name] = TappedTeacher(teacher, cfgs[name], taps)
    if not found:
        raise ValueError('no term taps a teacher, so there are no outputs to store')
    return found if len(found) > 1 else {None: next(iter(found.values()))}


def _replayed(cfg: Config, seed: int | None) -> dict:
    """Make the training data set replay; the mixing moves into it."""
    loader = cfg.train_dataloader
    sampler = loader.get('sampler', {}).get('type')
    if name_of(sampler) not in ('DefaultSampler', 'ReplaySampler'):
        raise ValueError(
            f'a {sampler} deals images out in a way of its own: a cache needs '
            "train_dataloader.sampler=dict(type='DefaultSampler', shuffle=True), which "
            'shows each image once an epoch'
        )
    mixing = _take_mixing(cfg)
    own = loader.dataset
    if not is_kind(own.type, ReplayedDataset, DATASETS):
        own = {
            'dataset': own,
            'seed': cfg.get('randomness', {}).get('seed') or 0,
            'mixing': mixing,
            'num_classes': _num_classes(cfg),
        }
    elif mixing is not None:
        raise ValueError(
            f'the images would be mixed twice: by the ReplayedDataset and by {mixing} '
            'of train_cfg or the data preprocessor; leave one of them out'
        )
    if seed is not None:
        own = {**own, 'seed': seed}
    kept = {key: value for key, value in own.items() if value is not None}
    return ConfigDict({**kept, 'type': 'mmvitkd.ReplayedDataset'}).to_dict()


def _with_preprocessor(cfg: Config) -> ConfigDict:
    """Return the model's config, completed as MMEngine's runner does."""
    model = deepcopy(cfg.model)
    if cfg.get('data_preprocessor') is not None:
        model.setdefault('data_preprocessor', cfg.data_preprocessor)
    return model


def _preprocessors(cfg: Config) -> list[ConfigDict]:
    """List the data preprocessors, wherever a distiller's config has them."""
    parts = (cfg.model, cfg.model.student, cfg)
    return [p.data_preprocessor for p in parts if p.get('data_preprocessor')]


def _take_mixing(cfg: Config) -> dict | None:
    """Take Mixup and CutMix out of a config."""
    found = [part.pop('train_cfg', None) for part in (cfg.model, cfg.model.student)]
    found += [part.pop('batch_augments', None) for part in _preprocessors(cfg)]
    found = [mixing for mixing in found if mixing]
    if any(mixing != found[0] for mixing in found):
        raise ValueError(f'the config mixes images in several ways: {found}')
    return found[0] if found else None


def _num_classes(cfg: Config) -> int | None:
    counts = [part.get('num_classes') for part in _preprocessors(cfg)]
    counts.append(cfg.model.student.get('head', {}).get('num_classes'))
    return next((count for count in counts if count is not None), None)


def epochs_of(cfg: Config, given: int | None) -> int:
    """Return how many epochs to store: those that are given, else the config's.

    Raises:
        ValueError: If neither says.
    """
    epochs = given or cfg.get('train_cfg', {}).get('max_epochs')
    if epochs is None:
        raise ValueError('the config trains by iterations: give --epochs')
    return epochs


def make_manifest(
    source: Source,
    epochs: int,
    top_k: int | None,
    batch_size: int,
    shard_size: int | None,
) -> dict[str, Any]:
    """Describe the cache that a config and the options call for.

    Raises:
        ValueError: If ``top_k`` is larger than the number of classes.
    """
    specs = feature_specs(source, top_k)
    record = record_dtype(specs).itemsize
    shard = shard_size or min(max(SHARD_BYTES // record, 1), SHARD_IMAGES)
    one = None in source.teachers
    return {
        'format': FORMAT if one else FORMAT_OF_SEVERAL,
        'epochs': epochs,
        **describe_teachers(source),
        'data': source.dataset.description(),
        'taps': [spec.as_setting() for spec in specs],
        'record_bytes': record,
        'batch_size': batch_size,
        'shard_size': max(shard // batch_size, 1) * batch_size,
        'versions': versions(),
    }


def feature_specs(source: Source, top_k: int | None) -> list[CachedFeatureSpec]:
    """Look at what the taps yield, and say what is kept of it."""
    outputs = source.forward(source.batch([(0, 0)]))
    specs = [
        _feature_spec(name, tap, feature, source.dataset.num_classes, top_k)
        for name, features in outputs.items()
        for tap, feature in features.items()
    ]
    if top_k is not None and all(spec.top_k is None for spec in specs):
        raise ValueError(
            f'--top-k {top_k}, but no term taps logits of the '
            f'{source.dataset.num_classes} classes: '
            f'{[(spec.label, spec.shape) for spec in specs]}'
        )
    return specs


def _feature_spec(
    name: str | None, tap: Tap, feature: Feature, classes: int, top_k: int | None
) -> CachedFeatureSpec:
    """Say what is kept of a tap."""
    if len(feature.value) != 1:
        raise ValueError(
            f"tap '{tap_label(name, tap)}' yields {len(feature.value)} windows of an "
            'image, but one output an image can be stored: tap the block around it, or '
            'leave its terms out'
        )
    shape, k = tuple(feature.value.shape[1:]), None
    if tap.tokens == 'patch' and shape == (classes,):
        k = min(TOP_K, classes) if top_k is None else top_k
        if not 1 <= k <= classes:
            raise ValueError(f'--top-k {k}: there are {classes} classes')
    return CachedFeatureSpec(tap, shape, feature.hw, k, name)


def describe_teachers(source: Source) -> dict[str, Any]:
    """Tell, as plain data, whose outputs they are, and of which pixels."""
    described = {
        name: (describe_teacher(tapped), _normalisation_for(tapped, source))
        for name, tapped in source.teachers.items()
    }
    if None in described:
        teacher, pixels = described[None]
        return {'teacher': teacher, 'normalisation': pixels}
    return {
        'teachers': {
            name: {**teacher, 'normalisation': pixels}
            for name, (teacher, pixels) in described.items()
        }
    }


def _normalisation_for(tapped: TappedTeacher, source: Source) -> Any:
    """Return the student's, unless the teacher has one of its own."""
    if tapped.teacher.preprocessor is not None:
        return None
    return plain(normalisation(source.model.data_preprocessor))


def describe_teacher(tapped: TappedTeacher) -> dict[str, Any]:
    """Tell, as plain data, which teacher it is."""
    cfg = tapped.cfg
    if cfg.get('checkpoint') is None:
        weights = tapped.teacher.model.state_dict()
    else:
        loaded = load_checkpoint(cfg['checkpoint'], cfg.get('weights_only', True))
        weights = weights_of(loaded, cfg.get('prefix', ''))
    return {
        'cfg': plain(model_cfg_of(cfg['cfg'])),
        'options': plain(cfg, DESCRIBED_ELSEWHERE),
        'input_size': plain(tapped.teacher.input_size),
        'weights': digest_weights(weights),
    }


def versions() -> dict[str, str]:
    """List the libraries that pixels come from."""
    found = {'python': platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
