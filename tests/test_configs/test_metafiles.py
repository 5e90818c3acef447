import re

import pytest
import yaml
from modelindex.load_model_index import load

from tests.shrink import CONFIGS

ROOT = CONFIGS.parent
EVERY = {
    str(p.relative_to(ROOT)) for p in CONFIGS.rglob('*.py') if '_base_' not in p.parts
}
METAFILES = sorted(CONFIGS.glob('*/metafile.yml'))


@pytest.fixture(scope='module')
def models() -> dict:
    """What MIM and MMPretrain's model zoo read, by name."""
    index = load(str(ROOT / 'model-index.yml'))
    index.build_models_with_collections()
    return {model.name: model for model in index.models}


def test_index_imports_every_metafile():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    assert [ROOT / path for path in index['Import']] == METAFILES


def test_index_lists_every_runnable_config_once(models):
    configs = [model.config for model in models.values()]
    assert sorted(configs) == sorted(EVERY)
    for name, model in models.items():
        assert model.config.endswith(f'/{name}.py')


def test_readmes_of_the_collections_exist():
    for path in METAFILES:
        for collection in yaml.safe_load(path.read_text())['Collections']:
            assert (ROOT / collection['README']).is_file()


def test_no_figure_is_given_as_ours(models):
    """Weights and results appear here once they are ours."""
    for model in models.values():
        assert model.weights is None
        for result in model.results or []:
            assert all(metric.endswith('(paper)') for metric in result.metrics)


def test_readme_shows_the_metafiles_figures(models):
    """One row for a pair: its two configs, and the paper's top-1 for each."""
    rows = (CONFIGS / 'vitkd' / 'README.md').read_text().splitlines()
    pairs = {n: m for n, m in models.items() if m.config.startswith('configs/vitkd/')}
    for name, model in pairs.items():
        (row,) = (row for row in rows if f']({name}.py)' in row)
        for result in model.results or []:
            shown = f'| {result.metrics["Top 1 Accuracy (paper)"]:.2f} |'
            assert shown in row
        head = (ROOT / model.config).read_text().split('_base_ =')[0]
        for result in model.results or []:
            figures = [float(x) for x in re.findall(r'\d\d\.\d\d', head)]
            assert result.metrics['Top 1 Accuracy (paper)'] in figures
