"""What the quickstart ends with: exported student, table, figure, and a report."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import mmcv
import numpy as np
import torch
from mmengine.config import Config
from tabulate import tabulate
from torch import nn

from mmvitkd.utils import load_checkpoint
from mmvitkd.utils.costs import count_flops, count_parameters
from mmvitkd.utils.export import export_student
from mmvitkd.utils.statistics import LEVEL, compare_with_baseline, format_mean

from ..results import latex_table, p_text
from ..run import Run
from ..timing import relative, time_rounds
from .figure import COLUMNS, draw
from .runs import BASELINE, NAMES, STUDENTS, TEACHER, config_file

IMAGE_SIZE = (32, 32)
BATCH, REPEATS = 100, 5  # of the images per second
LATENCY_ROUNDS = 50  # of one image
RESULTS = 'results.json'
PAGE = 'report.html'
OUTPUTS = (
    *('table.md', 'table.tex', 'figure.png', 'figure.svg', 'digit.png', RESULTS),
    *('student.pth', 'student.py', 'teacher.pth', 'teacher.py', PAGE),
)


def result_of(run: Run) -> dict[str, Any]:
    """Return what a finished run measured."""
    return run.result() or {}


def folder_of(run: Run) -> str:
    """Name a run's folder, below that of all."""
    return run.folder.relative_to(run.root).as_posix()


def write(runs: Sequence[Run], work_dir: Path, device: str) -> None:
    """Export the best student, test it, write the report, the figure and the table.

    Args:
        runs: All of them finished, the teacher's first.
        work_dir: Where to.
        device: ``'cpu'`` or ``'cuda'``.
    """
    teacher, *students = runs
    best = max(students, key=lambda run: result_of(run)['val'])
    kept = keep_earlier(runs, work_dir)
    print('Exporting, testing, measuring and looking into the models ...', flush=True)
    with (
        open(work_dir / 'report.log', 'w', encoding='utf-8') as log,
        redirect_stdout(log),
        redirect_stderr(log),
    ):
        models = {
            name: exported(
                config_file(run.setting.name), run.checkpoint, work_dir / name, device
            )
            for name, run in (('teacher', teacher), ('student', best))
        }
        images, labels = test_images()
        predictions = {
            name: np.array(
                [one['pred_label'] for one in model(images, batch_size=BATCH)]
            )
            for name, model in models.items()
        }
        accuracy = check_export(predictions['student'] == labels, best)
        said = classify_file(models['student'], work_dir / 'digit.png', images[0])
        costs = measure(models, {'teacher': teacher, 'student': best})
        columns = columns_of(runs, costs)
        title = f'T the teacher, S the {NAMES[best.setting.name]}, seed {best.seed}'
        draw_figure(runs, images, {'labels': labels, **predictions}, title, work_dir)
        from mmvitkd.reporting.write import write as write_page  # prints when imported

        folders = [run.folder for run in runs]
        write_page(folders, work_dir / PAGE, title='Quickstart on digits')
    table = markdown(columns)
    (work_dir / 'table.md').write_text(table + '\n', encoding='utf-8')
    (work_dir / 'table.tex').write_text(latex_table(columns), encoding='utf-8')
    save_results(runs, costs, work_dir / RESULTS)
    if kept is not None:
        print(f'The results that were here, of other settings, are now in {kept}')
    print(f'\n{table}\n\n{explain(columns, len(students), device)}\n')
    print(
        f'The best student by validation, {NAMES[best.setting.name]} of seed '
        f'{best.seed}, was exported and loaded by MMPretrain alone:\n'
        f'{accuracy:.1f} % of the test images ({result_of(best)["test"]:.1f} % when it '
        f'was trained), and {said}.\n'
    )
    for name in ('table.md', 'figure.png', 'student.pth', 'student.py', PAGE):
        print(work_dir / name)


def keep_earlier(runs: Sequence[Run], work_dir: Path) -> Path | None:
    """Move the outputs of other runs aside; return where to, or None."""
    results = work_dir / RESULTS
    if not results.exists():
        return None
    earlier = [run['folder'] for run in json.loads(results.read_text())['runs']]
    if earlier == [folder_of(run) for run in runs]:
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


