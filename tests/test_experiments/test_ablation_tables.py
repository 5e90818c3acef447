"""The tables of configs/ablations."""

import inspect

import pytest
from mmengine.config import Config

from mmvitkd.experiments.ablation import tables
from mmvitkd.experiments.run import Run
from mmvitkd.models import losses
from tests.helpers import build
from tests.shrink import CONFIGS, shrink
from tests.test_experiments.tiny import TERMS, write_table

TABLES = sorted(p.stem for p in (CONFIGS / 'ablations').glob('*.py'))
BUILT: set[str] = set()


def test_every_table_of_the_paper_is_there():
    topics = {name.partition('_')[0] for name in TABLES}
    numbers = (1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13)
    assert topics >= {f'table{n}' for n in numbers}
    assert topics >= {'figure3', 'figure5a', 'figure5b', 'plan1', 'plan2', 'plan3'}


@pytest.mark.parametrize(
    ('name', 'dataset'),
    [
        (path.stem, dataset)
        for dataset in ('digits', 'fashion-mnist', 'in1k')
        for path in tables.find('all', dataset)
    ],
)
def test_every_cell_builds_a_model(name, dataset, tmp_path):
    """On ImageNet with shrunken models; terms, taps and teachers as they are.

    A setting that several tables have is built once.
    """
    (path,) = tables.find(name, dataset)
    table = tables.read(path, tables.Protocol(dataset))
    for i, setting in enumerate(table.settings):
        if setting.folder in BUILT:
            continue
        BUILT.add(setting.folder)
        cfg = Run(setting, 0, tmp_path).config()
        if dataset == 'in1k':
            (tmp_path / str(i)).mkdir()
            cfg = shrink(cfg, tmp_path / str(i))
        model = build({**cfg.model, 'data_preprocessor': cfg.data_preprocessor})
        assert list(getattr(model, 'terms', ())) == list(cfg.model.get('terms', ()))
    assert [c for c in table.cells if c.setting is None] == [
        c for c in table.cells if c.absent
    ]


def test_layers_that_a_smaller_model_lacks_leave_their_cells_empty():
    """Of twelve layers to six: 0, 1, 5, 6, 10 and 11 have counterparts."""
    (path,) = tables.find('table5', 'fashion-mnist')
    table = tables.read(path, tables.Protocol('fashion-mnist'))
    taps = {
        cell.row: [term.student for term in cell.setting.cfg.model.terms.values()]
        for cell in table.cells
        if cell.setting and 'terms' in cell.setting.cfg.model
    }
    assert taps['shallow: 5, 6'] == ['backbone.layers.2', 'backbone.layers.3']
    assert taps['deep: 10, 11'] == ['backbone.layers.4', 'backbone.ln1']
    absent = {cell.row: cell.absent for cell in table.cells if cell.absent}
    assert absent == {'shallow: 0 to 6': 'no backbone.layers.2 on fashion-mnist'}
    (path,) = tables.find('table3', 'fashion-mnist')
    table = tables.read(path, tables.Protocol('fashion-mnist'))
    assert table.cells[0].absent == 'Swin-T: not built for this data set'


def test_the_weights_on_imagenet_are_the_papers():
    (path,) = tables.find('table6', 'in1k')
    table = tables.read(path, tables.Protocol('in1k'))
    (cell,) = (c for c in table.cells if (c.row, c.column) == ('both', 'DeiT-S'))
    terms = cell.setting.cfg.model.terms
    weights = {name: term.loss.loss_weight for name, term in terms.items()}
    assert weights == {'mimic0': 3e-5, 'mimic1': 3e-5, 'gen': 3e-6}
    assert cell.setting.cfg.model.teacher.checkpoint.endswith('.pth')
    # the recipe of the student that it is compared with
    assert cell.setting.cfg.model.student == cell.baseline.cfg.model
    assert cell.setting.cfg.optim_wrapper == cell.baseline.cfg.optim_wrapper
    assert cell.setting.cfg.train_dataloader == cell.baseline.cfg.train_dataloader


