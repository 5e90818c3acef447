"""The tables of configs/ablations, and the tool that runs them."""

import csv
import inspect
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mmengine.config import Config

from mmvitkd.models import losses
from mmvitkd.utils.run_lock import lock_dir
from tests.helpers import build
from tests.shrink import CONFIGS, shrink

ROOT = CONFIGS.parent
TERMS = CONFIGS / 'ablations' / '_base_' / 'terms.py'
TABLES = sorted(p.stem for p in (CONFIGS / 'ablations').glob('*.py'))


@pytest.fixture
def tables(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / 'tools'))
    from ablation_lib import tables

    return tables


@pytest.fixture
def results(tables):
    from ablation_lib import results

    return results


# ----------------------------------------------------------------------- statistics

STEADY = [86.0, 86.2, 85.8]
WIDE = [90.0, 80.0, 85.0, 78.0, 88.0, 84.0, 79.0, 87.0, 83.0, 81.0, 86.0, 77.0]
THREE = [90.0, 84.0, 93.0]
NARROW = [84.0, 85.0, 83.0, 84.5, 83.5, 84.0, 85.5, 82.5, 84.0, 84.5, 83.5, 84.0]


def test_the_test_is_welchs(results):
    """Where Student's, which pools the variances, says the opposite."""
    assert results.within_noise(THREE, NARROW) is True  # p 0.20; Student's 0.002
    assert results.within_noise(STEADY, WIDE) is False  # p 0.04; Student's 0.28
    assert results.within_noise([90.0], WIDE) is None


def test_the_spread_is_the_standard_deviation_of_a_sample(results):
    """By hand: squares of 1, -5 and 4 add up to 42, half of which is 4.58 squared."""
    assert results.spread(THREE) == '89.0 ± 4.6'
    assert results.spread(THREE, 2) == '89.00 ± 4.58'
    assert results.spread([89.0]) == '89.0'


# ------------------------------------------------------------ the tables themselves


def test_every_table_of_the_paper_is_there():
    topics = {name.partition('_')[0] for name in TABLES}
    numbers = (1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13)
    assert topics >= {f'table{n}' for n in numbers}
    assert topics >= {'figure3', 'figure5a', 'figure5b', 'plan1', 'plan2', 'plan3'}


@pytest.mark.parametrize('dataset', ['digits', 'in1k'])
@pytest.mark.parametrize(
    'name', [n for n in TABLES if n not in ('search_weights', 'fitnet-weights')]
)
def test_every_cell_builds_a_model(name, dataset, tables, tmp_path):
    """On ImageNet with shrunken models; terms, taps and teachers as they are."""
    (path,) = tables.find(name, dataset)
    table = tables.read(path, tables.Protocol(dataset))
    for i, setting in enumerate(table.settings):
        cfg = tables.Run(setting, 0, tmp_path).config()
        if dataset == 'in1k':
            (tmp_path / str(i)).mkdir()
            cfg = shrink(cfg, tmp_path / str(i))
        model = build({**cfg.model, 'data_preprocessor': cfg.data_preprocessor})
        assert list(getattr(model, 'terms', ())) == list(cfg.model.get('terms', ()))
    assert [c for c in table.cells if c.setting is None] == [
        c for c in table.cells if c.absent
    ]


def test_the_weights_on_imagenet_are_the_papers(tables):
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


def test_equal_cells_of_different_tables_are_one_setting(tables):
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


def test_names_that_are_not_there_are_answered_with_near_ones(tables):
    with pytest.raises(ValueError, match=r"no table 'tabel5'; did you mean.*table5"):
        tables.find('tabel5', 'digits')
    with pytest.raises(ValueError, match='is for --dataset digits_val'):
        tables.find('search_weights', 'digits')
    for name in ('mnist', 'terms', 'common'):
        with pytest.raises(ValueError, match=f"'{name}' is none of"):
            tables.Protocol(name)


def test_a_data_set_of_ones_own_takes_every_table_that_names_none(tables):
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
def test_a_row_that_can_not_be_read_is_named(row, message, tables, tmp_path):
    path = write_table(tmp_path / 'bad.py', [{'row': 'my row', **row}], 'DeiT-T')
    with pytest.raises(ValueError, match=rf'bad.py, row my row: .*{message}'):
        tables.read(path, tables.Protocol('digits'))


# --------------------------------------------------------------- numbers and noise


def line(results, tables, ours, alone, paper=None, is_baseline=False):
    one, other = (
        tables.Setting(name, Config({'name': name})) for name in ('alone', 'taught')
    )
    cell = tables.Cell('a', '', one if is_baseline else other, one, paper=paper)
    sides = [
        results.Measured(seeds=list(values), top1=list(values.values()))
        for values in (dict(enumerate(ours)), dict(enumerate(alone)))
    ]
    return results.Line(cell, *sides)


