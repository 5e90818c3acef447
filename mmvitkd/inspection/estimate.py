"""What runs cost: multiply-adds, GPU hours, bytes on the network, a cache."""

import argparse
import textwrap
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mmvitkd.engine.training import set_input_size
from mmvitkd.models.classifiers.cached_feature_spec import (
    CachedFeatureSpec,
    record_dtype,
)
from mmvitkd.models.classifiers.tap import Tap, record
from mmvitkd.models.classifiers.teacher import task_of_config
from mmvitkd.registry import DATASETS, MODELS, SCOPE
from mmvitkd.utils.cli import random_teachers
from mmvitkd.utils.config_file import open_named, require_model
from mmvitkd.utils.costs import count_parameters

IMAGENET = 1_281_167  # training images, where those of a config can't be counted
BATCH = 2  # of the images that the multiply-adds are counted on
FLOAT = 4  # bytes of a weight, of a gradient
TOP_K = 10  # classes of which a cache keeps the logits, unless told otherwise
BYTES = ('B', 'kB', 'MB', 'GB', 'TB', 'PB')


class Cost(NamedTuple):
    """What one run costs; multiply-adds and bytes are those of one image.

    The step has the student's forward and backward, the terms' and the teachers'
    forward; ``features`` are the bytes of the teachers' tapped features in float16,
    ``logits`` those of a cached record of their logits. ``images`` are those of the
    training set, ``seen`` is how often one is seen in the whole run.
    """

    student: float
    teacher: float
    step: float
    features: int
    logits: int
    trainable: int
    frozen: int
    batch: int
    images: int
    seen: int

    def hours(self, speed: float) -> float:
        """Return the GPU hours, at a speed in images a second and GPU."""
        return self.seen / speed / 3600


class Traffic(NamedTuple):
    """Bytes that every process sends in one step, by a ring over N processes."""

    ddp: float
    fsdp: float
    teacher: float

    @classmethod
    def of(cls, cost: Cost, processes: int) -> 'Traffic':
        """Count float32: of N equal parts, each process sends N - 1 a pass."""
        share = FLOAT * (processes - 1) / processes
        # an all-reduce is a reduce-scatter and an all-gather; FSDP gathers the weights
        # for the forward and the backward; a teacher has a forward alone
        return cls(
            ddp=2 * share * cost.trainable,
            fsdp=3 * share * cost.trainable,
            teacher=share * cost.frozen,
        )


def count(run: Any) -> float:
    """Count the multiply-adds an image of a function that runs ``BATCH`` images."""
    # fused attention on CPUs is not among the kernels that torch can count
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 2 / BATCH


def logit_bytes(classes: int) -> int:
    """Return how large a cached record of the logits of so many classes is."""
    spec = CachedFeatureSpec(Tap('head'), (classes,), top_k=min(TOP_K, classes))
    return record_dtype([spec]).itemsize


def count_images(cfg: Config) -> tuple[int, str | None]:
    """Count a config's training images, by building its data set.

    Returns:
        Their number, and None; or ImageNet's, and why they can't be counted.
    """
    scope = cfg.get('default_scope', 'mmpretrain')
    try:
        with DefaultScope.overwrite_default_scope(scope):
            return len(DATASETS.build(deepcopy(cfg.train_dataloader.dataset))), None
    except Exception as error:  # whatever a data set that is not there brings about
        reason = ' '.join(str(error).split())
        return IMAGENET, textwrap.shorten(reason, 200) or type(error).__name__


def count_seen(cfg: Config, images: int, gpus: int) -> int:
    """Count how many images a whole run sees, each as often as it is seen."""
    if (epochs := cfg.train_cfg.get('max_epochs')) is not None:
        return epochs * images
    return cfg.train_cfg.max_iters * cfg.train_dataloader.batch_size * gpus


