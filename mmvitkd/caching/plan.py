"""What a distillation config says about its teacher's outputs, read and built."""

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
)
from mmvitkd.models.classifiers.preprocessing import normalisation
from mmvitkd.models.classifiers.tap import Feature, Tap
from mmvitkd.models.classifiers.teacher import Teacher, model_cfg_of
from mmvitkd.registry import DATASETS, MODELS, SCOPE
from mmvitkd.utils import load_checkpoint, weights_of
from mmvitkd.utils.teacher_cache import FORMAT, digest_weights, plain
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


class Source(NamedTuple):
    """Teacher and images of a config, ready to run.

    Args:
        cfg: The config; its ``model`` and data loader say nothing of mixing any more.
        dataset_cfg: Of the :class:`ReplayedDataset`.
        dataset: The same, built.
        model: The distiller, for its data preprocessor.
        teacher: Its only teacher.
        teacher_cfg: The teacher's.
        taps: What its terms tap of the teacher.
        collate: Makes a batch of samples.
        device: Of the teacher.
    """

    cfg: Config
    dataset_cfg: dict
    dataset: ReplayedDataset
    model: Any
    teacher: Teacher
    teacher_cfg: dict
    taps: list[Tap]
    collate: Any
    device: torch.device

    @property
    def workers(self) -> int:
        """How many processes load images."""
        return self.cfg.train_dataloader.get('num_workers', 0)

    def batch(self, keys: Iterable[tuple[int, int]]) -> dict:
        """Load images, of an epoch and an index each, in this process."""
        return self.collate([self.dataset[key] for key in keys])

    def forward(self, batch: dict) -> dict[Tap, Feature]:
        """Run the teacher."""
        preprocessor = self.model.data_preprocessor
        inputs = preprocessor(batch, training=True)['inputs']
        return self.teacher(inputs, preprocessor, self.taps)


def read_source(cfg: Config, seed: int | None, device: torch.device) -> Source:
    """Build what a distillation config says; ``seed`` None takes its own.

    Raises:
        ValueError: If it is no distillation config of one teacher, mixes in two
            places, its sampler can't be replayed, or the teacher's classes are in
            another order than the data set's.
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
    name = _only_teacher(model)
    teacher = model.teachers[name]
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', SCOPE)):
        dataset = DATASETS.build(deepcopy(dataset_cfg))
    teacher.load()
    require_readable([dataset])
    errors, _ = check_classes(model, dataset)
    if errors:
        raise ValueError('\n'.join(errors))
    model.to(device)
    taps = sorted(set(model.teacher_taps[name]), key=lambda t: (t.path, t.tokens))
    loader = cfg.train_dataloader
    collate = loader.get('collate_fn', {'type': 'default_collate'})['type']
    collate = class_of(collate, FUNCTIONS)
    teacher_cfg = cfg.model.get('teacher') or cfg.model.teachers[name]
    return Source(
        cfg, dataset_cfg, dataset, model, teacher, teacher_cfg, taps, collate, device
    )


def _only_teacher(model: Any) -> str:
    """Return the name of a distiller's one teacher, whose outputs can be stored."""
    tapped = list(model.teacher_taps)
    if len(tapped) != 1:
        raise ValueError(f'one teacher can be cached; the terms tap {tapped or "none"}')
    teacher = model.teachers[tapped[0]]
    if teacher.model is None:
        raise ValueError(f'a {type(teacher).__name__} has no model that could be run')
    if teacher.required_student_taps(model.student):
        raise ValueError(
            f'the outputs of a {type(teacher).__name__} depend on the student as it '
            'trains: they can not be stored beforehand'
        )
    return tapped[0]


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
    own = source.teacher.preprocessor is not None
    return {
        'format': FORMAT,
        'epochs': epochs,
        'teacher': describe_teacher(source),
        'normalisation': None
        if own
        else plain(normalisation(source.model.data_preprocessor)),
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
    classes = source.dataset.num_classes
    specs = []
    for tap, feature in outputs.items():
        if len(feature.value) != 1:
            raise ValueError(
                f"tap '{tap.path}' yields {len(feature.value)} windows of an image, "
                'but one output an image can be stored: tap the block around it, or '
                'leave its terms out'
            )
        shape, k = tuple(feature.value.shape[1:]), None
        if tap.tokens == 'patch' and shape == (classes,):
            k = min(TOP_K, classes) if top_k is None else top_k
            if not 1 <= k <= classes:
                raise ValueError(f'--top-k {k}: there are {classes} classes')
        specs.append(CachedFeatureSpec(tap, shape, feature.hw, k))
    if top_k is not None and all(spec.top_k is None for spec in specs):
        raise ValueError(
            f'--top-k {top_k}, but no term taps logits of the {classes} classes: '
            f'{[(spec.tap.path, spec.shape) for spec in specs]}'
        )
    return specs


def describe_teacher(source: Source) -> dict[str, Any]:
    """Tell, as plain data, whose outputs they are."""
    cfg = source.teacher_cfg
    if cfg.get('checkpoint') is None:
        weights = source.teacher.model.state_dict()
    else:
        loaded = load_checkpoint(cfg['checkpoint'], cfg.get('weights_only', True))
        weights = weights_of(loaded, cfg.get('prefix', ''))
    return {
        'cfg': plain(model_cfg_of(cfg['cfg'])),
        'options': plain(cfg, DESCRIBED_ELSEWHERE),
        'input_size': plain(source.teacher.input_size),
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
