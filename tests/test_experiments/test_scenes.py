"""Fine-tunings of students of several seeds, compared, by hand-made values."""

import csv
import json
import shutil
from dataclasses import replace
from statistics import mean

import pytest
import torch
from mmengine.config import Config

from mmvitkd.experiments.comparison.methods import find, read
from mmvitkd.experiments.run import Run, Setting
from mmvitkd.experiments.runs_file import RunsFile
from mmvitkd.experiments.scenes.trainings import (
    INITS,
    STRIDE,
    FineTuning,
    plan,
    students,
)
from mmvitkd.utils.statistics import (
    compare_paired,
    detectable_difference,
    seeds_needed,
)
from tests.shrink import CONFIGS

pytestmark = pytest.mark.onedl_only  # the page's pictures want mmdet's pycocotools

STUDENT = Setting(
    'student', Config({'name': 'student', 'train_cfg': {'max_epochs': 2}})
)
SCENES = {'seed': 0, 'train': 5, 'val': 3}
# box AP by student, a value for each of two fine-tunings
BOX = {
    'scratch': [(30.0, 31.0), (29.0, 33.0), (30.0, 30.0)],
    'plain': [(40.0, 42.0), (44.0, 46.0), (38.0, 40.0)],
    'vitkd': [(42.0, 43.0), (45.0, 48.0), (40.0, 41.0)],
}
MEANS = {init: [mean(pair) for pair in pairs] for init, pairs in BOX.items()}


@pytest.fixture
def runs(tmp_path):
    """Finished runs of three students and two fine-tunings, without a training."""
    found = []
    for init in INITS:
        cfg = Config({'init': init, 'scenes': SCENES})
        begun = {} if init == 'scratch' else {'teacher': STUDENT}
        setting = Setting(f'detection {init}', cfg, begun, own_teachers=True)
        for student, values in enumerate(BOX[init]):
            for again, value in enumerate(values):
                seed = student + again * STRIDE
                run = FineTuning(setting, seed, tmp_path, 'detection', init, tmp_path)
                keep(run, **{'box AP': value, 'mask AP': value - 5})
                found.append(run)
    for seed in range(3):
        keep(Run(STUDENT, seed, tmp_path), top1=80.0 + seed)
    return found


def keep(run: Run, **values: float) -> None:
    run.folder.mkdir(parents=True)
    facts = {'date': '2026-01-01', 'device': 'CPU', 'versions': {}}
    (run.folder / 'result.json').write_text(json.dumps({**values, **facts}))


def rows(runs):
    from mmvitkd.experiments.scenes.page import rows_of

    return {(r.metric, r.init): r for r in rows_of(runs, 2, paired=True)}


def test_a_seed_counts_once(runs):
    """By the mean over its fine-tunings, paired with the baseline's of that seed."""
    found = rows(runs)
    assert [found['box AP', init].values for init in INITS] == [*MEANS.values()]
    by_seed = {init: dict(enumerate(values)) for init, values in MEANS.items()}
    expected = compare_paired(by_seed, by_seed.pop('plain'))
    assert found['box AP', 'vitkd'].difference == expected['vitkd']
    assert expected['vitkd'].value == pytest.approx(5.5 / 3 - 1 / 3)
    assert found['box AP', 'vitkd'].students == [80, 81, 82]
    assert found['box AP', 'scratch'].students == []


def test_students_with_fine_tunings_to_do_do_not_count(runs):
    lacking = next(r for r in runs if (r.init, r.seed) == ('vitkd', 1 + STRIDE))
    shutil.rmtree(lacking.folder)
    found = rows(runs)
    assert found['box AP', 'vitkd'].values == [42.5, 40.5]
    assert found['box AP', 'vitkd'].difference.value == pytest.approx(1.5)
    assert len(found['box AP', 'plain'].values) == 3


def test_finished_fine_tunings_go_on_to_another_machine(runs, tmp_path):
    """The student of a seed that has fine-tunings left brings its weights."""
    from mmvitkd.experiments.scenes.pictures import draw

    students = [Run(STUDENT, seed, tmp_path) for seed in range(3)]
    for student in students:
        weights = {'w': torch.ones(student.seed + 1)}
        torch.save({'state_dict': weights}, student.checkpoint)
    kept = tmp_path / 'kept.jsonl'
    RunsFile(kept).add([*students, *runs])
    there = [replace(run, root=tmp_path / 'second') for run in runs]
    there += [replace(there[-1], seed=2 + 2 * STRIDE)]
    begun = [Run(STUDENT, seed, tmp_path / 'second') for seed in range(3)]
    assert RunsFile(kept).take([*begun, *there]) == 2 + len(runs)
    ours, theirs = rows(runs), rows(there[:-1])
    assert [row.values for row in theirs.values()] == [r.values for r in ours.values()]
    assert theirs['box AP', 'vitkd'].students == [80, 81, 82]
    assert [student.state() for student in begun] == ['done', 'done', 'begun']
    weights = torch.load(begun[2].checkpoint, weights_only=True)['state_dict']
    assert weights['w'].tolist() == [1, 1, 1]
    assert not draw('detection', there, tmp_path / 'detection')  # of no predictions


