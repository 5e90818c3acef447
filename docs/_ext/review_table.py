"""The table of the review's systems, from ``docs/review_table.yml``."""

import csv
from pathlib import Path
from typing import Any

import yaml
from sphinx.application import Sphinx

PAGE = 'docs/review_table'
MARK = '*The table is made when the site is built (`make docs`).*'
FIGURES = ('Top 1 Accuracy (paper)', 'mIoU (paper)')  # the first that a model has
MEASURED = ('results/methods.csv', 'results/newer.csv')  # the first that has a method
COLUMNS = ('row', 'pair', 'method', 'review', 'source', 'here', 'on digits', 'remark')


def models(root: Path) -> dict[str, dict[str, Any]]:
    """Read every model of the metafiles, by its name."""
    index = yaml.safe_load((root / 'model-index.yml').read_text(encoding='utf-8'))
    found = {}
    for file in index['Import']:
        content = yaml.safe_load((root / file).read_text(encoding='utf-8'))
        found |= {model['Name']: model for model in content['Models']}
    return found


def on_digits(root: Path) -> dict[str, str]:
    """Read the measured top-1 on digits, by method."""
    found: dict[str, str] = {}
    for name in MEASURED:
        with (root / name).open(encoding='utf-8', newline='') as file:
            for line in csv.DictReader(file):
                if line['mean']:
                    found.setdefault(line['method'], f'{float(line["mean"]):.1f}')
    return found


def figure_of(result: dict[str, Any]) -> float:
    """Return the figure of a result that the review prints."""
    metrics = result['Metrics']
    return next(metrics[name] for name in FIGURES if name in metrics)


def table(root: Path) -> str:
    """Return the table in Markdown."""
    known, digits = models(root), on_digits(root)
    lines = ['| ' + ' | '.join(COLUMNS) + ' |', '|---' * len(COLUMNS) + '|']
    rows = yaml.safe_load((root / 'docs/review_table.yml').read_text(encoding='utf-8'))
    for row in rows:
        here, source = row.get('none', ''), ''
        if 'config' in row:
            model = known[row['config']]
            here = f'[config](../{model["Config"]})'
            for result in model.get('Results', []):
                source = f'{figure_of(result):.2f}'
        cells = (
            str(row['row']),
            row['pair'],
            row['method'],
            row['review'],
            source,
            here,
            digits[row['digits']] if 'digits' in row else '',
            row.get('wrong', ''),
        )
        lines.append('| ' + ' | '.join(cells) + ' |')
    return '\n'.join([*lines, ''])


def fill_in(app: Sphinx, page: str, source: list[str]) -> None:
    if page != PAGE:
        return
    root = Path(app.srcdir)
    for file in ('docs/review_table.yml', 'model-index.yml', *MEASURED):
        app.env.note_dependency(root / file)
    source[0] = source[0].replace(MARK, table(root))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect('source-read', fill_in)
    return {'parallel_read_safe': True}
