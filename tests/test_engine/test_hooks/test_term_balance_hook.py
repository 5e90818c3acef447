import json

import pytest

from mmvitkd.engine import TermBalanceHook
from mmvitkd.engine.hooks.term_balance_hook import balanced
from tests.helpers import MIMIC, NKD, distiller
from tests.test_engine.test_hooks import test_term_weight_hook
from tests.test_engine.test_hooks.test_term_weight_hook import (
    Interrupted,
    Recorder,
    images,
    runner_of,
)

SHARES = {'mimic': 0.25, 'nkd': 0.5}


def balance(**kwargs):
    return {'type': 'TermBalanceHook', 'shares': SHARES, **kwargs}


def test_weights_by_hand():
    """Of norms 3, 4 and 1, shares of a quarter each of the terms: 6 in all."""
    found = balanced({'a': 2, 'b': 1}, {'': 3, 'a': 4, 'b': 1}, {'a': 0.25, 'b': 0.25})
    assert found == pytest.approx({'a': 0.75, 'b': 1.5})
    # without a task the first keeps its weight, and its norm is its share
    found = balanced({'a': 2, 'b': 1}, {'a': 4, 'b': 1}, {'a': 0.8, 'b': 0.2})
    assert found == pytest.approx({'a': 2, 'b': 1})


@pytest.mark.parametrize(
    ('norms', 'shares', 'said'),
    [
        ({'': 1, 'a': 0.0}, {'a': 0.5}, "term 'a' has the norm 0"),
        ({'': 0.0, 'a': 1}, {'a': 0.5}, 'of the task has the norm 0'),
        ({'': 1, 'a': float('nan')}, {'a': 0.5}, 'has the norm nan'),
        ({'': 1, 'a': 1}, {'a': 1.0}, 'leaves nothing to the task'),
        ({'a': 1}, {'a': 0.5}, 'must add up to 1, got 0.5'),
    ],
)
def test_norms_and_shares_that_give_no_weights(norms, shares, said):
    with pytest.raises(ValueError, match=said):
        balanced({'a': 1}, norms, shares)


@pytest.mark.parametrize(
    ('kwargs', 'said'),
    [
        ({'shares': {}}, 'numbers between 0 and 1'),
        ({'shares': {'a': 1.5}}, 'numbers between 0 and 1'),
        ({'shares': {'a': 0.7, 'b': 0.7}}, r'add up to 1\.4'),
        ({'shares': {'a': 0.5}, 'steps': 0}, 'steps must be at least 1'),
    ],
)
def test_settings_that_can_not_be(kwargs, said):
    with pytest.raises(ValueError, match=said):
        TermBalanceHook(**kwargs)


def test_gradients_have_their_shares_and_weights_stay(tmp_path, monkeypatch):
    """The monitor measures the same student on the same images, before and after."""
    recorder = Recorder()
    monitor = {'type': 'DistillationMonitorHook', 'interval': 1}
    still = {'optimizer': {'type': 'SGD', 'lr': 0.0}}
    monkeypatch.setattr(test_term_weight_hook, 'images', lambda: images()[:2] * 4)
    runner = runner_of(tmp_path, [balance(steps=1), recorder, monitor])
    runner.optim_wrapper = still
    runner.train()
    (log,) = (tmp_path / 'work_dir').glob(f'*/vis_data/{runner.timestamp}.json')
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    norms = [
        [one[f'distill/grad_norm{name}'] for name in ('', '/mimic', '/nkd')]
        for one in lines
        if 'distill/grad_norm' in one
    ]
    before, after = ([n / sum(one) for n in one] for one in (norms[0], norms[-1]))
    assert after == pytest.approx([0.25, 0.25, 0.5], rel=0.02)
    assert before != pytest.approx(after, rel=0.1)
    assert recorder.weights[0] == {'mimic': 3e-5, 'nkd': 1.0}
    assert recorder.weights[1:] == [recorder.weights[1]] * (len(recorder.weights) - 1)
    assert recorder.weights[1] != recorder.weights[0]


def test_a_resumed_run_has_its_weights(tmp_path):
    for name in ('whole', 'cut'):
        (tmp_path / name).mkdir()
    hook = balance(steps=2, shares={'mimic': 0.01, 'nkd': 0.1})
    model = distiller(tmp_path, terms={'mimic': MIMIC, 'nkd': NKD})
    whole = Recorder()
    runner_of(tmp_path / 'whole', [hook, whole], model).train()
    runner = runner_of(tmp_path / 'cut', [hook, Recorder(stop=5)], model)
    with pytest.raises(Interrupted):
        runner.train()
    rest = Recorder()
    path = tmp_path / 'cut' / 'work_dir' / 'epoch_1.pth'
    resumed = {'resume': True, 'load_from': str(path)}
    runner_of(tmp_path / 'cut', [hook, rest], model, **resumed).train()
    assert rest.weights == whole.weights[4:]


@pytest.mark.parametrize(
    ('hooks', 'said'),
    [
        ([balance(shares={'gone': 0.5})], r"\['gone'\] are no terms"),
        (
            [
                balance(),
                {
                    'type': 'TermWeightHook',
                    'terms': {'nkd': {'kind': 'ramp', 'end': 1}},
                },
            ],
            r"weights of \['nkd'\] follow a TermWeightHook",
        ),
        ([balance(module='gone')], "TermBalanceHook: the student has no module 'gone'"),
    ],
)
def test_what_can_not_be_balanced_is_said_before_training(hooks, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        runner_of(tmp_path, hooks).train()


def test_a_student_alone_has_nothing_to_balance(tmp_path):
    recorder = [balance()]
    model = distiller(tmp_path, terms=None)
    runner_of(tmp_path, recorder, model).train()