def exported(config: Path, checkpoint: Path, stem: Path, device: str) -> Any:
    """Export a trained model as MMPretrain's users get it, and load it back.

    Args:
        config: What the model was trained by, a distiller or a classifier.
        checkpoint: What the training saved.
        stem: Where to write ``<stem>.pth`` and ``<stem>.py``.
        device: ``'cpu'`` or ``'cuda'``.

    Returns:
        MMPretrain's own inferencer.
    """
    from mmpretrain import ImageClassificationInferencer

    weights, file = stem.with_suffix('.pth'), stem.with_suffix('.py')
    cfg = Config.fromfile(config)
    if 'student' in cfg.model:
        export_student(checkpoint, weights, config=config, force=True)
    else:  # only the training's state is left out
        loaded = load_checkpoint(checkpoint)
        meta = {'dataset_meta': loaded['meta']['dataset_meta']}
        torch.save({'meta': meta, 'state_dict': loaded['state_dict']}, weights)
        cfg.default_scope = 'mmpretrain'
        cfg.dump(file)
    return ImageClassificationInferencer(
        str(file), pretrained=str(weights), device=device
    )


def check_export(right: np.ndarray, run: Run) -> float:
    """Return the exported student's accuracy in percent.

    Raises:
        RuntimeError: If it is not what the training measured.
    """
    accuracy, trained = 100 * float(right.mean()), result_of(run)['test']
    # on a GPU, other batches may round one image over the edge
    if abs(accuracy - trained) > 0.5:
        raise RuntimeError(
            f'the exported student has {accuracy:.1f} % on the test split, in training '
            f'it had {trained:.1f} %: the export lost something'
        )
    return accuracy


def classify_file(model: Any, path: Path, image: np.ndarray) -> str:
    """Write a digit as an image file and classify it; say as what."""
    mmcv.imwrite(image, str(path))
    found = model(str(path))[0]
    return (
        f'{path.name} is a {found["pred_class"]} to it '
        f'(score {found["pred_score"]:.2f})'
    )


def measure(models: dict[str, Any], runs: dict[str, Run]) -> dict[str, dict[str, Any]]:
    """Measure what teacher and student cost, and how many labels each one saw."""
    from mmvitkd.registry import DATASETS

    steps = {
        name: partial(run_model, model.model, BATCH, REPEATS)
        for name, model in models.items()
    }
    times = time_rounds(steps, rounds=7, warm_up=1)
    speeds = {name: REPEATS * BATCH / median(some) for name, some in times.items()}
    latencies, ratios = measure_latency({n: m.model for n, m in models.items()})
    costs = {}
    for name, run in runs.items():
        data = run.setting.cfg.train_dataloader.dataset
        costs[name] = {
            'labels': len(DATASETS.build({**data, 'pipeline': []})),
            'parameters': count_parameters(models[name].model),
            'flops': count_flops(models[name].model, IMAGE_SIZE),
            'images_per_second': speeds[name],
            'p50_seconds': latencies[name],
            'ratio_to_teacher': ratios[name],
        }
    return costs


