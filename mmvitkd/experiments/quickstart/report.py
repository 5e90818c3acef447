"""What the quickstart ends with: exported student, table, figure, and a report."""

from __future__ import annotations

import json
import os
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import mmcv
import numpy as np
import torch
from mmengine.config import Config

from mmvitkd.utils.costs import count_flops, count_parameters

from .costs import BATCH, IMAGE_SIZE, measure_speeds
from .exported import Exported
from .figure import COLUMNS, draw
from .runs import ARMS, TEACHER

NAMES = {
    'teacher': 'teacher',
    'alone': 'student alone',
    'vitkd': 'student, ViTKD',
    'vitkd-nkd': 'student, ViTKD + NKD',
}
RESULTS = 'results.json'
PAGE = 'report.html'
OUTPUTS = (
    *('table.md', 'figure.png', 'figure.svg', 'digit.png', RESULTS),
    *('student.pth', 'student.py', 'teacher.pth', 'teacher.py', PAGE),
)


@dataclass(frozen=True)
class Finished:
    """A finished training."""

    arm: str
    seed: int
    checkpoint: Path
    result: dict[str, Any]


def write(runs: list[Finished], work_dir: Path, device: str) -> None:
    """Export the best student, ask it, write the report, the figure and the table."""
    best = max((r for r in runs if r.arm in ARMS), key=lambda run: run.result['val'])
    kept = keep_earlier(runs, work_dir)
    print('Exporting, testing, measuring and looking into the models ...', flush=True)
    with (
        open(work_dir / 'report.log', 'w', encoding='utf-8') as log,
        redirect_stdout(log),
        redirect_stderr(log),
    ):
        models = {
            name: Exported(config, run.checkpoint, work_dir / name, device)
            for name, config, run in (
                ('teacher', TEACHER, runs[0]),
                ('student', ARMS[best.arm], best),
            )
        }
        images, labels = test_images()
        answers = {name: model.answer(images) for name, model in models.items()}
        accuracy = check_export(answers['student'] == labels, best)
        said = ask_file(models['student'], work_dir / 'digit.png', images[0])
        costs = measure(models)
        table = make_table(runs, costs)
        title = f'T the teacher, S the {NAMES[best.arm]}, seed {best.seed}'
        draw_figure(runs, images, {'labels': labels, **answers}, title, work_dir)
        from mmvitkd.reporting.write import write as write_page  # prints when imported

        folders = [run.checkpoint.parent for run in runs]
        write_page(folders, work_dir / PAGE, title='Quickstart on digits')
    (work_dir / 'table.md').write_text(table + '\n', encoding='utf-8')
    save_results(runs, costs, work_dir / RESULTS)
    if kept is not None:
        print(f'The results that were here, of other settings, are now in {kept}')
    print(f'\n{table}\n\n{explain(runs, device)}\n')
    print(
        f'The best student by validation, {NAMES[best.arm]} of seed {best.seed}, was '
        f'exported and loaded by MMPretrain alone:\n{accuracy:.1f} % of the test '
        f'images ({best.result["test"]:.1f} % when it was trained), and {said}.\n'
    )
    for name in ('table.md', 'figure.png', 'student.pth', 'student.py', PAGE):
        print(work_dir / name)


def keep_earlier(runs: list[Finished], work_dir: Path) -> Path | None:
    """Move the outputs of other runs aside; return where to, or None."""
    results = work_dir / RESULTS
    if not results.exists():
        return None
    earlier = [run['folder'] for run in json.loads(results.read_text())['runs']]
    if earlier == [run.checkpoint.parent.name for run in runs]:
        return None
    number = 1
    while (work_dir / f'earlier-{number}').exists():
        number += 1
    folder = work_dir / f'earlier-{number}'
    folder.mkdir()
    for name in OUTPUTS:
        if (work_dir / name).exists():
            os.replace(work_dir / name, folder / name)
    return folder


def test_images() -> tuple[list[np.ndarray], np.ndarray]:
    """Return the test split's scans, uint8 ``(8, 8, 3)`` each, and their labels."""
    from mmvitkd.datasets import Digits

    dataset = Digits(split='test')
    samples = [dataset.get_data_info(i) for i in range(len(dataset))]
    labels = np.array([sample['gt_label'] for sample in samples])
    return [sample['img'] for sample in samples], labels


def check_export(right: np.ndarray, run: Finished) -> float:
    """Return the exported student's accuracy in percent.

    Raises:
        RuntimeError: If it is not what the training measured.
    """
    accuracy = 100 * float(right.mean())
    # on a GPU, other batches may round one image over the edge
    if abs(accuracy - run.result['test']) > 0.5:
        raise RuntimeError(
            f'the exported student has {accuracy:.1f} % on the test split, in training '
            f'it had {run.result["test"]:.1f} %: the export lost something'
        )
    return accuracy


