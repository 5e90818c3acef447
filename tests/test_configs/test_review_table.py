"""The page of the review's table 1, held against the tree."""

import csv

import yaml

from tests.shrink import CONFIGS

ROOT = CONFIGS.parent
ROWS = yaml.safe_load((ROOT / 'docs/review_table.yml').read_text())


def test_it_has_every_entry_of_the_review():
    assert len(ROWS) == 34
    assert {row['row'] for row in ROWS} == set(range(1, 31))


def test_every_entry_has_a_config_or_a_reason():
    names = {path.stem for path in CONFIGS.rglob('*.py') if '_base_' not in path.parts}
    for row in ROWS:
        assert ('config' in row) != ('none' in row), row['pair']
        assert row.get('config') in {*names, None}


def test_figures_on_digits_are_of_methods_that_were_measured():
    measured = set()
    for name in ('methods', 'newer'):
        with (ROOT / 'results' / f'{name}.csv').open(newline='') as file:
            measured |= {row['method'] for row in csv.DictReader(file) if row['mean']}
    assert {row['digits'] for row in ROWS if 'digits' in row} <= measured


def test_where_its_figure_is_not_the_sources_it_says_so():
    """A metafile's figure is the source's: it is among the review's, or a remark is."""
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    known = {}
    for file in index['Import']:
        for model in yaml.safe_load((ROOT / file).read_text())['Models']:
            known[model['Name']] = model
    for row in ROWS:
        for result in known.get(row.get('config'), {}).get('Results', []):
            metrics = result['Metrics']
            figure = metrics.get('Top 1 Accuracy (paper)', metrics.get('mIoU (paper)'))
            printed = row['review'].replace(';', ',').split(',')
            assert figure in map(float, printed) or 'wrong' in row, row['pair']
