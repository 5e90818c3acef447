"""Many runs, compared: ablations, comparisons, tuning, the quickstart, benchmarks.

:mod:`run` describes a run, :mod:`schedule` carries runs out, :mod:`results` collects
what they measured, :mod:`mmvitkd.utils.statistics` compares it.
"""
