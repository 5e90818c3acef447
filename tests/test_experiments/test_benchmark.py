"""``python -m mmvitkd benchmark``: a real small run, its reference, its arithmetic."""

import argparse
import csv
import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmvitkd.commands import main
from mmvitkd.experiments.benchmark.cases import vary
from mmvitkd.experiments.benchmark.curves import find_curves, place
from mmvitkd.experiments.benchmark.measure import (
    Case,
    Loop,
    time_rounds,
    time_split,
    time_variants,
)
from mmvitkd.experiments.benchmark.report import quartiles, ratios, summary
from mmvitkd.experiments.benchmark.variants import VARIANTS
from mmvitkd.models import Teacher
from tests.helpers import NKD, build, distiller, samples
from tests.shrink import CONFIGS
from tests.test_tools.runs import assert_same, config

DIGITS = CONFIGS / 'digits' / 'vitkd_digits.py'
KD = CONFIGS / 'kd' / 'kd_deit-tiny_deit3-small_8xb128_in1k.py'


@pytest.fixture
def benchmark():
    """The command, in this process; the runners are its own."""
    return lambda *args: main('benchmark', [str(arg) for arg in args])


@pytest.fixture
def variants():
    return {variant.name: variant for variant in VARIANTS}


# ------------------------------------------------------------------------ for real


@pytest.mark.slow
def test_every_variant_of_digits_by_one_and_two_processes(
    benchmark, tmp_path, variants
):
    benchmark(
        DIGITS, '--rounds', 3, '--warm-up', 1, '--processes', 1, 2,
        '--out', tmp_path,
    )  # fmt: skip
    results = json.loads((tmp_path / 'performance.json').read_text())
    (case,) = results['cases']
    expected = {n for n, v in variants.items() if v.when in (None, 'cpu')}
    assert set(case['times']) == expected
    assert case['left_out'] == {}
    seconds = [*case['times'].values(), *case['processes'].values()]
    assert all(len(times) == 3 and min(times) > 0 for times in seconds)
    assert set(case['split']) == expected - {'teacher'}
    stored = {'terms', 'cached', 'cached-nkd'}
    assert set(case['memory']) == expected - {'teacher'} - stored
    for name in stored:  # there is no teacher that would take time
        assert max(case['split'][name]['teacher']) < max(case['times']['teacher'])
    assert all(memory['peak'] > 0 for memory in case['memory'].values())
    assert case['memory']['student']['teacher'] == 0
    held = case['memory']['config']['teacher']
    assert held > 1.5 * case['memory']['teacher-bf16']['teacher'] > 0
    assert min(case['split']['config']['teacher']) > 0
    assert max(case['split']['student']['teacher']) == 0

    page = (tmp_path / 'performance.md').read_text()
    assert all(f'\n| {name} |' in page for name in expected)
    with open(tmp_path / 'performance.csv', newline='') as file:
        assert {row['variant'] for row in csv.DictReader(file)} == expected
    assert (tmp_path / 'performance.svg').is_file()
    assert (tmp_path / 'performance.png').is_file()


def test_several_batches_of_real_images_in_mixed_precision(benchmark, tmp_path):
    benchmark(
        config(tmp_path), '--rounds', 1, '--warm-up', 0, '--real-data',
        '--amp', '--batch-size', 2, 4, '--only', 'student', 'teacher', 'config',
        '--no-memory', '--out', tmp_path,
    )  # fmt: skip
    results = json.loads((tmp_path / 'performance.json').read_text())
    assert [case['batch_size'] for case in results['cases']] == [2, 4]
    assert all(
        set(c['times']) == {'student', 'teacher', 'config'} for c in results['cases']
    )
    overview, first, *_ = (tmp_path / 'performance.md').read_text().split('\n## ')
    assert first.startswith(results['cases'][0]['title'])
    assert 'memory ratio' not in overview  # it was not measured
    assert all(f'\n| {c["title"]} |' in overview for c in results['cases'])