def test_difference_and_noise_by_hand(results, tables):
    """Means 2 and 5, both of variance 1: t = 3 / sqrt(2/3) = 3.67, df = 4, p = 0.021;
    means 2 and 3: t = 1.22, p = 0.29."""
    clear = line(results, tables, [4.0, 5.0, 6.0], [1.0, 2.0, 3.0])
    assert clear.difference == pytest.approx(3)
    assert clear.is_noise is False
    noisy = line(results, tables, [2.0, 3.0, 4.0], [1.0, 2.0, 3.0])
    assert noisy.difference == pytest.approx(1)
    assert noisy.is_noise is True


def test_more_seeds_of_the_baseline_tell_more(results, tables):
    """Spread 5 of three seeds hides a difference of 8; of twelve seeds it does not."""
    few, many = [77.0, 82.0, 87.0], [77.0, 82.0, 87.0] * 4
    assert line(results, tables, [90.0, 90.2, 89.8], few).is_noise is True
    assert line(results, tables, [90.0, 90.2, 89.8], many).is_noise is False


def test_equal_runs_are_noise_and_one_seed_says_nothing_of_it(results, tables):
    assert line(results, tables, [1.0, 1.0], [1.0, 1.0]).is_noise is True
    single = line(results, tables, [9.0], [1.0, 2.0, 3.0])
    assert single.difference == pytest.approx(7)
    assert single.is_noise is None


def test_disagreement_with_the_paper_is_said(results, tables):
    base = line(results, tables, [1.0, 2.0, 3.0], [1.0, 2.0, 3.0], 70.0, True)
    for ours, paper, verdict in (
        ([4.0, 5.0, 6.0], 71.0, 'yes'),
        ([4.0, 5.0, 6.0], 69.0, '**no**'),
        ([2.0, 3.0, 4.0], 69.0, 'not told apart'),
        ([4.0, 5.0, 6.0], None, ''),
        ([], 71.0, ''),
    ):
        mine = line(results, tables, ours, [1.0, 2.0, 3.0], paper)
        assert results.agreement(mine, [base, mine]) == verdict


# ---------------------------------------------------------------------- real runs


def write_table(path: Path, rows: list[dict], student: str, **extra) -> Path:
    lines = [f'_base_ = {str(TERMS)!r}', 'title = "mine"', f'student = {student!r}']
    lines += [f'{key} = {value!r}' for key, value in {**extra, 'rows': rows}.items()]
    path.write_text('\n'.join(lines))
    return path


def write_dataset(path: Path) -> Path:
    """Models of three layers and a few images; two epochs for a student."""
    vit = {
        'model.backbone.arch': {
            'embed_dims': 16,
            'num_layers': 3,
            'num_heads': 2,
            'feedforward_channels': 32,
        },
        'model.head.in_channels': 16,
    }
    options = {
        'train_dataloader.dataset.num_labels': 50,
        'train_dataloader.batch_size': 10,
        'train_cfg.max_epochs': 2,
        'train_cfg.val_interval': 2,
        'default_hooks.checkpoint.interval': 1,
        'test_dataloader.dataset.indices': 200,
        'test_evaluator': [
            {'type': 'Accuracy', 'topk': (1, 5)},
            {'type': 'mmvitkd.NegativeLogLikelihood'},
        ],
        'custom_imports': {'imports': ['tests.test_tools.kill_hook']},
        'custom_hooks': [{'type': 'KillHook'}],
    }
    digits = CONFIGS / 'digits'
    teacher = {'train': str(digits / 'digits_teacher.py'), 'options': vit}
    broken = {**vit, 'model.backbone.patch_size': 'eight'}
    student = {'config': str(digits / 'digits_student.py'), 'options': vit}
    path.write_text(
        f'options = {options!r}\n'
        f'students = dict(S={student!r})\n'
        f'teachers = dict(T={teacher!r}, Broken={ {**teacher, "options": broken}!r})\n'
        'weight_factors = dict(mimic=100, gen=100)\n'
    )
    return path


