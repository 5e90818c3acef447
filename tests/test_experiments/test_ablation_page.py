"""Rows of a table, and what is said of them."""

import pandas as pd
import pytest
from mmengine.config import Config

from mmvitkd.experiments.ablation.page import Row, agreement, columns_of, compare
from mmvitkd.experiments.ablation.tables import FOLDER, Cell, Protocol, read
from mmvitkd.experiments.results import Measured
from mmvitkd.experiments.run import Setting
from mmvitkd.utils.statistics import compare_with_baseline

ALONE = Setting('alone', Config({'name': 'alone'}))


def row(name, ours, alone, paper=None):
    """Make a row; without a name, the baseline's."""
    setting = Setting(name, Config({'name': name})) if name else ALONE
    cell = Cell(name or 'baseline', '', setting, ALONE, paper=paper)
    sides = (
        Measured(pd.DataFrame({'seed': range(len(values)), 'top1': values}))
        for values in (ours, alone)
    )
    return Row(cell, *sides)


def test_rows_that_share_a_baseline_are_one_family():
    alone = [1.0, 2.0, 3.0]
    rows = compare(
        [
            row('', alone, alone),
            row('a', [4.0, 5.0, 6.0], alone),
            row('b', [2.0, 3.0, 4.0], alone),
            row('a', [4.0, 5.0, 6.0], alone),
        ]
    )
    assert rows[0].difference is None
    assert rows[1].difference == rows[3].difference
    assert rows[1].difference.value == pytest.approx(3)
    # the variance is pooled over three groups, not over five
    expected = compare_with_baseline(
        {'a': [4.0, 5.0, 6.0], 'b': [2.0, 3.0, 4.0]}, alone
    )
    assert rows[1].difference == expected['a']
    columns = columns_of(rows)
    assert columns['vs. baseline'] == ['', '**+3.0**', '+1.0', '**+3.0**']
    assert columns['p'][0] == ''
    assert columns['detectable'][1] == columns['detectable'][2] != ''


def test_rows_are_compared_seed_by_seed_where_the_data_set_says_so():
    alone = [71.0, 75.0, 80.0]
    rows = [row('', alone, alone), row('a', [72.0, 76.2, 80.9], alone)]
    unpaired, paired = (compare(rows, one)[1].difference for one in (False, True))
    assert unpaired.value == pytest.approx(paired.value)
    assert paired.significant
    assert not unpaired.significant
    assert read(FOLDER / 'table6_losses.py', Protocol('fashion-mnist')).paired
    assert not read(FOLDER / 'table6_losses.py', Protocol('digits')).paired


def test_disagreement_with_the_paper_is_said():
    alone = [1.0, 2.0, 3.0]
    base = row('', alone, alone, 70.0)
    for ours, paper, verdict in (
        ([4.0, 5.0, 6.0], 71.0, 'yes'),
        ([4.0, 5.0, 6.0], 69.0, '**no**'),
        ([2.0, 3.0, 4.0], 69.0, 'not significant'),
        ([4.0, 5.0, 6.0], None, ''),
        ([], 71.0, ''),
    ):
        rows = compare([base, row('a', ours, alone, paper)])
        assert agreement(rows[1], rows) == verdict
