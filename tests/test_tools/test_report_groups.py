"""How runs are grouped and their curves averaged, by hand-made logs."""

from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from mmvitkd.reporting import curves, groups
from mmvitkd.reporting.runs import Run


def test_a_curve_is_the_mean_as_far_as_all_seeds_came():
    """Of a run that logged every second step, the steps between are interpolated."""

    def logged(**losses: float) -> Any:
        run = Run(Path('/x'), 'x')
        run.train = [{'step': int(k[1:]), 'loss': v} for k, v in losses.items()]
        return run

    every = logged(s1=1.0, s2=2.0, s3=3.0, s4=4.0, s5=5.0)
    second = logged(s2=4.0, s4=8.0)
    group = groups.Group('x', [every, second])
    line = curves.line_of(group, 'loss', 'train')
    assert (line.steps, line.means) == ([2, 3, 4], [3.0, 4.5, 6.0])
    assert (line.lows, line.highs) == ([2.0, 3.0, 4.0], [4.0, 6.0, 8.0])


def test_a_long_curve_is_averaged_without_losing_a_step():
    run = Run(Path('/x'), 'x')
    run.train = [{'step': i, 'loss': float(i)} for i in range(1000)]
    line = curves.line_of(groups.Group('x', [run]), 'loss', 'train')
    assert len(line.steps) <= curves.POINTS
    # 333 means of three, and the last step by itself
    assert mean([*line.means[:-1]] * 3) == pytest.approx(mean(range(999)))
    assert (line.steps[-1], line.means[-1]) == (999, 999.0)


@pytest.mark.parametrize(
    ('names', 'shown'),
    [
        (['a-seed0-0123abcd', 'b-seed0-0123abcd'], ['a', 'b']),
        (['a-seed0-0123abcd', 'a-seed0-4567abcd'], ['a-0123abcd', 'a-4567abcd']),
        (['a/seed0', 'b/seed0'], ['a', 'b']),
    ],
)
def test_groups_are_named_as_shortly_as_keeps_them_apart(names, shown):
    found = [[Run(Path('/x'), name)] for name in names]
    assert groups._names(found) == shown
