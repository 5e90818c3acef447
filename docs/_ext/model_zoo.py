"""The tables of the model zoo, from the metafiles of the configs."""

import re
from pathlib import Path
from typing import Any

import yaml
from sphinx.application import Sphinx

PAGE = 'docs/model_zoo'
MARK = '*The tables are made when the site is built (`make docs`).*'
USUAL = 'not yet reproduced'  # as the page says of all
COSTS = ('MACs, G', 'parameters, M', 'epochs')
LAST = ('source', 'status')


def sections(metafile: Path) -> str:
    """Return a section for every collection of a metafile."""
    content = yaml.safe_load(metafile.read_text(encoding='utf-8'))
    models: dict[str, list] = {}
    for model in content['Models']:
        models.setdefault(model['In Collection'], []).append(model)
    return '\n'.join(
        section(one, models[one['Name']]) for one in content['Collections']
    )


def section(collection: dict[str, Any], models: list[dict[str, Any]]) -> str:
    """Return the heading of a collection, and a table with a row for every model."""
    rows = [row(model) for model in models]
    columns = list(dict.fromkeys(name for one in rows for name in one))
    columns.sort(key=_place)
    lines = [f'## {collection["Name"]}', '']
    paper = collection.get('Paper')
    if paper:
        lines += [f'[{paper["Title"]}]({paper["URL"]}).']
    lines += [f'[How it is set up](../{collection["README"]}).', '']
    lines += ['| ' + ' | '.join(columns) + ' |', '|---' * len(columns) + '|']
    for one in rows:
        lines += ['| ' + ' | '.join(one.get(name, '') for name in columns) + ' |']
    return '\n'.join([*lines, ''])


def _place(column: str) -> int:
    """Order the columns: what it is, what it costs, how good it is, the rest."""
    if column in LAST:
        return 3
    return 2 if 'top-' in column or '(paper)' in column else column in COSTS


def row(model: dict[str, Any]) -> dict[str, str]:
    """Return what the table says of a model, by column."""
    data = model.get('Metadata', {})
    cells = {'config': f'[`{model["Name"]}`](../{model["Config"]})'}
    for name in ('Student', 'Teacher', 'Backbone'):
        if name in data:
            cells[name.lower()] = data[name]
    # beside the accuracy, since it is bought with them
    for name, unit, title in (
        ('FLOPs', 1e9, 'MACs, G'),
        ('Parameters', 1e6, 'parameters, M'),
    ):
        if name in data:
            cells[title] = f'{data[name] / unit:.3g}'
    if 'Epochs' in data:
        cells['epochs'] = str(data['Epochs'])
    figures = {
        name: data[name]
        for name in ('Teacher Top 1 Accuracy', 'Baseline Top 1 Accuracy')
        if name in data
    }
    for result in model.get('Results', []):
        figures |= result['Metrics']
    for name, value in figures.items():
        title = re.sub(r'(?i)top (\d) accuracy', r'top-\1', name)
        title = title[0].lower() + title[1:]
        cells[title] = f'{value:.2f}'
    if 'Source' in data:
        cells['source'] = data['Source']
    if data.get('Status', USUAL) != USUAL:
        cells['status'] = data['Status']
    return cells


def fill_in(app: Sphinx, page: str, source: list[str]) -> None:
    if page != PAGE:
        return
    index = Path(app.srcdir, 'model-index.yml')
    files = yaml.safe_load(index.read_text(encoding='utf-8'))['Import']
    metafiles = [index.parent / file for file in files]
    for file in (index, *metafiles):
        app.env.note_dependency(file)
    source[0] = source[0].replace(MARK, '\n'.join(map(sections, metafiles)))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect('source-read', fill_in)
    return {'parallel_read_safe': True}
