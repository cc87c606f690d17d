"""Things where there is no house: walls, fences, hedges, trees, and the woods at the horizon."""

from __future__ import annotations

import numpy as np

from datasets.toycity.codes import Code
from datasets.toycity.colours import mixed
from datasets.toycity.facades import Facade
from datasets.toycity.looks import Place
from datasets.toycity.painter import Painter
from datasets.toycity.textures import CROWNS, crown


def paint_wall(
    painter: Painter, side: int, line: float, z: tuple[float, float], place: Place, rng: np.random.Generator
) -> None:
    """A free-standing wall of panels between pillars, with a cap on top."""
    colour = place.walls[int(rng.integers(len(place.walls)))]
    height = rng.uniform(1.9, 3.0)
    wall = Facade(painter, (line, z[0]), (line, z[1]), painter.light.on((-side, 0, 0)))
    end = Facade(painter, (line, z[0]), (line + side * 0.4, z[0]), painter.light.on((0, 0, -1)))
    for part in (wall, end):
        part.rectangle(0, 0, part.length, height, colour, Code.WALL)
    rows = np.arange(0.45, height - 0.2, 0.45)
    joints = np.column_stack([rows * 0, rows - 0.025, rows * 0 + wall.length, rows + 0.025])
    wall.rectangles(joints, mixed(colour, (30, 28, 26), 0.28), Code.WALL)
    posts = np.arange(0.2, wall.length, 3.0)
    pillars = np.column_stack([posts - 0.2, posts * 0, posts + 0.2, posts * 0 + height + 0.15])
    wall.rectangles(pillars, mixed(colour, (60, 56, 52), 0.35), Code.WALL)
    wall.rectangle(0, height - 0.14, wall.length, height, mixed(colour, (255, 255, 255), 0.35), Code.WALL)


def paint_fence(
    painter: Painter, side: int, line: float, z: tuple[float, float], place: Place, rng: np.random.Generator
) -> None:
    """A fence of bars. The area between the bars is labelled fence too, as in the real data sets."""
    colour = ((226, 226, 220), (52, 70, 60), (92, 74, 58), (160, 164, 168))[int(rng.integers(4))]
    height = rng.uniform(1.3, 2.0)
    fence = Facade(painter, (line, z[0]), (line, z[1]), painter.light.on((-side, 0, 0)))
    corners = np.array(
        [(line, 0, z[0]), (line, 0, z[1]), (line, height, z[1]), (line, height, z[0])], dtype=float
    )
    painter.veil(painter.camera.street(corners), colour, Code.FENCE, 0.3)
    bars = np.arange(0.05, fence.length, 0.34)
    fence.rectangles(
        np.column_stack([bars, bars * 0, bars + 0.12, bars * 0 + height - 0.06]), colour, Code.FENCE
    )
    dark = mixed(colour, (20, 20, 20), 0.35)
    for level in (0.18, height - 0.32):
        fence.rectangle(0, level, fence.length, level + 0.12, dark, Code.FENCE)
    posts = np.arange(0.0, fence.length, 2.7)
    fence.rectangles(np.column_stack([posts, posts * 0, posts + 0.18, posts * 0 + height]), dark, Code.FENCE)


def paint_hedge(
    painter: Painter, side: int, line: float, z: tuple[float, float], place: Place, rng: np.random.Generator
) -> None:
    """A clipped hedge."""
    dark, bright = place.leaves[int(rng.integers(len(place.leaves)))]
    height = rng.uniform(1.0, 1.8)
    hedge = Facade(painter, (line, z[0]), (line, z[1]), painter.light.on((-side, 0, 0)))
    end = Facade(painter, (line, z[0]), (line + side * 1.2, z[0]), painter.light.on((0, 0, -1)))
    for part in (hedge, end):
        part.rectangle(0, 0, part.length, height, mixed(dark, bright, 0.35), Code.VEGETATION)
        part.rectangle(0, height * 0.8, part.length, height, mixed(dark, bright, 0.75), Code.VEGETATION)


def _leaf_table(painter: Painter, place: Place, kind: int, z: float) -> np.ndarray:
    dark, bright = place.leaves[kind % len(place.leaves)]
    level = painter.light.upright
    low, high = painter.tone(dark, z, level), painter.tone(bright, z, level)
    share = (np.arange(256) / 255)[:, None]
    return np.clip(np.array(low) * (1 - share) + np.array(high) * share, 0, 255).astype(np.uint8)


def paint_bush(
    painter: Painter, at: tuple[float, float], width: float, height: float, place: Place, kind: int
) -> None:
    """A round bush standing on the ground at camera-space (x, z)."""
    _crown(painter, at, (0.0, height), width, place, kind)


