"""The report of small real runs: what it reads and what it says."""

import json
import shutil
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from mmvitkd.reporting import curves, groups
from mmvitkd.reporting.runs import Run, find_runs
from tests.helpers import build, vit
from tests.test_tools.reports import last_accuracy, rows
from tests.test_tools.runs import config, kill, message, run

# --------------------------------------------------------------- what it says


def test_numbers_are_those_of_the_logs(runs, report):
    found = {row['run']: row for row in rows(report, 'summary')}
    assert set(found) == {'alone', 'big', 'taught'}
    taught = mean(last_accuracy(runs / f'taught/seed{seed}') for seed in (0, 1))
    alone = last_accuracy(runs / 'alone')
    assert float(found['taught']['last']) == pytest.approx(taught)
    assert float(found['alone']['last']) == pytest.approx(alone)
    assert float(found['taught']['vs. baseline']) == pytest.approx(taught - alone)
    assert {name: row['method'] for name, row in found.items()} == {
        'alone': 'baseline',
        'big': 'teacher',
        'taught': 'gen + mimic0 + nkd',
    }
    assert {row['state'] for row in found.values()} == {'finished'}


def test_parameters_are_the_models_own(report):
    found = {row['run']: row for row in rows(report, 'summary')}
    for name, width in (('alone', 16), ('taught', 16), ('big', 24)):
        model = build(vit(width))
        size = sum(parameter.numel() for parameter in model.parameters())
        assert int(found[name]['parameters']) == size
    assert int(found['taught']['necks']) > 0
    assert found['alone']['necks'] == ''


def test_answers_are_those_that_the_runs_were_validated_by(runs, report):
    found = {row['student']: row for row in rows(report, 'agreement')}
    for name, folder in (('alone', 'alone'), ('taught', None)):
        folders = [folder] if folder else ['taught/seed0', 'taught/seed1']
        best = max(last_accuracy(runs / one) for one in folders)
        assert float(found[name]['right']) == pytest.approx(best, abs=1e-3)
    for row in found.values():
        parts = ('both right', 'only teacher', 'only student', 'neither')
        assert sum(float(row[part]) for part in parts) == pytest.approx(100)
        assert float(row['both right']) <= float(row['same answer'])


def test_settings_that_differ_are_named_and_no_others(report):
    found = {row['setting']: row for row in rows(report, 'settings-big')}
    assert set(found) == {
        'model.student.backbone.arch.embed_dims',
        'model.student.backbone.arch.feedforward_channels',
        'model.student.head.in_channels',
    }
    width = found['model.student.backbone.arch.embed_dims']
    assert (width['there'], width['here']) == ('16', '24')


def test_an_unfinished_run_is_told_from_a_finished_one(runs, tmp_path):
    """Killed while it wrote its log, before its first checkpoint."""
    for name in ('cut', 'empty', 'failed'):
        shutil.copytree(runs / 'taught/seed0', tmp_path / 'runs' / name)
        (tmp_path / 'runs' / name / 'last_checkpoint').unlink()
        for file in (tmp_path / 'runs' / name).glob('*.pth'):
            file.unlink()
    for name in ('empty', 'failed'):
        (scalars,) = (tmp_path / 'runs' / name).glob('*/vis_data/scalars.json')
        scalars.write_text('')
    (scalars,) = (tmp_path / 'runs' / 'cut').glob('*/vis_data/scalars.json')
    first = scalars.read_text().splitlines()[0]
    scalars.write_text(first + '\n' + first[:20])
    (tmp_path / 'runs' / 'failed' / 'failure.txt').write_text('ValueError: no luck\n')

    page = tmp_path / 'report.html'
    run('report', tmp_path / 'runs', '--out', page, '--csv', tmp_path / 'csv')
    found = {row['run']: row['state'] for row in rows(page, 'runs')}
    assert found == {
        'cut': 'unfinished: epoch 1 of 2',
        'empty': 'unfinished: nothing was logged',
        'failed': 'failed: ValueError: no luck (nothing was logged)',
    }
    text = page.read_text()
    assert '1 lines of its log are broken and left out' in text
    assert 'No run has a checkpoint' in text


def test_a_run_killed_in_its_last_validation_is_not_finished(tmp_path):
    cfg = config(tmp_path)
    kill(8, cfg, '--work-dir', tmp_path / 'run', at='KILL_IN_VALIDATION')
    assert (tmp_path / 'run' / 'epoch_2.pth').exists()
    read = [Run(tmp_path / 'run', 'run').state]
    run('train', cfg, '--work-dir', tmp_path / 'run', '--resume')
    read += [Run(tmp_path / 'run', 'run').state]
    run('train', cfg, '--work-dir', tmp_path / 'blind', '--no-validate')
    read += [Run(tmp_path / 'blind', 'blind').state]
    assert read == [
        'unfinished: killed before its last validation (epoch 2 of 2)',
        'finished',
        'finished',
    ]