def estimate(cfg: Config, images: int = IMAGENET, gpus: int = 1) -> Cost:
    """Build a distiller, without the teacher's weights, and run it on a few images.

    Args:
        cfg: Of the distiller.
        images: How many are trained on. Defaults to ImageNet's.
        gpus: How many share the work, each with the config's batch. Defaults to 1.

    Raises:
        ValueError: If the config is of no distiller, or of no classifier.
    """
    require_model(cfg)
    if 'student' not in cfg.model:
        raise ValueError(f"config '{cfg.filename}' has no student: it distils nothing")
    student = cfg.model.student
    if not task_of_config(student, cfg.get('default_scope')).classifies:
        raise ValueError(
            'what a training costs is estimated of classifiers, and the student is a '
            f'{student.get("type")}: python -m mmvitkd train --try times a few steps'
        )
    set_input_size(cfg)
    preprocessor = cfg.get('data_preprocessor')
    for teacher in random_teachers(cfg.model):
        teacher.checkpoint = teacher.get('checkpoint') or 'none'  # nor is it read
    with DefaultScope.overwrite_default_scope(SCOPE):
        model = MODELS.build({'data_preprocessor': preprocessor, **cfg.model})
    blank = torch.zeros(BATCH, *model.image_shape)
    samples = [DataSample().set_gt_label(0) for _ in range(BATCH)]
    with record(model.student, model.student_taps) as seen:
        logits = model.student(blank)
    outputs = model.forward_teachers(blank, None) | model.forward_teachers(
        blank, None, student_features=seen
    )
    features = [f.value[0] for taps in outputs.values() for f in taps.values()]
    model.load_teachers = lambda: None  # random weights cost as much

    def step() -> None:
        losses = model.loss(blank, samples)
        sum(value for key, value in losses.items() if 'loss' in key).backward()

    with torch.no_grad():
        student = count(lambda: model.student(blank))
    return Cost(
        student=student,
        teacher=count(lambda: model.forward_teachers(blank, None))
        + count(lambda: model.forward_teachers(blank, None, student_features=seen)),
        step=count(step),
        features=sum(2 * a.numel() for a in features if a.ndim == 2),
        logits=logit_bytes(logits.shape[1]),
        trainable=count_parameters(model),
        frozen=sum(count_parameters(t.model) for t in model.teachers.values()),
        batch=cfg.train_dataloader.batch_size,
        images=images,
        seen=count_seen(cfg, images, gpus),
    )


def table_row(name: str, cost: Cost, args: argparse.Namespace) -> dict[str, str]:
    """Return a config's column titles and values."""
    cached = cost.step - cost.teacher
    speed, source = args.images_per_second, 'measured'
    if speed is None:
        speed, source = args.tflops * 1e12 / (2 * cost.step), 'from FLOPs'
    traffic = Traffic.of(cost, args.gpus)
    return {
        'config': name,
        'training images': f'{cost.images:,}',
        'student, G': short(cost.student / 1e9),
        'teacher, G': short(cost.teacher / 1e9),
        'step, G': short(cost.step / 1e9),
        'step without teacher, G': short(cached / 1e9),
        f'images/s and GPU, {source}': f'{speed:.0f}',
        'GPU hours': hours(cost.hours(speed)),
        'GPU hours without teacher': hours(cost.hours(speed * cost.step / cached)),
        'logits stored': size(cost.seen * cost.logits),
        'features stored': size(cost.seen * cost.features),
        'step, ms': short(1e3 * cost.batch / speed),
        'trained, M': short(cost.trainable / 1e6),
        'frozen, M': short(cost.frozen / 1e6),
        'DDP': size(traffic.ddp),
        'FSDP': size(traffic.fsdp),
        'sharded teacher': f'+{size(traffic.teacher)}',
    }


def short(value: float) -> str:
    """Write a number to three digits, and all of those before the point."""
    return f'{value:.0f}' if value >= 100 else f'{value:.3g}'


def hours(value: float) -> str:
    """Write hours; of those that are none, only so much."""
    return short(value) if value >= 0.01 else '< 0.01'


def size(value: float) -> str:
    """Write a number of bytes in the unit that leaves one to three digits."""
    for unit in BYTES[:-1]:
        if value < 999.5:
            return f'{value:.3g} {unit}'
        value /= 1000
    return f'{short(value)} {BYTES[-1]}'


def print_costs(args: argparse.Namespace) -> None:
    """Print a table with a row for every config, and whose images are not counted.

    Args:
        args: As the command reads them.

    Raises:
        ValueError: If a config does not exist, or is of no distiller.
    """
    assumed: list[str] = []
    try:
        for i, path in enumerate(args.configs):
            row = _estimated(path, args, assumed)
            if i == 0:
                print('|', ' | '.join(row), '|')
                print('|', ' | '.join('---' for _ in row), '|')
            print('|', ' | '.join(row.values()), '|', flush=True)
    finally:  # also of the rows before a mistake
        if assumed:
            print('', *assumed, sep='\n', flush=True)


def _estimated(
    path: str, args: argparse.Namespace, assumed: list[str]
) -> dict[str, str]:
    """Return a config's row; note if its images can't be counted."""
    cfg = open_named(path)
    images, reason = count_images(cfg)
    row = table_row(Path(path).name, estimate(cfg, images, args.gpus), args)
    if reason is not None:
        assumed.append(
            f"{Path(path).name}: its training images can't be counted ({reason}), "
            f"so ImageNet's {IMAGENET:,} are assumed"
        )
    return row
