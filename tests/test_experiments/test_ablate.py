"""``python -m mmvitkd ablate``: tables that are run for real."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from mmvitkd.utils.run_lock import lock_dir

from .in_process import Done, call
from .tiny import write_dataset, write_table

pytestmark = pytest.mark.slow


def ablate(folder: Path, *args, **env) -> Done:
    data = ('--dataset', folder / 'tiny.py', '--work-dir', folder / 'work')
    return call('ablate', folder, *args, *data, '--gpus', '0', **env)


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
    assert dry.code == 0, dry.said
    lines = {line.split('  ')[-1].strip(): line for line in dry.said.splitlines()}
    assert lines['S: alone'].startswith('  2 of 2 runs to do, about ')
    assert lines['teacher T'].startswith('  1 of 1 runs to do, about ')
    assert 's each' in lines['S: mimic0, T']
    assert 'no estimate: ' in lines['teacher Broken']
    assert '10 of 10 runs to do; training takes about' in dry.said


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
        assert 0 < run['ece'] < 100
        kinds = [value for key, value in run.items() if key.startswith('corrupted/')]
        assert run['corrupted'] == pytest.approx(sum(kinds) / 6)
        assert len(kinds) == 6
    assert done.code == 1


def test_students_are_compared_with_their_teacher(ran):
    folder, _, _ = ran
    kept = {file.parent: np.load(file) for file in folder.glob('work/*/*/*/labels.npy')}
    assert len(kept) == 5
    for run, (predicted, labels) in kept.items():
        result = json.loads((run / 'result.json').read_text())
        assert result['top1'] == pytest.approx(100 * np.mean(predicted == labels))
        expected = None
        if teacher := Config.fromfile(run / 'config.json').model.get('teacher'):
            theirs = kept[Path(teacher.checkpoint).parent][0]
            expected = pytest.approx(100 * np.mean(predicted == theirs))
        assert result['agreement'] == expected
    row, columns = cells(folder)['mimicking'], ('ece', 'agreement', 'corrupted')
    assert all(0 <= float(row[f'{name}_mean']) < 100 for name in columns)
    page = (folder / 'work' / 'tiny' / 'results' / 'first.md').read_text()
    assert '| NLL | ECE | agreement | corrupted |' in page
    assert 'accuracies under the corruptions' in page


def test_a_failed_run_leaves_its_reason_in_its_cell(ran):
    folder, _, done = ran
    page = (folder / 'work' / 'tiny' / 'results' / 'first.md').read_text()
    (row,) = (line for line in page.splitlines() if line.startswith('| impossible'))
    assert 'seed 0 failed' in row
    assert 'mask_ratio must be in [0, 1), got 2.0' in row
    (row,) = (line for line in page.splitlines() if line.startswith('| badly'))
    assert 'its teacher failed' in row
    assert 'failed: S: gen gen.mask_ratio=2.0, T, seed 0' in done.said


def test_another_machine_goes_on_from_a_file(tmp_path):
    """What the file has is not trained, and the page is the same."""
    write_dataset(tmp_path / 'tiny.py')
    write_table(tmp_path / 'first.py', ROWS[:2], 'S')
    file = ('--runs', 'kept/runs.jsonl')
    assert ablate(tmp_path, 'first.py', '--seeds', 1, *file).code == 0
    before = cells(tmp_path), finished(tmp_path)
    (tmp_path / 'work').rename(tmp_path / 'lost')
    done = ablate(tmp_path, 'first.py', '--seeds', 1, *file)
    assert '3 runs are finished by kept/runs.jsonl' in done.said
    assert '0 of 3 runs to do' in done.said
    assert not [*tmp_path.glob('work/**/*.pth')]
    assert cells(tmp_path) == before[0]
    ablate(tmp_path, 'first.py', '--seeds', 2, *file)
    trained = {path.parent.name for path in tmp_path.glob('work/*/S*/*/epoch_2.pth')}
    assert trained == {'seed1'}
    assert not [*tmp_path.glob('work/*/*/*/epoch_1.pth')]
    assert cells(tmp_path)['mimicking']['seeds'] == '2'
    lines = (tmp_path / 'kept' / 'runs.jsonl').read_text().splitlines()
    kept = {one['run']: one for one in map(json.loads, lines)}
    assert len(kept) == 5  # the first machine's teacher is among them
    for name in filter(lambda name: 'mimic0' in name, kept):
        assert 0 <= kept[name]['agreement'] <= 100  # None without its predictions
        teacher = next(iter(kept[name]['teachers'].values()))
        assert teacher == before[1]['teacher seed0']['top1']


def test_a_page_tells_its_command_and_its_weights(ran):
    folder, _, _ = ran
    page = (folder / 'work' / 'tiny' / 'results' / 'first.md').read_text()
    data = folder / 'tiny.py'
    assert f'`python -m mmvitkd ablate first.py --dataset {data} --seeds 2`; ' in page
    assert 'multiplied here: gen 100, mimic 100.' in page


def test_cells_hold_what_was_measured_and_nothing_else(ran):
    folder, _, _ = ran
    runs, found = finished(folder), cells(folder)
    ours = [runs[f'mimic0 seed{s}']['top1'] for s in (0, 1)]
    alone = [runs[f'alone seed{s}']['top1'] for s in (0, 1)]
    row = found['mimicking']
    assert float(row['mean']) == pytest.approx(sum(ours) / 2, abs=1e-3)
    assert float(row['minus_baseline']) == pytest.approx(
        (sum(ours) - sum(alone)) / 2, abs=1e-3
    )
    assert float(row['paper_difference']) == pytest.approx(1.5)
    for name in ('impossible', 'badly taught', 'elsewhere'):
        assert found[name]['mean'] == found[name]['minus_baseline'] == ''
        assert found[name]['seeds'] == '0'
    assert found['elsewhere']['failures'] == 'not implemented'
    for suffix in ('svg', 'png'):
        plot = folder / 'work' / 'tiny' / 'results' / f'first.{suffix}'
        assert plot.stat().st_size > 5000
    latex = (folder / 'work' / 'tiny' / 'results' / 'first.tex').read_text()
    assert '\\begin{tabular}' in latex
    assert f'{sum(alone) / 2:.1f} $\\pm$' in latex


def test_another_table_shares_baseline_and_teacher_and_goes_on_after_a_kill(ran):
    """A run that SIGKILL ended before its sixth step goes on from its first epoch."""
    folder, _, _ = ran
    before = {p: p.stat().st_mtime_ns for p in folder.glob('work/tiny/*/*/result.json')}
    rows = [ROWS[0], {'row': 'gen', 'terms': ['gen'], 'teacher': 'T'}]
    write_table(folder / 'second.py', rows, 'S')
    killed = ablate(folder, 'second.py', '--seeds', 1, KILL_BEFORE_ITER='6')
    assert killed.code == 1
    assert '1 of 3 runs to do; training takes about' in killed.said
    assert 'its process ended with code -9' in killed.said
    assert cells(folder, 'second')['gen']['mean'] == ''

    again = ablate(folder, 'second.py', '--seeds', 1)
    assert again.code == 0, again.said
    assert cells(folder, 'second')['gen']['mean'] != ''
    (done,) = folder.glob('work/tiny/S-gen-T-*/seed0/result.json')
    logs = ''.join(log.read_text() for log in done.parent.glob('*/*.log'))
    assert 'resumed epoch: 1, iter: 5' in logs
    assert before == {p: p.stat().st_mtime_ns for p in before}


def test_the_students_alone_may_have_more_seeds(ran):
    folder, _, _ = ran
    rows = [ROWS[0], {'row': 'mimicking', 'terms': ['mimic0'], 'teacher': 'T'}]
    write_table(folder / 'third.py', rows, 'S')
    done = ablate(folder, 'third.py', '--seeds', 1, '--baseline-seeds', 3)
    assert done.code == 0, done.said
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
    assert 'first.md' in written.said
    assert refused.code == 1
    assert refused.said.startswith('error: another run')


def test_epochs_are_timed_side_by_side(ran):
    folder, _, _ = ran
    rows = [
        {'row': 'baseline', 'terms': []},
        {'row': 'gen', 'terms': ['gen'], 'teacher': 'T', 'paper_minutes': 7.6},
    ]
    write_table(folder / 'timed.py', rows, 'S', time_an_epoch=True)
    done = ablate(folder, 'timed.py', '--seeds', 1)
    assert done.code == 0, done.said
    found = cells(folder, 'timed')
    assert all(float(row['seconds_an_epoch']) > 0 for row in found.values())
    assert float(found['gen']['ratio']) == 1
    times = {row: float(found[row]['seconds_an_epoch']) for row in found}
    written = ablate(folder, 'timed.py', '--seeds', 1, '--report-only')
    assert written.code == 0, written.said
    again = cells(folder, 'timed')
    assert {row: float(again[row]['seconds_an_epoch']) for row in again} == times
    assert float(found['baseline']['ratio']) != 1
