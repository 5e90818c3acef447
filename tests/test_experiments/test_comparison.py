"""The methods of configs/comparison, lists of a user's own, and what a test says."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from mmengine.config import Config

from mmvitkd.datasets.fast.pipeline import KINDS, speed_up_data
from mmvitkd.experiments.comparison.differences import differences
from mmvitkd.experiments.comparison.methods import find, read
from mmvitkd.experiments.comparison.page import main_columns, summary
from mmvitkd.experiments.comparison.plan import Plan, Row, choose, compare
from mmvitkd.experiments.comparison.transfer import transfer
from mmvitkd.experiments.results import Measured, latex_table
from tests.shrink import CONFIGS, RUNNABLE

from .comparisons import KD, entry, write_methods

METHODS = CONFIGS / 'comparison' / 'methods.py'
SEEDS, TUNING_SEEDS = 3, 2


@pytest.fixture(scope='module')
def comparison():
    return read(METHODS)


@pytest.fixture(scope='module')
def plan(comparison):
    return Plan(comparison, None, SEEDS, TUNING_SEEDS, Path('runs'))


# ------------------------------------------------------------------------ the list


def test_all_have_one_training_but_for_what_is_named(comparison):
    alone = comparison.methods[comparison.baseline].cfg
    epochs = {}
    for name, method in comparison.methods.items():
        cfg, named = method.cfg, method.differs
        assert cfg.train_dataloader == alone.train_dataloader
        assert cfg.val_dataloader == alone.val_dataloader
        assert cfg.test_dataloader == alone.test_dataloader
        assert cfg.param_scheduler == alone.param_scheduler
        assert cfg.data_preprocessor == alone.data_preprocessor
        assert cfg.optim_wrapper.optimizer == alone.optim_wrapper.optimizer
        if 'optim_wrapper.paramwise_cfg' not in named:
            assert cfg.optim_wrapper == alone.optim_wrapper
        if 'model.student' not in named:
            assert method.student == alone.model
        if 'custom_hooks' not in named:
            assert cfg.get('custom_hooks') == alone.get('custom_hooks')
        epochs[name] = cfg.train_cfg.max_epochs
    assert {n for n, e in epochs.items() if e != alone.train_cfg.max_epochs} == {
        name
        for name, method in comparison.methods.items()
        if 'train_cfg.max_epochs' in method.differs
    }
    # 500 epochs beside 300, as in the analysis paper
    assert epochs['KD, long schedule'] == 200 * 5 // 3 == 333


def test_every_method_has_the_same_tries_and_as_many_seeds(comparison, plan):
    for method in comparison.methods.values():
        runs = plan.tuning_of(method)
        assert len(runs) == (
            len(comparison.factors) * TUNING_SEEDS if method.tuned else 0
        )
        assert len(plan.test_of(method, 1.0)) == SEEDS
        model = method.cfg.model
        # a term by itself, without labels, is weighed against nothing
        weighed = len(model.get('terms', ())) + bool(model.get('task_weight', 1)) > 1
        assert bool(method.tuned) == weighed
    assert comparison.factors == (1 / 4, 1, 4)


def test_a_factor_changes_its_terms_weights_and_nothing_else(comparison):
    for method in comparison.methods.values():
        one, four = (method.setting(f).cfg.to_dict() for f in (1, 4))
        terms = one['model'].get('terms', {})
        weights = {n: term['loss'].pop('loss_weight') for n, term in terms.items()}
        for name, term in four['model'].get('terms', {}).items():
            factor = 4 if name in method.tuned else 1
            assert term['loss'].pop('loss_weight') == factor * weights[name]
        assert one == four


def test_a_factor_weighs_terms_against_something(comparison):
    """AdamW does not see the scale of the whole loss."""
    for method in comparison.methods.values():
        if method.tuned and method.cfg.model.get('task_weight', 1.0) == 0:
            assert 0 < len(method.tuned) < len(method.cfg.model.terms)


def test_the_test_split_is_never_read_while_tuning(comparison, plan):
    tuning = [r for m in comparison.methods.values() for r in plan.tuning_of(m)]
    tests = [r for m in comparison.methods.values() for r in plan.test_of(m, 1.0)]
    for runs, split in ((tuning, 'val'), (tests, 'test')):
        for setting in {run.setting for run in runs}:
            cfg = setting.cfg
            assert cfg.test_dataloader.dataset.split == split
            splits = [
                cfg[f'{part}_dataloader'].dataset.split for part in ('train', 'val')
            ]
            assert splits == ['train', 'val']
    assert not {run.seed for run in tuning} & {run.seed for run in tests}
    assert not {run.folder for run in tuning} & {run.folder for run in tests}


def test_weights_at_factor_1_are_the_methods_own(comparison):
    """As its config has them; on another scale of sums where that is said."""
    digits = 196 * 384 / (16 * 128), (196 / 16) ** 2
    scales = {'FitNet, last layer': digits[0], 'MGD': digits[0]}
    scales['correlation matrices'] = digits[1]
    for one in Config.fromfile(METHODS).methods:
        cfg = comparison.methods[one.name].cfg
        own = Config.fromfile(METHODS.parent / (one.get('config') or one.terms_of))
        assert cfg.model.get('task_weight', 1.0) == own.model.get('task_weight', 1.0)
        terms = own.model.get('terms') or {}
        assert list(cfg.model.get('terms') or {}) == list(terms)
        for name, term in terms.items():
            ours, scale = cfg.model.terms[name], scales.get(one.name, 1)
            if 'loss_weight' in term.loss:
                weight = scale * term.loss.loss_weight
                assert ours.loss.loss_weight == pytest.approx(weight)
            assert {**ours, 'loss': ours.loss.type} == {**term, 'loss': term.loss.type}


def test_teachers_are_those_that_the_configs_name(comparison):
    taught_by = {name: method.taught_by for name, method in comparison.methods.items()}
    assert taught_by['KD'] == taught_by['ViTKD'] == 'ViT'
    assert taught_by["DeiT's token, hard"] == taught_by['DearKD'] == 'ResNet'
    coadvise = comparison.methods['Co-advise']
    assert {n: t.name for n, t in coadvise.teachers.items()} == {
        'conv': 'teacher ResNet',
        'inv': 'teacher ViT',
    }
    masked = comparison.methods['MaskedKD'].cfg.model.teacher
    assert (masked.type, masked.keep_ratio) == ('MaskedTeacher', 0.5)


def test_excluded_methods_exist_and_are_not_compared(comparison):
    """By the beginning of a config's name; one that is not listed is no part of it."""
    known = {
        path.stem.partition('_')[0]
        for path in RUNNABLE
        if path.parent.name != 'own_data'
    }
    entries = Config.fromfile(METHODS).methods
    compared = {
        Path(one.get('config') or one.terms_of).stem.partition('_')[0]
        for one in entries
    }
    assert set(comparison.excluded) <= known - compared


