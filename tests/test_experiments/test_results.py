"""What runs measured, read from their folders, and laid out by hand-made values."""

import json
import math

import pandas as pd
import pytest
from mmengine.config import Config

from mmvitkd.experiments.results import (
    Measured,
    accuracy_text,
    difference_columns,
    difference_record,
    latex_table,
    made_by,
    markdown_table,
    measure,
    number,
    p_text,
    statistics_legend,
    teachers_line,
    value_record,
    write_records,
)
from mmvitkd.experiments.run import Run, Setting
from mmvitkd.utils.statistics import DUNNETT, WELCH, Difference

SURE = Difference(3.0, 0.0004, 1.25, 4.75, 2.44, 1.96, DUNNETT)
UNSURE = Difference(-0.26, 0.2, -1.0, 0.5, -math.inf, 2.0, WELCH)
UNTESTED = Difference(1.0)
NONE = Difference(math.nan)

TEACHER = Setting('teacher large', Config({'name': 'large'}))
OURS = Setting('ours', Config({'name': 'ours'}), {'teacher': TEACHER}, True)
SINGLE = Setting('single', Config({'name': 'single'}))


def finish(run, **values):
    run.folder.mkdir(parents=True)
    facts = {'date': '2026-01-02', 'device': 'a CPU', 'versions': {'torch': '2.0'}}
    (run.folder / 'result.json').write_text(json.dumps({**facts, **values}))
    return run


def test_finished_and_failed_seeds_are_collected(tmp_path):
    finish(Run(OURS, 0, tmp_path), top1=80.25, nll=0.5)
    Run(OURS, 1, tmp_path).fail('out of memory')
    finish(Run(OURS, 3, tmp_path), top1=81.75, nll=0.25)
    finish(Run(TEACHER, 0, tmp_path), top1=90.0)
    found = measure(OURS, range(4), tmp_path)  # nothing is there of seed 2
    assert found.frame['seed'].tolist() == [0, 3]
    assert found.frame['teacher'].tolist()[0] == 90.0
    assert math.isnan(found.frame['teacher'][1])
    assert found.failures == {1: 'out of memory'}
    assert found.top1 == found.values() == [80.25, 81.75]
    assert found.mean() == 81.0
    assert found.values('nll') == [0.5, 0.25]
    assert found.mean('nll') == 0.375
    assert found.values('teacher') == [90.0]
    assert found.values('top5') == []
    assert found.mean('top5') is None
    assert measure(SINGLE, [0], tmp_path).frame.empty


def test_a_setting_without_a_teacher_has_none(tmp_path):
    finish(Run(SINGLE, 0, tmp_path), top1=80.0)
    assert measure(SINGLE, [0], tmp_path).frame['teacher'].tolist() == [None]


def test_what_is_said_of_runs(tmp_path):
    one, other = Run(OURS, 0, tmp_path), Run(OURS, 1, tmp_path)
    assert made_by([one, other]) == 'nothing is run yet'
    assert teachers_line([one, other]) is None
    finish(one, top1=80.26)
    finish(other, top1=81, date='2026-01-01', versions={'mmcv': '2.1', 'torch': '2.0'})
    assert accuracy_text(one) == '80.3'
    told = '2026-01-01, 2026-01-02; a CPU; mmcv 2.1, torch 2.0'
    assert made_by([one, other, Run(SINGLE, 0, tmp_path)]) == told
    finish(Run(TEACHER, 0, tmp_path), top1=90.04)
    assert teachers_line([one]) == 'Top-1 of the teachers: large 90.0.'


def test_teachers_are_listed_by_name(tmp_path):
    names = ('teacher z', 'teacher a')
    several = {name: Setting(name, Config({'name': name})) for name in names}
    run = Run(Setting('two', Config({}), several), 0, tmp_path)
    for teacher, top1 in zip(run.teachers.values(), (70.0, 60.0), strict=True):
        finish(teacher, top1=top1)
    assert teachers_line([run, run]) == 'Top-1 of the teachers: a 60.0, z 70.0.'