def ablate(folder: Path, *args, **env) -> subprocess.CompletedProcess:
    return subprocess.run(
        [
            sys.executable,
            ROOT / 'tools' / 'ablate.py',
            *map(str, args),
            *('--dataset', folder / 'tiny.py', '--work-dir', folder / 'work'),
            *('--gpus', '0'),
        ],
        cwd=folder,
        env={**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1', **env},
        capture_output=True,
        text=True,
        timeout=400,
    )


ROWS = [
    {'row': 'baseline', 'terms': [], 'paper': 70.0},
    {'row': 'mimicking', 'terms': ['mimic0'], 'teacher': 'T', 'paper': 71.5},
    {
        'row': 'impossible',
        'terms': ['gen'],
        'teacher': 'T',
        'change': {'gen.neck.mask_ratio': 2.0},
        'paper': 72.0,
    },
    {'row': 'badly taught', 'terms': ['gen'], 'teacher': 'Broken'},
    {'row': 'elsewhere', 'absent': 'not implemented', 'paper': 73.0},
]


@pytest.fixture(scope='module')
def ran(tmp_path_factory):
    """A folder in which a table of two seeds was run, and what was printed."""
    folder = tmp_path_factory.mktemp('ablate')
    write_dataset(folder / 'tiny.py')
    write_table(folder / 'first.py', ROWS, 'S')
    dry = ablate(folder, 'first.py', '--seeds', 2, '--dry-run')
    assert not (folder / 'work').exists()
    return folder, dry, ablate(folder, 'first.py', '--seeds', 2, '--jobs', 2)


def finished(folder: Path) -> dict[str, dict]:
    """What every finished run measured, by what was trained, and the seed."""
    found = {}
    for file in folder.glob('work/tiny/*/seed*/result.json'):
        cfg = Config.fromfile(file.parent / 'config.json')
        alone = 'teacher' if cfg.optim_wrapper.optimizer.lr == 2e-3 else 'alone'
        name = '+'.join(cfg.model.get('terms', ())) or alone
        found[f'{name} {file.parent.name}'] = json.loads(file.read_text())
    return found


def cells(folder: Path, table: str = 'first') -> dict[str, dict]:
    with open(folder / 'work' / 'tiny' / 'results' / f'{table}.csv') as file:
        return {row['row']: row for row in csv.DictReader(file)}


def test_dry_run_lists_the_runs_and_about_how_long(ran):
    _, dry, _ = ran
    assert dry.returncode == 0, dry.stderr
    lines = [line for line in dry.stdout.splitlines() if line.startswith('new')]
    assert len([line for line in lines if 'S: alone' in line]) == 2
    assert len([line for line in lines if 'teacher T' in line]) == 1
    assert all(' s ' in line for line in lines if 'S: mimic0, T' in line)
    assert 'no estimate for teacher Broken: ' in dry.stdout
    assert '10 of 10 runs to do; training takes about' in dry.stdout


def test_what_can_run_is_measured(ran):
    folder, _, done = ran
    runs = finished(folder)
    names = {'alone', 'mimic0'}
    assert set(runs) == {f'{n} seed{s}' for n in names for s in (0, 1)} | {
        'teacher seed0'
    }
    for run in runs.values():
        assert 0 < run['top1'] < 100
        assert run['top1'] <= run['top5']
        assert run['nll'] > 0
    assert done.returncode == 1


def test_a_failed_run_leaves_its_reason_in_its_cell(ran):
    folder, _, done = ran
    page = (folder / 'work' / 'tiny' / 'results' / 'first.md').read_text()
    (row,) = (line for line in page.splitlines() if line.startswith('| impossible'))
    assert 'seed 0 failed' in row
    assert 'mask_ratio must be in [0, 1), got 2.0' in row
    (row,) = (line for line in page.splitlines() if line.startswith('| badly'))
    assert 'its teacher failed' in row
    assert 'failed: S: gen gen.mask_ratio=2.0, T, seed 0' in done.stdout


def test_a_page_tells_its_command_and_its_weights(ran):
    folder, _, _ = ran
    page = (folder / 'work' / 'tiny' / 'results' / 'first.md').read_text()
    data = folder / 'tiny.py'
    assert f'`python tools/ablate.py first.py --dataset {data} --seeds 2`; ' in page
    assert 'multiplied here: gen 100, mimic 100.' in page


def test_a_reason_of_several_lines_stays_in_its_cell(tables, tmp_path):
    from ablation_lib import runs

    run = tables.Run(tables.Setting('a', Config({})), 0, tmp_path)
    runs._fail(run, 'does not fit:\n  missing: x\n  left over: ' + 'y ' * 999)
    reason = runs.failure(run)
    assert reason.startswith('does not fit: missing: x left over: y')
    assert len(reason) <= 300


def test_a_run_that_is_ended_ends_what_it_started(tables, tmp_path):
    """As torchrun, which a run on several GPUs starts."""
    from ablation_lib import runs

    script = f'echo $$ > {tmp_path}/pid; mv {tmp_path}/pid {tmp_path}/begun; sleep 100'
    process = runs.FORK.Process(target=runs._call, args=(['bash', '-c', script],))
    process.start()
    begun = tmp_path / 'begun'
    while not begun.is_file():
        time.sleep(0.05)
    process.terminate()
    process.join(20)
    assert process.exitcode == 1
    with pytest.raises(ProcessLookupError):
        os.kill(int(begun.read_text()), 0)


def test_cells_hold_what_was_measured_and_nothing_else(ran):
    folder, _, _ = ran
    runs, found = finished(folder), cells(folder)
    ours = [runs[f'mimic0 seed{s}']['top1'] for s in (0, 1)]
    alone = [runs[f'alone seed{s}']['top1'] for s in (0, 1)]
    row = found['mimicking']
    assert float(row['mean']) == pytest.approx(sum(ours) / 2, abs=1e-3)
    assert float(row['difference']) == pytest.approx(
        (sum(ours) - sum(alone)) / 2, abs=1e-3
    )
    assert float(row['paper_difference']) == pytest.approx(1.5)
    for name in ('impossible', 'badly taught', 'elsewhere'):
        assert found[name]['mean'] == found[name]['difference'] == ''
        assert found[name]['seeds'] == '0'
    assert found['elsewhere']['failures'] == 'not implemented'
    for suffix in ('svg', 'png'):
        plot = folder / 'work' / 'tiny' / 'results' / f'first.{suffix}'
        assert plot.stat().st_size > 5000


def test_another_table_shares_baseline_and_teacher_and_goes_on_after_a_kill(ran):
    """A run that SIGKILL ended before its sixth step goes on from its first epoch."""
    folder, _, _ = ran
    before = {p: p.stat().st_mtime_ns for p in folder.glob('work/tiny/*/*/result.json')}
    rows = [ROWS[0], {'row': 'gen', 'terms': ['gen'], 'teacher': 'T'}]
    write_table(folder / 'second.py', rows, 'S')
    killed = ablate(folder, 'second.py', '--seeds', 1, KILL_BEFORE_ITER='6')
    assert killed.returncode == 1
    assert '1 of 3 runs to do; training takes about' in killed.stdout
    assert 'its process ended with code -9' in killed.stdout
    assert cells(folder, 'second')['gen']['mean'] == ''

    again = ablate(folder, 'second.py', '--seeds', 1)
    assert again.returncode == 0, again.stdout + again.stderr
    assert cells(folder, 'second')['gen']['mean'] != ''
    (done,) = folder.glob('work/tiny/S-gen-T-*/seed0/result.json')
    log = done.with_name('console.log').read_text()
    assert 'epoch_1.pth' in log.split("resuming from '")[1].split("'")[0]
    assert before == {p: p.stat().st_mtime_ns for p in before}


def test_the_students_alone_may_have_more_seeds(ran):
    folder, _, _ = ran
    rows = [ROWS[0], {'row': 'mimicking', 'terms': ['mimic0'], 'teacher': 'T'}]
    write_table(folder / 'third.py', rows, 'S')
    done = ablate(folder, 'third.py', '--seeds', 1, '--baseline-seeds', 3)
    assert done.returncode == 0, done.stdout + done.stderr
    found = cells(folder, 'third')
    assert [found[row]['seeds'] for row in ('baseline', 'mimicking')] == ['3', '1']
    page = (folder / 'work' / 'tiny' / 'results' / 'third.md').read_text()
    assert '--seeds 1 --baseline-seeds 3`; ' in page
    assert float(found['mimicking']['baseline_mean']) == float(
        found['baseline']['mean']
    )


def test_a_second_call_on_the_same_folder_is_refused(ran):
    folder, _, _ = ran
    with lock_dir(folder / 'work' / 'tiny'):
        refused = ablate(folder, 'first.py', '--seeds', 1)
        written = ablate(folder, 'first.py', '--seeds', 1, '--report-only')
    assert 'first.md' in written.stdout
    assert refused.returncode == 1
    assert refused.stderr.strip().splitlines()[-1].startswith('error: another run')


def test_epochs_are_timed_side_by_side(ran):
    folder, _, _ = ran
    rows = [
        {'row': 'baseline', 'terms': []},
        {'row': 'gen', 'terms': ['gen'], 'teacher': 'T', 'paper_minutes': 7.6},
    ]
    write_table(folder / 'timed.py', rows, 'S', time_an_epoch=True)
    done = ablate(folder, 'timed.py', '--seeds', 1)
    assert done.returncode == 0, done.stdout + done.stderr
    found = cells(folder, 'timed')
    assert all(float(row['seconds_an_epoch']) > 0 for row in found.values())
    assert float(found['gen']['ratio']) == 1
    times = {row: float(found[row]['seconds_an_epoch']) for row in found}
    written = ablate(folder, 'timed.py', '--seeds', 1, '--report-only')
    assert written.returncode == 0, written.stderr
    again = cells(folder, 'timed')
    assert {row: float(again[row]['seconds_an_epoch']) for row in again} == times
    assert float(found['baseline']['ratio']) != 1
