"""What ``python -m mmvitkd benchmark data`` does."""

from __future__ import annotations

import argparse
import json
import math
import shlex
import tempfile
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

from mmengine.config import Config

from ..fork import apart
from ..results import Spread, markdown_table, write_records
from ..worker import versions
from .benchmark import device_name, read_any
from .measure import Case, is_cuda, time_variants
from .photographs import draw_photographs
from .pipelines import AS_IT_IS, Seconds, time_pipelines
from .report import quartiles
from .variants import VARIANTS

STEPS = 5  # that a step's time is taken from


def benchmark_data(args: argparse.Namespace) -> None:
    """Time the pipelines, and write what was found.

    Args:
        args: As the command reads them.

    Raises:
        ValueError: If the config, its data set or its step does not suit.
    """
    cfg = read_any(args.config, args.cfg_options)
    height, width = args.photograph_size
    what = "the config's"
    if args.photographs:
        what = f"scikit-learn's photographs as JPEGs of {width}x{height}"
    print(f'{args.images} images ({what}), {args.rounds} rounds', flush=True)
    with tempfile.TemporaryDirectory() as folder:
        drawn = None
        if args.photographs:
            drawn = draw_photographs(Path(folder), args.images, (height, width))
        times = apart(1, time_pipelines, cfg, args.images, args.rounds, drawn)
    step = args.step_images_per_second
    if args.time_step:
        print('timing the training step', flush=True)
        step = time_step(cfg, args.config)
    record = {
        'command': shlex.join(
            ['python', '-m', 'mmvitkd', 'benchmark', 'data', *args.arguments]
        ),
        'date': date.today().isoformat(),
        'machine': apart(1, device_name),
        'versions': versions(),
        'images': args.images,
        'of': what,
        'step_images_per_second': step,
        'seconds': times,
    }
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / 'data.json').write_text(json.dumps(record, indent=1) + '\n')
    write_records(out / 'data.csv', records(record))
    page = markdown(record)
    (out / 'data.md').write_text(page)
    print(page)


def time_step(cfg: Config, path: str) -> float:
    """Return how many images a second the config's training step takes, here.

    Raises:
        ValueError: If it is none of a distiller, or fails.
    """
    config = next(variant for variant in VARIANTS if variant.name == 'config')
    with tempfile.TemporaryDirectory() as folder:
        case = Case(
            cfg=cfg,
            batch_size=cfg.train_dataloader.batch_size,
            image_size=None,
            real_data=False,
            rounds=STEPS,
            warm_up=1,
            threads=1,
            cpu_time=not is_cuda(),
            folder=Path(folder),
        )
        timed = apart(1, time_variants, [config], case)
    if 'config' not in timed['times']:
        raise ValueError(f'{path}: --time-step: {timed["left_out"].get("config")}')
    return case.batch_size / median(timed['times']['config'])


def totals(seconds: Seconds) -> list[float]:
    """Return what all steps took together, round by round."""
    return [sum(each) for each in zip(*seconds.values(), strict=True)]


def images_per_second(record: dict[str, Any], name: str) -> float:
    """Return the median of the rounds, of one core."""
    return record['images'] / median(totals(record['seconds'][name]))


def ratio(record: dict[str, Any], name: str) -> Spread:
    """Compare a pipeline's images a second with those of the one as it is."""
    theirs, ours = (totals(record['seconds'][one]) for one in (AS_IT_IS, name))
    return quartiles([a / b for a, b in zip(theirs, ours, strict=True)])


def workers(rate: float, step: float) -> int:
    """How many workers make as many images a second as a step takes."""
    return math.ceil(step / rate)


def records(record: dict[str, Any]) -> list[dict[str, Any]]:
    """List every step's milliseconds an image, the median of the rounds."""
    return [
        {
            'pipeline': name,
            'step': step,
            'ms_per_image': 1000 * median(seconds) / record['images'],
        }
        for name, steps in record['seconds'].items()
        for step, seconds in steps.items()
    ]


def markdown(record: dict[str, Any]) -> str:
    """Lay the tables out."""
    names = list(record['seconds'])
    step = record['step_images_per_second']
    rates = [images_per_second(record, name) for name in names]
    columns = {
        'pipeline': names,
        'ms an image': [f'{1000 / rate:.2f}' for rate in rates],
        'images/s a core': [f'{rate:.0f}' for rate in rates],
        f'to {AS_IT_IS}': [ratio(record, name).text() for name in names],
    }
    if step is not None:
        columns[f'workers for {step:.0f} images/s'] = [
            str(workers(rate, step)) for rate in rates
        ]
    lines = [
        f'{record["images"]} images ({record["of"]}), '
        f'{len(totals(record["seconds"][AS_IT_IS]))} rounds on one core of '
        f'{record["machine"]}; medians, with the quartiles of ratios.',
        markdown_table(columns),
    ]
    if step is None:
        lines.append(
            '--step-images-per-second N, or --time-step, tells how many workers feed '
            'your step.'
        )
    else:
        lines.append(
            f'Your step takes {step:.0f} images/s. Workers that it needs, with a core '
            f'each: {workers(rates[0], step)}'
            + ''.join(
                f', {workers(rate, step)} with --fast-data {name}'
                for name, rate in zip(names[1:], rates[1:], strict=True)
            )
            + '.'
        )
    for name in names:
        lines += [f'### {name}', _table(record, name)]
    return '\n\n'.join(lines) + '\n'


def _table(record: dict[str, Any], name: str) -> str:
    rows = [row for row in records(record) if row['pipeline'] == name]
    whole = sum(row['ms_per_image'] for row in rows)
    return markdown_table(
        {
            'step': [row['step'] for row in rows],
            'ms an image': [f'{row["ms_per_image"]:.2f}' for row in rows],
            'share': [f'{100 * row["ms_per_image"] / whole:.0f} %' for row in rows],
        }
    )
