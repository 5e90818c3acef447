"""Whether differences between runs of several seeds are more than chance."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import mean, stdev, variance

import numpy as np
from scipy.optimize import brentq
from scipy.stats import chi, dunnett, levene, nct, norm, t, ttest_ind

LEVEL = 0.05  # of the family: how often chance alone may call anything significant
POWER = 0.8  # with which the smallest detectable difference would have been found
DUNNETT = "Dunnett's test"
PAIRED = "Dunnett's test, paired by seed"
WELCH = "Welch's t-tests with Holm's correction"
PAIRS = "t-tests, paired by seed, with Holm's correction"

Groups = Mapping[str, Sequence[float]]
BySeed = Mapping[int, float]


@dataclass(frozen=True)
class Difference:
    """How a group differs from the baseline.

    Args:
        value: Mean against the baseline's, in the unit of the values.
        p: Adjusted for the number of comparisons; None with fewer than two values on a
            side, as are those that follow.
        low: The lower end of the simultaneous confidence interval.
        high: The upper end.
        effect: Hedges' g: the difference in pooled standard deviations, corrected for
            small samples.
        detectable: The smallest difference that a test of this many values would have
            found significant with a probability of :data:`POWER`.
        test: Its name.
    """

    value: float
    p: float | None = None
    low: float | None = None
    high: float | None = None
    effect: float | None = None
    detectable: float | None = None
    test: str = ''

    @property
    def significant(self) -> bool | None:
        """Whether chance is an unlikely reason; None if that could not be tested."""
        return None if self.p is None else self.p < LEVEL


def format_mean(values: Sequence[float], digits: int = 1, sign: str = '') -> str:
    """Write mean and standard deviation of a sample, ``'-'`` without values."""
    if not values:
        return '-'
    text = f'{mean(values):{sign}.{digits}f}'
    return f'{text} ± {stdev(values):.{digits}f}' if len(values) > 1 else text


def compare_with_baseline(
    groups: Groups, baseline: Sequence[float]
) -> dict[str, Difference]:
    """Compare several groups with one baseline, as one family of tests.

    By Dunnett's test (1955, https://doi.org/10.1080/01621459.1955.10501294), whose
    variance is pooled over all groups. It needs equal variances: where Brown and
    Forsythe's test rejects them at the 5 % level, by Welch's tests with Holm's
    correction, whose intervals are Bonferroni's.

    Args:
        groups: By name, a value a seed. One without values is left out.
        baseline: A value a seed.

    Returns:
        By name; without values of the baseline, nothing.
    """
    found = {
        name: Difference(mean(values) - mean(baseline))
        for name, values in groups.items()
        if values and baseline
    }
    tested = {name: groups[name] for name in found if len(groups[name]) > 1}
    if not tested or len(baseline) < 2:
        return found
    if _all_constant(tested, baseline):
        return found | {name: _certain(found[name].value) for name in tested}
    test = _dunnett if _equal_variances(tested, baseline) else _welch_holm
    return found | test(tested, baseline)


def compare_paired(
    groups: Mapping[str, BySeed], baseline: BySeed
) -> dict[str, Difference]:
    """Compare groups that share their seeds with a baseline, as one family of tests.

    Seeds are blocks: a seed gives every group the same initial student and the same
    order of images, so that what it adds to all of them tells nothing of a difference.
    It is taken out as in an analysis of variance by group and seed, whose residual
    variance then stands in Dunnett's test for that within groups.

    Args:
        groups: By name, the values by seed. A group that lacks one of the baseline's
            seeds is compared by the seeds that all groups have.
        baseline: The values by seed.

    Returns:
        By name; without values of the baseline, nothing.
    """
    filled = {name: values for name, values in groups.items() if values}
    if not filled or not baseline:
        return {}
    shared = sorted(set(baseline).intersection(*filled.values()))
    found = {
        name: Difference(_mean_difference(values, baseline))
        for name, values in filled.items()
        if set(values) & set(baseline)
    }
    if len(shared) < 2:
        return found
    table = np.array([[one[s] for s in shared] for one in (baseline, *filled.values())])
    if np.ptp(table, axis=1).max() == 0:
        values = table.mean(axis=1)[1:] - table[0].mean()
        return {
            name: _certain(float(one)) for name, one in zip(filled, values, strict=True)
        }
    spread, freedom = _residual_spread(table)
    error = spread * math.sqrt(2 / len(shared))
    count = len(filled)
    critical = dunnett_critical(count, freedom)
    for name, values in zip(filled, table[1:], strict=True):
        value = float((values - table[0]).mean())
        p = float(value == 0)
        if error:
            p = 1 - dunnett_probability(abs(value) / error, count, freedom)
        found[name] = Difference(
            value,
            p,
            value - critical * error,
            value + critical * error,
            hedges_g(values.tolist(), table[0].tolist()),
            _detectable(critical, freedom) * error,
            PAIRED,
        )
    return found


def compare_pairs(
    tables: Mapping[str, Mapping[str, BySeed]],
    pairs: Sequence[tuple[str, str, str]],
) -> list[Difference]:
    """Compare some groups with some others, all pairs as one family of tests.

    By t-tests of seeds that both groups have, with the residual variance of all groups
    of their table by group and seed, as in :func:`compare_paired`; Holm's correction,
    whose intervals are Bonferroni's.

    Args:
        tables: By name, groups by name, of values by seed. The seeds that all of a
            table's groups have are used, two at least.
        pairs: A table, a group of it, and the group that this one is compared with.

    Returns:
        One a pair, in their order.
    """
    each = LEVEL / max(len(pairs), 1)
    found = []
    for table, name, other in pairs:
        groups = tables[table]
        seeds = sorted(set.intersection(*(set(values) for values in groups.values())))
        values = np.array([[one[seed] for seed in seeds] for one in groups.values()])
        spread, freedom = _residual_spread(values)
        error = spread * math.sqrt(2 / len(seeds))
        mine, theirs = ([groups[key][seed] for seed in seeds] for key in (name, other))
        value = mean(mine) - mean(theirs)
        if not error:
            found.append(_certain(value))
            continue
        critical = float(t.isf(each / 2, freedom))
        found.append(
            Difference(
                value,
                2 * float(t.sf(abs(value) / error, freedom)),
                value - critical * error,
                value + critical * error,
                hedges_g(mine, theirs),
                _detectable(critical, freedom) * error,
                PAIRS,
            )
        )
    ps = {str(i): one.p for i, one in enumerate(found) if one.p is not None}
    adjusted = holm(ps)
    return [replace(one, p=adjusted[str(i)]) for i, one in enumerate(found)]


def _residual_spread(table: np.ndarray) -> tuple[float, int]:
    """Return the standard deviation within groups by seeds, seeds taken out, and its
    degrees of freedom."""
    residual = table - table.mean(0) - table.mean(1, keepdims=True) + table.mean()
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    return math.sqrt(float((residual**2).sum()) / freedom), freedom


def paired_spread(groups: Mapping[str, BySeed], baseline: BySeed) -> float | None:
    """Return the standard deviation of a value, that between seeds taken out.

    As :func:`compare_paired` estimates it, for :func:`seeds_needed`; None with fewer
    than two seeds that all have.
    """
    filled = [values for values in groups.values() if values]
    shared = set(baseline).intersection(*filled)
    if not filled or len(shared) < 2:
        return None
    table = [[one[seed] for seed in shared] for one in (baseline, *filled)]
    return _residual_spread(np.array(table))[0]


def nested_spread(values: Mapping[int, Sequence[float]]) -> tuple[float, float] | None:
    """Split the spread of values that were measured several times by seed.

    Args:
        values: By seed, as many as for any other.

    Returns:
        The standard deviation between seeds, that of the means that is due to the other
        taken out, and that within seeds; None with fewer than two of either.
    """
    if len(values) < 2 or min(map(len, values.values())) < 2:
        return None
    within = mean(variance(one) for one in values.values())
    repeats = len(next(iter(values.values())))
    between = variance([mean(one) for one in values.values()]) - within / repeats
    return math.sqrt(max(between, 0.0)), math.sqrt(within)


def _mean_difference(values: BySeed, baseline: BySeed) -> float:
    return mean(values[seed] - baseline[seed] for seed in set(values) & set(baseline))


def dunnett_probability(value: float, groups: int, freedom: float) -> float:
    """Return how often the largest of Dunnett's statistics is below a value.

    Of the absolute differences of ``groups`` groups to a baseline, all of as many
    values, in standard errors that are estimated with ``freedom`` degrees of freedom,
    where nothing differs.
    """
    z, z_weights, scale, scale_weights = _quadrature(freedom)
    within = norm.cdf(z + math.sqrt(2) * value * scale)
    within -= norm.cdf(z - math.sqrt(2) * value * scale)
    return min(float(scale_weights @ (within**groups @ z_weights)), 1.0)


@lru_cache
def _quadrature(freedom: float) -> tuple[np.ndarray, ...]:
    """Return nodes and weights over a normal value, the baseline's mean, and over an
    estimate of a standard deviation that is 1."""
    z, z_weights = np.polynomial.hermite_e.hermegauss(80)
    nodes, weights = np.polynomial.legendre.leggauss(80)
    scale = chi.ppf((nodes + 1) / 2, freedom) / math.sqrt(freedom)
    return z, z_weights / math.sqrt(2 * math.pi), scale[:, None], weights / 2


@lru_cache
def dunnett_critical(groups: int, freedom: float) -> float:
    """Return what the largest of Dunnett's statistics exceeds at :data:`LEVEL`."""

    def lacking(value: float) -> float:
        return dunnett_probability(value, groups, freedom) - (1 - LEVEL)

    high = float(t.isf(LEVEL / 2 / groups, freedom))  # Bonferroni's is above
    return float(brentq(lacking, 0, high + 1))


