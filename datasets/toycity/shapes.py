"""Outlines of flat shapes, as corners (x, y) in metres."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Outline = Sequence[tuple[float, float]] | np.ndarray


def box(x0: float, y0: float, x1: float, y1: float) -> list[tuple[float, float]]:
    """A rectangle, counter-clockwise from (x0, y0)."""
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def bar(x: float, y: float, half_x: float, half_y: float) -> list[tuple[float, float]]:
    """A rectangle around (x, y)."""
    return box(x - half_x, y - half_y, x + half_x, y + half_y)


def ellipse(
    x: float, y: float, half_x: float, half_y: float, corners: int = 16, start: float = 0.0
) -> np.ndarray:
    """An ellipse around (x, y), (corners, 2), whose first corner is at the angle ``start`` (radians)."""
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False) + start
    return np.column_stack([x + half_x * np.cos(angle), y + half_y * np.sin(angle)])


def limb(points: Sequence[tuple[float, float]], thick: float) -> np.ndarray:
    """A line through ``points`` (at least 2) that is ``thick`` metres thick."""
    line = np.array(points, dtype=float)
    step = np.gradient(line, axis=0)
    length = np.maximum(np.hypot(*step.T), 1e-6)[:, None]
    across = np.column_stack([-step[:, 1], step[:, 0]]) / length * thick / 2
    return np.concatenate([line + across, (line - across)[::-1]])
