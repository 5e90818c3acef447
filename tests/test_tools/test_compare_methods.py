"""The methods of configs/comparison, and the tool that compares them."""

import csv
import json
import runpy
import signal
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from tests.conftest import leave_layout
from tests.shrink import CONFIGS, RUNNABLE

ROOT = CONFIGS.parent
METHODS = CONFIGS / 'comparison' / 'methods.py'
SEEDS, TUNING_SEEDS = 3, 2


@pytest.fixture(scope='module', autouse=True)
def tools():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / 'tools'))
        yield


@pytest.fixture(scope='module')
def comparison(tools):
    from comparison_lib.methods import read

    return read(METHODS)


@pytest.fixture(scope='module')
def plan(comparison):
    from comparison_lib.plan import Plan

    return Plan(comparison, None, SEEDS, TUNING_SEEDS, Path('runs'))


# ------------------------------------------------------------------------ the list


def test_all_have_one_training_but_for_what_is_named(comparison):
    alone = comparison.methods[comparison.alone].cfg
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
        assert bool(method.tuned) == ('terms' in method.cfg.model)
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
    for entry in Config.fromfile(METHODS).methods:
        cfg = comparison.methods[entry.name].cfg
        own = Config.fromfile(METHODS.parent / (entry.get('config') or entry.terms_of))
        assert cfg.model.get('task_weight', 1.0) == own.model.get('task_weight', 1.0)
        terms = own.model.get('terms') or {}
        assert list(cfg.model.get('terms') or {}) == list(terms)
        for name, term in terms.items():
            ours, scale = cfg.model.terms[name], scales.get(entry.name, 1)
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
        Path(entry.get('config') or entry.terms_of).stem.partition('_')[0]
        for entry in entries
    }
    assert set(comparison.excluded) <= known - compared


@pytest.mark.parametrize('name', ['no-labels', 'patch-size'])
def test_situations_have_the_same_protocol(name, comparison):
    from comparison_lib.methods import read

    found = read(METHODS.with_name(f'{name}.py'))
    for same in ('factors', 'first_tuning_seed', 'alone', 'timed_against'):
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


# ----------------------------------------------------------------- a list of one's own


def entry(name: str, config: str, **extra) -> dict:
    return {'name': name, 'config': str(CONFIGS / config), **extra}


KD = {
    'name': 'KD',
    'terms_of': str(CONFIGS / 'kd' / 'kd_deit-tiny_deit3-small_8xb128_in1k.py'),
    'weights': 'half each',
}


def write_methods(path: Path, methods: list[dict], options: dict | None = None) -> Path:
    """Write a comparison of the student alone, KD and other methods."""
    digits = CONFIGS / 'digits'
    teachers = {'ViT': 'digits_teacher.py', 'ResNet': 'digits_teacher-resnet.py'}
    for name in teachers.values():  # of the same names, trained less
        (path.parent / name).write_text(
            f'_base_ = {str(digits / name)!r}\n'
            'train_dataloader = dict(dataset=dict(num_labels=50))\n'
            'test_dataloader = dict(dataset=dict(indices=50))\n'
        )
    values = {
        'title': 'Two and more',
        'student': str(digits / 'digits_student.py'),
        'pair': str(digits / 'vitkd_digits.py'),
        'teachers': teachers,
        'options': options or {},
        'factors': [1 / 4, 4],
        'first_tuning_seed': 10,
        'alone': 'alone',
        'to_beat': 'KD',
        'timed_against': 'KD',
        'without_factor': 'It has none.',
        'methods': [entry('alone', 'digits/digits_student.py'), KD, *methods],
    }
    path.write_text('\n'.join(f'{key} = {value!r}' for key, value in values.items()))
    return path


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
    from comparison_lib.methods import read

    with pytest.raises(ValueError, match=message):
        read(write_methods(tmp_path / 'mine.py', [method]))


def test_unknown_names_and_seeds_that_would_tune_and_test(tmp_path):
    from comparison_lib.methods import read
    from comparison_lib.plan import Plan

    mine = read(write_methods(tmp_path / 'mine.py', []))
    with pytest.raises(ValueError, match=r"--only 'DKD': there are \['alone', 'KD'\]"):
        Plan(mine, ['DKD'], 1, 1, tmp_path)
    with pytest.raises(
        ValueError, match='--seeds 11: the tuning has the seeds from 10'
    ):
        Plan(mine, None, 11, 1, tmp_path)
    with pytest.raises(ValueError, match="no comparison 'nothing.py'"):
        read(Path('nothing.py'))
    (tmp_path / 'empty.py').write_text('methods = []')
    with pytest.raises(ValueError, match=r"empty.py must give \['title', 'student'"):
        read(tmp_path / 'empty.py')


# ----------------------------------------------------------------- choices and words


