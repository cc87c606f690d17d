"""Street furniture: lamps, traffic lights, signs, utility poles, and static things without a class."""

from __future__ import annotations

import numpy as np

from datasets.toycity.codes import Code
from datasets.toycity.colours import Colour, mixed
from datasets.toycity.painter import Figure, Painter
from datasets.toycity.shapes import Outline, bar, ellipse, limb

_STEEL = (128, 130, 134)
_WOOD = (104, 82, 62)
_BLACK = (20, 20, 20)
_WHITE = (244, 244, 240)
_RED = (214, 26, 34)
_BLUE = (26, 84, 180)


def _disc(x: float, y: float, radius: float) -> np.ndarray:
    return ellipse(x, y, radius, radius, corners=20)


def _octagon(y: float, radius: float) -> np.ndarray:
    return ellipse(0, y, radius, radius, corners=8, start=np.pi / 8)


def _post(painter: Painter, at: tuple[float, float], height: float, half: float, wood: bool = False) -> None:
    colour, code = (_WOOD, Code.UTILITY_POLE) if wood else (_STEEL, Code.POLE)
    post = Figure(painter, at, code)
    post.fill(bar(0, height / 2, half, height / 2), mixed(colour, (30, 30, 32), 0.2))
    lit = half * 0.4 * (1 if painter.light.sun[0] > 0 else -1)
    post.fill(bar(lit, height / 2, half * 0.45, height / 2), mixed(colour, (255, 255, 255), 0.25))


def paint_lamp(painter: Painter, at: tuple[float, float], side: int) -> None:
    """A street lamp with an arm over the road; it stands on ``side`` (-1 left, 1 right)."""
    _post(painter, at, 7.6, 0.13)
    arm = Figure(painter, at, Code.POLE, light=1.0)
    arm.fill(limb([(0, 7.4), (-side * 0.7, 7.9), (-side * 1.9, 8.0)], 0.16), _STEEL)
    arm.fill(bar(-side * 2.1, 7.95, 0.5, 0.12), (70, 72, 76))
    painter.glow((at[0] - side * 2.1, 7.8, at[1]), 1.3, (255, 196, 110))


def paint_utility_pole(painter: Painter, at: tuple[float, float]) -> None:
    """A wooden pole with cross arms."""
    _post(painter, at, 9.0, 0.16, wood=True)
    for y in (8.4, 7.6):
        Figure(painter, at, Code.UTILITY_POLE, light=1.0).fill(bar(0, y, 1.1, 0.09), _WOOD)


def paint_traffic_light(
    painter: Painter, at: tuple[float, float], side: int, state: int, overhead: bool
) -> None:
    """A signal (``state`` 0 red, 1 amber, 2 green) and, with ``overhead``, a second one above the road."""
    _post(painter, at, 5.9 if overhead else 3.9, 0.1)
    heads = [(0.0, 3.4)]
    if overhead:
        Figure(painter, at, Code.POLE, light=1.0).fill(bar(-side * 1.9, 5.75, 1.9, 0.09), _STEEL)
        heads.append((-side * 3.4, 5.5))
    signal = Figure(painter, at, Code.LIGHT, light=1.0)
    for x, y in heads:
        signal.fill(bar(x, y, 0.31, 0.78), (24, 26, 26))
        signal.fill(bar(x, y, 0.25, 0.71), (44, 48, 46))
        for lamp, colour in enumerate(((250, 40, 30), (255, 190, 30), (40, 240, 110))):
            height = y + 0.46 * (1 - lamp)
            shown = colour if lamp == state else mixed(colour, (14, 14, 14), 0.78)
            signal.fill(_disc(x, height, 0.2), shown)
            if lamp == state:
                painter.glow((at[0] + x, height, at[1]), 0.4, colour)


_Y = 2.75  # the height of a sign's middle
_ARROW = [(-0.07, -0.26), (0.07, -0.26), (0.07, 0.04), (0.2, 0.04), (0, 0.3), (-0.2, 0.04), (-0.07, 0.04)]

SIGNS: dict[str, list[tuple[Outline, Colour]]] = {
    "limit": [
        (_disc(0, _Y, 0.45), _RED),
        (_disc(0, _Y, 0.33), _WHITE),
        (bar(-0.12, _Y, 0.05, 0.15), _BLACK),
        (bar(0.1, _Y, 0.09, 0.15), _BLACK),
    ],
    "warning": [
        ([(-0.52, _Y - 0.38), (0.52, _Y - 0.38), (0, _Y + 0.5)], _RED),
        ([(-0.34, _Y - 0.28), (0.34, _Y - 0.28), (0, _Y + 0.3)], (250, 220, 60)),
        (bar(0, _Y - 0.08, 0.045, 0.15), _BLACK),
    ],
    "stop": [(_octagon(_Y, 0.48), _WHITE), (_octagon(_Y, 0.44), _RED), (bar(0, _Y, 0.28, 0.08), _WHITE)],
    "mandatory": [
        (_disc(0, _Y, 0.45), _WHITE),
        (_disc(0, _Y, 0.41), _BLUE),
        ([(x, _Y + y) for x, y in _ARROW], _WHITE),
    ],
    "parking": [
        (bar(0, _Y, 0.42, 0.42), _BLUE),
        (bar(-0.1, _Y, 0.06, 0.27), _WHITE),
        (_disc(0.06, _Y + 0.12, 0.16), _WHITE),
    ],
    "name": [
        (bar(0, _Y, 1.0, 0.34), (16, 112, 66)),
        (bar(-0.1, _Y + 0.1, 0.7, 0.06), _WHITE),
        (bar(-0.25, _Y - 0.12, 0.5, 0.06), _WHITE),
    ],
}
"""Kind of sign -> its parts, as (outline, colour)."""


def paint_sign(painter: Painter, at: tuple[float, float], kind: str) -> None:
    """A traffic sign on its post."""
    _post(painter, at, 2.9, 0.06)
    sign = Figure(painter, at, Code.SIGN, light=max(0.85, painter.light.upright))
    for outline, colour in SIGNS[kind]:
        sign.fill(outline, colour)


def paint_static(painter: Painter, at: tuple[float, float], kind: int) -> None:
    """A litter bin (``kind`` 0), a hydrant (1) or a bench (2); they have no class."""
    thing = Figure(painter, at, Code.STATIC)
    if kind == 0:
        thing.fill([(-0.28, 0), (0.28, 0), (0.34, 0.95), (-0.34, 0.95)], (54, 78, 62))
        thing.fill(bar(0, 1.0, 0.38, 0.08), (36, 44, 40))
    elif kind == 1:
        thing.fill(bar(0, 0.35, 0.16, 0.35), (206, 44, 34))
        thing.fill(_disc(0, 0.72, 0.17), (206, 44, 34))
        thing.fill(bar(0, 0.48, 0.3, 0.08), (226, 196, 60))
    else:
        for y in (0.46, 0.7, 0.88):
            thing.fill(bar(0, y, 0.85, 0.06), (134, 92, 56))
        for x in (-0.65, 0.65):
            thing.fill(bar(x, 0.24, 0.05, 0.24), (50, 50, 52))


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
