"""Everything flat on the ground: terrain, road, sidewalks, curbs, markings, rails, manholes, side streets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datasets.toycity.codes import Code
from datasets.toycity.colours import Colour
from datasets.toycity.looks import Place
from datasets.toycity.painter import Painter

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


def paint_ground(painter: Painter, street: Street, place: Place, rng: np.random.Generator) -> None:
    """Paint the whole ground plane up to the horizon."""
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
    _wear(painter, street, road, rng)
    for side in (-1, 1):
        _curb(painter, street, side, place)
    if place.snow:
        for side in (-1, 1):
            painter.strip(
                (side * (street.half - 0.7), side * street.half), (0.3, FAR), (196, 198, 202), Code.ROAD
            )
    _markings(painter, street, place)
    for middle in street.rails:
        for rail in (-0.72, 0.72):
            bed = tuple(v * 0.72 for v in road)
            painter.strip((middle + rail - 0.12, middle + rail + 0.12), (0.3, 120), bed, Code.ROAD)
            painter.strip(
                (middle + rail - 0.05, middle + rail + 0.05), (0.3, 120), (186, 188, 192), Code.ROAD
            )
    _manholes(painter, street, road, rng)


def _curb(painter: Painter, street: Street, side: int, place: Place) -> None:
    pale = tuple(min(255.0, v * 1.12) for v in place.pavement)
    dark = tuple(v * 0.7 for v in place.asphalt)
    pieces = [(0.3, FAR)]
    if street.side_street:
        near, far = street.side_street
        pieces = [(0.3, near), (far, FAR)]
    edge = side * street.half
    for z in pieces:
        painter.strip((edge - side * 0.3, edge), z, dark, Code.ROAD)
        painter.strip((edge, edge + side * 0.28), z, pale, Code.CURB)


def _wear(painter: Painter, street: Street, road: Colour, rng: np.random.Generator) -> None:
    """Dark patches in the asphalt."""
    for _ in range(int(rng.integers(1, 5))):
        s = rng.uniform(-street.half + 1, street.half - 2)
        z = rng.uniform(4, 40)
        painter.strip(
            (s, s + rng.uniform(0.6, 2.0)), (z, z + rng.uniform(1.5, 8)), [0.88 * c for c in road], Code.ROAD
        )


def _dashes(s: float, width: float, length: float, gap: float, end: float = 90.0) -> np.ndarray:
    start = np.arange(1.0, end, length + gap)
    corners = [(s - width / 2, 0.0), (s + width / 2, 0.0), (s + width / 2, length), (s - width / 2, length)]
    return np.stack(
        [np.column_stack([np.full(len(start), x), np.zeros(len(start)), start + z]) for x, z in corners],
        axis=1,
    )


def _markings(painter: Painter, street: Street, place: Place) -> None:
    stop = street.crossing + 4.5 if street.crossing else None
    if street.lanes > 1 or place.centre_line != place.marking:
        for s in (-0.18, 0.18):
            painter.strip((s - 0.07, s + 0.07), (0.5, FAR), place.centre_line, Code.LANE_MARKING)
    else:
        painter.ground(_dashes(0.0, 0.16, 3.0, 4.0), place.centre_line, Code.LANE_MARKING)
    for lane in range(1, street.lanes):
        for side in (-1, 1):
            painter.ground(
                _dashes(side * lane * street.lane_width, 0.16, 3.0, 5.0), place.marking, Code.LANE_MARKING
            )
    if street.parking:
        for side in (-1, 1):
            s = side * street.lanes * street.lane_width
            painter.strip((s - 0.06, s + 0.06), (0.5, FAR), place.marking, Code.LANE_MARKING)
    if stop is None:
        return
    near = street.crossing
    painter.strip((-street.half + 0.3, street.half - 0.3), (near - 0.6, stop), place.asphalt, Code.ROAD)
    bars = np.arange(-street.half + 0.5, street.half - 0.5, 1.1)
    stripes = np.stack(
        [
            np.column_stack([bars + x, np.zeros(len(bars)), np.full(len(bars), z)])
            for x, z in ((0, near), (0.55, near), (0.55, near + 3.4), (0, near + 3.4))
        ],
        axis=1,
    )
    painter.ground(stripes, place.marking, Code.CROSSWALK)
    painter.strip((0.3, street.half - 0.4), (near - 1.4, near - 0.9), place.marking, Code.LANE_MARKING)


def _manholes(painter: Painter, street: Street, road: Colour, rng: np.random.Generator) -> None:
    angle = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    for _ in range(int(rng.integers(1, 4))):
        s, z = rng.uniform(-street.half + 1.2, street.half - 1.2), rng.uniform(5, 24)
        for radius, level in ((0.42, 0.5), (0.34, 0.72)):
            ring = np.column_stack([s + radius * np.cos(angle), np.zeros(14), z + radius * np.sin(angle)])
            painter.ground(ring[None], tuple(v * level for v in road), Code.MANHOLE)
