"""Tests of several groups against one baseline."""

import math
from statistics import mean

import numpy as np
import pytest
from scipy.stats import dunnett, nct, t, ttest_ind, ttest_rel

from mmvitkd.utils.statistics import (
    DUNNETT,
    PAIRED,
    WELCH,
    Difference,
    compare_paired,
    compare_with_baseline,
    dunnett_critical,
    dunnett_probability,
    format_mean,
    hedges_g,
    holm,
    nested_spread,
    paired_spread,
    seeds_needed,
)

STEADY = [86.0, 86.2, 85.8]
WIDE = [90.0, 80.0, 85.0, 78.0, 88.0, 84.0, 79.0, 87.0, 83.0, 81.0, 86.0, 77.0]
THREE = [90.0, 84.0, 93.0]
NARROW = [84.0, 85.0, 83.0, 84.5, 83.5, 84.0, 85.5, 82.5, 84.0, 84.5, 83.5, 84.0]


def compare(values, baseline):
    return compare_with_baseline({'ours': values}, baseline)['ours']


def test_unequal_variances_are_not_pooled():
    """Student's test, which pools them, says the opposite: p 0.002 and 0.28."""
    one, other = compare(THREE, NARROW), compare(STEADY, WIDE)
    assert one.test == other.test == WELCH
    assert one.p == pytest.approx(ttest_ind(THREE, NARROW, equal_var=False).pvalue)
    assert one.significant is False  # p 0.20
    assert other.significant is True  # p 0.04


def test_the_spread_is_the_standard_deviation_of_a_sample():
    """By hand: squares of 1, -5 and 4 add up to 42, half of which is 4.58 squared."""
    assert format_mean(THREE) == '89.0 ± 4.6'
    assert format_mean(THREE, 2) == '89.00 ± 4.58'
    assert format_mean([89.0]) == '89.0'
    assert format_mean([]) == '-'
    assert format_mean([0.5, 1.5], sign='+') == '+1.0 ± 0.7'


def test_one_group_of_equal_variance_is_students_test():
    """Means 2 and 5, both of variance 1: t = 3 / sqrt(2/3) = 3.67, df = 4, p = 0.021;
    the interval is 3 +- 2.776 * sqrt(2/3); g is 3 * (1 - 3/15)."""
    found = compare([4.0, 5.0, 6.0], [1.0, 2.0, 3.0])
    assert found.test == DUNNETT
    assert found.value == pytest.approx(3)
    assert found.p == pytest.approx(0.0213, abs=2e-4)
    assert found.low == pytest.approx(3 - 2.2668, abs=1e-2)
    assert found.high == pytest.approx(3 + 2.2668, abs=1e-2)
    assert found.effect == pytest.approx(2.4)
    assert found.significant is True
    assert compare([2.0, 3.0, 4.0], [1.0, 2.0, 3.0]).p == pytest.approx(0.288, abs=1e-3)


GROUPS = {'a': [4.1, 5.2, 5.9], 'b': [2.0, 3.1, 3.9], 'c': [1.2, 2.1, 2.7]}
BASELINE = [1.0, 2.2, 2.9]


def test_several_groups_are_one_family():
    found = compare_with_baseline(GROUPS, BASELINE)
    theirs = dunnett(*GROUPS.values(), control=BASELINE, rng=np.random.default_rng(1))
    assert [one.p for one in found.values()] == pytest.approx(
        list(theirs.pvalue), abs=2e-3
    )
    assert compare_with_baseline(GROUPS, BASELINE) == found  # nothing is left to chance


def test_welchs_tests_are_corrected_by_holm():
    """By hand: 0.01 * 3; 0.02 * 2, and 0.03 raised to the one before."""
    assert holm({'x': 0.03, 'y': 0.01, 'z': 0.02}) == pytest.approx(
        {'x': 0.04, 'y': 0.03, 'z': 0.04}
    )
    assert holm({'x': 0.9, 'y': 0.8}) == {'x': 1.0, 'y': 1.0}
    groups = {'a': THREE, 'b': [94.0, 99.0, 91.0]}
    found = compare_with_baseline(groups, NARROW)
    raw = {n: ttest_ind(v, NARROW, equal_var=False).pvalue for n, v in groups.items()}
    assert {one.test for one in found.values()} == {WELCH}
    assert {n: one.p for n, one in found.items()} == pytest.approx(holm(raw))


def test_welchs_interval_effect_and_detectable_difference_by_hand():
    """Variances 21 of three and 7.5 / 11 of twelve, means 89 and 84; of two groups each
    has Bonferroni's 97.5 % interval."""
    found = compare_with_baseline({'a': THREE, 'b': [94.0, 99.0, 91.0]}, NARROW)['a']
    shares = 21 / 3, 7.5 / 11 / 12
    error = sum(shares) ** 0.5
    freedom = sum(shares) ** 2 / (shares[0] ** 2 / 2 + shares[1] ** 2 / 11)
    critical = t.isf(0.0125, freedom)
    assert found.value == pytest.approx(5)
    assert found.low == pytest.approx(5 - critical * error)
    assert found.high == pytest.approx(5 + critical * error)
    assert found.effect == pytest.approx((1 - 3 / 51) * 5 / (49.5 / 13) ** 0.5)
    power = nct.sf(critical, freedom, found.detectable / error)
    assert power == pytest.approx(0.8)


