"""Things where there is no house: walls, fences, hedges, trees, and the woods at the horizon."""

from __future__ import annotations

import numpy as np

from datasets.toycity.codes import Code
from datasets.toycity.colours import Colour, mixed, palette, pick
from datasets.toycity.facades import Plot
from datasets.toycity.painter import Figure, Painter
from datasets.toycity.shapes import box
from datasets.toycity.textures import CROWNS, crown

_FENCES = palette("e2e2dc 34463c 5c4a3a a0a4a8")


def paint_wall(plot: Plot, rng: np.random.Generator) -> None:
    """A free-standing wall of panels between pillars, with a cap on top."""
    colour = pick(rng, plot.painter.place.walls)
    height = rng.uniform(1.9, 3.0)
    wall = plot.front()
    for part in (wall, plot.end(0.4)):
        part.fill((0, 0, part.length, height), colour, Code.WALL)
    rows = np.arange(0.45, height - 0.2, 0.45)
    joints = mixed(colour, (30, 28, 26), 0.28)
    wall.fill((0, rows - 0.025, wall.length, rows + 0.025), joints, Code.WALL)
    posts = np.arange(0.2, wall.length, 3.0)
    pillars = mixed(colour, (60, 56, 52), 0.35)
    wall.fill((posts - 0.2, 0, posts + 0.2, height + 0.15), pillars, Code.WALL)
    wall.fill((0, height - 0.14, wall.length, height), mixed(colour, (255, 255, 255), 0.35), Code.WALL)


def paint_fence(plot: Plot, rng: np.random.Generator) -> None:
    """A fence of bars. The area between the bars is labelled fence too, as in the real data sets."""
    colour = pick(rng, _FENCES)
    height = rng.uniform(1.3, 2.0)
    fence = plot.front()
    corners = np.array([(plot.line, y, z) for z, y in box(plot.near, 0, plot.far, height)], dtype=float)
    plot.painter.veil(plot.painter.camera.street(corners), colour, Code.FENCE, 0.3)
    bars = np.arange(0.05, fence.length, 0.34)
    fence.fill((bars, 0, bars + 0.12, height - 0.06), colour, Code.FENCE)
    dark = mixed(colour, (20, 20, 20), 0.35)
    for level in (0.18, height - 0.32):
        fence.fill((0, level, fence.length, level + 0.12), dark, Code.FENCE)
    posts = np.arange(0.0, fence.length, 2.7)
    fence.fill((posts, 0, posts + 0.18, height), dark, Code.FENCE)


def paint_hedge(plot: Plot, rng: np.random.Generator) -> None:
    """A clipped hedge."""
    dark, bright = pick(rng, plot.painter.place.leaves)
    height = rng.uniform(1.0, 1.8)
    for part in (plot.front(), plot.end(1.2)):
        part.fill((0, 0, part.length, height), mixed(dark, bright, 0.35), Code.VEGETATION)
        part.fill((0, height * 0.8, part.length, height), mixed(dark, bright, 0.75), Code.VEGETATION)


def _leaves(painter: Painter, kind: int) -> tuple[Colour, Colour]:
    return painter.place.leaves[kind % len(painter.place.leaves)]


def paint_bush(
    painter: Painter, at: tuple[float, float], width: float, top: float, kind: int, bottom: float = 0.0
) -> None:
    """A round bush, or the crown of a tree, at camera-space (x, z) from ``bottom`` to ``top`` metres."""
    x, z = at
    if z < 1.5:
        return
    corners = np.array([(x - width / 2, top, z), (x + width / 2, bottom, z)], dtype=float)
    (left, upper), (right, lower) = painter.camera.project(corners)
    if painter.camera.roll:
        middle = (left + right) / 2
        half = painter.camera.focal * width / z / 2
        left, right = middle - half, middle + half
    # Sprites are lit from the left, so they are mirrored if the sun is on the right.
    shade = crown(kind % CROWNS)
    shade = shade[:, ::-1] if painter.light.sun[0] > 0 else shade
    dark, bright = (np.array(painter.tone(c, z, painter.light.upright)) for c in _leaves(painter, kind))
    share = (np.arange(256) / 255)[:, None]
    table = np.clip(dark * (1 - share) + bright * share, 0, 255).astype(np.uint8)
    painter.stamp(table, shade, (left, upper, right, lower), z, Code.VEGETATION)


