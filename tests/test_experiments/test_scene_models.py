"""Detectors and segmentors that are distilled themselves: the plan and its page."""

import json
from pathlib import Path

import pytest

from mmvitkd.experiments.run import in_order
from mmvitkd.experiments.scenes.models import Distilled, plan_models
from mmvitkd.experiments.scenes.trainings import LABELS, plan
from tests.test_experiments.test_scenes import SCENES, keep

pytestmark = pytest.mark.onedl_only  # the page's pictures want mmdet's pycocotools

BOTH = ['detection', 'segmentation']
BOX = {'teacher': [60.0], 'plain': [50.0, 52.0, 51.0], 'by-pkd': [55.0, 56.0, 57.0]}
BOX['by-vitkd'] = [50.5, 51.0, 51.5]


@pytest.fixture
def scenes(tmp_path):
    (tmp_path / 'scenes.json').write_text(json.dumps(SCENES))
    return tmp_path


def test_all_students_of_a_seed_begin_alike_under_one_teacher(scenes):
    runs = plan_models(BOTH, 2, scenes, scenes, None)
    kinds = [(run.task, run.init, run.seed) for run in runs]
    assert len(kinds) == len({*kinds}) == 2 * (1 + 2 * 3)
    # two classifiers as teacher and of each seed, and the runs themselves
    assert len(in_order(runs)) == 1 + 2 + len(runs)
    for run in runs:
        assert run.init in LABELS
        if not isinstance(run, Distilled):
            continue
        cfg, (student, teacher) = run.config(), run.teachers.values()
        alone = next(
            one
            for one in runs
            if (one.task, one.init, one.seed) == (run.task, 'plain', run.seed)
        )
        begun = alone.config().model
        ours = cfg.model.student
        assert ours.backbone.init_cfg.checkpoint == str(student.checkpoint)
        assert ours == begun
        assert cfg.model.teacher.checkpoint == str(teacher.checkpoint)
        assert (teacher.task, teacher.init, teacher.seed) == (run.task, 'teacher', 0)
        assert teacher in runs
        for key in ('train_cfg', 'optim_wrapper', 'param_scheduler', 'randomness'):
            assert cfg[key] == alone.config()[key]


def test_the_baseline_is_that_of_the_backbones(scenes):
    """So it is trained once for both pages."""
    models = plan_models(BOTH, 1, scenes, scenes, None)
    backbones = plan(BOTH, 1, 1, scenes, scenes, None)
    shared = {run.folder for run in models} & {run.folder for run in backbones}
    assert len(shared) == 2


def test_the_teacher_is_compared_with_nothing(scenes, tmp_path):
    from mmvitkd.experiments.scenes.page import rows_of, write

    runs = plan_models(['detection'], 3, tmp_path / 'runs', scenes, None)
    for run in runs:
        value = BOX[run.init][run.seed]
        keep(run, **{'box AP': value, 'mask AP': value - 5})
    rows = {(row.metric, row.init): row for row in rows_of(runs)}
    assert rows['box AP', 'teacher'].difference is None
    assert rows['box AP', 'by-pkd'].difference.value == pytest.approx(5)
    write([*rows.values()], runs, [], 'compare', Path(tmp_path), 'models')
    page = (tmp_path / 'dense-students.md').read_text()
    assert '| box AP | the teacher | - | 60.0' in page
    assert '- box AP: the student, distilled by PKD +5.0 vs. baseline, signif' in page
    assert 'by CWD' not in page  # which is for segmentors
    assert 'is no better' not in page
    assert (tmp_path / 'dense-students' / 'dense-students.csv').is_file()


def test_a_teacher_that_is_no_better_than_the_baseline_is_told(scenes, tmp_path):
    from mmvitkd.experiments.scenes.page import rows_of, write

    runs = plan_models(['detection'], 3, tmp_path / 'runs', scenes, None)
    for run in runs:
        value = 41.0 if run.init == 'teacher' else BOX[run.init][run.seed]
        keep(run, **{'box AP': value, 'mask AP': value + 20})
    write(rows_of(runs), runs, [], 'compare', Path(tmp_path), 'models')
    page = (tmp_path / 'dense-students.md').read_text()
    assert page.count('is no better than the baseline') == 2
    assert '- box AP: **the teacher, 41.0, is no better than the baseline, 5' in page
