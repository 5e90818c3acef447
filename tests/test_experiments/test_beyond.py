"""What a comparison measures beyond accuracy, by hand-made values."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from mmengine.config import Config

from mmvitkd.experiments.comparison import beyond
from mmvitkd.experiments.comparison.methods import read
from mmvitkd.experiments.comparison.page import write
from mmvitkd.experiments.comparison.plan import Row
from mmvitkd.experiments.results import Measured, measure
from mmvitkd.experiments.run import Run, Setting
from mmvitkd.experiments.worker import agreement
from mmvitkd.utils.statistics import compare_with_baseline

from .comparisons import write_methods

TEACHER = Setting('teacher', Config({'name': 'teacher'}))
OURS = Setting('ours', Config({'name': 'ours'}), {'teacher': TEACHER})
SEVERAL = Setting('several', Config({}), {'one': TEACHER, 'two': TEACHER})
ALONE = Setting('alone', Config({'name': 'alone'}))


def keep(run: Run, predicted: list[int], labels: list[int]) -> Run:
    run.folder.mkdir(parents=True, exist_ok=True)
    np.save(run.folder / 'labels.npy', np.array([predicted, labels], np.uint8))
    return run


def test_agreement_by_hand(tmp_path):
    """In three of four images, right or wrong."""
    labels = [0, 1, 2, 3]
    ours = keep(Run(OURS, 1, tmp_path), [0, 1, 0, 0], labels)
    assert agreement(ours) is None  # the teacher's are not kept
    keep(Run(TEACHER, 0, tmp_path), [0, 1, 0, 3], labels)
    assert agreement(ours) == 75
    assert agreement(Run(OURS, 2, tmp_path)) is None
    for setting in (ALONE, SEVERAL):
        assert agreement(keep(Run(setting, 0, tmp_path), [0, 1, 0, 0], labels)) is None
    for other in ([0, 1, 2, 2], [0, 1, 2]):  # images of another split
        keep(ours, [0, 1, 0, 3][: len(other)], other)
        assert agreement(ours) is None


def test_results_of_an_earlier_version_have_none(tmp_path):
    run = Run(ALONE, 0, tmp_path)
    run.folder.mkdir(parents=True)
    (run.folder / 'result.json').write_text(json.dumps({'top1': 80.0, 'nll': 0.5}))
    found = measure(ALONE, [0], tmp_path)
    assert [found.values(metric) for metric in beyond.METRICS] == [[0.5], [], [], []]


@pytest.fixture(scope='module')
def comparison(tmp_path_factory):
    folder = tmp_path_factory.mktemp('beyond')
    return read(write_methods(folder / 'mine.py', []))


def rows_of(comparison, **columns) -> list[Row]:
    """Two methods of three seeds, their values by metric: of the first, the second."""
    seeds = {'seed': [0, 1, 2], 'top1': [80.0, 81.0, 82.0]}
    return [
        Row(
            comparison.methods[name],
            1.0,
            {},
            Measured(pd.DataFrame({**seeds, **{k: v[i] for k, v in columns.items()}})),
        )
        for i, name in enumerate(('alone', 'KD'))
    ]


VALUES = {
    'nll': ([0.5, 0.75, 1.0], [0.25, 0.25, 0.25]),
    'ece': ([8.0, 9.0, 10.0], [3.0, 4.0, 5.0]),
    'agreement': ([None] * 3, [90.0, 91.0, 92.0]),
    'corrupted': ([60.0, 61.0, 62.0], [60.5, 61.5, 62.5]),
    'corrupted/contrast': ([70.0, 71.0, 72.0], [71.0, 72.0, 73.0]),
    'corrupted/fog': ([50.0, 51.0, 52.0], [50.0, 51.0, 52.0]),
}


def test_a_table_compares_calibration_and_robustness(comparison, tmp_path):
    rows = rows_of(comparison, **VALUES)
    write(comparison, rows, [], tmp_path / 'mine.md')
    page = (tmp_path / 'mine.md').read_text()
    start = page.index('## Beyond accuracy')
    assert start < page.index('## What is not equal')
    lines = page[start:].splitlines()
    ece = compare_with_baseline({'KD': VALUES['ece'][1]}, VALUES['ece'][0])['KD']
    assert lines[2:6] == [
        '| method | NLL | agreement, % | ECE, % | ECE, %, vs. baseline | corrupted '
        'top-1 | corrupted top-1, vs. baseline |',
        '|:---|:---|:---|:---|:---|:---|:---|',
        '| alone | 0.75 ± 0.25 | - | 9.0 ± 1.0 | | 61.0 ± 1.0 | |',
        f'| KD | 0.25 ± 0.00 | 91.0 ± 1.0 | 4.0 ± 1.0 | **-5.0** (p = {ece.p:.3f}) | '
        '61.5 ± 1.0 | +0.5 (p = 0.573) |',
    ]
    assert '| KD | 72.0 ± 1.0 | 51.0 ± 1.0 |' in lines
    table = pd.read_csv(tmp_path / 'mine.csv').set_index('method')
    assert table['ece_minus_baseline']['KD'] == -5
    assert table['nll_values']['alone'] == '0.5000 0.7500 1.0000'
    assert table['corrupted_minus_baseline_p']['KD'] == pytest.approx(0.573, abs=1e-3)
    assert table['corrupted_contrast_mean'].tolist() == [71, 72]


def test_seeds_are_paired_where_the_comparison_is(comparison):
    """The same half a point on every seed is certain then."""
    rows = rows_of(comparison, corrupted=([60.0, 70.0, 80.0], [60.5, 70.6, 80.4]))
    free = beyond.compare(rows, comparison)['corrupted']['KD']
    paired = beyond.compare(rows, replace(comparison, paired=True))['corrupted']['KD']
    assert free.value == pytest.approx(paired.value) == pytest.approx(0.5)
    assert free.p > 0.9
    assert paired.p < 0.05


def test_without_such_values_a_page_is_as_it_was(comparison, tmp_path):
    write(comparison, rows_of(comparison, nll=VALUES['nll']), [], tmp_path / 'mine.md')
    assert 'Beyond accuracy' not in (tmp_path / 'mine.md').read_text()
    assert 'nll' not in (tmp_path / 'mine.csv').read_text()
