"""Turn finished fine-tunings into a page, a table for LaTeX, and CSV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from mmvitkd.utils.statistics import (
    POWER,
    Difference,
    detectable_difference,
    format_mean,
    nested_spread,
    paired_spread,
    seeds_needed,
)

from ..results import (
    Measured,
    collect,
    compare_with,
    difference_columns,
    difference_record,
    made_by,
    markdown_table,
    number,
    p_text,
    statistics_legend,
    value_record,
    write_page,
    write_records,
)
from .pictures import SCORE
from .texts import TEXTS, Text
from .trainings import BASELINE, INITS, LABELS, STRIDE, TASKS, TEACHER, FineTuning

POINT = 1.0  # the difference in points that is to be told


@dataclass(frozen=True)
class Row:
    """A metric of the fine-tunings that begin with the same kind of weights."""

    task: str  # of `TASKS`
    metric: str  # of the task
    init: str  # of `LABELS`
    single: Measured  # what the fine-tunings gave, in percent
    measured: Measured  # the means over those of a student, by the student's seed
    difference: Difference | None  # from the baseline; None for itself

    @property
    def values(self) -> list[float]:
        """One for every student whose fine-tunings are finished, in percent."""
        return self.measured.values(self.metric)

    @property
    def students(self) -> list[float]:
        """Top-1 of the students that they began with, in percent."""
        return self.measured.values('teacher')

    def by_student(self) -> dict[int, list[float]]:
        """Return the single fine-tunings' values by the student's seed."""
        found: dict[int, list[float]] = {}
        whole = self.measured.by_seed(self.metric)
        for seed, value in self.single.by_seed(self.metric).items():
            if seed % STRIDE in whole:
                found.setdefault(seed % STRIDE, []).append(value)
        return found


def rows_of(
    runs: Sequence[FineTuning], fine_tunings: int = 1, paired: bool = False
) -> list[Row]:
    """Collect what is finished; nothing is filled in.

    Args:
        runs: All of them.
        fine_tunings: Of a student; one that lacks any of them does not count.
        paired: Whether differences are those between runs of the same seed.
    """
    rows = []
    for task in dict.fromkeys(run.task for run in runs):
        mine = [run for run in runs if run.task == task]
        single = {
            init: collect(run for run in mine if run.init == init)
            for init in dict.fromkeys(run.init for run in mine)
        }
        measured = {init: average(one, fine_tunings) for init, one in single.items()}
        for metric in TASKS[task].metrics:
            students = {i: one for i, one in measured.items() if i != TEACHER}
            differences = compare_with(BASELINE, students, paired, metric)
            rows += [
                Row(task, metric, init, single[init], one, differences.get(init))
                for init, one in measured.items()
            ]
    return rows


def average(single: Measured, fine_tunings: int) -> Measured:
    """Average the fine-tunings of each student that has so many, by its seed."""
    frame = single.frame
    if fine_tunings == 1 or frame.empty:
        return single
    students = frame.assign(seed=frame['seed'] % STRIDE).groupby('seed')
    means = students.mean(numeric_only=True)[students.size() == fine_tunings]
    return Measured(means.reset_index(), single.failures)


def columns_of(rows: Sequence[Row], text: Text) -> dict[str, list[str]]:
    """Lay the table out: heading to one text a row."""
    return {
        'metric': [row.metric for row in rows],
        text.kinds: [LABELS[row.init] for row in rows],
        f'{text.whose} top-1 on {text.images}': [
            format_mean(row.students) for row in rows
        ],
        'value': [format_mean(row.values) for row in rows],
        **difference_columns([row.difference for row in rows], 'baseline'),
        'seeds': [str(len(row.values)) for row in rows],
    }


def findings(rows: Sequence[Row]) -> list[str]:
    """Say in a sentence for each metric what distillation changed."""
    said = []
    baselines = {row.metric: row.values for row in rows if row.init == BASELINE}
    for row in rows:
        baseline = baselines.get(row.metric)
        if row.init == TEACHER and row.values and baseline:
            value, alone = mean(row.values), mean(baseline)
            if value <= alone:
                said.append(
                    f'- {row.metric}: **the teacher, {value:.1f}, is no better than '
                    f'the baseline, {alone:.1f}**: what its students have says nothing '
                    'of the methods.'
                )
        one = row.difference
        if row.init == 'scratch' or one is None:
            continue
        verdict = 'of one seed, which tells nothing about chance'
        if one.p is not None:
            verdict = 'significant' if one.significant else 'not significant'
            verdict += f' (p {p_text(one.p)})'
        said.append(
            f'- {row.metric}: {"from " * (row.init in INITS)}{LABELS[row.init]} '
            f'{one.value:+.1f} vs. baseline, {verdict}.'
        )
    return said


def power(rows: Sequence[Row], page: str) -> str:
    """Say what differences could be told, and how many seeds a point needs.

    Args:
        rows: Of the table.
        page: The name of the page, beside which its tables' folder lies.
    """
    lines = []
    for metric in dict.fromkeys(row.metric for row in rows):
        mine = {row.init: row for row in rows if row.metric == metric}
        by_seed = {init: row.measured.by_seed(metric) for init, row in mine.items()}
        baseline = by_seed.pop(BASELINE)
        seeds = len(set(baseline).intersection(*by_seed.values()))
        groups = len(by_seed) or len(INITS) - 1
        spread = paired_spread(by_seed, baseline)
        if not by_seed and seeds > 1:  # as if pairs had nothing in common
            spread = stdev(baseline.values())
        if not spread:
            continue
        single = mine[BASELINE].by_student()
        between, within = nested_spread(single) or (None, None)
        lines.append(
            (
                metric,
                number(detectable_difference(seeds, spread, groups), '.2f'),
                str(seeds),
                str(seeds_needed(POINT, spread, groups)),
                number(between, '.2f'),
                number(within, '.2f'),
            )
        )
    if not lines:
        return ''
    columns = dict(zip(POWER_COLUMNS, zip(*lines, strict=True), strict=True))
    alone = ' ' + ALONE if {row.init for row in rows} == {BASELINE} else ''
    legend = (
        f'{POWER_LEGEND}{alone} Every fine-tuning is in [`runs.csv`]({page}/runs.csv).'
    )
    return f'## Power\n\n{legend}\n\n{markdown_table(columns)}'


def write(
    rows: Sequence[Row],
    runs: Sequence[FineTuning],
    drawn: Sequence[str],
    command: str,
    out: Path,
    about: str = 'digits',
    paired: bool = False,
) -> None:
    """Write the page, such as ``downstream.md``, and a folder with the tables.

    Args:
        rows: Of the table.
        runs: Behind them.
        drawn: The tasks whose pictures are there.
        command: That made them.
        out: Folder, made if need be.
        about: What the page is about, one of ``TEXTS``.
        paired: As for :func:`rows_of`.
    """
    text = TEXTS[about]
    columns = columns_of(rows, text)
    table = markdown_table(columns)
    failed = [f'- {run.name}: {why}' for run in runs if (why := run.failure())]
    done = sum(bool(run.result()) for run in runs)
    scenes = runs[0].setting.cfg.scenes
    legend = LEGEND.format(classes=text.classes, page=text.page)
    parts = [
        f'# {text.title}',
        text.introduction.format(**scenes),
        TUNING if 'tuning' in scenes else '',
        table,
        f'{legend} {statistics_legend(row.difference for row in rows)}',
        '\n'.join(findings(rows)) or 'Nothing is compared.',
        'Runs that failed:\n\n' + '\n'.join(failed) if failed else '',
        f'`{command}`: {done} of {len(runs)} fine-tunings are finished; '
        f'{made_by(runs)}.',
        power(rows, text.page) if paired else '',
        *(PICTURES[task].format(page=text.page) for task in drawn),
    ]
    print(table)
    records = [_record(row) for row in rows]
    folder = out / text.page
    write_page(out / f'{text.page}.md', parts, records, columns, folder / text.page)
    if paired:
        write_records(folder / 'runs.csv', _single_records(rows))


def _single_records(rows: Sequence[Row]) -> list[dict[str, object]]:
    """List every fine-tuning's values, those of unfinished students as well."""
    return [
        {
            'task': row.task,
            'metric': row.metric,
            'init': row.init,
            'student': seed % STRIDE,
            'fine_tuning': seed // STRIDE,
            'value': value,
        }
        for row in rows
        for seed, value in row.single.by_seed(row.metric).items()
    ]


