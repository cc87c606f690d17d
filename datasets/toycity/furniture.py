"""Street furniture: lamps, traffic lights, signs, utility poles, and static things without a class."""

from __future__ import annotations

import numpy as np

from datasets.toycity.codes import Code
from datasets.toycity.colours import mixed
from datasets.toycity.painter import Painter, box
from datasets.toycity.people import limb

_STEEL = (128, 130, 134)
_WOOD = (104, 82, 62)

SIGNS = ("limit", "warning", "stop", "mandatory", "parking", "name")


def _disc(x: float, y: float, radius: float, corners: int = 20) -> np.ndarray:
    turn = np.linspace(0, 2 * np.pi, corners, endpoint=False) + (np.pi / 8 if corners == 8 else 0)
    return np.column_stack([x + radius * np.cos(turn), y + radius * np.sin(turn)])


def _box(x: float, y: float, half_x: float, half_y: float) -> list[tuple[float, float]]:
    return box(x - half_x, y - half_y, x + half_x, y + half_y)


def _post(
    painter: Painter, at: tuple[float, float], height: float, half: float, code: int = Code.POLE
) -> None:
    colour = _STEEL if code == Code.POLE else _WOOD
    light = painter.light.upright
    painter.flat(_box(0, height / 2, half, height / 2), at, mixed(colour, (30, 30, 32), 0.2), code, light)
    lit = half * 0.4 * (1 if painter.light.sun[0] > 0 else -1)
    painter.flat(
        _box(lit, height / 2, half * 0.45, height / 2), at, mixed(colour, (255, 255, 255), 0.25), code, light
    )


def paint_lamp(painter: Painter, at: tuple[float, float], side: int) -> None:
    """A street lamp with an arm over the road; it stands on ``side`` (-1 left, 1 right)."""
    _post(painter, at, 7.6, 0.13)
    painter.flat(limb([(0, 7.4), (-side * 0.7, 7.9), (-side * 1.9, 8.0)], 0.16), at, _STEEL, Code.POLE)
    painter.flat(_box(-side * 2.1, 7.95, 0.5, 0.12), at, (70, 72, 76), Code.POLE)
    painter.glow((at[0] - side * 2.1, 7.8, at[1]), 1.3, (255, 196, 110))


def paint_utility_pole(painter: Painter, at: tuple[float, float]) -> None:
    """A wooden pole with cross arms."""
    _post(painter, at, 9.0, 0.16, Code.UTILITY_POLE)
    for y in (8.4, 7.6):
        painter.flat(_box(0, y, 1.1, 0.09), at, _WOOD, Code.UTILITY_POLE)


def paint_traffic_light(
    painter: Painter, at: tuple[float, float], side: int, state: int, overhead: bool
) -> None:
    """A signal (``state`` 0 red, 1 amber, 2 green) and, with ``overhead``, a second one above the road."""
    _post(painter, at, 5.9 if overhead else 3.9, 0.1)
    heads = [(0.0, 3.4)]
    if overhead:
        painter.flat(_box(-side * 1.9, 5.75, 1.9, 0.09), at, _STEEL, Code.POLE)
        heads.append((-side * 3.4, 5.5))
    for x, y in heads:
        painter.flat(_box(x, y, 0.31, 0.78), at, (24, 26, 26), Code.LIGHT)
        painter.flat(_box(x, y, 0.25, 0.71), at, (44, 48, 46), Code.LIGHT)
        for lamp, colour in enumerate(((250, 40, 30), (255, 190, 30), (40, 240, 110))):
            on = lamp == state
            shown = colour if on else mixed(colour, (14, 14, 14), 0.78)
            height = y + 0.46 * (1 - lamp)
            painter.flat(_disc(x, height, 0.2), at, shown, Code.LIGHT, 1.0)
            if on:
                painter.glow((at[0] + x, height, at[1]), 0.4, colour)