def measured(*top1: float, failures: dict | None = None):
    from ablation_lib.results import Measured

    return Measured(list(range(len(top1))), list(top1), failures=failures or {})


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
    from comparison_lib.plan import choose

    given = {f: measured(*values) for f, values in found.items()}
    assert choose(given, seeds=2) == factor


def test_a_factor_that_failed_is_not_chosen():
    from comparison_lib.plan import choose

    half = measured(99, failures={11: 'NaN'})
    assert choose({1: measured(80, 80), 4: half}, seeds=2) == 1
    assert choose({1: half, 4: half}, seeds=2) is None


def test_words_say_what_the_test_tells(comparison):
    """Means 2 and 5 of variance 1: p = 0.021; 2 and 3: p = 0.29, as in test_ablate."""
    from comparison_lib.page import Line, words

    names = ('student alone', 'KD, long schedule', 'DIST', 'RKD', 'NKD', 'DKD')
    values = ((1, 2, 3), (4, 5, 6), (4, 5, 6), (1, 2, 3), (8, 9, 10), (9,))
    lines = [
        Line(comparison.methods[name], 1.0, {}, measured(*map(float, one)))
        for name, one in zip(names, values, strict=True)
    ]
    lines[2] = Line(lines[2].method, 4, {1: measured(), 4: measured()}, lines[2].test)
    lines.append(Line(comparison.methods['MGD'], None, {}, measured()))
    assert words(lines, lines[0], lines[1]) == [
        '- 1 of 3 methods beat KD, long schedule beyond the noise.',
        '- Beyond the noise above KD, long schedule: NKD (+4.0).',
        '- Not told apart from KD, long schedule: DIST (+0.0).',
        '- Beyond the noise below KD, long schedule: student alone (-3.0), RKD (-3.0).',
        '- Too few seeds to tell from KD, long schedule: DKD (+4.0).',
        '- Beyond the noise above student alone: KD, long schedule (+3.0), DIST '
        '(+3.0), NKD (+7.0).',
        '- Not told apart from student alone: RKD (+0.0).',
        '- Too few seeds to tell from student alone: DKD (+7.0).',
        '- The factor lies at an end of the range, so that one beyond it might be '
        'better, of: DIST.',
    ]


# ------------------------------------------------------------------------ real runs

ROWS = [
    entry(
        'two teachers',
        'co_advise/co-advise-plain_digits.py',
        differs={'model.student': 'two tokens'},
    ),
    entry(
        'impossible',
        'digits/vitkd_digits.py',
        options={'optim_wrapper.optimizer.lr': -1.0},
    ),
]


def compare(folder: Path, *args: str, **env: str) -> tuple[int, str]:
    """Call the tool in this process; its exit status and what it says come back."""
    options = ['--methods', 'mine.py', '--work-dir', 'runs', '--max-epochs', '2']
    options += ['--seeds', '1', '--tuning-seeds', '1', '--rounds', '2', '--gpus', '0']
    path = str(ROOT / 'tools' / 'compare_methods.py')
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as said:
        patch.chdir(folder)
        leave_layout(patch)
        patch.setattr(sys, 'argv', [path, *options, *args])
        patch.setattr(signal, 'signal', lambda *_: None)
        # set by the tool, restored by this
        for name, value in {'CUDA_VISIBLE_DEVICES': '', **env}.items():
            patch.setenv(name, value)
        torch.set_num_threads(1)
        with pytest.raises(SystemExit) as end:
            runpy.run_path(path, run_name='__main__')
        torch.set_num_threads(threads)
    return end.value.code, said.getvalue()


@pytest.fixture(scope='module')
def ran(tools, tmp_path_factory):
    """A folder in which all students were killed once, and what two calls said."""
    folder = tmp_path_factory.mktemp('compare')
    options = {
        'train_dataloader.dataset.num_labels': 50,
        'train_dataloader.batch_size': 10,
        'test_dataloader.dataset.indices': 200,
        'default_hooks.checkpoint.interval': 1,
        'default_hooks.check.allow_chance': True,  # of teachers of two epochs
        'custom_imports': {'imports': ['tests.test_tools.kill_hook']},
        'custom_hooks': [{'type': 'KillHook'}],
    }
    write_methods(folder / 'mine.py', ROWS, options)
    return folder, compare(folder, KILL_BEFORE_ITER='6'), compare(folder)


def rows(folder: Path) -> dict[str, dict]:
    with open(folder / 'runs' / 'results' / 'mine.csv') as file:
        return {row['method']: row for row in csv.DictReader(file)}


def finished(folder: Path) -> dict[str, float]:
    """What every finished run measured, by its folder without the key."""
    return {
        f'{file.parts[-3].rpartition("-")[0]} {file.parts[-2]}': json.loads(
            file.read_text()
        )['top1']
        for file in folder.glob('runs/*/seed*/result.json')
    }