def _crown(
    painter: Painter, at: tuple[float, float], y: tuple[float, float], width: float, place: Place, kind: int
) -> None:
    x, z = at
    if z < 1.5:
        return
    corners = np.array([(x - width / 2, y[1], z), (x + width / 2, y[0], z)], dtype=float)
    (left, top), (right, bottom) = painter.camera.project(corners)
    if painter.camera.roll:
        middle = (left + right) / 2
        half = painter.camera.focal * width / z / 2
        left, right = middle - half, middle + half
    # Sprites are lit from the left, so they are mirrored if the sun is on the right.
    shade = crown(kind % CROWNS)
    shade = shade[:, ::-1] if painter.light.sun[0] > 0 else shade
    painter.stamp(_leaf_table(painter, place, kind, z), shade, (left, top, right, bottom), Code.VEGETATION)


def paint_tree(
    painter: Painter, at: tuple[float, float], height: float, place: Place, kind: int, style: str
) -> None:
    """A tree at camera-space (x, z). ``style`` is leafy, conifer, palm or bare. Trunks are vegetation."""
    light = painter.light.upright
    bark = (96, 76, 58) if style != "palm" else (150, 124, 92)
    trunk = height * {"leafy": 0.5, "conifer": 0.25, "palm": 0.86, "bare": 0.5}[style]
    thick = 0.03 * height if style != "palm" else 0.02 * height
    outline = [(-thick, 0), (thick, 0), (thick * 0.6, trunk), (-thick * 0.6, trunk)]
    painter.flat(outline, at, bark, Code.VEGETATION, light)
    lit = 0.5 if painter.light.sun[0] > 0 else -0.5
    painter.flat(
        [(x * 0.5 + lit * thick, y) for x, y in outline],
        at,
        mixed(bark, (255, 255, 255), 0.2),
        Code.VEGETATION,
        light,
    )
    if style == "leafy":
        _crown(painter, at, (height * 0.28, height), height * 0.62, place, kind)
    elif style == "conifer":
        dark, bright = place.leaves[kind % len(place.leaves)]
        for tier in range(5):
            low, half = height * (0.14 + 0.16 * tier), height * (0.24 - 0.04 * tier)
            shape = [(-half, low), (0, low + height * 0.3), (half, low)]
            painter.flat(shape, at, mixed(dark, bright, 0.15 + 0.1 * tier), Code.VEGETATION, light)
            shape = [
                (lit * 0.2 * half, low),
                (0, low + height * 0.3),
                (2 * lit * half * 0.95, low + 0.02 * height),
            ]
            painter.flat(shape, at, mixed(dark, bright, 0.35 + 0.1 * tier), Code.VEGETATION, light)
    elif style == "palm":
        _fronds(painter, at, height, trunk, place, kind, light)
    else:
        _branches(painter, at, height, trunk, bark, light, kind, place.snow)


def _fronds(
    painter: Painter,
    at: tuple[float, float],
    height: float,
    trunk: float,
    place: Place,
    kind: int,
    light: float,
) -> None:
    dark, bright = place.leaves[kind % len(place.leaves)]
    t = np.linspace(0, 1, 7)
    for number, angle in enumerate(np.linspace(-0.5, np.pi + 0.5, 11)):
        reach = height * 0.27
        x = np.cos(angle) * reach * t
        y = trunk + np.sin(angle) * reach * 0.6 * t - reach * 0.5 * t**2
        half = 0.035 * height * np.sin(np.pi * np.clip(t, 0.06, 0.97))
        outline = np.concatenate([np.column_stack([x, y + half]), np.column_stack([x, y - half])[::-1]])
        painter.flat(
            outline, at, mixed(dark, bright, 0.3 + 0.6 * ((number * 5) % 11) / 10), Code.VEGETATION, light
        )


def _branches(
    painter: Painter,
    at: tuple[float, float],
    height: float,
    trunk: float,
    bark: tuple[float, ...],
    light: float,
    kind: int,
    snow: bool,
) -> None:
    outlines = []
    for number in range(13):
        angle = np.pi * (0.12 + 0.76 * ((number * 5 + kind) % 13) / 12)
        start = trunk * (0.62 + 0.38 * ((number * 7) % 13) / 12)
        reach = height * (0.3 + 0.14 * ((number * 3 + kind) % 4) / 3)
        tip = (np.cos(angle) * reach * 0.8, min(start + np.sin(angle) * reach + 0.1 * height, height))
        elbow = (tip[0] * 0.45, start + (tip[1] - start) * 0.6)
        half = 0.011 * height
        outlines.append(
            [
                (-half, start),
                (elbow[0] - half * 0.7, elbow[1]),
                tip,
                (elbow[0] + half * 0.7, elbow[1]),
                (half, start),
            ]
        )
    for outline in outlines:
        painter.flat(
            outline, at, bark if not snow else mixed(bark, (240, 240, 244), 0.35), Code.VEGETATION, light
        )


def paint_woods(painter: Painter, place: Place, rng: np.random.Generator) -> None:
    """Low woods along the horizon."""
    for _ in range(26):
        z = rng.uniform(130, 240)
        width = rng.uniform(14, 34)
        paint_bush(
            painter, (rng.uniform(-1.0, 1.0) * z, z), width, rng.uniform(5, 13), place, int(rng.integers(64))
        )
