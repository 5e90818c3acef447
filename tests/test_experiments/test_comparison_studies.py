"""A comparison's tries as Optuna's studies: the same runs, asked and told."""

import json
from dataclasses import replace

import optuna
import pytest
from optuna.trial import TrialState

from mmvitkd.experiments.comparison.methods import read
from mmvitkd.experiments.comparison.plan import Plan

from .comparisons import entry, write_methods

TOP1 = {1 / 64: 83, 1 / 4: 82, 4: 81}
TRIED = [1 / 4, 4, 1 / 64, 1 / 1024]  # in steps of 16, as the first two


@pytest.fixture
def comparison(tmp_path):
    """KD and ViTKD at two factors, with a range that is widened twice at most."""
    more = [entry('ViTKD', 'digits/vitkd_digits.py')]
    return replace(read(write_methods(tmp_path / 'mine.py', more)), widenings=2)


def carry_out(plan):
    """Finish the runs of all stages as a call does; return those that were to do."""
    done = []
    for stage in plan.stages()[:-1]:
        for run in stage():
            if run.result():
                continue
            done.append(run)
            if ' x ' not in run.setting.name:  # a teacher
                top1 = 90
            else:
                factor = run.setting.name.removesuffix(', tuning').rpartition(' ')[2]
                top1 = TOP1.get(float(factor), 70)
            run.folder.mkdir(parents=True, exist_ok=True)
            (run.folder / 'result.json').write_text(
                json.dumps({'top1': top1 + run.seed / 100})
            )
    for stage in plan.stages():
        stage()
    return done


def studies(folder):
    """Return every study's trials, as factor and value."""
    storage = f'sqlite:///{folder}/studies.db'
    return {
        name.partition(',')[0]: [
            (one.params['factor'], one.value)
            for one in optuna.load_study(study_name=name, storage=storage).trials
            if one.state == TrialState.COMPLETE
        ]
        for name in optuna.get_all_study_names(storage)
    }


@pytest.mark.slow
def test_studies_change_no_run_and_no_choice(comparison, tmp_path):
    (tmp_path / 'True').mkdir()  # as the lock of a call does
    plans = {
        kept: Plan(comparison, None, 2, 2, tmp_path / str(kept), studies=kept)
        for kept in (False, True)
    }
    runs = {kept: carry_out(plan) for kept, plan in plans.items()}
    names = [[run.folder.relative_to(run.root) for run in one] for one in runs.values()]
    assert names[0] == names[1]
    rows = [{row.name: row.factor for row in plan.rows()} for plan in plans.values()]
    assert rows[0] == rows[1] == {'alone': 1, 'KD': 1 / 64, 'ViTKD': 1 / 64}
    assert not (tmp_path / 'False' / 'studies.db').exists()
    # as many for all, the widened ones included; the mean over the seeds 10 and 11
    tried = [(f, pytest.approx(TOP1.get(f, 70) + 0.105)) for f in TRIED]
    found = studies(tmp_path / 'True')
    assert found == {'KD': tried, 'ViTKD': tried}
    # the same call once more
    assert carry_out(Plan(comparison, None, 2, 2, tmp_path / 'True', True)) == []
    assert studies(tmp_path / 'True') == found


def test_a_comparison_under_way_goes_on_and_failures_are_tried_again(
    comparison, tmp_path
):
    root = tmp_path / 'runs'
    begun = Plan(comparison, ['KD'], 2, 1, root)  # before there were studies
    first, second = begun.tuning_of(comparison.methods['KD'])
    for run, top1 in ((first, 82), (second, None)):
        run.folder.mkdir(parents=True)
        if top1 is None:
            run.fail('out of memory')
        else:
            (run.folder / 'result.json').write_text(json.dumps({'top1': top1}))
    plan = Plan(comparison, ['KD'], 2, 1, root, studies=True)
    plan.stages()[0]()
    assert studies(root) == {'KD': [(1 / 4, 82)]}
    done = carry_out(Plan(comparison, ['KD'], 2, 1, root, studies=True))
    assert second in done
    assert first not in done
    assert {factor for factor, _ in studies(root)['KD']} == {*TRIED}