def seeds_needed(difference: float, spread: float, groups: int) -> int:
    """Return how many paired seeds tell a difference, at the level and power here.

    Args:
        difference: In the unit of the values.
        spread: The standard deviation of a value, that between seeds taken out.
        groups: That are compared with one baseline.

    Raises:
        ValueError: If a number is not positive.
    """
    if difference <= 0 or spread <= 0 or groups < 1:
        raise ValueError(
            'difference, spread and groups must be above 0, got '
            f'{difference}, {spread} and {groups}'
        )
    seeds = 2
    while detectable_difference(seeds, spread, groups) >= difference:
        seeds += 1
    return seeds


def detectable_difference(seeds: int, spread: float, groups: int) -> float:
    """Return what so many paired seeds tell, at the level and power here.

    Args:
        seeds: Two at least.
        spread: As for :func:`seeds_needed`.
        groups: As for :func:`seeds_needed`.
    """
    freedom = groups * (seeds - 1)
    error = spread * math.sqrt(2 / seeds)
    return _detectable(dunnett_critical(groups, freedom), freedom) * error


def _all_constant(groups: Groups, baseline: Sequence[float]) -> bool:
    return all(len({*values}) == 1 for values in (baseline, *groups.values()))


def _certain(value: float) -> Difference:
    """Judge values without spread, which leave nothing to a test."""
    p = 0.0 if value else 1.0
    return Difference(value, p, value, value, None, 0.0, 'no spread to test')