@pytest.mark.parametrize('name', ['no-labels', 'patch-size'])
def test_situations_have_the_same_protocol(name, comparison):
    found = read(METHODS.with_name(f'{name}.py'))
    for same in ('factors', 'first_tuning_seed', 'baseline', 'timed_against'):
        assert getattr(found, same) == getattr(comparison, same)
    for method in found.methods.values():
        cfg = method.cfg
        images = cfg.train_dataloader.dataset.num_labels
        steps = cfg.train_cfg.max_epochs * images / cfg.train_dataloader.batch_size
        assert steps == pytest.approx(800, rel=0.01)
        if 'no labels' in method.name:
            assert (cfg.model.task_weight, images) == (0, 700)
    if name == 'patch-size':
        (teacher,) = found.teachers
        assert teacher.cfg.model.backbone.patch_size == 4


def test_methods_for_digits_change_the_same_on_other_data(comparison):
    """Student, data and schedule are those of the other data, but for the change."""
    found = read(METHODS.with_name('fashion-mnist.py'))
    (more,) = found.methods.keys() - comparison.methods.keys()
    assert [*found.methods] == [*comparison.methods, more]
    alone = found.methods[found.baseline].cfg
    assert alone.model.backbone.in_channels == 1
    for name, there in comparison.methods.items():
        method = found.methods[name]
        cfg = method.cfg
        assert cfg.train_dataloader == alone.train_dataloader
        assert cfg.test_dataloader.dataset.type == 'mmvitkd.FashionMNIST'
        assert cfg.optim_wrapper.optimizer == alone.optim_wrapper.optimizer
        assert method.student.backbone.in_channels == 1
        assert method.student.backbone.type == there.student.backbone.type
        assert [*method.differs] == [*there.differs]
        assert method.taught_by == there.taught_by
        terms = [*(cfg.model.get('terms') or {})]
        assert terms == [*(there.cfg.model.get('terms') or {})]
    tokens = found.methods["DeiT's token, hard"].student
    assert tokens.head.type == 'ExtraTokenClsHead'
    stopped = found.methods['DearKD'].cfg.custom_hooks[0].terms.hard.end
    assert stopped == 100 * 250 // 300 == 83


