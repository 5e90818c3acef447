"""What runs cost: multiply-adds, GPU hours, bytes on the network, a cache."""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mmvitkd.models.classifiers.cached_feature_spec import (
    CachedFeatureSpec,
    record_dtype,
)
from mmvitkd.models.classifiers.tap import Tap, record
from mmvitkd.registry import MODELS, SCOPE
from mmvitkd.utils.cli import random_teachers
from mmvitkd.utils.config_file import open_config
from mmvitkd.utils.costs import count_parameters

IMAGENET = 1_281_167
BATCH = 2  # of the images that the multiply-adds are counted on
FLOAT = 4  # bytes of a weight, of a gradient
# bytes of stored outputs
LOGITS = record_dtype([CachedFeatureSpec(Tap('head'), (1000,), top_k=10)]).itemsize


class Cost(NamedTuple):
    """What one run costs; multiply-adds and bytes are those of one image.

    The step has the student's forward and backward, the terms' and the teachers'
    forward; ``features`` are the bytes of the teachers' tapped features in float16.
    """

    student: float
    teacher: float
    step: float
    features: int
    trainable: int
    frozen: int
    batch: int
    epochs: int

    def hours(self, speed: float) -> float:
        """Return the GPU hours on ImageNet, at a speed in images a second and GPU."""
        return self.epochs * IMAGENET / speed / 3600


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


def estimate(cfg: Config) -> Cost:
    """Build a distiller, without the teacher's weights, and run it on a few images.

    Raises:
        ValueError: If the config is of no distiller.
    """
    if 'student' not in cfg.model:
        raise ValueError(f"config '{cfg.filename}' has no student: it distils nothing")
    preprocessor = cfg.get('data_preprocessor')
    for teacher in random_teachers(cfg.model):
        teacher.checkpoint = teacher.get('checkpoint') or 'none'  # nor is it read
    with DefaultScope.overwrite_default_scope(SCOPE):
        model = MODELS.build({'data_preprocessor': preprocessor, **cfg.model})
    images = torch.zeros(BATCH, *model.image_shape)
    samples = [DataSample().set_gt_label(0) for _ in range(BATCH)]
    with record(model.student, model.student_taps) as seen:
        model.student(images)
    outputs = model.forward_teachers(images, None) | model.forward_teachers(
        images, None, student_features=seen
    )
    features = [f.value[0] for taps in outputs.values() for f in taps.values()]
    model.load_teachers = lambda: None  # random weights cost as much

    def step() -> None:
        losses = model.loss(images, samples)
        sum(value for key, value in losses.items() if 'loss' in key).backward()

    with torch.no_grad():
        student = count(lambda: model.student(images))
    return Cost(
        student=student,
        teacher=count(lambda: model.forward_teachers(images, None))
        + count(lambda: model.forward_teachers(images, None, student_features=seen)),
        step=count(step),
        features=sum(2 * a.numel() for a in features if a.ndim == 2),
        trainable=count_parameters(model),
        frozen=sum(count_parameters(t.model) for t in model.teachers.values()),
        batch=cfg.train_dataloader.batch_size,
        epochs=cfg.train_cfg.max_epochs,
    )


def table_row(name: str, cost: Cost, args: argparse.Namespace) -> dict[str, str]:
    """Return a config's column titles and values."""
    cached = cost.step - cost.teacher
    speed, source = args.images_per_second, 'measured'
    if speed is None:
        speed, source = args.tflops * 1e12 / (2 * cost.step), 'from FLOPs'
    traffic = Traffic.of(cost, args.gpus)
    seen = cost.epochs * IMAGENET
    return {
        'config': name,
        'student, G': f'{cost.student / 1e9:.2f}',
        'teacher, G': f'{cost.teacher / 1e9:.2f}',
        'step, G': f'{cost.step / 1e9:.1f}',
        'step without teacher, G': f'{cached / 1e9:.1f}',
        f'images/s and GPU, {source}': f'{speed:.0f}',
        'GPU hours': f'{cost.hours(speed):.0f}',
        'GPU hours without teacher': f'{cost.hours(speed * cost.step / cached):.0f}',
        'logits stored, GB': f'{seen * LOGITS / 1e9:.0f}',
        'features stored, TB': f'{seen * cost.features / 1e12:.0f}',
        'step, ms': f'{1e3 * cost.batch / speed:.0f}',
        'trained, M': f'{cost.trainable / 1e6:.1f}',
        'frozen, M': f'{cost.frozen / 1e6:.1f}',
        'DDP, MB': f'{traffic.ddp / 1e6:.0f}',
        'FSDP, MB': f'{traffic.fsdp / 1e6:.0f}',
        'sharded teacher, MB': f'+{traffic.teacher / 1e6:.0f}',
    }


def print_costs(args: argparse.Namespace) -> None:
    """Print a table with a row for every config.

    Args:
        args: As the command reads them.

    Raises:
        ValueError: If a config does not exist, or is of no distiller.
    """
    for i, path in enumerate(args.configs):
        if not Path(path).is_file():
            raise ValueError(f"config '{path}' does not exist")
        row = table_row(Path(path).name, estimate(open_config(path)), args)
        if i == 0:
            print('|', ' | '.join(row), '|')
            print('|', ' | '.join('---' for _ in row), '|')
        print('|', ' | '.join(row.values()), '|', flush=True)