def test_what_was_killed_goes_on(ran):
    folder, (code, killed), (_, done) = ran
    assert code == 1
    assert 'its process ended with code -9' in killed
    tried = list(folder.glob('runs/two-teachers*tuning*/seed10'))
    assert len(tried) == 2
    for run in tried:
        logs = ''.join(log.read_text() for log in run.glob('*/*.log'))
        assert 'resumed epoch: 1, iter: 5' in logs
    for said, left in ((killed, 1), (done, 0)):
        assert said.count(f'  {left} of 1 runs to do') == 2 + left  # teachers, alone


def test_every_try_and_the_chosen_one_are_run(ran):
    folder, _, _ = ran
    found, table = finished(folder), rows(folder)
    names = {'teacher-ViT seed0', 'teacher-ResNet seed0', 'alone seed0'}
    for method, slug in (('KD', 'KD'), ('two teachers', 'two-teachers')):
        tried = {f: found[f'{slug}-x-{f:g}-tuning seed10'] for f in (0.25, 4)}
        chosen = float(table[method]['factor'])
        assert tried[chosen] == max(tried.values())
        assert table[method]['factor_at_the_end'] == 'True'
        top1 = found[f'{slug}-x-{chosen:g} seed0']
        assert float(table[method]['mean']) == pytest.approx(top1, abs=1e-4)
        difference = float(table[method]['minus_alone'])
        assert difference == pytest.approx(top1 - found['alone seed0'], abs=1e-4)
        for factor, value in tried.items():
            ours = float(table[method][f'validated_x{factor:g}'])
            assert ours == pytest.approx(value, abs=1e-4)
        names |= {f'{slug}-x-{f:g}-tuning seed10' for f in (0.25, 4)}
        names.add(f'{slug}-x-{chosen:g} seed0')
    assert set(found) == names


def test_tuning_was_tested_on_other_images_than_the_test(ran):
    folder, _, _ = ran
    for file in folder.glob('runs/*/seed*/config.json'):
        if file.parts[-3].startswith('teacher'):
            continue
        assert ('"split": "test"' in file.read_text()) == (file.parts[-2] == 'seed0')


def test_each_teacher_teaches_its_term(ran):
    folder, _, _ = ran
    (file,) = folder.glob('runs/two-teachers-x-*/seed0/config.json')
    teachers = Config.fromfile(file).model.teachers
    for name, kind in (('conv', 'ResNet'), ('inv', 'ViT')):
        assert teachers[name].checkpoint.startswith(f'runs/teacher-{kind}-')
        assert (folder / teachers[name].checkpoint).is_file()


def test_a_failed_method_leaves_its_reason_and_the_rest_goes_on(ran):
    folder, _, (code, said) = ran
    assert code == 1
    page = (folder / 'runs' / 'results' / 'mine.md').read_text()
    (row, *_) = (line for line in page.splitlines() if line.startswith('| impossible'))
    assert 'tuning failed: ' in row
    assert 'Invalid learning rate: -1.0' in row
    assert 'failed: impossible x 0.25, tuning, seed 10: ValueError' in said
    assert 'Invalid learning rate' in rows(folder)['impossible']['failures']


def test_costs_are_measured_of_what_ran(ran):
    folder, _, _ = ran
    table = rows(folder)
    assert table['impossible']['step_ratio'] == ''
    assert float(table['KD']['step_ratio']) == 1
    assert 0 < float(table['alone']['step_ratio']) < 1
    for method in ('alone', 'KD', 'two teachers'):
        assert int(table[method]['memory']) > 0
    sizes = {
        key: {
            method: int(table[method][key])
            for method in ('alone', 'KD', 'two teachers')
        }
        for key in ('parameters', 'multiply_adds')
    }
    for found in sizes.values():
        assert found['alone'] == found['KD'] < found['two teachers']
    # two tokens, their positions, two heads
    extra = 2 * 32 + 2 * 32 + 2 * (32 * 10 + 10)
    assert sizes['parameters']['two teachers'] - sizes['parameters']['alone'] == extra
    page = (folder / 'runs' / 'results' / 'mine.md').read_text()
    assert (
        f'| two teachers | two tokens | {sizes["parameters"]["two teachers"]:,} |'
        in page
    )


def test_a_page_is_written_again_from_what_is_there(ran):
    """Nothing runs, nothing is measured, and the numbers are the same."""
    folder, _, _ = ran
    before = finished(folder)
    code, said = compare(folder, '--report-only', '--out', 'again')
    assert code == 1  # as one method failed
    assert 'again/mine.md' in said
    assert finished(folder) == before
    for suffix in ('csv', 'md'):
        again = (folder / 'again' / f'mine.{suffix}').read_text()
        assert again == (folder / 'runs' / 'results' / f'mine.{suffix}').read_text()
    for suffix in ('svg', 'png'):
        assert (folder / 'again' / f'mine.{suffix}').stat().st_size > 5000