def test_a_teacher_is_found_where_work_dirs_moved_together(runs, tmp_path):
    moved = tmp_path / 'moved'
    shutil.copytree(runs, moved)
    (config,) = (moved / 'taught/seed0').glob('*/vis_data/config.py')
    config.write_text(config.read_text().replace(str(runs), '/elsewhere/runs'))
    (one,) = [r for r in find_runs([moved]) if r.name == 'taught/seed0']
    checkpoint = one.cfg.model.teacher.checkpoint
    assert checkpoint == '/elsewhere/runs/big/epoch_2.pth'
    assert groups.find_weights(one, checkpoint) == moved / 'big/epoch_2.pth'


def test_a_resumed_run_is_one_curve(runs, tmp_path):
    """The steps that a second start logged again replace those of the first."""
    work_dir = tmp_path / 'run'
    shutil.copytree(runs / 'taught/seed0', work_dir)
    (first,) = work_dir.glob('2*')
    lines = (first / 'vis_data' / 'scalars.json').read_text().splitlines()
    second = work_dir / '29991231_235959'
    shutil.copytree(first, second)
    records = [json.loads(line) for line in lines]
    first_loss = next(one['step'] for one in records if 'loss' in one)
    again = [one for one in records if one['step'] > first_loss]
    for record in again:
        record['loss'] = 7.0
    text = '\n'.join(json.dumps(record) for record in again)
    (second / 'vis_data' / 'scalars.json').write_text(text)
    (one,) = find_runs([work_dir])
    steps = [step for step, _ in one.series('loss', 'train')]
    assert steps == sorted(set(steps))
    assert len(one.trainings) == 2
    assert one.series('loss', 'train')[-1][1] == 7.0
    assert one.series('loss', 'train')[0][1] != 7.0


def test_a_curve_is_the_mean_as_far_as_all_seeds_came():
    """Of a run that logged every second step, the steps between are interpolated."""

    def logged(**losses: float) -> Any:
        run = Run(Path('/x'), 'x')
        run.train = [{'step': int(k[1:]), 'loss': v} for k, v in losses.items()]
        return run

    every = logged(s1=1.0, s2=2.0, s3=3.0, s4=4.0, s5=5.0)
    second = logged(s2=4.0, s4=8.0)
    group = groups.Group('x', [every, second])
    line = curves.line_of(group, 'loss', 'train')
    assert (line.steps, line.means) == ([2, 3, 4], [3.0, 4.5, 6.0])
    assert (line.lows, line.highs) == ([2.0, 3.0, 4.0], [4.0, 6.0, 8.0])


def test_a_long_curve_is_averaged_without_losing_a_step():
    run = Run(Path('/x'), 'x')
    run.train = [{'step': i, 'loss': float(i)} for i in range(1000)]
    line = curves.line_of(groups.Group('x', [run]), 'loss', 'train')
    assert len(line.steps) <= curves.POINTS
    # 333 means of three, and the last step by itself
    assert mean([*line.means[:-1]] * 3) == pytest.approx(mean(range(999)))
    assert (line.steps[-1], line.means[-1]) == (999, 999.0)


@pytest.mark.parametrize(
    ('names', 'shown'),
    [
        (['a-seed0-0123abcd', 'b-seed0-0123abcd'], ['a', 'b']),
        (['a-seed0-0123abcd', 'a-seed0-4567abcd'], ['a-0123abcd', 'a-4567abcd']),
        (['a/seed0', 'b/seed0'], ['a', 'b']),
    ],
)
def test_groups_are_named_as_shortly_as_keeps_them_apart(names, shown):
    found = [[Run(Path('/x'), name)] for name in names]
    assert groups._names(found) == shown


# --------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ('args', 'told'),
    [
        (['nowhere'], "error: work dir 'nowhere' does not exist"),
        (['csv'], "error: 'csv' has no run: "),
        (['runs', '--out', 'mine.html'], "error: --out 'mine.html' exists and is no"),
        (['runs', '--out', 'csv'], "error: --out 'csv' is a folder: name a file"),
        (['runs', '--data', 'no.py'], "error: config 'no.py' does not exist"),
    ],
)
def test_a_mistake_is_one_line(report, monkeypatch, args, told):
    monkeypatch.chdir(report.parent)
    Path('mine.html').write_text('mine')
    said = message('report', *args)
    assert said.startswith(told)
    assert '\n' not in said
    assert Path('mine.html').read_text() == 'mine'


def test_a_report_is_written_over(report, runs, tmp_path):
    page = tmp_path / 'report.html'
    for work_dir in ('alone', 'taught'):
        run('report', runs / work_dir, '--out', page, '--no-analysis')
    assert 'report: taught</title>' in page.read_text()
    assert [file.name for file in tmp_path.iterdir()] == ['report.html']


def test_without_analysis_no_model_is_asked(runs, tmp_path):
    page = tmp_path / 'report.html'
    run('report', runs, '--out', page, '--no-analysis', '--figures', tmp_path / 'fig')
    assert 'id="attention"' not in page.read_text()
    figures = {file.name for file in (tmp_path / 'fig').iterdir()}
    assert {'train-loss-gen.svg', 'train-loss-gen.png'} <= figures
