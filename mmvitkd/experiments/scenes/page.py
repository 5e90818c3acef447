"""Turn finished fine-tunings into a page, a table for LaTeX, and CSV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmvitkd.utils.statistics import Difference, compare_with_baseline, format_mean

from ..results import (
    Measured,
    difference_columns,
    difference_record,
    made_by,
    markdown_table,
    measure,
    p_text,
    statistics_legend,
    value_record,
    write_page,
)
from .pictures import SCORE
from .trainings import BASELINE, INITS, TASKS, FineTuning


@dataclass(frozen=True)
class Row:
    """A metric of the fine-tunings that begin with the same kind of weights."""

    task: str  # of `TASKS`
    metric: str  # of the task
    init: str  # of `INITS`
    measured: Measured  # what the seeds gave, in percent
    difference: Difference | None  # from the baseline; None for itself

    @property
    def values(self) -> list[float]:
        """One for every finished seed, in percent."""
        return self.measured.values(self.metric)

    @property
    def students(self) -> list[float]:
        """Top-1 of the students that they began with, in percent."""
        return self.measured.values('teacher')


def rows_of(runs: Sequence[FineTuning]) -> list[Row]:
    """Collect what is finished; nothing is filled in."""
    rows = []
    for task in dict.fromkeys(run.task for run in runs):
        measured = {}
        for init in INITS:
            mine = [run for run in runs if (run.task, run.init) == (task, init)]
            seeds = [run.seed for run in mine]
            measured[init] = measure(mine[0].setting, seeds, mine[0].root)
        for metric in TASKS[task].metrics:
            values = {init: one.values(metric) for init, one in measured.items()}
            baseline = values.pop(BASELINE)
            differences = compare_with_baseline(values, baseline)
            rows += [
                Row(task, metric, init, one, differences.get(init))
                for init, one in measured.items()
            ]
    return rows


def columns_of(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Lay the table out: heading to one text a row."""
    return {
        'metric': [row.metric for row in rows],
        'begins with': [INITS[row.init] for row in rows],
        'its top-1 on digits': [format_mean(row.students) for row in rows],
        'value': [format_mean(row.values) for row in rows],
        **difference_columns([row.difference for row in rows], 'baseline'),
        'seeds': [str(len(row.values)) for row in rows],
    }


def findings(rows: Sequence[Row]) -> list[str]:
    """Say in a sentence for each metric what ViTKD changed."""
    said = []
    for row in rows:
        one = row.difference
        if row.init != 'vitkd' or one is None:
            continue
        verdict = 'of one seed, which tells nothing about chance'
        if one.p is not None:
            verdict = 'significant' if one.significant else 'not significant'
            verdict += f' (p {p_text(one.p)})'
        said.append(
            f'- {row.metric}: from the student by ViTKD {one.value:+.1f} vs. baseline, '
            f'{verdict}.'
        )
    return said


def write(
    rows: Sequence[Row],
    runs: Sequence[FineTuning],
    drawn: Sequence[str],
    command: str,
    out: Path,
) -> None:
    """Write ``downstream.md``, and ``downstream/`` with the tables.

    Args:
        rows: Of the table.
        runs: Behind them.
        drawn: The tasks whose pictures are there.
        command: That made them.
        out: Folder, made if need be.
    """
    columns = columns_of(rows)
    table = markdown_table(columns)
    failed = [f'- {run.name}: {why}' for run in runs if (why := run.failure())]
    done = sum(bool(run.result()) for run in runs)
    parts = [
        '# Detection and segmentation on digit scenes',
        INTRODUCTION.format(**runs[0].setting.cfg.scenes),
        table,
        f'{LEGEND} {statistics_legend(row.difference for row in rows)}',
        '\n'.join(findings(rows)) or 'Nothing can be compared yet.',
        'Runs that failed:\n\n' + '\n'.join(failed) if failed else '',
        f'`{command}`: {done} of {len(runs)} fine-tunings are finished; '
        f'{made_by(runs)}.',
        *(PICTURES[task] for task in drawn),
    ]
    print(table)
    records = [_record(row) for row in rows]
    stem = out / 'downstream' / 'downstream'
    write_page(out / 'downstream.md', parts, records, columns, stem)


def _record(row: Row) -> dict[str, object]:
    return {
        'task': row.task,
        'metric': row.metric,
        'init': row.init,
        **value_record(row.measured, row.metric),
        **difference_record(row.difference, 'baseline'),
    }


INTRODUCTION = """\
The students of `configs/digits`, fine-tuned to find and to segment digits over
photographs: {train} scenes to train on and {val} to test on, drawn by
`python -m mmvitkd draw-scenes` with seed {seed}. Neither scans nor photographs are
shared by the two. The table compares three beginnings of the backbone, with equal
budgets and everything else the same; each seed has students of its own, trained by
`configs/digits/digits_student.py` (the baseline, without distillation) and
`configs/digits/vitkd_digits.py` under one teacher.
`configs/downstream/digit_scenes/README.md` tells how the recipe was chosen and what
had been seen before.

This is a small experiment on small images, whose purpose is to show the whole way from
distillation to detection and segmentation. It is no measurement of the method at the
size of the paper."""

LEGEND = """\
In percent. Box and mask AP are COCO's, mean over IoU 0.50 to 0.95; mIoU is over the
background and the ten digits. Every seed's numbers are in
[`downstream.csv`](downstream/downstream.csv)."""

PICTURE = """\
## {title}

{told}, on the first test scene over each
photograph.

![{task}](downstream/{task}.png)"""

PICTURES = {
    'detection': PICTURE.format(
        title='Detection',
        task='detection',
        told=f'Predictions with a score of at least {SCORE}, of overlapping ones the '
        'surest alone, seed 0',
    ),
    'segmentation': PICTURE.format(
        title='Segmentation',
        task='segmentation',
        told='Predicted label maps, seed 0',
    ),
}