def test_the_page_says_what_could_be_told(runs, tmp_path):
    from mmvitkd.experiments.scenes.page import write

    found = rows(runs)
    write(found.values(), runs, [], 'compare', tmp_path, 'fashion-mnist', True)
    page = (tmp_path / 'downstream-fashion-mnist.md').read_text()
    power = page.partition('## Power')[2]
    told = found['box AP', 'vitkd'].difference.detectable
    line = next(one for one in power.splitlines() if one.startswith('| box AP'))
    cells = [cell.strip() for cell in line.strip('|').split('|')]
    # the baseline's means 41, 45 and 39 have variance 28/3, each pair one of 2
    assert cells[:3] == ['box AP', f'{told:.2f}', '3']
    assert cells[4:] == [f'{(28 / 3 - 1) ** 0.5:.2f}', f'{2**0.5:.2f}']
    assert int(cells[3]) > 3
    folder = tmp_path / 'downstream-fashion-mnist'
    lines = [*csv.DictReader((folder / 'runs.csv').open())]
    single = {
        (one['init'], int(one['student']), int(one['fine_tuning'])): float(one['value'])
        for one in lines
        if one['metric'] == 'box AP'
    }
    assert single == {
        (init, student, again): value
        for init, pairs in BOX.items()
        for student, pair in enumerate(pairs)
        for again, value in enumerate(pair)
    }


def test_the_baseline_alone_says_how_many_seeds_its_spread_asks_for(runs, tmp_path):
    """As if the students of a seed had nothing in common."""
    from mmvitkd.experiments.scenes.page import rows_of, write

    mine = [run for run in runs if run.init == 'plain']
    found = rows_of(mine, 2, paired=True)
    write(found, mine, [], 'compare', tmp_path, 'fashion-mnist', True)
    page = (tmp_path / 'downstream-fashion-mnist.md').read_text()
    assert 'Nothing is compared.' in page
    power = page.partition('## Power')[2]
    line = next(one for one in power.splitlines() if one.startswith('| box AP'))
    told, seeds, needed = line.strip('| ').split(' | ')[1:4]
    spread = (28 / 3) ** 0.5  # of the means 41, 45 and 39
    assert (told, seeds) == (f'{detectable_difference(3, spread, 2):.2f}', '3')
    assert int(needed) == seeds_needed(1, spread, 2)


@pytest.mark.parametrize('dataset', ['digits', 'fashion-mnist'])
def test_no_two_students_share_a_fine_tunings_seed(dataset, tmp_path):
    summary = {**SCENES, 'dataset': dataset, 'tuning': False}
    if dataset == 'digits':  # as scenes were drawn before there were others
        summary = SCENES
    (tmp_path / 'scenes.json').write_text(json.dumps(summary))
    found = plan(['detection'], 3, 2, tmp_path, tmp_path, None)
    assert len(found) == 3 * 2 * 3
    for init in INITS:
        mine = {run.seed: run for run in found if run.init == init}
        assert sorted(mine) == [0, 1, 2, 1000, 1001, 1002]
        for seed, run in mine.items():
            students = [*run.teachers.values()]
            assert [one.seed for one in students] == [seed % 1000] * (init != 'scratch')
    plain, vitkd = (
        next(run for run in found if (run.init, run.seed) == (init, 1002))
        for init in ('plain', 'vitkd')
    )
    assert vitkd.name == 'detection vitkd, seed 2, fine-tuning 1'
    ours = vitkd.config()
    student = plain.teachers['teacher']
    assert plain.config().model.backbone.init_cfg.checkpoint == str(student.checkpoint)
    assert student.setting.name == f'{dataset} student'
    assert ours.randomness.seed == plain.config().randomness.seed == 1002
    # both students under the same teacher, of whatever seed they are
    (teacher,) = vitkd.teachers['teacher'].teachers.values()
    assert (teacher.setting.name, teacher.seed) == (f'{dataset} teacher', 0)


def test_vitkd_has_the_weights_that_the_comparison_chose():
    with open(CONFIGS.parent / 'results/fashion-mnist/fashion-mnist.csv') as file:
        (row,) = (one for one in csv.DictReader(file) if one['method'] == 'ViTKD')
    compared = read(find('fashion-mnist')).methods['ViTKD']
    chosen = compared.setting(float(row['factor'])).cfg.model.terms
    own = students('fashion-mnist', None)['vitkd']['teacher'].cfg.model.terms
    assert own.keys() == chosen.keys()
    for name, term in own.items():
        weight = term.loss.pop('loss_weight')
        assert weight == pytest.approx(chosen[name].loss.pop('loss_weight'))
        assert term == chosen[name]
