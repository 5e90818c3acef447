"""Turn finished fine-tunings into a table of Markdown, CSV, and a page."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path

from ablation_lib.results import spread
from ablation_lib.runs import failure, result

from mmvitkd.reporting.significance import LEVEL, within_noise
from mmvitkd.utils.tables import write_rows

from .pictures import SCORE
from .trainings import BASELINE, INITS, TASKS, FineTuning


@dataclass(frozen=True)
class Line:
    """A metric of the fine-tunings that begin with the same kind of weights.

    Args:
        task: Of :data:`TASKS`.
        metric: Of the task.
        init: Of :data:`INITS`.
        values: Percent, one for every finished seed.
        baseline: The same of those that begin with the student alone.
    """

    task: str
    metric: str
    init: str
    values: list[float]
    baseline: list[float]

    @property
    def difference(self) -> float | None:
        """Mean against the baseline's, in points; None for the baseline itself."""
        if self.init == BASELINE or not (self.values and self.baseline):
            return None
        return statistics.mean(self.values) - statistics.mean(self.baseline)

    @property
    def is_noise(self) -> bool | None:
        """Whether chance alone could make the difference; None if untold."""
        if self.difference is None:
            return None
        return within_noise(self.values, self.baseline)

    def marked_difference(self) -> str:
        """Write the difference, and whether it is within the noise."""
        if self.difference is None:
            return ''
        mark = {True: ' (noise)', False: '', None: ' (one seed)'}[self.is_noise]
        return f'{self.difference:+.1f}{mark}'


def collect(runs: list[FineTuning]) -> list[Line]:
    """Collect what is finished; nothing is filled in."""

    def values(task: str, metric: str, init: str) -> list[float]:
        mine = [r for r in runs if (r.task, r.init) == (task, init)]
        return [found[metric] for r in mine if (found := result(r))]

    return [
        Line(
            task,
            metric,
            init,
            values(task, metric, init),
            values(task, metric, BASELINE),
        )
        for task in dict.fromkeys(run.task for run in runs)
        for metric in TASKS[task].metrics
        for init in INITS
    ]


def table(runs: list[FineTuning], lines: list[Line]) -> str:
    """Lay the table out as Markdown: a row for each kind of weights."""
    metrics = list(dict.fromkeys(line.metric for line in lines))
    head = ['begins with', 'its top-1 on digits']
    for metric in metrics:
        head += [metric, 'to the student alone']
    rows = [[*head, 'seeds'], ['---'] * (len(head) + 1)]
    for init, name in INITS.items():
        mine = {line.metric: line for line in lines if line.init == init}
        row = [name, spread(top1(runs, init))]
        for metric in metrics:
            row += [spread(mine[metric].values), mine[metric].marked_difference()]
        counts = sorted({len(line.values) for line in mine.values()})
        rows.append([*row, ' or '.join(str(count) for count in counts)])
    return '\n'.join(f'| {" | ".join(row)} |' for row in rows)


def top1(runs: list[FineTuning], init: str) -> list[float]:
    """List the accuracies of the students that runs began with, one for each seed."""
    begun = dict.fromkeys(r.teacher for r in runs if r.init == init and r.teacher)
    return [found['top1'] for student in begun if (found := result(student))]


def findings(lines: list[Line]) -> list[str]:
    """Say in a sentence for each metric what ViTKD changed."""
    said = []
    for line in lines:
        if line.init != 'vitkd' or line.difference is None:
            continue
        verdict = {
            True: 'which is within the noise',
            False: 'which is more than the noise',
            None: 'of one seed, which tells nothing',
        }[line.is_noise]
        said.append(
            f'- {line.metric}: from the student by ViTKD {line.difference:+.1f} '
            f'against the student alone, {verdict}.'
        )
    return said


def page(
    runs: list[FineTuning], lines: list[Line], drawn: list[str], command: str
) -> str:
    """Write the whole page, with the pictures that were drawn."""
    finished = [found for run in runs if (found := result(run))]
    failed = [
        f'- {run.setting.name}, seed {run.seed}: {reason}'
        for run in runs
        if (reason := failure(run))
    ]
    scenes = runs[0].setting.cfg.scenes
    parts = [
        '# Detection and segmentation on digit scenes',
        INTRODUCTION.format(**scenes),
        table(runs, lines),
        LEGEND.format(level=LEVEL),
        '\n'.join(findings(lines)) or 'Nothing is told apart yet.',
        *(['Runs that failed:\n\n' + '\n'.join(failed)] if failed else []),
        provenance(finished, command, len(runs)),
        *pictures(drawn),
    ]
    return '\n\n'.join(parts) + '\n'


INTRODUCTION = """\
The students of `configs/digits`, fine-tuned to find and to segment digits over
photographs: {train} scenes to train on and {val} to test on, drawn by
`tools/downstream/draw_scenes.py` with seed {seed}. Neither scans nor photographs are
shared by the two. The table compares three beginnings of the backbone, with equal
budgets and everything else the same; each seed has students of its own, trained by
`configs/digits/digits_student.py` and `configs/digits/vitkd_digits.py` under one
teacher. `configs/downstream/digit_scenes/README.md` tells how the recipe was chosen
and what had been seen before.

This is a small experiment on small images, whose purpose is to show the whole way from
distillation to detection and segmentation. It is no measurement of the method at the
size of the paper."""

LEGEND = """\
Mean ± standard deviation over the seeds, in percent. Box and mask AP are COCO's, mean
over IoU 0.50 to 0.95; mIoU is over the background and the ten digits. "noise": the
difference is one that Welch's t-test does not tell from chance at the {level:.0%}
level.
Every seed's numbers are in [`downstream.csv`](downstream/downstream.csv)."""


def provenance(finished: list[dict], command: str, planned: int) -> str:
    """Tell the command, and when and by what the runs were done."""
    dates = sorted({one['date'] for one in finished})
    devices = sorted({one['device'] for one in finished})
    versions = sorted(
        {f'{k} {v}' for one in finished for k, v in one['versions'].items()}
    )
    if not finished:
        return f'`{command}`; nothing is run yet.'
    return (
        f'`{command}`: {len(finished)} of {planned} fine-tunings are finished, on '
        f'{", ".join(devices)}; {", ".join(dates)}; {", ".join(versions)}.'
    )


def pictures(drawn: list[str]) -> list[str]:
    """Refer to the pictures, and say what they show."""
    told = {
        'detection': f'Predictions with a score of at least {SCORE}, of overlapping '
        'ones the surest alone, seed 0',
        'segmentation': 'Predicted label maps, seed 0',
    }
    return [
        f'## {task.capitalize()}\n\n{told[task]}, on the first test scene over each\n'
        f'photograph.\n\n![{task}](downstream/{task}.png)'
        for task in drawn
    ]


def write_csv(path: Path, lines: list[Line]) -> None:
    """Write every number, those of single seeds included."""
    rows: list[list] = [
        ['task', 'metric', 'init', 'mean', 'stdev', 'seeds', 'difference',
         'within_noise', 'values']
    ]  # fmt: skip
    for line in lines:
        many = len(line.values) > 1
        numbers = [
            statistics.mean(line.values) if line.values else None,
            statistics.stdev(line.values) if many else None,
            len(line.values),
            line.difference,
        ]
        rows.append(
            [
                *(line.task, line.metric, line.init),
                *(round(n, 4) if isinstance(n, float) else n for n in numbers),
                line.is_noise,
                ' '.join(f'{value:.2f}' for value in line.values),
            ]
        )
    with path.open('w', newline='', encoding='utf-8') as file:
        write_rows(file, rows)