def test_dunnetts_detectable_difference_by_hand():
    """One group against one is Student's test: here of 4 degrees of freedom and a
    standard error of sqrt(2/3)."""
    found = compare([4.0, 5.0, 6.0], [1.0, 2.0, 3.0])
    power = nct.sf(t.isf(0.025, 4), 4, found.detectable / (2 / 3) ** 0.5)
    assert power == pytest.approx(0.8, abs=3e-3)


def test_constant_groups_beside_others_of_unequal_variance():
    found = compare_with_baseline(
        {'a': [3.0] * 3, 'b': WIDE, 'c': [1.0] * 3}, [1.0] * 12
    )
    assert found['a'] == Difference(2.0, 0.0, 2.0, 2.0, None, 0.0, WELCH)
    assert found['c'] == Difference(0.0, 1.0, 0.0, 0.0, None, 0.0, WELCH)
    raw = ttest_ind(WIDE, [1.0] * 12, equal_var=False).pvalue
    assert found['b'].p == pytest.approx(2 * raw)
    assert found['b'].low > 0
    constant = compare([90.0] * 3, WIDE)
    assert constant.test == WELCH
    raw = ttest_ind([90.0] * 3, WIDE, equal_var=False).pvalue
    assert constant.p == pytest.approx(raw)


@pytest.mark.parametrize('baseline', [BASELINE, NARROW], ids=['Dunnett', 'Welch'])
def test_the_detectable_difference_has_the_power_that_is_said(baseline):
    """In 4,000 drawn experiments of that true difference, 80 % are significant."""
    rng = np.random.default_rng(0)
    one = compare([5.0, 5.5, 6.0], [5.0, 5.4, 5.9, 6.4])
    sigma = one.detectable  # of this design, drawn anew with the spread that it has
    pooled = np.sqrt(
        (np.var([5.0, 5.5, 6.0], ddof=1) * 2 + np.var([5.0, 5.4, 5.9, 6.4], ddof=1) * 3)
        / 5
    )
    ours = rng.normal(sigma, pooled, (4000, 3))
    theirs = rng.normal(0, pooled, (4000, 4))
    share = (ttest_ind(ours, theirs, axis=1).pvalue < 0.05).mean()
    assert share == pytest.approx(0.8, abs=0.02)
    assert compare(THREE, baseline).detectable > 0


def test_more_seeds_of_the_baseline_find_smaller_differences():
    few, many = [77.0, 82.0, 87.0], [77.0, 82.0, 87.0] * 4
    values = [90.0, 90.2, 89.8]
    assert compare(values, few).significant is False
    assert compare(values, many).significant is True
    assert compare(values, many).detectable < compare(values, few).detectable


def test_without_spread_or_seeds_nothing_is_tested():
    equal = compare([1.0, 1.0], [1.0, 1.0])
    assert (equal.value, equal.p, equal.significant) == (0.0, 1.0, False)
    certain = Difference(1.0, 0.0, 1.0, 1.0, None, 0.0, 'no spread to test')
    assert compare([2.0, 2.0], [1.0, 1.0]) == certain
    assert certain.significant is True
    single = compare([9.0], [1.0, 2.0, 3.0])
    assert single.value == pytest.approx(7)
    assert single.significant is None
    assert compare([9.0, 8.0], [1.0]).significant is None
    assert compare_with_baseline({'a': [], 'b': [1.0]}, []) == {}
    mixed = compare_with_baseline({'a': [9.0], 'b': [1.0, 2.0]}, [1.0, 2.5])
    assert mixed['a'].significant is None
    assert mixed['b'].significant is False


def test_variances_of_two_values_are_pooled():
    found = compare_with_baseline({'a': [5.0, 6.0], 'b': [2.0, 3.5]}, [1.0, 2.0])
    assert {one.test for one in found.values()} == {DUNNETT}


def test_one_constant_group_does_not_spoil_the_others():
    found = compare_with_baseline(
        {'a': [5.0, 5.0, 5.0], 'b': [2.0, 3.0, 4.0]}, [1.0, 2.0, 3.0]
    )
    assert found['a'].value == mean([5.0] * 3) - 2
    assert all(0 <= one.p <= 1 for one in found.values())


def test_hedges_g_by_hand():
    """Pooled variance 1, difference 3, correction 1 - 3 / (4 * 4 - 1)."""
    assert hedges_g([4.0, 5.0, 6.0], [1.0, 2.0, 3.0]) == pytest.approx(3 * 0.8)
    assert hedges_g([1.0, 1.0], [1.0, 1.0]) == 0
    assert hedges_g([0.0, 0.0], [1.0, 1.0]) == -np.inf


# ------------------------------------------------------------------------------ paired


def by_seed(values):
    return dict(enumerate(values))


