"""The learning rate over a run."""

from __future__ import annotations

import pytest

from methods.engine.step import learning_rate_factor


def test_poly_falls_from_one_to_zero() -> None:
    assert learning_rate_factor(0, 100, 0.9) == 1
    assert learning_rate_factor(25, 100, 0.9) == pytest.approx(0.75**0.9)
    assert learning_rate_factor(100, 100, 0.9) == 0


def test_scaled_poly_starts_again() -> None:
    factors = [learning_rate_factor(i, 100, 0.9, 60, 0.5, 1.5) for i in (59, 60, 80, 100)]
    assert factors == pytest.approx([0.41**0.9, 0.5, 0.5 * 0.5**1.5, 0])
