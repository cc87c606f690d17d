"""Buildings along the street and in the distance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from datasets.toycity.codes import Code
from datasets.toycity.colours import Colour, mixed
from datasets.toycity.looks import Place
from datasets.toycity.painter import Painter, box

_GLASS = ((58, 72, 92), (84, 102, 122), (40, 50, 64))
_LIT = (255, 214, 140)
_DIM = (150, 116, 64)
_AWNINGS = ((176, 40, 40), (34, 92, 64), (40, 70, 140), (214, 160, 50))


class Facade:
    """An upright rectangle on the ground. Boxes are painted on it at u metres along it and v metres up."""

    def __init__(
        self, painter: Painter, start: tuple[float, float], end: tuple[float, float], light: float
    ) -> None:
        self.painter, self.light = painter, light
        self.start, self.end = np.array(start, dtype=float), np.array(end, dtype=float)
        self.length = float(np.linalg.norm(self.end - self.start))

    def rectangles(
        self, boxes: np.ndarray, colour: Sequence[float], code: int = Code.BUILDING, light: float = 1.0
    ) -> None:
        """Fill boxes (K, 4) of (u0, v0, u1, v1)."""
        if len(boxes) == 0:
            return
        u, v = boxes[:, [0, 2, 2, 0]], boxes[:, [1, 1, 3, 3]]
        along = (u / self.length)[..., None]
        place = self.start * (1 - along) + self.end * along
        points = np.stack([place[..., 0], v, place[..., 1]], axis=-1)
        self.painter.faces(self.painter.camera.street(points), colour, code, self.light * light)

    def rectangle(
        self, u0: float, v0: float, u1: float, v1: float, colour: Sequence[float], code: int = Code.BUILDING
    ) -> None:
        """Fill one box."""
        self.rectangles(np.array([[u0, v0, u1, v1]]), colour, code)


def paint_building(
    painter: Painter,
    side: int,
    line: float,
    z: tuple[float, float],
    height: float,
    place: Place,
    rng: np.random.Generator,
) -> None:
    """A house on ``side`` (-1 left, 1 right). Its front is at s = ``line``, between the depths ``z``."""
    colour = place.facades[int(rng.integers(len(place.facades)))]
    colour = tuple(
        float(np.clip(c * k, 0, 255)) for c, k in zip(colour, rng.uniform(0.92, 1.08, 3), strict=True)
    )
    depth = rng.uniform(9, 14)
    storey = rng.uniform(2.9, 3.6)
    glass = _GLASS[int(rng.integers(len(_GLASS)))]
    front = Facade(painter, (line, z[0]), (line, z[1]), painter.light.on((-side, 0, 0)))
    gable = Facade(painter, (line, z[0]), (line + side * depth, z[0]), painter.light.on((0, 0, -1)))
    pitched = rng.uniform() < place.pitched
    if pitched:
        _roof(painter, side, line, z, height, depth, place, rng)
    for facade in (front, gable):
        facade.rectangle(0, 0, facade.length, height, colour)
        _base(facade, colour, height)
    style = int(rng.integers(3))
    _windows(painter, front, height, storey, colour, glass, style, rng)
    if z[0] < 70:
        _windows(painter, gable, height, storey, colour, glass, style, rng)
    if z[0] < 60:
        _shops(front, storey, glass, rng)
    if not pitched:
        front.rectangle(0, height - 0.45, front.length, height, mixed(colour, (255, 255, 255), 0.3))
        gable.rectangle(0, height - 0.45, gable.length, height, mixed(colour, (255, 255, 255), 0.2))


def _base(facade: Facade, colour: Colour, height: float) -> None:
    facade.rectangle(0, 0, facade.length, min(0.7, height / 4), mixed(colour, (40, 40, 40), 0.45))


def _roof(
    painter: Painter,
    side: int,
    line: float,
    z: tuple[float, float],
    height: float,
    depth: float,
    place: Place,
    rng: np.random.Generator,
) -> None:
    rise = rng.uniform(2.5, 4.5)
    tiles = (
        (235, 238, 244) if place.snow else ((148, 70, 50), (92, 84, 82), (122, 62, 48))[int(rng.integers(3))]
    )
    middle = line + side * depth / 2
    eave = line - side * 0.3
    slope = [
        (eave, height, z[0]),
        (eave, height, z[1]),
        (middle, height + rise, z[1]),
        (middle, height + rise, z[0]),
    ]
    normal = np.array([-side * rise, depth / 2, 0]) / np.hypot(rise, depth / 2)
    camera = painter.camera
    painter.face(camera.street(np.array(slope)), tiles, Code.BUILDING, painter.light.on(tuple(normal)))
    end = [(line, height, z[0]), (line + side * depth, height, z[0]), (middle, height + rise, z[0])]
    painter.face(camera.street(np.array(end)), mixed(tiles, (170, 150, 130), 0.5), Code.BUILDING)


def _windows(
    painter: Painter,
    facade: Facade,
    height: float,
    storey: float,
    colour: Colour,
    glass: Colour,
    style: int,
    rng: np.random.Generator,
) -> None:
    bay = rng.uniform(2.3, 3.4)
    columns = int((facade.length - 0.8) / bay)
    rows = int((height - storey - 0.6) / storey)
    nearest = min(facade.start[1], facade.end[1])
    if columns < 1 or rows < 1 or painter.camera.focal * storey / max(nearest, 1) < 9:
        return
    wide, tall = ((0.5, 0.5), (0.42, 0.62), (0.86, 0.48))[style]
    margin = (facade.length - columns * bay) / 2
    u = margin + bay * (np.arange(columns) + 0.5)
    v = storey * (np.arange(rows) + 1.5)
    u, v = (grid.ravel() for grid in np.meshgrid(u, v))
    half_u, half_v = bay * wide / 2, storey * tall / 2
    boxes = np.column_stack([u - half_u, v - half_v, u + half_u, v + half_v])
    frame = mixed(colour, (255, 255, 255), 0.55) if style != 1 else mixed(colour, (30, 30, 30), 0.4)
    facade.rectangles(boxes + np.array([-0.14, -0.2, 0.14, 0.12]), frame)
    facade.rectangles(boxes, glass)
    facade.rectangles(
        boxes * [1, 0, 1, 0] + np.column_stack([u * 0, v + half_v * 0.25, u * 0, v + half_v]),
        mixed(glass, painter.light.sky_low, 0.45),
    )
    if painter.light.darkness > 0.5:
        lamps = boxes[rng.uniform(size=len(boxes)) < 0.3]
        facade.rectangles(lamps, _LIT, light=2.2)
        for u0, v0, u1, v1 in lamps[:14]:
            share = (u0 + u1) / 2 / facade.length
            s, depth = facade.start * (1 - share) + facade.end * share
            painter.glow(painter.camera.street(np.array([s, (v0 + v1) / 2, depth])), 0.55, _DIM)


def _shops(facade: Facade, storey: float, glass: Colour, rng: np.random.Generator) -> None:
    count = int(facade.length / 4.5)
    if count < 1 or rng.uniform() < 0.25:
        return
    u = facade.length / count * (np.arange(count) + 0.5)
    facade.rectangles(
        np.column_stack([u - 1.7, u * 0 + 0.6, u + 0.7, u * 0 + storey * 0.76]),
        mixed(glass, (20, 24, 30), 0.4),
    )
    facade.rectangles(np.column_stack([u + 0.95, u * 0 + 0.05, u + 1.8, u * 0 + storey * 0.72]), (74, 56, 44))
    if rng.uniform() < 0.6:
        awning = _AWNINGS[int(rng.integers(len(_AWNINGS)))]
        facade.rectangles(
            np.column_stack([u - 1.9, u * 0 + storey * 0.72, u + 0.9, u * 0 + storey * 0.9]), awning
        )


def paint_skyline(painter: Painter, place: Place, rng: np.random.Generator) -> None:
    """Distant buildings at the end of the street and beside it."""
    for _ in range(16):
        z = rng.uniform(170, 320)
        x = rng.uniform(-1.0, 1.0) * z
        width, height = rng.uniform(12, 34), rng.uniform(8, 36) * (1.6 if rng.uniform() < 0.15 else 1)
        colour = place.facades[int(rng.integers(len(place.facades)))]
        outline = box(-width / 2, 0, width / 2, height)
        tone = mixed(colour, (110, 116, 126), 0.4)
        painter.flat(outline, (x, z), tone, Code.BUILDING, painter.light.upright)
