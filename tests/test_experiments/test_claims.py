"""Papers' claims, held against tables."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t as student_t
from scipy.stats import ttest_rel

from mmvitkd.commands import main
from mmvitkd.experiments.claims import read_table, write
from mmvitkd.utils.statistics import LEVEL, compare_pairs

ABOVE = [81.0, 81.6, 81.1, 81.9]
BELOW = [80.1, 80.4, 80.3, 80.8]
SAME = [80.2, 80.3, 80.4, 80.7]


def by_seed(values):
    return dict(enumerate(values))


def table(folder: Path, rows, stem='rows'):
    lines = ['row,column,seeds,values,failures']
    for name, values, *failures in rows:
        text = ' '.join(map(str, values))
        lines.append(f'"{name}",,{len(values)},{text},{"".join(failures)}')
    (folder / f'{stem}.csv').write_text('\n'.join(lines) + '\n')


def claims(folder: Path, *entries, **settings):
    file = folder / 'claims.py'
    whole = [{'claim': 'So', 'source': 'P', 'table': 'rows', **one} for one in entries]
    lines = [f'{key} = {value!r}' for key, value in settings.items()]
    file.write_text('\n'.join([*lines, f'claims = {whole!r}']))
    return file


def verdicts(page: Path):
    lines = page.read_text().splitlines()
    return [line.split('|')[-2].strip() for line in lines if line.startswith('| So')]


def test_two_groups_are_a_paired_t_test():
    groups = {'a': by_seed(ABOVE), 'b': by_seed(BELOW)}
    (one,) = compare_pairs({'t': groups}, [('t', 'a', 'b')])
    want = ttest_rel(ABOVE, BELOW)
    interval = want.confidence_interval(1 - LEVEL)
    assert one.p == pytest.approx(want.pvalue)
    assert (one.low, one.high) == pytest.approx((interval.low, interval.high))


def test_the_variance_is_of_the_table_and_the_correction_of_all_pairs():
    groups = {'a': by_seed(ABOVE), 'b': by_seed(BELOW), 'c': by_seed(SAME)}
    first, second = compare_pairs({'t': groups}, [('t', 'a', 'b'), ('t', 'c', 'b')])
    values = np.array([ABOVE, BELOW, SAME])
    rest = values - values.mean(0) - values.mean(1, keepdims=True) + values.mean()
    error = np.sqrt((rest**2).sum() / (2 * 3) * 2 / 4)
    assert first.p == pytest.approx(2 * 2 * student_t.sf(first.value / error, 6))
    half = student_t.isf(LEVEL / 4, 6) * error
    assert (second.low, second.high) == pytest.approx((-half, half))
    assert second.p == 1


def test_what_is_seen_what_is_not_and_what_could_not_be_told(tmp_path):
    noisy = [79.0, 82.0, 80.9, 80.2]
    table(tmp_path, [('a', ABOVE), ('b', BELOW), ('c', SAME)])
    table(tmp_path, [('x', noisy), ('y', BELOW)], 'noise')
    pairs = [('a', 'b'), ('b', 'a'), ('c', 'b')]
    entries = [{'row': row, 'than': than} for row, than in pairs]
    entries += [
        {'row': 'x', 'than': 'y', 'table': 'noise'},
        {'row': 'x', 'than': 'y', 'table': 'another'},
        {'row': 'c', 'than': 'b', 'paper': 0.1, 'note': 'Nor with b doubled'},
    ]
    page = tmp_path / 'page.md'
    write(claims(tmp_path, *entries, smallest=0.7), tmp_path, page)
    assert verdicts(page) == [
        '**seen**',
        '**not seen**: the opposite',
        '**not seen**: less than 0.7, if anything',
        'could not be told',
        'not measured',
        'could not be told. Nor with b doubled',
    ]
    assert 'Seeds: 4 of rows, 4 of noise.' in page.read_text()
    numbers = page.with_suffix('.csv').read_text().splitlines()
    assert len(numbers) == 1 + len(entries)
    assert numbers[1].endswith(',seen')


def test_a_row_with_a_failed_seed_is_not_measured(tmp_path):
    table(tmp_path, [('a', ABOVE), ('b', BELOW), ('c', SAME, 'out of memory')])
    assert read_table(tmp_path / 'rows.csv')['c'] == {}
    page = tmp_path / 'page.md'
    write(claims(tmp_path, {'row': 'c', 'than': 'b'}), tmp_path, page)
    assert verdicts(page) == ['not measured']


def test_the_figures_that_are_there_are_shown(tmp_path):
    table(tmp_path, [('a', ABOVE), ('b', BELOW)])
    (tmp_path / 'forest.svg').write_text('<svg/>')
    (tmp_path / 'pages').mkdir()
    page = tmp_path / 'pages/page.md'
    figures = {'forest': 'All of them', 'costs': 'Not drawn'}
    one = claims(tmp_path, {'row': 'a', 'than': 'b'}, figures=figures, title='T')
    write(one, tmp_path, page)
    text = page.read_text()
    assert text.startswith('# T\n')
    assert '![All of them](../forest.svg)' in text
    assert 'Not drawn' not in text


def test_columns_are_part_of_a_row_s_name(tmp_path):
    (tmp_path / 'rows.csv').write_text(
        'row,column,values,failures\na,T,81.0 82.0,\na,S,83.0 84.0,\n'
    )
    assert [*read_table(tmp_path / 'rows.csv')] == ['a, T', 'a, S']


@pytest.mark.parametrize(
    ('entry', 'why'),
    [
        ({'row': 'a', 'than': 'bb'}, "table 'rows' has no row 'bb'; it has ['b']"),
        ({'row': 'a'}, "claims[0] lacks ['than']"),
        ({'row': 'a', 'than': 'b', 'papr': 1}, "claims[0] has unknown keys ['papr']"),
        (
            {'row': 'a', 'than': 'b', 'table': 'other'},
            'has none of the tables of claims.py: other.csv',
        ),
    ],
)
def test_mistakes_are_told_in_a_line(entry, why, tmp_path):
    table(tmp_path, [('a', ABOVE), ('b', BELOW)])
    file = claims(tmp_path, entry)
    with pytest.raises(ValueError, match=r'^(?s:.*)$') as error:
        write(file, tmp_path, tmp_path / 'page.md')
    assert why in str(error.value)


def test_the_command_refuses_what_is_no_folder_or_page(tmp_path, capsys):
    file = str(claims(tmp_path, {'row': 'a', 'than': 'b'}))
    for options, why in (
        (['--results', str(tmp_path / 'none'), '--out', 'a.md'], 'no such folder'),
        (['--results', str(tmp_path), '--out', 'a.html'], 'a page ends in .md'),
    ):
        with pytest.raises(SystemExit, match='2'):
            main('claims', [file, *options])
        assert why in capsys.readouterr().err


@pytest.mark.parametrize('file', sorted(Path('configs/claims').glob('*.py')))
def test_every_claim_names_a_row_of_its_table(file):
    """The tables' own files have the rows, before any is measured."""
    from mmengine.config import Config

    comparison = {
        one['name']
        for one in Config.fromfile('configs/comparison/fashion-mnist.py').methods
    }
    for claim in Config.fromfile(file).claims:
        if claim.table == 'fashion-mnist':
            rows = comparison
        else:
            rows = {
                row['row']
                for row in Config.fromfile(f'configs/ablations/{claim.table}.py').rows
            }
        assert {claim.row, claim.than} <= rows
