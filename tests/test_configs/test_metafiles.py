import pytest
import yaml
from modelindex.load_model_index import load

from tests.shrink import CONFIGS, RUNNABLE

ROOT = CONFIGS.parent
DOWNSTREAM = [
    path
    for folder in ('detection', 'downstream', 'pose', 'segmentation')
    for path in CONFIGS.glob(f'{folder}/**/*.py')
    if '_base_' not in path.relative_to(CONFIGS).parts
]
EVERY = {str(path.relative_to(ROOT)) for path in [*RUNNABLE, *DOWNSTREAM]}
METAFILES = sorted(CONFIGS.rglob('metafile.yml'))


@pytest.fixture(scope='module')
def models() -> dict:
    """What MIM and MMPretrain's model zoo read, by name."""
    index = load(str(ROOT / 'model-index.yml'))
    index.build_models_with_collections()
    return {model.name: model for model in index.models}


def test_index_imports_every_metafile():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    assert [ROOT / path for path in index['Import']] == METAFILES


def test_index_lists_every_config_of_a_paper_once(models):
    """Those on small data are examples, and may be left out."""
    configs = [model.config for model in models.values()]
    assert len(configs) == len(set(configs))
    examples = ('_digits.py', '_fashion-mnist.py')
    wanted = {path for path in EVERY if not path.endswith(examples)}
    assert wanted <= set(configs) <= EVERY
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


def test_every_top1_stands_beside_what_it_was_bought_with(models):
    figures = {
        name: model.metadata.data
        for name, model in models.items()
        if any('Top 1 Accuracy (paper)' in r.metrics for r in model.results or [])
    }
    assert len(figures) > 50
    for data in figures.values():
        assert data['FLOPs'] > 0
        assert data['Parameters'] > 0
        assert str(data['Epochs'])[0].isdigit()


def test_figures_of_papers_stand_in_the_metafiles_only(models):
    """Every config of a pair, or of a backbone, has one row in its README."""
    described = {
        name: model
        for name, model in models.items()
        if model.metadata and {'Teacher', 'Backbone'} & set(model.metadata.data)
    }
    assert described
    guides = [ROOT / 'README.md', *(ROOT / 'docs').glob('*.md')]
    guides = ''.join(path.read_text() for path in guides)
    for name, model in described.items():
        config = ROOT / model.config
        rows = (config.parent / 'README.md').read_text().splitlines()
        (row,) = (row for row in rows if f']({name}.py)' in row)
        head = config.read_text().split('_base_ =')[0]
        for result in model.results or []:
            for value in result.metrics.values():
                assert f'{value:.2f}' not in row + head + guides
