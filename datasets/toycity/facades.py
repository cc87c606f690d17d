"""Buildings along the street and in the distance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from datasets.toycity.codes import Code
from datasets.toycity.colours import Colour, mixed, palette, pick
from datasets.toycity.painter import Figure, Painter
from datasets.toycity.shapes import box

_GLASS = palette("3a485c 54667a 283240")
_LIT = (255, 214, 140)
_DIM = (150, 116, 64)
_AWNINGS = palette("b02828 225c40 28468c d6a032")
_TILES = palette("944632 5c5452 7a3e30")


class Facade:
    """An upright rectangle on the ground. Boxes are painted on it at u metres along it and v metres up.

    It stands between the street coordinates ``start`` and ``end``, each (s, z).
    """

    def __init__(
        self, painter: Painter, start: tuple[float, float], end: tuple[float, float], light: float
    ) -> None:
        self.painter, self.light = painter, light
        self.start, self.end = np.array(start, dtype=float), np.array(end, dtype=float)
        self.length = float(np.linalg.norm(self.end - self.start))

    def fill(
        self,
        edges: Sequence[float | np.ndarray],
        colour: Sequence[float],
        code: int = Code.BUILDING,
        light: float = 1.0,
    ) -> None:
        """Fill one or K boxes with the ``edges`` u0, v0, u1 and v1, each a number or (K,)."""
        points = self._points(edges)
        if len(points):
            self.painter.faces(points, colour, code, self.light * light)

    def panes(self, edges: Sequence[float | np.ndarray]) -> None:
        """Tell that the boxes with these ``edges`` are windows that may be lit at night."""
        points = self._points(edges)
        if len(points):
            self.painter.panes(points)

    def _points(self, edges: Sequence[float | np.ndarray]) -> np.ndarray:
        """The corners of the boxes in camera space, (K, 4, 3)."""
        boxes = np.column_stack(np.broadcast_arrays(*edges))
        u, v = boxes[:, [0, 2, 2, 0]], boxes[:, [1, 1, 3, 3]]
        along = (u / self.length)[..., None]
        place = self.start * (1 - along) + self.end * along
        return self.painter.camera.street(np.stack([place[..., 0], v, place[..., 1]], axis=-1))


@dataclass(frozen=True)
class Plot:
    """A piece of ground on ``side`` (-1 left, 1 right) of the street; its front is at s = ``line``.

    ``near`` and ``far`` are the depths (metres) between which it lies.
    """

    painter: Painter
    side: int
    line: float
    near: float
    far: float

    def front(self) -> Facade:
        """What stands along the street."""
        light = self.painter.light.on((-self.side, 0, 0))
        return Facade(self.painter, (self.line, self.near), (self.line, self.far), light)

    def end(self, depth: float) -> Facade:
        """What faces the camera: ``depth`` metres at the near end."""
        light = self.painter.light.on((0, 0, -1))
        beyond = self.line + self.side * depth
        return Facade(self.painter, (self.line, self.near), (beyond, self.near), light)


def paint_building(plot: Plot, height: float, rng: np.random.Generator) -> None:
    """A house at the front of its plot."""
    place = plot.painter.place
    colour = np.clip(pick(rng, place.facades) * rng.uniform(0.92, 1.08, 3), 0, 255).tolist()
    depth = rng.uniform(9, 14)
    storey = rng.uniform(2.9, 3.6)
    glass = pick(rng, _GLASS)
    front, gable = plot.front(), plot.end(depth)
    pitched = rng.uniform() < place.pitched
    if pitched:
        _roof(plot, height, depth, rng)
    for facade in (front, gable):
        facade.fill((0, 0, facade.length, height), colour)
        facade.fill((0, 0, facade.length, min(0.7, height / 4)), mixed(colour, (40, 40, 40), 0.45))
    style = int(rng.integers(3))
    _windows(front, height, storey, colour, glass, style, rng)
    if plot.near < 70:
        _windows(gable, height, storey, colour, glass, style, rng)
    if plot.near < 60:
        _shops(front, storey, glass, rng)
    if not pitched:
        for facade, share in ((front, 0.3), (gable, 0.2)):
            top = (0, height - 0.45, facade.length, height)
            facade.fill(top, mixed(colour, (255, 255, 255), share))


def _roof(plot: Plot, height: float, depth: float, rng: np.random.Generator) -> None:
    painter, side, line = plot.painter, plot.side, plot.line
    rise = rng.uniform(2.5, 4.5)
    tiles = (235, 238, 244) if painter.place.snow else pick(rng, _TILES)
    eave, middle = line - side * 0.3, line + side * depth / 2
    ridge = [(middle, height + rise, z) for z in (plot.far, plot.near)]
    slope = np.array([(eave, height, plot.near), (eave, height, plot.far), *ridge])
    normal = np.array([-side * rise, depth / 2, 0]) / np.hypot(rise, depth / 2)
    painter.face(painter.camera.street(slope), tiles, Code.BUILDING, painter.light.on(tuple(normal)))
    end = np.array([(line, height, plot.near), (line + side * depth, height, plot.near), ridge[1]])
    corners = painter.camera.street(end)
    painter.face(corners, mixed(tiles, (170, 150, 130), 0.5), Code.BUILDING)
    painter.slope(corners)


def _windows(
    facade: Facade,
    height: float,
    storey: float,
    colour: Colour,
    glass: Colour,
    style: int,
    rng: np.random.Generator,
) -> None:
    painter = facade.painter
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
    left, right, low, high = u - half_u, u + half_u, v - half_v, v + half_v
    frame = mixed(colour, (255, 255, 255), 0.55) if style != 1 else mixed(colour, (30, 30, 30), 0.4)
    facade.fill((left - 0.14, low - 0.2, right + 0.14, high + 0.12), frame)
    facade.fill((left, low, right, high), glass)
    facade.fill((left, v + half_v * 0.25, right, high), mixed(glass, painter.light.sky_low, 0.45))
    facade.panes((left, low, right, high))
    if painter.light.darkness > 0.5:
        lit = np.column_stack([left, low, right, high])[rng.uniform(size=len(u)) < 0.3]
        facade.fill(lit.T, _LIT, light=2.2)
        for u0, v0, u1, v1 in lit[:14]:
            share = (u0 + u1) / 2 / facade.length
            s, depth = facade.start * (1 - share) + facade.end * share
            painter.glow(painter.camera.street(np.array([s, (v0 + v1) / 2, depth])), 0.55, _DIM)


def _shops(facade: Facade, storey: float, glass: Colour, rng: np.random.Generator) -> None:
    count = int(facade.length / 4.5)
    if count < 1 or rng.uniform() < 0.25:
        return
    u = facade.length / count * (np.arange(count) + 0.5)
    window = (u - 1.7, 0.6, u + 0.7, storey * 0.76)
    facade.fill(window, mixed(glass, (20, 24, 30), 0.4))
    facade.panes(window)
    facade.fill((u + 0.95, 0.05, u + 1.8, storey * 0.72), (74, 56, 44))
    if rng.uniform() < 0.6:
        facade.fill((u - 1.9, storey * 0.72, u + 0.9, storey * 0.9), pick(rng, _AWNINGS))


def paint_skyline(painter: Painter, rng: np.random.Generator) -> None:
    """Distant buildings at the end of the street and beside it."""
    for _ in range(16):
        z = rng.uniform(170, 320)
        x = rng.uniform(-1.0, 1.0) * z
        width, height = rng.uniform(12, 34), rng.uniform(8, 36) * (1.6 if rng.uniform() < 0.15 else 1)
        tone = mixed(pick(rng, painter.place.facades), (110, 116, 126), 0.4)
        Figure(painter, (x, z), Code.BUILDING).fill(box(-width / 2, 0, width / 2, height), tone)
