import json

import numpy as np
import pytest
import torch

from mmvitkd.models.classifiers.cached_feature_spec import (
    CachedFeatureSpec,
    record_dtype,
)
from mmvitkd.models.classifiers.tap import Feature, Tap
from mmvitkd.utils.teacher_cache import cache_bytes

HEAD = Tap('head')
CPU = torch.device('cpu')


def logits(classes=20, batch=6):
    torch.manual_seed(0)
    return 3 * torch.randn(batch, classes)


def test_all_classes_come_back_as_they_were():
    x = logits()
    stored = CachedFeatureSpec(HEAD, (20,), top_k=20)
    back = stored.decode(stored.encode(Feature(x, None)), CPU).value
    torch.testing.assert_close(back, x.log_softmax(1), rtol=1e-3, atol=1e-3)
    assert back.dtype == torch.float32


def test_top_k_keeps_the_largest_and_spreads_the_tails_mass():
    x = logits()
    stored = CachedFeatureSpec(HEAD, (20,), top_k=4)
    back = stored.decode(stored.encode(Feature(x, None)), CPU).value.exp()
    p = x.softmax(1)
    top, index = p.topk(4, 1)
    torch.testing.assert_close(back.gather(1, index), top, rtol=4e-3, atol=0)
    others = back.scatter(1, index, 0).sum(1)
    torch.testing.assert_close(others, 1 - top.sum(1), rtol=4e-3, atol=1e-6)
    rest = back.scatter(1, index, torch.nan)
    assert all(row[~row.isnan()].unique().numel() == 1 for row in rest)
    torch.testing.assert_close(back.sum(1), torch.ones(6), rtol=2e-3, atol=0)


def test_mass_of_a_certain_teachers_tail_is_kept():
    """One minus the sum of rounded probabilities would be zero, or below."""
    x = torch.zeros(1, 1000)
    x[0, 7] = 30.0
    stored = CachedFeatureSpec(HEAD, (1000,), top_k=1)
    tail = stored.decode(stored.encode(Feature(x, None)), CPU).value[0, 0]
    torch.testing.assert_close(tail, x.log_softmax(1)[0, 0], rtol=1e-3, atol=0)


def test_more_classes_than_16_bits_count():
    x = torch.zeros(1, 70000)
    x[0, 69999] = 9.0
    stored = CachedFeatureSpec(HEAD, (70000,), top_k=2)
    assert stored.decode(stored.encode(Feature(x, None)), CPU).value.argmax() == 69999


@pytest.mark.parametrize(
    ('tap', 'shape', 'hw'),
    [
        (Tap('a'), (6, 5), (2, 3)),
        (Tap('a', 'cls'), (5,), None),
        (Tap('a', 'all'), (7, 5), None),
    ],
)
def test_tokens_come_back_with_their_grid(tap, shape, hw):
    x = torch.randn(3, *shape)
    stored = CachedFeatureSpec(tap, shape, hw)
    value, grid, *_ = stored.decode(stored.encode(Feature(x, hw)), CPU)
    assert torch.equal(value, x.half().float())
    assert grid == hw


def test_what_float16_cannot_hold_is_an_error():
    stored = CachedFeatureSpec(Tap('backbone.layers.0'), (2, 1), (1, 2))
    with pytest.raises(ValueError, match=r"'backbone.layers.0' yields 1e\+05"):
        stored.encode(Feature(torch.full((1, 2, 1), 1e5), (1, 2)))
    with pytest.raises(ValueError, match='NaN'):
        stored.encode(Feature(torch.full((1, 2, 1), torch.nan), (1, 2)))


def test_setting_and_back():
    for stored in (
        CachedFeatureSpec(HEAD, (20,), None, 4),
        CachedFeatureSpec(Tap('a'), (6, 5), (2, 3)),
        CachedFeatureSpec(Tap('a', 'all', (2, 3), 1), (6, 5)),
    ):
        assert CachedFeatureSpec.of_setting(stored.as_setting()) == stored
        # and compares equal with what a manifest has
        assert json.loads(json.dumps(stored.as_setting())) == stored.as_setting()
        assert 'others' not in stored.as_setting()  # of students' taps alone


def test_outputs_come_back_on_the_device_that_is_named():
    meta = torch.device('meta')
    for stored in (
        CachedFeatureSpec(HEAD, (20,), top_k=4),
        CachedFeatureSpec(HEAD, (20,), top_k=20),
        CachedFeatureSpec(Tap('a'), (20,)),
    ):
        records = stored.encode(Feature(logits(), None))
        assert stored.decode(records, meta).value.device == meta


def test_differs_from_another_output_alone():
    x = logits()
    for stored, value in (
        (CachedFeatureSpec(HEAD, (20,), top_k=4), x),
        (CachedFeatureSpec(HEAD, (20,), top_k=20), x),
        (CachedFeatureSpec(Tap('a'), (20,)), x),
    ):
        records = stored.encode(Feature(value, None))
        for i in range(6):
            for j in range(6):
                fresh = Feature(value[j : j + 1] + 1e-5, None)
                assert stored.differs(records[i : i + 1], fresh, 0.01) == (i != j)


def test_imagenet_for_300_epochs_is_about_17_gb():
    record = record_dtype([CachedFeatureSpec(HEAD, (1000,), top_k=10)]).itemsize
    assert record == 4 + 10 * (2 + 2) + 2  # TinyViT's, and the tail
    assert 17e9 < cache_bytes(1_281_167, 300, record) < 18e9
    assert np.dtype(record_dtype([])).itemsize == 4