def test_one_paired_group_is_the_paired_t_test():
    """Differences 1, 2, 3 and 6: mean 3, variance 14/3, so t = 3 / sqrt(14/12) with
    3 degrees of freedom, whose 5 % point is 3.182."""
    baseline = [80.0, 90.0, 70.0, 85.0]
    values = [81.0, 92.0, 73.0, 91.0]
    found = compare_paired({'ours': by_seed(values)}, by_seed(baseline))['ours']
    expected = ttest_rel(values, baseline)
    assert found.test == PAIRED
    assert found.value == pytest.approx(3)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-3)
    half = 3.1824 * math.sqrt(14 / 12)
    assert (found.low, found.high) == pytest.approx((3 - half, 3 + half), rel=1e-3)
    # unpaired, the seeds' own differences hide it
    assert compare(values, baseline).p > 0.6


def test_what_a_seed_adds_to_all_groups_tells_nothing():
    noise = np.random.default_rng(0).normal(size=(4, 6))
    tables = [noise, noise + 10 * np.random.default_rng(1).normal(size=6)]
    found = [
        compare_paired(
            dict(zip('abc', map(by_seed, t[1:]), strict=True)), by_seed(t[0])
        )
        for t in tables
    ]
    for name in 'abc':
        one, other = found[0][name], found[1][name]
        assert one.p == pytest.approx(other.p)
        assert one.detectable == pytest.approx(other.detectable)


def test_the_residual_is_that_of_groups_by_seeds():
    """By hand: two groups and a baseline of three seeds leave residuals of 2, -1, -1;
    -1, -4, 5 and -1, 5, -4 ninths, whose squares add up to 10/9, of 4 degrees."""
    groups = {'a': by_seed([2.0, 2.0, 3.0]), 'b': by_seed([4.0, 5.0, 4.0])}
    found = compare_paired(groups, by_seed([1.0, 1.0, 1.0]))
    error = math.sqrt(2 * (10 / 9 / 4) / 3)
    half = dunnett_critical(2, 4) * error
    assert found['a'].high - found['a'].value == pytest.approx(half)
    assert found['b'].value == pytest.approx(13 / 3 - 1)
    spread = paired_spread(groups, by_seed([1.0, 1.0, 1.0]))
    assert spread == pytest.approx(math.sqrt(10 / 9 / 4))
    assert paired_spread(groups, {0: 1.0}) is None
    assert paired_spread({}, by_seed([1.0, 1.0])) is None


def test_spread_of_fine_tunings_is_taken_out_of_that_of_students():
    """Pairs of variance 2 with the means 1, 3 and 8, whose variance is 13."""
    pairs = {0: [0.0, 2.0], 1: [2.0, 4.0], 2: [7.0, 9.0]}
    between, within = nested_spread(pairs)
    assert within == pytest.approx(math.sqrt(2))
    assert between == pytest.approx(math.sqrt(13 - 2 / 2))
    # means that differ less than the fine-tunings account for
    assert nested_spread({0: [0.0, 2.0], 1: [0.5, 2.5]})[0] == 0
    assert nested_spread({0: [1.0], 1: [2.0]}) is None
    assert nested_spread({0: [1.0, 2.0]}) is None


@pytest.mark.parametrize(
    ('groups', 'freedom', 'value'),
    # of Dunnett's own table (1964), two-sided, 5 %
    [(1, 10, 2.23), (2, 10, 2.57), (3, 10, 2.76), (9, 20, 2.95), (5, 60, 2.58)],
)
def test_critical_values_are_those_of_dunnetts_table(groups, freedom, value):
    assert dunnett_critical(groups, freedom) == pytest.approx(value, abs=6e-3)
    assert dunnett_probability(value, groups, freedom) == pytest.approx(0.95, abs=1e-3)


def test_seeds_that_a_group_lacks_are_left_out_for_all():
    baseline = by_seed([80.0, 81.0, 83.0, 99.0])
    groups = {'a': by_seed([81.0, 82.5, 84.0]), 'b': {1: 80.0, 2: 82.5, 0: 79.5}}
    found = compare_paired(groups, baseline)
    assert found == compare_paired(groups, by_seed([80.0, 81.0, 83.0]))
    assert found['b'].value == pytest.approx(-2 / 3)
    assert compare_paired(groups, {}) == {}
    lone = compare_paired({'a': {0: 82.0}}, baseline)['a']
    assert (lone.value, lone.p) == (2.0, None)


def test_seeds_needed_tell_a_difference_with_the_power():
    seeds = seeds_needed(0.5, 0.35, 6)
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(300):
        table = rng.normal(0, 0.35, (7, seeds)) + rng.normal(0, 1, seeds)
        table[1] += 0.5
        rows = dict(zip('abcdef', map(by_seed, table[1:]), strict=True))
        hits += bool(compare_paired(rows, by_seed(table[0]))['a'].significant)
    assert 0.74 < hits / 300 < 0.88
    with pytest.raises(ValueError, match='must be above 0, got 0'):
        seeds_needed(0, 0.35, 6)