@pytest.mark.parametrize('name', ['no-labels', '500-labels'])
def test_lists_on_fashion_mnist_have_as_many_steps(name):
    found = read(METHODS.with_name(f'fashion-mnist-{name}.py'))
    for method in found.methods.values():
        cfg = method.cfg
        images = cfg.train_dataloader.dataset.num_labels
        steps = cfg.train_cfg.max_epochs * images / cfg.train_dataloader.batch_size
        factor = 5 / 3 if 'long' in method.name else 1
        assert steps == pytest.approx(2000 * factor, rel=0.01)
        warm_up = cfg.param_scheduler[0].end * images / cfg.train_dataloader.batch_size
        assert warm_up == 100
        if 'no labels' in method.name:
            assert (cfg.model.task_weight, images) == (0, 20000)


def test_pipelines_compared_are_those_of_fast_data():
    found = read(METHODS.with_name('fast-data.py'))
    for kind in KINDS:
        wanted = deepcopy(found.methods[found.baseline].cfg)
        speed_up_data(wanted, kind)
        assert found.methods[kind].cfg.train_dataloader == wanted.train_dataloader


def test_teachers_are_in_the_plan_of_a_list_without_tuning(tmp_path):
    found = read(METHODS.with_name('fashion-mnist-full.py'))
    plan = Plan(found, None, 1, 1, tmp_path)
    assert plan.tuning() == []
    teacher, *others = plan.groups()
    assert teacher.name == 'teacher ViT'
    assert [group.name for group in others] == [*found.methods]
    cfg = found.methods['ViTKD + NKD'].cfg
    assert cfg.model.student.backbone.arch == 'deit-tiny'
    assert cfg.train_dataloader.dataset.num_labels is None
    assert cfg.model.terms.gen.loss.loss_weight == 9e-6


def test_what_a_method_changes_is_changed_on_other_data():
    """Kept, changed, added and taken away, at any depth."""
    original = Config(
        {'a': 1, 'b': {'c': 2, 'd': 3}, 'x': 0, 'model': {'w': 8, 'n': 1}}
    )
    target = Config({'a': 5, 'b': {'c': 6, 'e': 7}, 'x': 0, 'model': {'w': 9, 'n': 1}})
    student = {'w': 8, 'n': 2, 'token': True}
    model = {'student': student, 'terms': {'kd': 1}, 'teacher': {'w': 8}}
    changed = Config({'a': 1, 'b': {'c': 4, 'd': 3, 'f': 8}, 'model': model})
    found = transfer(changed, original, target).to_dict()
    assert found == {
        'a': 5,
        'b': {'c': 4, 'e': 7, 'f': 8},
        'model': {**model, 'student': {'w': 9, 'n': 2, 'token': True}},
    }
    assert transfer(original, original, target).to_dict() == target.to_dict()


# ----------------------------------------------------------------- a list of one's own