def test_curves_over_terms_and_teachers(benchmark, tmp_path):
    """One command a curve: other quantities stay as they are."""
    options = (
        '--rounds', 1, '--warm-up', 0, '--cpu-time', '--no-memory',
        '--only', 'student', 'teacher', 'config',
    )  # fmt: skip
    teachers = []
    for width in (16, 32, 64):
        cfg = Config.fromfile(DIGITS)
        cfg.model = cfg.model.teacher.cfg
        cfg.model.backbone.arch = {
            'embed_dims': width,
            'num_layers': 2,
            'num_heads': 2,
            'feedforward_channels': 2 * width,
        }
        cfg.model.head.in_channels = width
        teachers.append(tmp_path / f'w{width}.py')
        cfg.dump(teachers[-1])
    found = {}
    for axis, named in {
        'terms': ('--batch-size', 2, '--terms', 1, 2, 3),
        'teacher': ('--batch-size', 2, '--teachers', *teachers),
    }.items():
        benchmark(DIGITS, *options, *named, '--out', tmp_path / axis)
        results = json.loads((tmp_path / axis / 'performance.json').read_text())
        curves = find_curves(results['cases'])
        assert [*curves] == [axis]
        (curve,) = curves[axis]
        found[axis] = [place(case, axis) for case in curve.cases]
        assert (tmp_path / axis / 'curves.svg').is_file()
        assert '(curves.svg)' in (tmp_path / axis / 'performance.md').read_text()
    assert found['terms'] == [1, 2, 3]
    smallest, middle, largest = found['teacher']
    assert 4 > largest / middle > 2  # nearly all parameters are of two widths
    assert middle > smallest > 0


def test_the_first_terms_only():
    cfg = Config.fromfile(DIGITS)
    args = argparse.Namespace(
        teachers=[], terms=[1, 3], batch_size=[2], image_size=[None]
    )
    one, two = vary([('a.py', cfg)], args)
    assert [*one[1].model.terms] == ['mimic0']
    assert [*two[1].model.terms] == ['mimic0', 'mimic1', 'gen']
    assert (one[0], two[0]) == ('a, 1 term, batch 2', 'a, 3 terms, batch 2')
    assert len(cfg.model.terms) == 3  # as they were


def test_two_points_are_no_curve():
    times = {name: [1.0] for name in ('student', 'teacher', 'config')}
    same = {'config': 'a.py', 'teacher': None, 'terms': None, 'batch_size': 2}
    cases = [{'times': times, 'over': {**same, 'image_size': s}} for s in (32, 64, 96)]
    assert find_curves(cases[:2]) == {}
    assert [*find_curves(cases)] == ['image_size']
    assert find_curves([{**case, 'times': {'config': [1.0]}} for case in cases]) == {}


def test_larger_images_are_more_tokens(tmp_path, variants):
    """The teacher takes them as they are."""
    for size, tokens in ((32, 1 + 4 * 4), (64, 1 + 8 * 8)):
        loop = Loop(variants['config'], case(tmp_path, image_size=size))
        seen = []
        for model in (loop.model.student, loop.model.teachers['teacher'].model):
            block = model.backbone.layers[0]
            block.register_forward_hook(
                lambda *a, seen=seen: seen.append(a[-1].shape[1])
            )
        loop.step()
        assert seen == [tokens] * 2


def case(folder, image_size=None, **changes):
    cfg = Config.fromfile(config(folder, **changes))
    return Case(
        cfg=cfg,
        batch_size=2,
        image_size=image_size,
        real_data=False,
        rounds=1,
        warm_up=0,
        threads=1,
        cpu_time=False,
        folder=folder,
    )


