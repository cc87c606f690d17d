"""Means over seeds, paired differences, and when a best is bold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from scripts.report.statistics import clear_best, paired_difference, summary

BASE = {1: 20.0, 2: 22.0, 3: 21.5}
BETTER = {1: 25.1, 2: 26.8, 3: 26.4}
UNSURE = {1: 21.0, 2: 30.0, 3: 22.0}


def test_a_summary_is_that_of_a_sample() -> None:
    of = summary(BASE.values())
    assert of.mean == pytest.approx(np.mean([*BASE.values()]))
    assert of.deviation == pytest.approx(np.std([*BASE.values()], ddof=1))
    assert of.count == 3
    assert math.isnan(summary([3.0]).deviation)


def test_the_interval_is_that_of_a_paired_t_test() -> None:
    difference = paired_difference(BETTER, BASE)
    assert difference is not None
    expected = stats.ttest_rel([*BETTER.values()], [*BASE.values()]).confidence_interval(0.95)
    assert (difference.low, difference.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert difference.is_beyond_noise


def test_only_common_seeds_are_paired() -> None:
    difference = paired_difference({1: 25.0, 4: 99.0}, BASE)
    assert difference is not None
    assert (difference.mean, difference.count) == (5.0, 1)
    assert math.isnan(difference.low)
    assert not difference.is_beyond_noise
    assert paired_difference({7: 1.0}, BASE) is None


@pytest.mark.parametrize(
    ("rows", "best"),
    [
        ({"base": BASE, "better": BETTER}, "better"),
        # Its mean is higher than the baseline's, but its seeds differ by more.
        ({"base": BASE, "unsure": UNSURE}, None),
        # The best differs from the baseline, but not from the second.
        ({"base": BASE, "better": BETTER, "unsure": UNSURE}, None),
        # One lucky run is no best, and does not take the bold from others.
        ({"base": BASE, "better": BETTER, "lucky": {1: 50.0}}, "better"),
        ({"base": {1: 20.0}, "better": {1: 30.0}}, None),
        ({"base": BASE}, None),
    ],
)
def test_a_best_is_clear_only_beyond_the_noise(rows: dict[str, dict[int, float]], best: str | None) -> None:
    assert clear_best(rows) == best