def ask_file(model: Exported, path: Path, image: np.ndarray) -> str:
    """Write a digit as an image file and have it classified; say the answer."""
    mmcv.imwrite(image, str(path))
    name, score = model.answer_file(path)
    return f'{path.name} is a {name} to it (score {score:.2f})'


def measure(models: dict[str, Exported]) -> dict[str, dict[str, Any]]:
    """Measure what teacher and student cost, and how many labels each one saw."""
    from mmvitkd.registry import DATASETS

    speeds = measure_speeds({name: model.model for name, model in models.items()})
    costs = {}
    for name, config in (('teacher', TEACHER), ('student', ARMS['alone'])):
        data = Config.fromfile(config).train_dataloader.dataset
        costs[name] = {
            'labels': len(DATASETS.build({**data, 'pipeline': []})),
            'parameters': count_parameters(models[name].model),
            'flops': count_flops(models[name].model, IMAGE_SIZE),
            'images_per_second': speeds[name],
        }
    return costs


def spread(values: list[float], form: str = '.1f') -> str:
    """Format mean and standard deviation, the latter of two values or more."""
    text = f'{mean(values):{form}}'
    return f'{text} ± {stdev(values):.1f}' if len(values) > 1 else text


def make_table(runs: list[Finished], costs: dict[str, dict[str, Any]]) -> str:
    """Lay out the one table, as Markdown that reads well as it is."""
    tests = {(run.arm, run.seed): run.result['test'] for run in runs}
    rows = [['', 'labels', 'params', 'MFLOPs', 'images/s', 'top-1, %', 'gain']]
    for arm, name in NAMES.items():
        cost = costs['student' if arm in ARMS else 'teacher']
        seeds = [seed for other, seed in tests if other == arm]
        gains = [tests[arm, s] - tests['alone', s] for s in seeds if arm in ARMS]
        rows.append(
            [
                name,
                str(cost['labels']),
                f'{cost["parameters"]:,}',
                f'{cost["flops"] / 1e6:.1f}',
                f'{cost["images_per_second"]:,.0f}',
                spread([tests[arm, seed] for seed in seeds]),
                spread(gains, '+.1f') if gains and arm != 'alone' else '',
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = ['-' * widths[0], *('-' * (width - 1) + ':' for width in widths[1:])]
    lines = [
        [row[0].ljust(widths[0])]
        + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        for row in [rows[0], rule, *rows[1:]]
    ]
    return '\n'.join(f'| {" | ".join(cells)} |' for cells in lines)


def explain(runs: list[Finished], device: str) -> str:
    """Say in two lines what the table's columns are."""
    seeds = len({run.seed for run in runs if run.arm in ARMS})
    where = 'GPU' if device == 'cuda' else f'{torch.get_num_threads()} CPU threads'
    return (
        f'top-1: {len(test_images()[1])} held-out images, mean ± standard deviation of '
        f'{seeds} seeds (the teacher has one); gain: over\nthe student alone of the '
        f'same seed; FLOPs: multiply-adds of an image; images/s: batches of {BATCH}, '
        f'{where}.'
    )


def choose(labels: np.ndarray, *answers: np.ndarray) -> np.ndarray:
    """Choose digits to show: the first two rows, and two rows that were missed."""
    first = np.arange(2 * COLUMNS)
    missed = np.flatnonzero(np.any([a != labels for a in answers], axis=0))
    return np.concatenate([first, missed[missed >= len(first)][: 2 * COLUMNS]])


def draw_figure(
    runs: list[Finished],
    images: list[np.ndarray],
    answers: dict[str, np.ndarray],
    title: str,
    work_dir: Path,
) -> None:
    """Draw the curves of all runs, and digits with both models' answers."""
    shown = choose(*(answers[name] for name in ('labels', 'teacher', 'student')))
    missed = len(shown) - 2 * COLUMNS
    draw(
        work_dir / 'figure.png',
        {arm: [r.result['curve'] for r in runs if r.arm == arm] for arm in ARMS},
        runs[0].result['val'],
        NAMES,
        {
            'images': [images[i] for i in shown],
            **{name: values[shown] for name, values in answers.items()},
            'title': f'{title}\nThe first {2 * COLUMNS} test digits, and {missed} more '
            'that one of them missed',
        },
    )


def save_results(
    runs: list[Finished], costs: dict[str, dict[str, Any]], path: Path
) -> None:
    """Write everything that was measured."""
    data = {
        'runs': [
            {
                'arm': run.arm,
                'seed': run.seed,
                'folder': run.checkpoint.parent.name,
                **run.result,
            }
            for run in runs
        ],
        'costs': costs,
    }
    path.write_text(json.dumps(data, indent=2), encoding='utf-8')