def test_a_masked_teacher_is_timed_on_whole_images(tmp_path, variants):
    nkd = {'_delete_': True, 'nkd': NKD}
    changes = {'model.teacher.type': 'MaskedTeacher', 'model.terms': nkd}
    one = case(tmp_path, **changes)
    assert variants['cached'].config(one.cfg) is None
    loop = Loop(variants['teacher'], one)
    seen = []
    block = loop.model.teachers['teacher'].model.backbone.layers[0]
    block.register_forward_hook(lambda *a: seen.append(a[-1].shape[1]))
    loop.step()
    assert seen == [1 + 4 * 4]


def test_no_teacher_is_downloaded(tmp_path, variants):
    """Neither are weights that a model's own library would fetch."""
    timms = {'type': 'TimmClassifier', 'model_name': 'resnet18', 'num_classes': 10}
    kd = {'student': 'head', 'teacher': 'model.fc', 'loss': {'type': 'KDLoss'}}
    teacher = {'cfg': {**timms, 'pretrained': True}, 'prefix': 'student.'}
    changes = {
        'model.teacher': {'_delete_': True, **teacher},
        'model.terms': {'_delete_': True, 'kd': kd},
    }
    one = case(tmp_path, **changes)
    loop = Loop(variants['config'], one)
    loop.step()
    assert one.cfg.model.teacher.cfg.pretrained  # the user's config is as it was
    used = loop.runner.cfg.model.teacher
    assert 'pretrained' not in used.cfg
    assert 'prefix' not in used  # the random weights are the teacher's alone
    assert Path(used.checkpoint).parent == tmp_path


def test_a_monitored_step_is_logged_and_trains_the_same(tmp_path, variants):
    found = {}
    for name in ('config', 'monitor'):
        loop = Loop(variants[name], case(tmp_path))
        torch.manual_seed(1)  # of what is dropped and masked
        loop.step()
        logs = Path(loop.runner.work_dir).rglob('scalars.json')
        found[name] = loop.model.state_dict(), [log.read_text() for log in logs]
    assert_same(found['config'][0], found['monitor'][0])
    assert found['config'][1] == []
    assert 'distill/cosine/gen' in found['monitor'][1][0]


# ----------------------------------------------------------- the reference and ours


@pytest.mark.parametrize('ratio', [0.3, 0.5])
def test_the_released_formulation_gives_our_loss_and_gradients(
    tmp_path, variants, ratio
):
    cfg = Config({'model': distiller(tmp_path)})
    cfg.model.terms.gen.neck.mask_ratio = ratio
    ours = build(cfg.model)
    theirs = build(variants['released'].config(cfg).model)
    theirs.load_state_dict(ours.state_dict())
    kinds = {type(term.loss).__name__ for term in theirs.terms.values()}
    assert kinds == {'ReleasedMimicLoss', 'ReleasedGenLoss', 'NKDLoss'}
    images, labels = torch.randn(4, 3, 32, 32), samples([0, 1, 2, 3])
    found = []
    for model in (ours, theirs):
        torch.manual_seed(0)
        model.terms['gen'].neck.mask_token.data.normal_()
        losses = model.loss(images, labels)  # the masks are drawn from equal streams
        sum(losses.values()).backward()
        found.append((losses, {n: p.grad for n, p in model.named_parameters()}))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    assert found[0][1]['terms.gen.neck.generate.0.weight'].any()


# ------------------------------------------------------------------- the arithmetic


def test_ratios_are_taken_within_a_round():
    """A machine twice as slow in the second round changes nothing."""
    times = {'student': [1.0, 2.0], 'teacher': [3.0, 6.0], 'config': [6.0, 12.0]}
    assert ratios(times, 'config', ('student', 'teacher')) == (1.5, 1.5, 1.5)
    assert ratios(times, 'config', ('student', 'nothing')) is None


def test_quartiles_by_hand():
    assert quartiles([5.0, 1.0, 3.0, 2.0, 4.0]) == (2.0, 3.0, 4.0)
    assert quartiles([7.0]) == (7.0, 7.0, 7.0)