def _equal_variances(groups: Groups, baseline: Sequence[float]) -> bool:
    # of two values both are as far from their median
    able = [values for values in (baseline, *groups.values()) if len(values) > 2]
    return len(able) < 2 or bool(levene(*able, center='median').pvalue >= LEVEL)


def _dunnett(groups: Groups, baseline: Sequence[float]) -> dict[str, Difference]:
    # its integrals are drawn at random: the same numbers for the same values
    result = dunnett(*groups.values(), control=baseline, rng=np.random.default_rng(0))
    interval = result.confidence_interval(1 - LEVEL)
    every = [baseline, *groups.values()]
    freedom = sum(map(len, every)) - len(every)
    pooled = sum((len(v) - 1) * variance(v) for v in every) / freedom
    found = {}
    for i, (name, values) in enumerate(groups.items()):
        error = math.sqrt(pooled * (1 / len(values) + 1 / len(baseline)))
        low, high = float(interval.low[i]), float(interval.high[i])
        found[name] = Difference(
            mean(values) - mean(baseline),
            float(result.pvalue[i]),
            low,
            high,
            hedges_g(values, baseline),
            _detectable((high - low) / 2 / error, freedom) * error,
            DUNNETT,
        )
    return found


def _welch_holm(groups: Groups, baseline: Sequence[float]) -> dict[str, Difference]:
    each = LEVEL / len(groups)
    found = {}
    for name, values in groups.items():
        value = mean(values) - mean(baseline)
        if len({*values}) == 1 and len({*baseline}) == 1:
            found[name] = _certain(value)
            continue
        with warnings.catch_warnings():  # of a side without spread
            warnings.simplefilter('ignore', RuntimeWarning)
            result = ttest_ind(values, baseline, equal_var=False)
        interval = result.confidence_interval(1 - each)
        error = math.sqrt(
            variance(values) / len(values) + variance(baseline) / len(baseline)
        )
        found[name] = Difference(
            value,
            float(result.pvalue),
            float(interval.low),
            float(interval.high),
            hedges_g(values, baseline),
            _detectable(float(t.isf(each / 2, result.df)), float(result.df)) * error,
            WELCH,
        )
    adjusted = holm({name: one.p for name, one in found.items() if one.p is not None})
    return {
        name: Difference(**{**vars(one), 'p': adjusted[name], 'test': WELCH})
        for name, one in found.items()
    }


def holm(ps: Mapping[str, float]) -> dict[str, float]:
    """Adjust p-values of a family by Holm's step-down (1979)."""
    largest = 0.0
    adjusted = {}
    for i, name in enumerate(sorted(ps, key=lambda name: ps[name])):
        largest = max(largest, min(1.0, (len(ps) - i) * ps[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in ps}


def hedges_g(values: Sequence[float], baseline: Sequence[float]) -> float:
    """Return Hedges' g (1981) of two samples of two values or more."""
    freedom = len(values) + len(baseline) - 2
    pooled = (len(values) - 1) * variance(values)
    pooled += (len(baseline) - 1) * variance(baseline)
    correction = 1 - 3 / (4 * freedom - 1)
    difference = mean(values) - mean(baseline)
    if not pooled:
        return math.copysign(math.inf, difference) if difference else 0.0
    return correction * difference / math.sqrt(pooled / freedom)


def _detectable(critical: float, freedom: float) -> float:
    """Find the difference, in standard errors, that is found with the power."""

    def lacking(shift: float) -> float:
        return float(nct.sf(critical, freedom, shift)) - POWER

    # beyond the critical value the power is above a half, and grows
    high = critical + 1
    while lacking(high) < 0:
        high *= 2
    return float(brentq(lacking, 0, high))