def _record(row: Row) -> dict[str, object]:
    return {
        'task': row.task,
        'metric': row.metric,
        'init': row.init,
        **value_record(row.measured, row.metric),
        **difference_record(row.difference, 'baseline'),
    }


LEGEND = """\
In percent. Box and mask AP are COCO's, mean over IoU 0.50 to 0.95; mIoU is over the
background and the ten {classes}. Every seed's numbers are in
[`{page}.csv`]({page}/{page}.csv)."""

ALONE = """\
With the baseline alone, the former are as if students of one seed had nothing in
common."""

TUNING = """\
**Not a result**: these scenes show validation images, to choose settings by."""

POWER_COLUMNS = (
    *('metric', 'told', 'by seeds', f'seeds for {POINT:.0f} point'),
    *('sd between students', 'sd between fine-tunings'),
)
POWER_LEGEND = f"""\
A seed counts once, with the mean over the fine-tunings of its student. Told: the
difference in points that so many seeds show as significant with a probability of
{POWER:.0%}; beside it, how many seeds that would take for {POINT:.0f} point. The
standard deviations (sd) are the baseline's: between students of several seeds, what
their fine-tunings add taken out, and between fine-tunings of one student."""

PICTURE = """\
## {title}

{told}, on the first test scene over each
photograph.

![{task}]({{page}}/{task}.png)"""

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
