"""What a comparison measures beyond accuracy: calibration, agreement, robustness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmvitkd.utils.statistics import Difference, format_mean

from ..results import (
    compare_with,
    corruptions,
    difference_record,
    difference_with_p,
    value_record,
)
from .methods import Comparison
from .plan import Row

# by metric: its heading, and digits that are printed
METRICS = {
    'nll': ('NLL', 2),
    'agreement': ('agreement, %', 1),
    'ece': ('ECE, %', 1),
    'corrupted': ('corrupted top-1', 1),
}
COMPARED = ('ece', 'corrupted')  # with the baseline

# from the baseline, by metric and by method
Differences = Mapping[str, Mapping[str, Difference]]

LEGEND = (
    'Of the same runs on the test split: mean ± standard deviation over the seeds. '
    'NLL, in nats, and ECE, the expected calibration error: the lower the better. '
    'Agreement: the share of the images for which student and teacher name the same '
    'class. Corrupted: the mean of the top-1 accuracies under corruptions. Differences '
    'are in points, and tested as those in top-1 are, a family for each figure.'
)


def measured_in(rows: Sequence[Row]) -> list[str]:
    """List the metrics that any row has; the likelihood alone is no reason for one."""
    found = [name for name in METRICS if any(row.test.values(name) for row in rows)]
    return [] if found == ['nll'] else found


def compare(rows: Sequence[Row], comparison: Comparison) -> Differences:
    """Compare calibration and robustness with the baseline's, a family for each."""
    tests = {row.name: row.test for row in rows}
    reference = comparison.baseline
    return {
        metric: compare_with(reference, tests, comparison.paired, metric)
        for metric in COMPARED
    }


def columns(rows: Sequence[Row], differences: Differences) -> dict[str, list[str]]:
    """Lay the means out, as far as they are measured."""
    found = {}
    for metric in measured_in(rows):
        head, digits = METRICS[metric]
        found[head] = [format_mean(row.test.values(metric), digits) for row in rows]
        if metric in differences:
            found[f'{head}, vs. baseline'] = [
                difference_with_p(differences[metric].get(row.name)) for row in rows
            ]
    return found and {'method': [row.name for row in rows], **found}


def corruption_columns(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Lay the accuracies under each corruption out."""
    found = {
        name: [format_mean(row.test.values(metric)) for row in rows]
        for metric, name in corruptions(row.test for row in rows).items()
    }
    return found and {'method': [row.name for row in rows], **found}


def records(rows: Sequence[Row], differences: Differences) -> list[dict[str, Any]]:
    """Return every number of the rows, those of single seeds included."""
    kinds = corruptions(row.test for row in rows)
    found: list[dict[str, Any]] = [{} for _ in rows]
    for row, record in zip(rows, found, strict=True):
        for metric in measured_in(rows):
            values = value_record(row.test, metric, digits=4)
            del values['failures']  # those of all metrics
            if metric in differences:
                one = differences[metric].get(row.name)
                values |= difference_record(one, 'baseline')
            record |= {f'{metric}_{key}': value for key, value in values.items()}
        for metric, name in kinds.items():
            record[f'corrupted_{name}_mean'] = row.test.mean(metric)
    return found