def paint_sign(painter: Painter, at: tuple[float, float], kind: str) -> None:
    """A traffic sign on its post."""
    _post(painter, at, 2.9, 0.06)
    light = max(0.85, painter.light.upright)

    def fill(outline: np.ndarray | list, colour: tuple[float, float, float]) -> None:
        painter.flat(outline, at, colour, Code.SIGN, light)

    y, white, red, blue = 2.75, (244, 244, 240), (214, 26, 34), (26, 84, 180)
    if kind == "limit":
        fill(_disc(0, y, 0.45), red)
        fill(_disc(0, y, 0.33), white)
        fill(_box(-0.12, y, 0.05, 0.15), (20, 20, 20))
        fill(_box(0.1, y, 0.09, 0.15), (20, 20, 20))
    elif kind == "warning":
        fill([(-0.52, y - 0.38), (0.52, y - 0.38), (0, y + 0.5)], red)
        fill([(-0.34, y - 0.28), (0.34, y - 0.28), (0, y + 0.3)], (250, 220, 60))
        fill(_box(0, y - 0.08, 0.045, 0.15), (20, 20, 20))
    elif kind == "stop":
        fill(_disc(0, y, 0.48, 8), white)
        fill(_disc(0, y, 0.44, 8), red)
        fill(_box(0, y, 0.28, 0.08), white)
    elif kind == "mandatory":
        fill(_disc(0, y, 0.45), white)
        fill(_disc(0, y, 0.41), blue)
        fill(
            [
                (-0.07, y - 0.26),
                (0.07, y - 0.26),
                (0.07, y + 0.04),
                (0.2, y + 0.04),
                (0, y + 0.3),
                (-0.2, y + 0.04),
                (-0.07, y + 0.04),
            ],
            white,
        )
    elif kind == "parking":
        fill(_box(0, y, 0.42, 0.42), blue)
        fill(_box(-0.1, y, 0.06, 0.27), white)
        fill(_disc(0.06, y + 0.12, 0.16), white)
    else:
        fill(_box(0, y, 1.0, 0.34), (16, 112, 66))
        fill(_box(-0.1, y + 0.1, 0.7, 0.06), white)
        fill(_box(-0.25, y - 0.12, 0.5, 0.06), white)


def paint_static(painter: Painter, at: tuple[float, float], kind: int) -> None:
    """A litter bin (``kind`` 0), a hydrant (1) or a bench (2); they have no class."""
    light = painter.light.upright
    if kind == 0:
        painter.flat(
            [(-0.28, 0), (0.28, 0), (0.34, 0.95), (-0.34, 0.95)], at, (54, 78, 62), Code.STATIC, light
        )
        painter.flat(_box(0, 1.0, 0.38, 0.08), at, (36, 44, 40), Code.STATIC, light)
    elif kind == 1:
        painter.flat(_box(0, 0.35, 0.16, 0.35), at, (206, 44, 34), Code.STATIC, light)
        painter.flat(_disc(0, 0.72, 0.17), at, (206, 44, 34), Code.STATIC, light)
        painter.flat(_box(0, 0.48, 0.3, 0.08), at, (226, 196, 60), Code.STATIC, light)
    else:
        for y, half in ((0.46, 0.06), (0.7, 0.06), (0.88, 0.06)):
            painter.flat(_box(0, y, 0.85, half), at, (134, 92, 56), Code.STATIC, light)
        for x in (-0.65, 0.65):
            painter.flat(_box(x, 0.24, 0.05, 0.24), at, (50, 50, 52), Code.STATIC, light)


def paint_hood(painter: Painter, share: float) -> None:
    """The bonnet of the camera's car; it covers a ``share`` of the picture's height."""
    width, height = painter.camera.width, painter.camera.height
    x = np.linspace(-0.02, 1.02, 24)
    top = height * (1 - share * (1 - 0.55 * np.abs(2 * x - 1) ** 2.6))
    outline = np.column_stack([x * width, top])
    bottom = np.array([[width * 1.02, height + 4], [-0.02 * width, height + 4]])
    painter.fill_pixels(np.concatenate([outline, bottom]), (46, 50, 54), Code.EGO_VEHICLE)
    shine = np.column_stack([x * width, top + height * 0.012])
    painter.fill_pixels(np.concatenate([outline, shine[::-1]]), (116, 124, 130), Code.EGO_VEHICLE)
