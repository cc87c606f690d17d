"""Means over seeds, and whether a difference between two rows is more than the noise of the seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from scipy.stats import t

CONFIDENCE = 0.95

Scores = Mapping[int | None, float]
"""Seed -> score."""


@dataclass(frozen=True)
class Summary:
    """Mean and sample standard deviation (NaN for one value) of ``count`` values."""

    mean: float
    deviation: float
    count: int


@dataclass(frozen=True)
class Difference:
    """The mean of the differences of ``count`` pairs, and its 95 % interval by Student's t.

    ``low`` and ``high`` are NaN for one pair, because one difference does not tell its own noise.
    """

    mean: float
    low: float
    high: float
    count: int

    @property
    def is_beyond_noise(self) -> bool:
        """Whether the interval leaves out 0. It does not if it is unknown."""
        return self.low > 0 or self.high < 0


def summary(values: Collection[float]) -> Summary:
    """The summary of at least one value."""
    deviation = statistics.stdev(values) if len(values) > 1 else math.nan
    return Summary(statistics.fmean(values), deviation, len(values))


def paired_difference(scores: Scores, reference: Scores) -> Difference | None:
    """``scores`` minus ``reference`` over the seeds that both have; None if they have none in common.

    Runs with the same seed draw the same crops, so differences vary less than the scores do.
    """
    pairs = [scores[seed] - reference[seed] for seed in scores if seed in reference]
    if not pairs:
        return None
    mean = statistics.fmean(pairs)
    if len(pairs) == 1:
        return Difference(mean, math.nan, math.nan, 1)
    half = t.ppf((1 + CONFIDENCE) / 2, len(pairs) - 1) * statistics.stdev(pairs) / math.sqrt(len(pairs))
    return Difference(mean, mean - half, mean + half, len(pairs))


def clear_best(rows: Mapping[str, Scores]) -> str | None:
    """The row with the highest mean, if it differs from every other row by more than the noise.

    Rows with one seed only take no part: nothing is known of their noise.
    """
    several = {name: scores for name, scores in rows.items() if len(scores) > 1}
    if len(several) < 2:
        return None
    best = max(several, key=lambda name: statistics.fmean(several[name].values()))
    for name, scores in several.items():
        difference = paired_difference(several[best], scores)
        if name != best and not (difference and difference.is_beyond_noise):
            return None
    return best