def test_columns_of_differences():
    assert difference_columns([None, SURE, UNSURE, UNTESTED], 'CE') == {
        'vs. CE': ['', '**+3.0**', '-0.3', '+1.0'],
        '95 % CI': ['', '+1.2 to +4.8', '-1.0 to +0.5', ''],
        'p': ['', '< 0.001', '0.200', ''],
        "Hedges' g": ['', '2.4', '-', ''],
        'detectable': ['', '2.0', '2.0', ''],
    }


def test_records_of_differences():
    assert difference_record(SURE, 'ce') == {
        'minus_ce': 3.0,
        'minus_ce_low': 1.25,
        'minus_ce_high': 4.75,
        'minus_ce_p': 0.0004,
        'minus_ce_hedges_g': 2.44,
        'minus_ce_detectable': 1.96,
        'minus_ce_significant': True,
    }
    first, *others = difference_record(None, 'ce').values()
    assert math.isnan(first)
    assert others == [None] * 6


def test_numbers():
    assert (p_text(0.001), p_text(0.00099)) == ('0.001', '< 0.001')
    assert (number(2.44), number(2.44, '.2f')) == ('2.4', '2.44')
    assert number(None) == number(math.inf) == number(math.nan) == '-'
    assert number(None, nothing='') == ''


def test_the_legend_names_the_tests():
    assert 'no difference was tested' in statistics_legend([None, UNTESTED])
    both = statistics_legend([None, UNSURE, SURE, SURE, UNTESTED])
    assert f'at the 5% level by {DUNNETT} and {WELCH} against' in both
    assert 'probability of 80%' in both


def test_markdown():
    rows = {'name': ['a|b', 'c\nd'], 'top-1': ['80.0', '7']}
    expected = '| name | top-1 |\n|:---|:---|\n| a/b | 80.0 |\n| c d | 7 |'
    assert markdown_table(rows) == expected
    assert markdown_table({'name': []}) == ''
    with pytest.raises(ValueError, match='shorter'):
        markdown_table({'name': ['a', 'b'], 'top-1': ['1']})


def test_latex():
    lines = latex_table({'name': ['ours', 'b'], 'x': ['**+1.0** **p**', '80.0 ± 1.0']})
    assert r'ours' in lines
    assert r'\textbf{+1.0} \textbf{p}' in lines
    assert r'80.0 $\pm$ 1.0' in lines
    assert lines.startswith(r'\begin{tabular}{ll}')
    assert r'\toprule' in lines
    assert lines.endswith('\\end{tabular}\n')
    assert r'80.50 \\' in latex_table({'x': ['80.50', '7']})  # as it was written
    with pytest.raises(ValueError, match='shorter'):
        latex_table({'name': ['a', 'b'], 'top-1': ['1']})


def test_every_number_is_written(tmp_path):
    """Whole numbers beside a missing one stay whole; six digits are enough."""
    records = [
        {'name': 'ä', 'seeds': 3, 'x': 0.12345649},
        {'name': '=b', 'seeds': None},
    ]
    write_records(tmp_path / 'all.csv', records)
    expected = "name,seeds,x\nä,3,0.123456\n'=b,,\n"
    assert (tmp_path / 'all.csv').read_bytes() == expected.encode()


def test_records_of_values():
    values = pd.DataFrame({'top1': [80.0, 82.0, None], 'nll': [None, None, 0.5]})
    measured = Measured(values, {1: 'killed', 2: 'full'})
    assert value_record(measured) == {
        'mean': 81.0,
        'stdev': pytest.approx(math.sqrt(2)),
        'seeds': 2,
        'values': '80.00 82.00',
        'failures': 'killed; full',
    }
    single = value_record(measured, 'nll')
    assert (single['mean'], single['stdev'], single['seeds']) == (0.5, None, 1)
    assert value_record(measured, 'top5')['mean'] is None