@pytest.mark.parametrize(
    ('method', 'message'),
    [
        (
            entry('plain', 'co_advise/co-advise-plain_digits.py'),
            r"plain: .*'model.student.backbone.*differ from the training of the",
        ),
        (
            entry('same', 'digits/vitkd_digits.py', differs={'custom_hooks': 'two'}),
            r"same: \['custom_hooks'\] do not differ",
        ),
        (
            entry('far', 'own_data/vitkd_own-data.py'),
            r'far: .*differ from the training of the student alone',
        ),
        (entry('KD', 'digits/vitkd_digits.py'), "two methods are named 'KD'"),
        (entry('typo', 'digits/vitkd_digits.py', optoins={}), "typo: .*got.*'optoins'"),
        ({**KD, 'name': 'both', 'config': 'x.py'}, "both: .*'config' or 'terms_of'"),
        (entry('gone', 'digits/gone.py'), 'gone: .*gone.py'),
        (
            entry('blind', 'manifold/manifold_digits.py'),
            r'blind: without labels a factor of all terms.*tuned=\[...\]',
        ),
        (
            entry('blind', 'manifold/manifold_digits.py', tuned=['tat']),
            r"blind: tuned: no term of \['kd'.*begins with 'tat'",
        ),
        (
            entry('other', 'intra_class/kd_intra-class_digits.py'),
            "other: its teacher 'work_dirs/intra-class_teacher_digits/.*is of none",
        ),
    ],
)
def test_what_would_not_be_fair_or_can_not_be_read_is_named(method, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read(write_methods(tmp_path / 'mine.py', [method]))


def test_unknown_names_and_seeds_that_would_tune_and_test(tmp_path):
    mine = read(write_methods(tmp_path / 'mine.py', []))
    with pytest.raises(ValueError, match=r"--only 'DKD': there are \['alone', 'KD'\]"):
        Plan(mine, ['DKD'], 1, 1, tmp_path)
    with pytest.raises(
        ValueError, match='--seeds 11: the tuning has the seeds from 10'
    ):
        Plan(mine, None, 11, 1, tmp_path)
    with pytest.raises(ValueError, match=r"no comparison 'nothing.py': .*'no-labels'"):
        find('nothing.py')
    assert find('no-labels') == METHODS.with_name('no-labels.py')
    (tmp_path / 'empty.py').write_text('methods = []')
    with pytest.raises(ValueError, match=r"empty.py must give \['title', 'student'"):
        read(tmp_path / 'empty.py')


def test_paths_are_the_users_first_and_then_ours(tmp_path):
    """For a list that is based on ours, in a folder of one's own."""
    folder = tmp_path / 'comparison'
    folder.mkdir()
    student = CONFIGS / 'digits' / 'digits_student.py'
    imports = ['tests.test_tools.kill_hook']
    (folder / 'twice.py').write_text(
        f'_base_ = {str(student)!r}\ncustom_imports = dict(imports={imports})\n'
    )
    methods = [
        entry('student alone', 'digits/digits_student.py'),
        {'name': 'own imports', 'config': 'twice.py'},
        KD,
        {**KD, 'name': 'KD, long schedule'},
    ]
    mine = folder / 'mine.py'
    mine.write_text(f'_base_ = {str(METHODS)!r}\nmethods = {methods!r}\n')
    found = read(mine).methods
    assert found['own imports'].cfg.custom_imports.imports == imports
    assert found['own imports'].differs == {}
    assert found['KD'].taught_by == 'ViT'

    # it stands where the list's `student` points to, from here
    (tmp_path / 'digits').mkdir()
    (tmp_path / 'digits' / student.name).write_text(
        f'_base_ = {str(student)!r}\nlog_level = "ERROR"\nload_from = "other.pth"\n'
    )
    with pytest.raises(ValueError, match=r"student alone: \['load_from'\] differ"):
        read(mine)


def test_imports_of_a_config_and_of_the_options_are_joined(tmp_path):
    student = CONFIGS / 'digits' / 'digits_student.py'
    (tmp_path / 'own.py').write_text(
        f'_base_ = {str(student)!r}\ncustom_imports = dict(imports="json")\n'
    )
    options = {'custom_imports': {'imports': ['tests.test_tools.kill_hook']}}
    own = {'name': 'own', 'config': 'own.py'}
    found = read(write_methods(tmp_path / 'mine.py', [own], options))
    imports = found.methods['own'].cfg.custom_imports.imports
    assert imports == ['json', 'tests.test_tools.kill_hook']


def test_a_config_by_name_joins_with_whatever_differs(tmp_path):
    own = tmp_path / 'fast.py'
    own.write_text(
        f'_base_ = {str(CONFIGS / "digits" / "vitkd_digits.py")!r}\n'
        'optim_wrapper = dict(optimizer=dict(lr=0.5))\n'
        'randomness = dict(seed=3)\n'
        'work_dir = "elsewhere"\n'
    )
    path = write_methods(
        tmp_path / 'mine.py', [entry('more', 'digits/vitkd_digits.py')]
    )
    found = read(path, configs=[own])
    fast = found.methods['fast']
    assert [*fast.differs] == ['optim_wrapper.optimizer.lr']
    assert fast.differs['optim_wrapper.optimizer.lr'].startswith(
        'optim_wrapper.optimizer.lr = 0.5 (baseline: 0.00'
    )
    assert fast.tuned == tuple(fast.cfg.model.terms)
    assert fast.taught_by == 'ViT'
    names = [method.name for method in found.selected(['KD'])]
    assert names == ['alone', 'KD', 'fast']
    with pytest.raises(ValueError, match="two methods are named 'fast'"):
        read(path, configs=[own, own])
    with pytest.raises(ValueError, match=r'gone.py, gone: there is no config'):
        read(path, configs=[tmp_path / 'gone.py'])
    (tmp_path / 'lost.py').write_text('custom_imports = dict(imports="not_there")')
    with pytest.raises(ValueError, match=r"'not_there'}; is it on PYTHONPATH\?$"):
        read(path, configs=[tmp_path / 'lost.py'])
    with pytest.raises(ValueError, match='configs stand before --only'):
        found.selected(['KD', 'fast.py'])


def test_a_config_by_name_without_labels_has_no_factor(tmp_path):
    own = CONFIGS / 'comparison' / 'kd-without-labels_digits.py'
    found = read(write_methods(tmp_path / 'mine.py', []), configs=[own])
    method = found.methods[own.stem]
    assert method.tuned == ()
    assert 'reads no labels' in method.differs['task_weight']


def test_a_teacher_that_is_there_is_taken_as_it_is(tmp_path):
    """And another file of the same name is another training."""
    weights = tmp_path / 'mine' / 'best.pth'
    weights.parent.mkdir()
    own = tmp_path / 'own.py'
    own.write_text(
        f'_base_ = {str(CONFIGS / "digits" / "vitkd_digits.py")!r}\n'
        f'model = dict(teacher=dict(checkpoint={str(weights)!r}))\n'
    )
    path = write_methods(tmp_path / 'mine.py', [])
    with pytest.raises(ValueError, match='best.pth.* no file that is there'):
        read(path, configs=[own])
    folders = set()
    for content in (b'one', b'other'):
        weights.write_bytes(content)
        method = read(path, configs=[own]).methods['own']
        assert (method.taught_by, method.teachers) == ('mine/best.pth', {})
        assert method.cfg.model.teacher.checkpoint == str(weights)
        folders.add(method.setting().folder)
    assert len(folders) == 2


def test_differences_name_the_place_and_both_values():
    base = Config(
        {'model': {'depth': 2}, 'hooks': [{'type': 'A', 'n': 1}], 'resume': True}
    )
    model = {'student': {'depth': 3}, 'terms': {}, 'extra': 1}
    other = Config({'model': model, 'hooks': [{'type': 'A', 'n': 2}, {'type': 'B'}]})
    assert differences(other, base) == {
        'hooks.0.n': 'hooks.0.n = 2 (baseline: 1)',
        'hooks.1.type': "hooks.1.type = 'B' (baseline: not set)",
        'model.extra': 'model.extra = 1 (baseline: not set)',
        'model.student.depth': 'model.student.depth = 3 (baseline: 2)',
    }


# ----------------------------------------------------------------- choices and words


def measured(*top1: float, failures: dict | None = None) -> Measured:
    return Measured(pd.DataFrame({'top1': top1}), failures or {})


@pytest.mark.parametrize(
    ('found', 'factor'),
    [
        ({0.25: (80, 90), 1: (84, 84), 4: (90, 81)}, 4),  # means 85, 84, 85.5
        ({0.25: (80,), 1: (80,), 4: (80,)}, None),  # a seed is missing
        ({0.25: (80, 82), 1: (81, 81), 4: (79, 83)}, 1),  # equal: the nearest to 1
        ({0.25: (80, 82), 1: (80, 80), 4: (79, 83)}, 0.25),  # as near: the lower
        ({}, 1),  # nothing to choose
    ],
)
def test_the_best_mean_on_the_validation_split_is_chosen(found, factor):
    given = {f: measured(*values) for f, values in found.items()}
    assert choose(given, seeds=2) == factor


def test_a_factor_that_failed_is_not_chosen():
    half = measured(99, failures={11: 'NaN'})
    assert choose({1: measured(80, 80), 4: half}, seeds=2) == 1
    assert choose({1: half, 4: half}, seeds=2) is None


def test_a_range_is_widened_where_its_end_is_best(comparison, monkeypatch, tmp_path):
    """By its own step, twice at most; another method's range is its own."""
    top1 = {
        'KD': {1 / 16: 80, 1 / 4: 82, 1: 81, 4: 79},
        'NKD': {4**i: i for i in range(9)},
    }

    def found(setting, seeds, root):
        name, _, factor = setting.name.removesuffix(', tuning').partition(' x ')
        value = top1[name].get(float(factor), 0)
        return measured(*[float(value)] * len(seeds))

    monkeypatch.setattr('mmvitkd.experiments.comparison.plan.measure', found)
    wide = replace(comparison, widenings=2)
    plan = Plan(wide, None, SEEDS, TUNING_SEEDS, tmp_path)
    assert plan.factors(wide.methods['KD']) == (1 / 16, 1 / 4, 1, 4)
    assert plan.factors(wide.methods['NKD']) == (1 / 4, 1, 4, 16, 64)
    assert plan.factors(wide.methods['student alone']) == ()
    assert len(plan.stages()) == 1 + 2 + 1
    narrow = Plan(comparison, None, SEEDS, TUNING_SEEDS, tmp_path)
    assert narrow.factors(wide.methods['NKD']) == (1 / 4, 1, 4)


def test_rows_are_compared_seed_by_seed_where_they_are_paired(comparison):
    """The seeds' own differences, of 5 points, hide a gain of one unless paired."""
    gains = ((0, 0, 0), (1.0, 1.1, 0.9))
    names = ('student alone', 'KD, long schedule')
    rows = []
    for name, gain in zip(names, gains, strict=True):
        values = [80 + 5 * i + one for i, one in enumerate(gain)]
        frame = pd.DataFrame({'seed': [0, 1, 2], 'top1': values})
        rows.append(Row(comparison.methods[name], 1.0, {}, Measured(frame)))
    for paired, significant in ((True, True), (False, False)):
        found = compare(rows, ['student alone'], paired)[1]
        difference = found.differences['student alone']
        assert difference.significant is significant
        assert difference.value == pytest.approx(1)


def test_words_say_what_the_test_tells(comparison):
    """Five groups of variance 1: against the mean 5, Dunnett's test finds 9 and 2."""
    names = ('student alone', 'KD, long schedule', 'DIST', 'RKD', 'NKD', 'DKD')
    values = ((1, 2, 3), (4, 5, 6), (4, 5, 6), (1, 2, 3), (8, 9, 10), (9,))
    rows = [
        Row(comparison.methods[name], 1.0, {}, measured(*map(float, one)))
        for name, one in zip(names, values, strict=True)
    ]
    rows[2] = Row(rows[2].method, 4, {1: measured(), 4: measured()}, rows[2].test)
    rows.append(Row(comparison.methods['MGD'], None, {}, measured()))
    rows = compare(rows, comparison.references.values())
    assert rows[1].differences['student alone'].test == "Dunnett's test"
    assert rows[5].differences['student alone'].significant is None
    detectable = rows[2].differences['KD, long schedule'].detectable
    assert 2.5 < detectable < 4
    assert summary(rows, comparison) == [
        '- 1 of 3 methods are significantly above KD, long schedule.',
        '- Significantly above KD, long schedule: NKD (+4.0).',
        '- Not significantly different from KD, long schedule (smallest detectable '
        f'difference: {detectable:.1f} points): DIST (+0.0).',
        '- Significantly below KD, long schedule: student alone (-3.0), RKD (-3.0).',
        '- Not tested against KD, long schedule, as one seed is too few: DKD (+4.0).',
        '- Significantly above student alone: KD, long schedule (+3.0), DIST (+3.0), '
        'NKD (+7.0).',
        '- Not significantly different from student alone (smallest detectable '
        f'difference: {detectable:.1f} points): RKD (+0.0).',
        '- Not tested against student alone, as one seed is too few: DKD (+7.0).',
        '- The factor lies at an end of the range, so that one beyond it might be '
        'better, of: DIST.',
    ]
    columns = main_columns(rows, comparison)
    assert columns['vs. KD, long schedule'][2] == '+0.0 (p = 1.000)'
    assert columns['vs. baseline'][0] == ''
    assert columns['vs. baseline'][4] == '**+7.0** (p < 0.001)'
    assert r'\textbf{+7.0} (p \ensuremath{<} 0.001)' in latex_table(columns)