def test_equal_cells_of_different_tables_are_one_setting():
    protocol = tables.Protocol('digits')
    found = {}
    for name in ('table6', 'table8', 'table11', 'figure5a', 'figure5b'):
        (path,) = tables.find(name, 'digits')
        found[name] = tables.read(path, protocol)

    def setting(name, row, column=''):
        (cell,) = (c for c in found[name].cells if (c.row, c.column) == (row, column))
        return cell.setting

    mimicking = setting('table6', 'mimicking', 'DeiT III-S*')
    assert mimicking == setting('table8', 'linear layer', 'DeiT III-S*')
    assert mimicking == setting('table11', 'mimicking, shallow')
    assert mimicking != setting('table6', 'mimicking', 'DeiT-S')
    vitkd = setting('table6', 'both', 'DeiT III-S*')
    for same in (setting('figure5a', '3e-5'), setting('figure5b', '3e-6')):
        assert same == vitkd
        assert same.folder == vitkd.folder
    baselines = {c.baseline for t in found.values() for c in t.cells}
    assert len(baselines) == 1


def test_names_that_are_not_there_are_answered_with_near_ones():
    with pytest.raises(ValueError, match=r"no table 'tabel5'; did you mean.*table5"):
        tables.find('tabel5', 'digits')
    with pytest.raises(ValueError, match='is for --dataset digits_val'):
        tables.find('search_weights', 'digits')
    for name in ('mnist', 'terms', 'common'):
        with pytest.raises(ValueError, match=f"'{name}' is none of"):
            tables.Protocol(name)


def test_a_data_set_of_ones_own_takes_every_table_that_names_none():
    ours = tables.find('all', 'my_dataset')
    assert ours == tables.find('all', 'in1k')
    assert tables.find('table6', 'my_dataset')[0] in ours
    with pytest.raises(ValueError, match='is for --dataset digits, not my_dataset'):
        tables.find('fitnet-weights', 'my_dataset')


LAYERS = {'last': [], 'last6': range(6, 11), 'all12': range(11)}
SAME_TERMS = {
    'kd/kd': ['kd'],
    'hard_kd/hard-kd': ['hard'],
    'nkd/nkd': ['nkd'],
    'dkd/dkd': ['dkd'],
    'dist/dist': ['dist'],
    'mgd/mgd': ['mgd'],
    **{
        f'fitnet/fitnet-{name}': ['mimic-last', *(f'mimic{i}' for i in layers)]
        for name, layers in LAYERS.items()
    },
    'correlation/correlation': ['correlation0', 'correlation1'],
    'pkd/pkd-last': ['kd', *(f'pkd{i}' for i in range(6, 11))],
    'manifold/manifold': [f'manifold{i}' for i in (0, 1, 2, 3, 8, 9, 10, 11)],
}


@pytest.mark.parametrize('method', SAME_TERMS)
def test_a_tables_terms_are_those_of_the_methods_own_config(method):
    config = CONFIGS / f'{method}_deit-tiny_deit3-small_8xb128_in1k.py'
    theirs = [whole(term) for term in Config.fromfile(config).model.terms.values()]
    named = Config.fromfile(TERMS).named_terms
    for name in SAME_TERMS[method]:
        theirs.remove(whole(named[name]))
    # manifold distillation is used beside KD, at a weight of its own
    assert [term['student'] for term in theirs] in ([], ['head'])


def whole(term: dict) -> dict:
    """Complete a term's loss by the defaults."""
    parameters = inspect.signature(getattr(losses, term['loss']['type'])).parameters
    defaults = {name: one.default for name, one in parameters.items()}
    return {**term, 'loss': {**defaults, **term['loss']}}


@pytest.mark.parametrize(
    ('row', 'message'),
    [
        ({'terms': ['mimic99'], 'teacher': 'DeiT-S'}, "terms.py has no.*'mimic99'"),
        ({'terms': ['gen'], 'teacher': 'DeiT-X'}, "has no 'DeiT-X' among its"),
        ({'terms': ['gen'], 'teacher': 'DeiT-S', 'chnge': {}}, "unknown keys.*'chnge'"),
        (
            {'terms': ['gen'], 'teacher': 'DeiT-S', 'change': {'mimic0.x': 1}},
            'names none of',
        ),
    ],
)
def test_a_row_that_can_not_be_read_is_named(row, message, tmp_path):
    path = write_table(tmp_path / 'bad.py', [{'row': 'my row', **row}], 'DeiT-T')
    with pytest.raises(ValueError, match=rf'bad.py, row my row: .*{message}'):
        tables.read(path, tables.Protocol('digits'))
