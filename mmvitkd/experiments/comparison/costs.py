"""What a step of every method costs, side by side, and how large students are."""

from __future__ import annotations

import json
import tempfile
from copy import deepcopy
from pathlib import Path
from statistics import median
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope

from mmvitkd.models.classifiers.teacher import natural_input_size
from mmvitkd.registry import MODELS, SCOPE
from mmvitkd.utils.costs import count_flops, count_parameters

from ..benchmark.measure import Case, peak_memory, time_variants
from ..benchmark.variants import Variant
from ..fork import apart
from ..timing import relative
from .methods import Method

Costs = dict[str, dict[str, Any]]


def measure_costs(
    methods: list[Method], reference: Method, rounds: int, cpu_time: bool
) -> Costs:
    """Time a step of each in turn, then measure the memory of each alone.

    Args:
        methods: Of one data set and schedule.
        reference: The one whose step is 1.
        rounds: How many steps of each count.
        cpu_time: Count the process's CPU seconds, not those of the clock.

    Returns:
        By method: ``seconds`` of a step; ``ratio``, its quotient with the reference's
        in the same round, quartiles with the median in the middle; ``memory`` in bytes;
        ``cpu_time``, as given; ``parameters`` and ``multiply_adds`` of the student.

    Raises:
        ValueError: If the reference does not run; of another that does not, the student
            alone is measured.
    """
    every = {method.name: method for method in [reference, *methods]}
    variants = [_variant(method) for method in every.values()]
    found: Costs = {
        name: apart(1, student_size, method.student) for name, method in every.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        case = Case(
            cfg=reference.cfg,
            batch_size=reference.cfg.train_dataloader.batch_size,
            image_size=None,
            real_data=True,
            rounds=rounds,
            warm_up=2,
            threads=1,
            cpu_time=cpu_time,
            folder=Path(folder),
        )
        timed = apart(1, time_variants, variants, case)
        left_out = timed['left_out']
        if reference.name in left_out:
            raise ValueError(f'{reference.name}: {left_out[reference.name]}')
        for name, reason in left_out.items():  # a model for other images
            print(f'no costs of {name}: {reason}')
        ratios = relative(timed['times'], reference.name)
        for variant in variants:
            if variant.name in left_out:
                continue
            found[variant.name].update(
                seconds=median(timed['times'][variant.name]),
                ratio=ratios[variant.name],
                memory=apart(1, peak_memory, variant, case)['peak'],
                cpu_time=cpu_time,
            )
    return found


def _variant(method: Method) -> Variant:
    """Make a variant of the benchmark that is another method altogether."""

    def change(cfg: Config) -> bool:
        model = deepcopy(method.cfg.model)
        if 'student' not in model:
            model = ConfigDict(type='ViTKDDistiller', student=model)
        cfg.model = model
        cfg.optim_wrapper = deepcopy(method.cfg.optim_wrapper)
        return True

    return Variant(method.name, method.name, change)


def student_size(cfg: ConfigDict) -> dict[str, int]:
    """Count a student's parameters, and its multiply-adds for an image."""
    with DefaultScope.overwrite_default_scope(SCOPE):
        student = MODELS.build(deepcopy(cfg))
    student.eval()
    size = natural_input_size(student) or (224, 224)
    return {
        'parameters': count_parameters(student),
        'multiply_adds': count_flops(student, size),
    }


def stored_costs(file: Path, methods: list[Method]) -> Costs:
    """Return what was measured of these very methods, as far as the file has it."""
    stored = json.loads(file.read_text()) if file.is_file() else {}
    keys = {method.name: method.setting().key for method in methods}
    return {name: one for name, one in stored.items() if one['key'] == keys.get(name)}


def store_costs(file: Path, methods: list[Method], costs: Costs) -> None:
    """Keep what was measured, with what tells these methods from others."""
    keys = {method.name: method.setting().key for method in methods}
    named = {name: {**costs[name], 'key': key} for name, key in keys.items()}
    file.write_text(json.dumps(named))
