"""A comparison of teachers that run with stored outputs of some epochs."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import ConfigDict

from mmvitkd.experiments.comparison.methods import FOLDER, find, read
from mmvitkd.experiments.comparison.plan import Plan

from .comparisons import entry, write_methods
from .in_process import Done, call

LIVE = 'ViTKD + NKD, live teacher'
STORED = {
    **{f'ViTKD + NKD, {n} stored epochs': n for n in (200, 16, 4)},
    'ViTKD + NKD, 1 stored epoch': 1,
}
NAMES = ['student alone', LIVE, *STORED]


@pytest.mark.parametrize(
    ('name', 'chosen_in', 'factor', 'names'),
    [
        (
            'fashion-mnist-stored-epochs',
            'fashion-mnist',
            64,
            [name for name in NAMES if STORED.get(name) != 200],
        ),
        ('stored-epochs', 'methods', 1, NAMES),
    ],
    ids=['fashion-mnist', 'digits'],
)
def test_all_else_is_equal(name, chosen_in, factor, names, tmp_path):
    found = read(find(name))
    assert [*found.methods] == names
    assert (found.baseline, found.to_beat) == (NAMES[0], LIVE)
    _, live, *stored = found.methods.values()
    for method in found.methods.values():
        assert method.stored_epochs == STORED.get(method.name, 0)
    for method in stored:
        assert method.cfg.to_dict() == live.cfg.to_dict()
        assert method.teachers == live.teachers
        assert [*method.differs] == ['stored_epochs']
    # weights and all are those that were chosen on the validation split
    chosen = read(find(chosen_in)).methods['ViTKD + NKD'].setting(factor)
    assert live.setting().key == chosen.key
    settings = {method.setting().key for method in found.methods.values()}
    assert len(settings) == len(names)
    plan = Plan(found, None, 12, 1, tmp_path)
    assert plan.tuning() == []
    assert len(plan.test()) == 1 + len(names) * 12  # the teacher's
    assert [group.name for group in plan.groups()][1:] == names


@pytest.mark.slow
def test_the_plan_lists_them(tmp_path):
    code, said = call(
        'compare', tmp_path, '--methods', 'stored-epochs', '--dry-run',
        '--seeds', 12, '--gpus', 0,
    )  # fmt: skip
    assert code == 0, said
    for name in NAMES:
        (line,) = (x for x in said.splitlines() if x.endswith(f'  {name}'))
        assert line.split()[:3] == ['12', 'of', '12']
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'stored_epochs': 0}, 'must be a whole number above 0, got 0'),
        ({'stored_epochs': 2.5}, 'must be a whole number above 0, got 2.5'),
        (
            {'stored_epochs': 4, 'config': '../digits/digits_student.py'},
            'stored_epochs=4 needs a teacher',
        ),
    ],
)
def test_mistakes_are_named(changes, message, tmp_path):
    config = changes.pop('config', '../digits/vitkd_digits.py')
    one = ConfigDict(name='mine', config=str(FOLDER / config), tuned=[], **changes)
    file = write_methods(tmp_path / 'mine.py', [one.to_dict()])
    with pytest.raises(ValueError, match=f'mine.py, mine: .*{message}'):
        read(file)


OPTIONS = [
    *('--methods', 'mine.py', '--work-dir', 'runs', '--seeds', '1'),
    *('--only', 'live', 'stored', '--rounds', '2', '--gpus', '0'),
]


def compare(folder: Path, **env: str) -> Done:
    return call('compare', folder, *OPTIONS, **env)


@pytest.fixture(scope='module')
def ran(tmp_path_factory):
    """A folder in which the run from stored outputs was killed in its second epoch."""
    folder = tmp_path_factory.mktemp('stored')
    options = {
        'train_dataloader.dataset.num_labels': 50,
        'train_dataloader.batch_size': 10,
        'train_cfg.max_epochs': 5,
        'train_cfg.val_interval': 5,
        'test_dataloader.dataset.indices': 200,
        'default_hooks.checkpoint.interval': 1,
        'default_hooks.check.allow_chance': True,  # of a teacher of few epochs
        'custom_imports': {
            'imports': [
                'tests.test_tools.kill_hook',
                'tests.test_experiments.recorded_epochs',
            ]
        },
    }
    hooks = [{'type': 'KillHook'}, {'type': 'RecordedEpochsHook'}]
    stored = {'name': 'stored', 'stored_epochs': 2, 'options': {'custom_hooks': hooks}}
    taught = entry('live', 'digits/vitkd-nkd_digits.py', tuned=[])
    methods = [taught, {**taught, **stored}]
    file = write_methods(folder / 'mine.py', methods, options)
    text = file.read_text().replace("to_beat = 'KD'", "to_beat = 'live'")
    file.write_text(text.replace("timed_against = 'KD'", "timed_against = 'live'"))
    for teacher in folder.glob('digits_teacher*.py'):
        with open(teacher, 'a') as end:
            end.write('train_cfg = dict(max_epochs=2)\n')
    killed = compare(folder, KILL_BEFORE_ITER='8')
    return folder, killed, compare(folder)


@pytest.mark.slow
def test_epoch_e_reads_stored_epoch_e_mod_n(ran):
    folder, killed, done = ran
    assert killed.code == 1
    assert 'its process ended with code -9' in killed.said
    assert done.code == 0, done.said
    (cache,) = folder.glob('runs/stored-*/seed0/cache')
    assert len([*cache.glob('epoch_*')]) == 2
    stored = []
    for epoch in range(2):
        (shard,) = cache.glob(f'epoch_{epoch:04d}/*.npy')
        stored.append({record.tobytes().hex() for record in np.load(shard)})
    assert len(stored[0] | stored[1]) == 100  # images and augmentations
    for epoch in range(5):
        seen = (cache.parent / f'records_{epoch}.txt').read_text().split()
        assert set(seen) == stored[epoch % 2]
        # an epoch that was killed within is seen from its beginning
        assert len(seen) >= 50
    logs = [file.read_text() for file in cache.parent.glob('*/*.log')]
    assert any('holds 2 epochs, which are now seen again' in log for log in logs)
    assert any('resumed epoch: 1, iter: 5' in log for log in logs)


@pytest.mark.slow
def test_page_and_csv_have_the_rows(ran):
    folder, _, _ = ran
    results = folder / 'runs' / 'results'
    with open(results / 'mine.csv') as file:
        table = {row['method']: row for row in csv.DictReader(file)}
    assert [*table] == ['alone', 'live', 'stored']
    for name, row in table.items():
        (file,) = folder.glob(f'runs/{name}-*/seed0/result.json')
        top1 = json.loads(file.read_text())['top1']
        assert float(row['mean']) == pytest.approx(top1, abs=1e-4)
    assert table['stored']['minus_to_beat'] != ''
    # no step from stored outputs is measured, so none is printed
    assert table['stored']['step_ratio'] == ''
    assert float(table['live']['step_ratio']) == 1
    page = (results / 'mine.md').read_text()
    assert '\n| stored | ViT |' in page
    assert (
        '- stored: the outputs of 2 epochs are stored, and come again in turn for 5'
        in page
    )


@pytest.mark.slow
def test_nothing_runs_again(ran):
    folder, _, _ = ran
    code, said = compare(folder)
    assert code == 0
    assert '0 of 4 runs to do' in said