def measure_latency(
    models: dict[str, nn.Module],
) -> tuple[dict[str, float], dict[str, float]]:
    """Time one image by one thread of a CPU, or by the GPU, the models in turn.

    Returns:
        By name, the median of the seconds, and that of the quotients with the teacher's
        of the same round.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        steps = {name: partial(run_model, model, 1) for name, model in models.items()}
        times = time_rounds(steps, LATENCY_ROUNDS, warm_up=5)
    finally:
        torch.set_num_threads(threads)
    ratios = {name: some[1] for name, some in relative(times, TEACHER).items()}
    return {name: median(some) for name, some in times.items()}, ratios


@torch.no_grad()
def run_model(model: nn.Module, images: int, repeats: int = 1) -> None:
    """Run a model on a few batches of so many images."""
    device = next(model.parameters()).device
    inputs = torch.zeros(images, 3, *IMAGE_SIZE, device=device)
    for _ in range(repeats):
        model(inputs)
    if device.type == 'cuda':
        torch.cuda.synchronize()


def columns_of(
    runs: Sequence[Run], costs: dict[str, dict[str, Any]]
) -> dict[str, list[str]]:
    """Lay the one table out: heading to one text a row."""
    tests: dict[str, dict[int, float]] = {name: {} for name in NAMES}
    for run in runs:
        tests[run.setting.name][run.seed] = result_of(run)['test']
    baseline = tests[BASELINE]
    methods = [name for name in STUDENTS if name != BASELINE]
    gains = {
        name: [value - baseline[seed] for seed, value in tests[name].items()]
        for name in methods
    }
    differences = compare_with_baseline(
        {name: [*tests[name].values()] for name in methods}, [*baseline.values()]
    )
    ps = {name: one.p for name, one in differences.items() if one.p is not None}
    rows = [costs[TEACHER if name == TEACHER else 'student'] for name in NAMES]
    columns = {
        '': [*NAMES.values()],
        'labels': [str(cost['labels']) for cost in rows],
        'params': [f'{cost["parameters"]:,}' for cost in rows],
        'MFLOPs': [f'{cost["flops"] / 1e6:.1f}' for cost in rows],
        'images/s': [f'{cost["images_per_second"]:,.0f}' for cost in rows],
        'p50, ms': [
            f'{1000 * cost["p50_seconds"]:.2f} ({cost["ratio_to_teacher"]:.2f})'
            for cost in rows
        ],
        'top-1, %': [format_mean([*tests[name].values()]) for name in NAMES],
        'gain': [
            format_mean(gains[name], sign='+') if name in gains else ''
            for name in NAMES
        ],
    }
    if ps:
        columns['p'] = [p_text(ps[name]) if name in ps else '' for name in NAMES]
    return columns


def markdown(columns: dict[str, list[str]]) -> str:
    """Write the table as Markdown that reads well as it is."""
    align = ['left', *['right'] * (len(columns) - 1)]
    return tabulate(columns, [*columns], 'pipe', disable_numparse=True, colalign=align)


def explain(columns: dict[str, list[str]], students: int, device: str) -> str:
    """Say in a few lines what the table's columns are."""
    seeds = students // len(STUDENTS)
    over = f'mean ± standard deviation of {seeds} seeds' if seeds > 1 else 'one seed'
    gpu = device == 'cuda'
    where = 'GPU' if gpu else f'{torch.get_num_threads()} CPU threads'
    one = 'GPU' if gpu else 'one CPU thread'
    test = (
        f'p: of the difference from the baseline, significant below {LEVEL}; '
        if 'p' in columns
        else ''
    )
    return (
        f'top-1: {len(test_images()[1])} held-out images, {over} (the teacher has '
        f'one); gain: over the baseline of\nthe same seed; {test}FLOPs: multiply-adds '
        f'of an image;\nimages/s: batches of {BATCH}, {where}; p50: one image, {one}, '
        "in brackets as a part of the teacher's."
    )


def choose(labels: np.ndarray, *predictions: np.ndarray) -> np.ndarray:
    """Choose digits to show: the first two rows, and two rows that were missed."""
    first = np.arange(2 * COLUMNS)
    missed = np.flatnonzero(np.any([p != labels for p in predictions], axis=0))
    return np.concatenate([first, missed[missed >= len(first)][: 2 * COLUMNS]])


def draw_figure(
    runs: Sequence[Run],
    images: list[np.ndarray],
    predictions: dict[str, np.ndarray],
    title: str,
    work_dir: Path,
) -> None:
    """Draw the curves of all runs, and digits with both models' predictions."""
    chosen = choose(*(predictions[name] for name in ('labels', 'teacher', 'student')))
    missed = len(chosen) - 2 * COLUMNS
    curves = {
        name: [result_of(run)['curve'] for run in runs if run.setting.name == name]
        for name in STUDENTS
    }
    draw(
        work_dir / 'figure',
        curves,
        result_of(runs[0])['val'],
        NAMES,
        {
            'images': [images[i] for i in chosen],
            **{name: values[chosen] for name, values in predictions.items()},
            'title': f'{title}\nThe first {2 * COLUMNS} test digits, and {missed} more '
            'that one of them missed',
        },
    )


def save_results(
    runs: Sequence[Run], costs: dict[str, dict[str, Any]], path: Path
) -> None:
    """Write everything that was measured."""
    data = {
        'runs': [
            {
                'arm': run.setting.name,
                'seed': run.seed,
                'folder': folder_of(run),
                **result_of(run),
            }
            for run in runs
        ],
        'costs': costs,
    }
    path.write_text(json.dumps(data, indent=2), encoding='utf-8')
