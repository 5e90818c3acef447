"""Whether a difference between seeds is more than chance."""

from scipy.stats import ttest_ind

LEVEL = 0.05  # of Welch's test: above it, a difference is within the noise


def within_noise(ours: list[float], baseline: list[float]) -> bool | None:
    """Tell by Welch's test whether chance alone could make the difference.

    Args:
        ours: A value a seed.
        baseline: Likewise, of what they are compared with.

    Returns:
        None with fewer than two values on a side.
    """
    if min(len(ours), len(baseline)) < 2:
        return None
    if len({*ours}) == 1 and len({*baseline}) == 1:  # no spread to test with
        return ours[0] == baseline[0]
    return bool(ttest_ind(ours, baseline, equal_var=False).pvalue >= LEVEL)
