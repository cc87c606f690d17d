"""Everything flat on the ground: terrain, road, sidewalks, curbs, markings, rails, manholes, side streets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datasets.toycity.codes import Code
from datasets.toycity.colours import Colour
from datasets.toycity.painter import Painter
from datasets.toycity.shapes import box, ellipse

FAR = 160.0  # metres; the depth at which the street ends


@dataclass(frozen=True)
class Street:
    """One street; lengths are in metres.

    ``half`` is the width from the middle line to the curb. ``walk`` is the width of the (left, right)
    sidewalk, of which ``verge`` beside the curb is grass.
    """

    half: float
    walk: tuple[float, float]
    verge: tuple[float, float]
    lanes: int
    lane_width: float
    parking: bool
    crossing: float | None  # depth of a zebra crossing
    side_street: tuple[float, float] | None  # depths between which a side street crosses
    rails: tuple[float, ...]  # s of the middle of each track

    def building_line(self, side: int) -> float:
        """The s at which the sidewalk of ``side`` (-1 left, 1 right) ends and buildings begin."""
        return side * (self.half + self.walk[(side + 1) // 2])


def paint_ground(painter: Painter, street: Street, rng: np.random.Generator) -> None:
    """Paint the whole ground plane up to the horizon."""
    place = painter.place
    painter.below_horizon(place.grass, Code.TERRAIN)
    for side in (-1, 1):
        edge = street.building_line(side)
        painter.strip((side * street.half, edge), (0.3, FAR), place.pavement, Code.SIDEWALK)
        verge = street.verge[(side + 1) // 2]
        if verge:
            inner = side * (street.half + 0.25)
            painter.strip((inner, inner + side * verge), (0.3, FAR), place.grass, Code.TERRAIN)
    road = place.asphalt
    if street.side_street:
        painter.strip((-200, 200), street.side_street, road, Code.ROAD)
    painter.strip((-street.half, street.half), (0.3, FAR), road, Code.ROAD)
    for _ in range(int(rng.integers(1, 5))):
        s, z = rng.uniform(-street.half + 1, street.half - 2), rng.uniform(4, 40)
        size = rng.uniform(0.6, 2.0), rng.uniform(1.5, 8)
        painter.strip((s, s + size[0]), (z, z + size[1]), [0.88 * c for c in road], Code.ROAD)
    for side in (-1, 1):
        _curb(painter, street, side)
    if place.snow:
        for side in (-1, 1):
            edge = side * street.half
            painter.strip((side * (street.half - 0.7), edge), (0.3, FAR), (196, 198, 202), Code.ROAD)
    _markings(painter, street)
    for middle in street.rails:
        for rail in (-0.72, 0.72):
            for half, colour in ((0.12, [v * 0.72 for v in road]), (0.05, (186, 188, 192))):
                s = (middle + rail - half, middle + rail + half)
                painter.strip(s, (0.3, 120), colour, Code.ROAD)
    _manholes(painter, street, road, rng)


def _curb(painter: Painter, street: Street, side: int) -> None:
    pale = [min(255.0, v * 1.12) for v in painter.place.pavement]
    dark = [v * 0.7 for v in painter.place.asphalt]
    pieces = [(0.3, FAR)]
    if street.side_street:
        near, far = street.side_street
        pieces = [(0.3, near), (far, FAR)]
    edge = side * street.half
    for z in pieces:
        painter.strip((edge - side * 0.3, edge), z, dark, Code.ROAD)
        painter.strip((edge, edge + side * 0.28), z, pale, Code.CURB)


def _rectangles(
    s0: float | np.ndarray, z0: float | np.ndarray, s1: float | np.ndarray, z1: float | np.ndarray
) -> np.ndarray:
    """Ground rectangles (K, 4, 3) from (s0, z0) to (s1, z1), each a number or (K,)."""
    corners = [np.column_stack(np.broadcast_arrays(s, 0.0, z)) for s, z in box(s0, z0, s1, z1)]
    return np.stack(corners, axis=1)


def _dashes(s: float, gap: float) -> np.ndarray:
    start = np.arange(1.0, 90.0, 3.0 + gap)
    return _rectangles(s - 0.08, start, s + 0.08, start + 3.0)


def _markings(painter: Painter, street: Street) -> None:
    place = painter.place
    if street.lanes > 1 or place.centre_line != place.marking:
        for s in (-0.18, 0.18):
            painter.strip((s - 0.07, s + 0.07), (0.5, FAR), place.centre_line, Code.LANE_MARKING)
    else:
        painter.ground(_dashes(0.0, gap=4.0), place.centre_line, Code.LANE_MARKING)
    for lane in range(1, street.lanes):
        for side in (-1, 1):
            dashes = _dashes(side * lane * street.lane_width, gap=5.0)
            painter.ground(dashes, place.marking, Code.LANE_MARKING)
    if street.parking:
        for side in (-1, 1):
            s = side * street.lanes * street.lane_width
            painter.strip((s - 0.06, s + 0.06), (0.5, FAR), place.marking, Code.LANE_MARKING)
    if street.crossing:
        near, half = street.crossing, street.half
        painter.strip((-half + 0.3, half - 0.3), (near - 0.6, near + 4.5), place.asphalt, Code.ROAD)
        bars = np.arange(-half + 0.5, half - 0.5, 1.1)
        stripes = _rectangles(bars, near, bars + 0.55, near + 3.4)
        painter.ground(stripes, place.marking, Code.CROSSWALK)
        painter.strip((0.3, half - 0.4), (near - 1.4, near - 0.9), place.marking, Code.LANE_MARKING)


def _manholes(painter: Painter, street: Street, road: Colour, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(1, 4))):
        s, z = rng.uniform(-street.half + 1.2, street.half - 1.2), rng.uniform(5, 24)
        for radius, level in ((0.42, 0.5), (0.34, 0.72)):
            ring = np.insert(ellipse(s, z, radius, radius, corners=14), 1, 0.0, axis=1)
            painter.ground(ring[None], [v * level for v in road], Code.MANHOLE)