def paint_tree(painter: Painter, at: tuple[float, float], height: float, kind: int, style: str) -> None:
    """A tree at camera-space (x, z); ``style`` is leafy, conifer, palm or bare. Trunks are vegetation.

    ``kind``, any number from 0 on, chooses its leaves and the pattern of its crown or branches.
    """
    tree = Figure(painter, at, Code.VEGETATION)
    bark = (96, 76, 58) if style != "palm" else (150, 124, 92)
    trunk = height * {"leafy": 0.5, "conifer": 0.25, "palm": 0.86, "bare": 0.5}[style]
    thick = 0.03 * height if style != "palm" else 0.02 * height
    outline = [(-thick, 0), (thick, 0), (thick * 0.6, trunk), (-thick * 0.6, trunk)]
    tree.fill(outline, bark)
    lit = 0.5 if painter.light.sun[0] > 0 else -0.5
    tree.fill([(x * 0.5 + lit * thick, y) for x, y in outline], mixed(bark, (255, 255, 255), 0.2))
    dark, bright = _leaves(painter, kind)
    if style == "leafy":
        paint_bush(painter, at, height * 0.62, height, kind, bottom=height * 0.28)
    elif style == "conifer":
        for tier in range(5):
            low, half = height * (0.14 + 0.16 * tier), height * (0.24 - 0.04 * tier)
            tip = (0, low + height * 0.3)
            tree.fill([(-half, low), tip, (half, low)], mixed(dark, bright, 0.15 + 0.1 * tier))
            sunlit = [(lit * 0.2 * half, low), tip, (2 * lit * half * 0.95, low + 0.02 * height)]
            tree.fill(sunlit, mixed(dark, bright, 0.35 + 0.1 * tier))
    elif style == "palm":
        for number, frond in enumerate(_fronds(height, trunk)):
            tree.fill(frond, mixed(dark, bright, 0.3 + 0.6 * ((number * 5) % 11) / 10))
    else:
        colour = mixed(bark, (240, 240, 244), 0.35) if painter.place.snow else bark
        for branch in _branches(height, trunk, kind):
            tree.fill(branch, colour)


def _fronds(height: float, trunk: float) -> list[np.ndarray]:
    """The outlines of a palm's leaves."""
    t = np.linspace(0, 1, 7)
    reach = height * 0.27
    half = 0.035 * height * np.sin(np.pi * np.clip(t, 0.06, 0.97))
    outlines = []
    for angle in np.linspace(-0.5, np.pi + 0.5, 11):
        x = np.cos(angle) * reach * t
        y = trunk + np.sin(angle) * reach * 0.6 * t - reach * 0.5 * t**2
        upper, lower = np.column_stack([x, y + half]), np.column_stack([x, y - half])
        outlines.append(np.concatenate([upper, lower[::-1]]))
    return outlines


def _branches(height: float, trunk: float, kind: int) -> list[list[tuple[float, float]]]:
    """The outlines of a bare tree's branches."""
    half = 0.011 * height
    outlines = []
    for number in range(13):
        angle = np.pi * (0.12 + 0.76 * ((number * 5 + kind) % 13) / 12)
        start = trunk * (0.62 + 0.38 * ((number * 7) % 13) / 12)
        reach = height * (0.3 + 0.14 * ((number * 3 + kind) % 4) / 3)
        tip = (np.cos(angle) * reach * 0.8, min(start + np.sin(angle) * reach + 0.1 * height, height))
        x, y = tip[0] * 0.45, start + (tip[1] - start) * 0.6
        outlines.append([(-half, start), (x - half * 0.7, y), tip, (x + half * 0.7, y), (half, start)])
    return outlines


def paint_woods(painter: Painter, rng: np.random.Generator) -> None:
    """Low woods along the horizon."""
    for _ in range(26):
        z = rng.uniform(130, 240)
        width = rng.uniform(14, 34)
        at = (rng.uniform(-1.0, 1.0) * z, z)
        paint_bush(painter, at, width, rng.uniform(5, 13), int(rng.integers(64)))