def test_memory_is_to_the_student_and_the_teachers_weights():
    memory = {
        'student': {'peak': 60, 'teacher': 0},
        'config': {'peak': 110, 'teacher': 40},
    }
    record = {'times': {'config': [0.5]}, 'memory': memory, 'batch_size': 4}
    found = summary(record, 'config')
    assert found['memory_ratio'] == pytest.approx(1.1)
    assert found['images_per_second'] == 8


def test_rounds_are_interleaved_and_every_variant_begins_one():
    order = []
    loops = {name: (lambda name=name: order.append(name)) for name in 'abc'}
    times = time_rounds(loops, rounds=3, warm_up=1)
    assert ''.join(order) == 'abcbcacababc'
    assert {len(seconds) for seconds in times.values()} == {3}


def test_the_clocks_are_taken_away_again(tmp_path, variants):
    call = Teacher.__call__
    loop = Loop(variants['config'], case(tmp_path))
    parts = time_split(loop)
    assert Teacher.__call__ is call
    assert 'loss' not in vars(loop.model)
    assert min(parts[name] for name in ('data', 'teacher', 'terms', 'backward')) > 0
    assert time_split(loop).keys() == parts.keys()


# ----------------------------------------------------------------- users' mistakes


@pytest.mark.parametrize(
    ('args', 'said'),
    [
        ([CONFIGS / 'digits' / 'digits_student.py'], "is no distiller's config"),
        (['nowhere.py'], "config 'nowhere.py' does not exist"),
        ([DIGITS, '--only', 'fast'], "--only fast: there are ['student', 'teacher'"),
        (
            [
                CONFIGS / 'kd' / 'kd_deit-tiny_deit3-small_8xb128_in1k.py',
                '--only',
                'dense',
            ],
            '--only dense does not apply',
        ),
        ([DIGITS, '--terms', 4], 'has 3: mimic0, mimic1, gen'),
    ],
)
def test_what_it_refuses(benchmark, tmp_path, args, said):
    with pytest.raises(SystemExit) as end:
        benchmark(*args, '--out', tmp_path)
    assert said in str(end.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_of_several_configs_those_that_can_be_measured_are(benchmark, tmp_path):
    options = ('--only', 'dense', '--rounds', 1, '--warm-up', 0, '--no-memory')
    with pytest.raises(SystemExit) as end:
        benchmark(KD, DIGITS, *options, '--batch-size', 2, '--out', tmp_path)
    assert '--only dense does not apply to kd_deit-tiny' in str(end.value)
    results = json.loads((tmp_path / 'performance.json').read_text())
    assert [one['title'] for one in results['cases']] == ['vitkd_digits, batch 2']
    assert (tmp_path / 'performance.md').is_file()


def test_a_variant_that_fails_is_named(tmp_path, variants):
    """By name it is an error; among all, it is left out with its reason."""
    changes = {'model.student.backbone.patch_cfg': {'nonsense': 1}}
    broken = case(tmp_path)
    broken.cfg.merge_from_dict(changes)
    found = time_variants([variants['config']], broken)
    assert found['times'] == {}
    assert 'nonsense' in found['left_out']['config']


def test_stored_outputs_are_the_teachers(tmp_path, variants):
    """To the precision that they are stored in; those that are held, exactly."""
    losses = {}
    for name in ('config', 'terms', 'cached'):
        torch.manual_seed(0)
        loop = Loop(variants[name], case(tmp_path))
        loop.model.eval()
        torch.manual_seed(1)  # of the mask
        losses[name] = loop.model.loss(loop.inputs, loop.batch['data_samples'])
        assert type(loop.model.teachers['teacher']).__name__ == KINDS[name]
    assert losses['terms'] == losses['config']
    torch.testing.assert_close(losses['cached'], losses['config'], rtol=1e-2, atol=0)


KINDS = {'config': 'Teacher', 'terms': 'HeldTeacher', 'cached': 'CachedTeacher'}
