"""Cars, trucks, buses and trams: convex prisms in perspective with lights, windows and wheels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from datasets.toycity.colours import Colour, mixed
from datasets.toycity.painter import Painter
from datasets.toycity.shapes import Outline, bar, box, ellipse

_GLASS = (46, 58, 70)
_TYRE = (24, 24, 26)
_DARK = (40, 42, 46)
_RED = (226, 24, 20)
_LAMP = (255, 246, 220)


class Vehicle:
    """Paints the parts of one vehicle in its own coordinates: a ahead of its middle, b to its right, y up.

    ``at`` is the camera-space (x, z) of its middle. All lengths and ``size`` (length, width) are in metres.
    ``heading`` is in radians; at 0 the vehicle drives away from the camera.
    """

    def __init__(
        self, painter: Painter, at: tuple[float, float], heading: float, size: tuple[float, float], code: int
    ) -> None:
        self.painter, self.code = painter, code
        self.length, self.width = size
        self.origin = np.array(at, dtype=float)
        self.ahead = np.array([np.sin(heading), np.cos(heading)])
        self.right = np.array([np.cos(heading), -np.sin(heading)])
        self.eye_a, self.eye_b = float(-self.origin @ self.ahead), float(-self.origin @ self.right)
        self.sees_rear = self.eye_a < -self.length / 2
        self.sees_front = self.eye_a > self.length / 2
        self.seen_side = 0 if abs(self.eye_b) <= self.width / 2 else int(np.sign(self.eye_b))

    def footprint(self) -> np.ndarray:
        """The four corners of its rectangle on the ground, (4, 2) in camera-space (x, z)."""
        corners = box(-self.length / 2, -self.width / 2, self.length / 2, self.width / 2)
        return np.array([self.origin + a * self.ahead + b * self.right for a, b in corners])

    def points(self, a: np.ndarray | float, b: np.ndarray | float, y: np.ndarray | float) -> np.ndarray:
        """Its own coordinates, each (N,) or a number -> camera space (N, 3)."""
        points = np.empty((np.broadcast(a, b, y).size, 3))
        points[:, 0] = self.origin[0] + a * self.ahead[0] + b * self.right[0]
        points[:, 1] = y
        points[:, 2] = self.origin[1] + a * self.ahead[1] + b * self.right[1]
        return points

    def _light(self, a: float, b: float, y: float) -> float:
        flat = a * self.ahead + b * self.right
        return self.painter.light.on((float(flat[0]), y, float(flat[1])))

    def prism(self, profile: Outline, width: float, colour: Colour, glass: Sequence[int] = ()) -> None:
        """Paint a body with a convex side profile [(a, y)] (counter-clockwise) and this ``width``.

        ``glass`` lists the edges that are windows; edge i is from corner i to corner i + 1.
        """
        outline = np.array(profile, dtype=float)
        for edge, (start, end) in enumerate(pairwise([*outline, outline[0]])):
            step = end - start
            normal = np.array([step[1], -step[0]]) / max(float(np.hypot(*step)), 1e-6)
            if normal @ (np.array([self.eye_a, self.painter.camera.eye]) - start) <= 0:
                continue
            a, y = np.array([start, end, end, start]).T
            b = np.array([-1, -1, 1, 1]) * width / 2
            light = self._light(float(normal[0]), 0.0, float(normal[1]))
            self.painter.face(self.points(a, b, y), _GLASS if edge in glass else colour, self.code, light)
        self.side([profile], colour, width)

    def side(self, outlines: Sequence[Outline], colour: Sequence[float], width: float | None = None) -> None:
        """Paint outlines [(a, y)] on the visible long side."""
        if not self.seen_side:
            return
        b = self.seen_side * (self.width if width is None else width) / 2
        light = self._light(0.0, float(self.seen_side), 0.0)
        for outline in outlines:
            a, y = np.array(outline, dtype=float).T
            self.painter.face(self.points(a, b, y), colour, self.code, light)

    def windows(self, outlines: Sequence[Outline]) -> None:
        """Paint windows [(a, y)] on the visible long side, behind which there is light at night."""
        self.side(outlines, _GLASS)
        if self.seen_side:
            corners = np.array(outlines, dtype=float)
            b = self.seen_side * self.width / 2
            self.painter.panes(np.stack([self.points(each[:, 0], b, each[:, 1]) for each in corners]))

    def end(
        self, outlines: Sequence[Outline], colour: Sequence[float], front: bool, light: float | None = None
    ) -> None:
        """Paint outlines [(b, y)] on the front or the rear, if it is visible."""
        if not (self.sees_front if front else self.sees_rear):
            return
        sign = 1 if front else -1
        level = self._light(sign, 0.0, 0.0) if light is None else light
        for outline in outlines:
            b, y = np.array(outline, dtype=float).T
            self.painter.face(self.points(sign * self.length / 2, b, y), colour, self.code, level)

    def wheels(self, places: Sequence[float], radius: float) -> None:
        """Paint the wheels of the visible side as discs, and those of the visible end as blocks."""
        at = -self.length / 2 if self.sees_rear else self.length / 2
        for b in (-1, 1):
            inner, outer = sorted((b * (self.width / 2 - 0.3), b * self.width / 2))
            if self.sees_rear or self.sees_front:
                block = np.array(box(inner, 0.0, outer, radius))
                self.painter.face(self.points(at * 0.9, block[:, 0], block[:, 1]), _TYRE, self.code)
        for a in places:
            for r, colour in ((radius, _TYRE), (radius * 0.55, (150, 152, 156))):
                self.side([ellipse(a, radius, r, r)], colour)

    def lamps(self, y: float, b: float, size: float) -> None:
        """Paint the two lamps of the visible end, and let them glow at night."""
        front = self.sees_front
        if not (front or self.sees_rear):
            return
        colour, light, radius = (_LAMP, 1.1, 0.55) if front else (_RED, 1.0, 0.3)
        self.end([bar(c, y, size * 1.2, size * 0.8) for c in (-b, b)], _DARK, front)
        self.end([bar(c, y, size, size * 0.6) for c in (-b, b)], colour, front, light)
        for c in (-b, b):
            self.painter.glow(self.points(self.length / 2 * (1 if front else -1), c, y)[0], radius, colour)


def paint_car(vehicle: Vehicle, colour: Colour, estate: bool = False) -> None:
    """A saloon, or an estate / sport utility car with a longer and higher roof."""
    half, wide = vehicle.length / 2, vehicle.width
    roof = 1.66 if estate else 1.46
    back = -half + 0.12 if estate else -half * 0.86
    top_back = -half + 0.35 if estate else -half * 0.55
    vehicle.wheels((-half * 0.62, half * 0.62), 0.34)
    bonnet, boot = [(half, 0.66), (half * 0.9, 0.86)], [(-half * 0.95, 0.98), (-half, 0.84)]
    vehicle.prism([(-half, 0.22), (half, 0.22), *bonnet, *boot], wide, colour)
    cabin = [(back, 0.95), (half * 0.52, 0.88), (half * 0.2, roof), (top_back, roof)]
    vehicle.prism(cabin, wide * 0.88, colour, glass=(1, 3))
    middle = (half * 0.36 + back) / 2
    top = roof - 0.1
    rear = [(back + 0.12, 1.0), (middle - 0.06, 1.0), (middle - 0.06, top), (back + 0.12 + 0.24, top)]
    fore = [(middle + 0.06, 1.0), (half * 0.44, 1.0), (half * 0.44 - 0.3, top), (middle + 0.06, top)]
    vehicle.side([rear, fore], _GLASS, wide * 0.88)
    vehicle.wheels((-half * 0.62, half * 0.62), 0.34)
    vehicle.side([box(-half, 0.22, half, 0.32)], _DARK)
    for front in (True, False):
        vehicle.end([box(-wide / 2, 0.22, wide / 2, 0.4)], _DARK, front)
        vehicle.end([box(-0.27, 0.46, 0.27, 0.58)], (232, 232, 226), front)
    vehicle.end([box(-0.45, 0.6, 0.45, 0.74)], _DARK, front=True)
    vehicle.lamps(0.73, wide / 2 - 0.19, 0.14)


def paint_truck(vehicle: Vehicle, colour: Colour, load: Colour) -> None:
    """A lorry: a cab before a tall box."""
    half, wide = vehicle.length / 2, vehicle.width
    places = (-half + 0.9, -half + 2.0, half - 0.9)
    vehicle.prism(box(-half, 0.5, half, 0.95), wide * 0.9, _DARK)
    vehicle.wheels(places, 0.48)
    cab = [(half - 1.9, 0.5), (half, 0.5), (half, 1.5), (half - 0.2, 2.75), (half - 1.9, 2.75)]
    cargo = box(-half, 0.95, half - 2.1, 3.5)
    for part in ("cargo", "cab") if vehicle.eye_a > half - 2.0 else ("cab", "cargo"):
        if part == "cab":
            vehicle.prism(cab, wide * 0.96, colour, glass=(2,))
            window = [(half - 1.3, 1.55), (half - 0.25, 1.55), (half - 0.4, 2.4), (half - 1.3, 2.4)]
            vehicle.side([window], _GLASS)
        else:
            vehicle.prism(cargo, wide, load)
            ribs = np.arange(-half + 0.5, half - 2.3, 0.85)
            vehicle.side([box(a, 1.05, a + 0.09, 3.4) for a in ribs], mixed(load, (20, 20, 20), 0.22))
            vehicle.side([box(-half + 0.6, 1.9, half - 2.7, 2.6)], mixed(load, colour, 0.75))
    vehicle.wheels(places, 0.48)
    dark = mixed(load, (20, 20, 20), 0.4)
    vehicle.end([box(b - 0.04, 1.0, b + 0.04, 3.45) for b in (0, -0.62, 0.62)], dark, front=False)
    vehicle.end([box(-wide / 2, 0.95, wide / 2, 1.1), box(-wide / 2, 3.38, wide / 2, 3.5)], dark, front=False)
    vehicle.end([box(-wide / 2, 0.5, wide / 2, 0.7)], (214, 120, 30), front=False)
    vehicle.end([box(-0.9, 0.85, 0.9, 1.3)], _DARK, front=True)
    vehicle.lamps(0.8, wide / 2 - 0.25, 0.2)


def paint_bus(vehicle: Vehicle, colour: Colour, stripe: Colour) -> None:
    """A city bus with a band of windows, doors and a lit destination sign."""
    half, wide = vehicle.length / 2, vehicle.width
    places = (-half + 2.6, half - 2.4)
    vehicle.wheels(places, 0.48)
    vehicle.prism(box(-half, 0.24, half, 3.05), wide, colour)
    vehicle.side([box(-half, 0.9, half, 1.12)], stripe)
    bays = np.linspace(-half + 0.25, half - 0.25, 8)
    vehicle.windows([box(a + 0.06, 1.35, b - 0.06, 2.5) for a, b in pairwise(bays)])
    vehicle.side([box(half - 1.6, 0.45, half - 0.5, 2.5), box(-0.7, 0.45, 0.6, 2.5)], (64, 78, 92))
    vehicle.wheels(places, 0.48)
    inner = wide / 2 - 0.14
    vehicle.end([box(-inner, 1.0, inner, 2.45)], _GLASS, front=True)
    vehicle.end([box(-inner + 0.1, 1.6, inner - 0.1, 2.5)], _GLASS, front=False)
    for front in (True, False):
        vehicle.end([box(-inner, 2.58, inner, 2.95)], (24, 22, 20), front)
        vehicle.end([box(-inner * 0.7, 2.66, inner * 0.5, 2.88)], (255, 168, 30), front, light=1.0)
        vehicle.end([box(-wide / 2, 0.24, wide / 2, 0.5)], _DARK, front)
    vehicle.end([box(-0.5, 0.72, 0.5, 1.25)], mixed(colour, (20, 20, 20), 0.4), front=False)
    vehicle.lamps(0.78, wide / 2 - 0.25, 0.19)


def paint_train(vehicle: Vehicle, colour: Colour, stripe: Colour) -> None:
    """A tram: a long rail car with a sloping front, two liveries and a current collector on its roof."""
    half, wide = vehicle.length / 2, vehicle.width
    vehicle.prism(box(-half + 0.6, 0.08, half - 0.6, 0.5), wide * 0.86, _DARK)
    # Both ends of the shell slope.
    shell = [(-half, 0.42), (half, 0.42), (half, 1.3), (half - 0.55, 3.3), (-half + 0.55, 3.3), (-half, 1.3)]
    vehicle.prism(shell, wide, colour, glass=(2, 4))
    vehicle.side([box(-half, 0.42, half, 1.15)], stripe)
    bays = np.linspace(-half + 0.9, half - 0.9, 11)
    vehicle.windows([box(a + 0.09, 1.4, b - 0.09, 2.6) for a, b in pairwise(bays)])
    vehicle.side([box(a - 0.03, 0.45, a + 0.03, 3.25) for a in (-half / 3, half / 3)], _DARK)
    for front in (True, False):
        vehicle.end([box(-wide / 2, 0.42, wide / 2, 1.12)], stripe, front)
        vehicle.end([box(-0.3, 0.46, 0.3, 0.62)], _DARK, front)
    arm = np.array([(-0.1, 3.3), (0.9, 4.05), (-0.1, 4.7), (-0.02, 4.7), (1.02, 4.05), (0.06, 3.3)])
    vehicle.painter.face(vehicle.points(arm[:, 0], 0.0, arm[:, 1]), _DARK, vehicle.code)
    bow = np.array(box(-0.7, 4.66, 0.7, 4.76))
    vehicle.painter.face(vehicle.points(0.0, bow[:, 0], bow[:, 1]), _DARK, vehicle.code)
    vehicle.lamps(0.86, wide / 2 - 0.4, 0.17)
