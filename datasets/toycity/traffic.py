"""The traffic of a street: vehicles, two-wheelers and people, as items to be painted by depth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from datasets.toycity.codes import Code
from datasets.toycity.colours import palette, pick
from datasets.toycity.ground import Street
from datasets.toycity.painter import Painter
from datasets.toycity.people import draw_dress, paint_person, paint_two_wheeler
from datasets.toycity.shapes import box
from datasets.toycity.vehicles import Vehicle, paint_bus, paint_car, paint_train, paint_truck


@dataclass(frozen=True)
class Item:
    """A thing at depth ``z``. ``footprint``, (N, 2) in camera-space (x, z), and height give its shadow."""

    z: float
    paint: Callable[[], None]
    footprint: np.ndarray
    height: float


def painting_order(items: Sequence[Item]) -> list[Item]:
    """The items from far to near. If two overlap in depth, the one farther to the side comes first."""
    if not items:
        return []
    low = np.array([item.footprint.min(axis=0) for item in items])
    high = np.array([item.footprint.max(axis=0) for item in items])
    behind = low[:, None, 1] >= high[None, :, 1]
    level = ~behind & ~behind.T
    right = (low[:, None, 0] >= high[None, :, 0]) & (high[None, :, 0] >= 0)
    left = (high[:, None, 0] <= low[None, :, 0]) & (low[None, :, 0] <= 0)
    before = behind | (level & (right | left))
    np.fill_diagonal(before, False)
    depth = np.array([item.z for item in items])
    remaining = np.ones(len(items), dtype=bool)
    order = []
    for _ in items:
        free = remaining & ~before[remaining].any(axis=0)
        # Items can hide one another in a circle. Then the deepest of the rest comes first.
        choice = int(np.argmax(np.where(free if free.any() else remaining, depth, -np.inf)))
        remaining[choice] = False
        order.append(items[choice])
    return order


# Length, width and height in metres, and code
_VEHICLES = {
    "car": (4.3, 1.82, 1.5, Code.CAR),
    "estate": (4.7, 1.9, 1.7, Code.CAR),
    "truck": (8.4, 2.5, 3.5, Code.TRUCK),
    "bus": (11.0, 2.55, 3.1, Code.BUS),
    "train": (17.0, 2.5, 3.4, Code.TRAIN),
}
_BUSES = palette("eeba1e ce2228 f0ece2 287a54")
_BUS_STRIPES = palette("282c3c f0f0ec be2828")
_TRAMS = palette("e8e6de f6e2aa ced6dc")
_TRAM_STRIPES = palette("b01824 126e4a 184296")
_LOADS = palette("ecece8 245ca8 ce5420 3a7c48 c8c4b8")


class Traffic:
    """Puts things on a street. Vehicles in a lane do not overlap, and nothing blocks the view ahead."""

    def __init__(self, painter: Painter, street: Street, rng: np.random.Generator) -> None:
        self.painter, self.street, self.rng = painter, street, rng
        self.items: list[Item] = []
        self._taken: dict[float, list[tuple[float, float]]] = {}

    def vehicle(self, kind: str, s: float, near: float, heading: float | None = None) -> bool:
        """Put a vehicle into the lane at ``s``, its near end at depth ``near`` (metres), if there is room.

        Returns whether there was room. With a ``heading`` (radians) the vehicle stands across the street.
        """
        length, width, height, code = _VEHICLES[kind]
        crosswise = heading is not None
        span = (near, near + (width if crosswise else length))
        # Vehicles across the street do not overlap one another, but may overlap those in lanes.
        lane = self._taken.setdefault(99.0 if crosswise else s, [])
        if near < 3.0 or any(span[0] < far + 2.0 and start - 2.0 < span[1] for start, far in lane):
            return False
        z = (span[0] + span[1]) / 2
        x, along = self.painter.camera.locate(s, z)
        if not crosswise:
            heading = along + (np.pi if s < 0 else 0.0)
        if span[0] < 7.0 and abs(x) < 2.4:
            return False
        lane.append(span)
        body = Vehicle(self.painter, (x, z), heading, (length, width), code)
        paint, *palettes = {
            "car": (paint_car, self.painter.place.vehicles),
            "estate": (partial(paint_car, estate=True), self.painter.place.vehicles),
            "truck": (paint_truck, self.painter.place.vehicles, _LOADS),
            "bus": (paint_bus, _BUSES, _BUS_STRIPES),
            "train": (paint_train, _TRAMS, _TRAM_STRIPES),
        }[kind]
        colours = [pick(self.rng, options) for options in palettes]
        self.items.append(Item(z, partial(paint, body, *colours), body.footprint(), height))
        return True

    def fill_lanes(self, special: list[str]) -> None:
        """First put the ``special`` vehicles into view, then others into the free lanes, then parked cars."""
        rng, street = self.rng, self.street
        middles = [(lane + 0.5) * street.lane_width for lane in range(street.lanes)]
        lanes = [-m for m in reversed(middles)] + middles  # oncoming lanes are negative
        for kind in special:
            for _ in range(12):
                s = street.rails[0] if kind == "train" else self._lane_in_view(lanes)
                x, _ = self.painter.camera.locate(s, 12.0)
                # A long vehicle right ahead would hide the street. In other lanes it may be nearer.
                if self.vehicle(kind, s, rng.uniform(13, 22) if abs(x) < 1.6 else rng.uniform(7, 17)):
                    break
        near = ("car", "car", "estate", "estate", "car")
        for s in lanes:
            z = rng.uniform(5, 22)
            while z < 85:
                kind = pick(rng, (*near, "truck", "bus") if z > 30 else near)
                if rng.uniform() < 0.75:
                    self.vehicle(kind, s, z)
                z += rng.uniform(8, 24)
        if street.parking:
            for side in (-1, 1):
                z = rng.uniform(6, 14)
                while z < 60:
                    if rng.uniform() < 0.7 and not self._blocked(z, z + 5):
                        self.vehicle(pick(rng, ("car", "estate")), side * (street.half - 1.05), z)
                    z += rng.uniform(5.2, 8)
        if street.side_street and rng.uniform() < 0.75:
            kind = pick(rng, ("car", "estate", "truck", "bus"))
            s = float(rng.uniform(street.half, street.half + 6) * rng.choice([-1, 1]))
            self.vehicle(kind, s, sum(street.side_street) / 2, float(rng.choice([-1, 1])) * np.pi / 2)

    def _lane_in_view(self, lanes: list[float]) -> float:
        """A random lane, but seldom the one right ahead, where a long vehicle would hide all others."""
        ahead = min(lanes, key=lambda s: abs(self.painter.camera.locate(s, 12.0)[0]))
        beside = [s for s in lanes if s != ahead]
        return ahead if self.rng.uniform() < 0.25 else float(self.rng.choice(beside))

    def _blocked(self, near: float, far: float) -> bool:
        zones = [self.street.side_street] if self.street.side_street else []
        if self.street.crossing:
            zones.append((self.street.crossing - 2.0, self.street.crossing + 5.0))
        return any(near < end and start < far for start, end in zones)

    def stand(
        self, s: float, z: float, half: float, height: float, paint: Callable[[tuple[float, float]], None]
    ) -> None:
        """Add a thing at street coordinates (s, z), unless it is so near that it would hide the scene.

        ``half`` is half its width. ``paint`` gets its camera-space (x, z).
        """
        x, _ = self.painter.camera.locate(s, z)
        if z < 3.0 or (abs(x) < 1.3 and z < 8.0):
            return
        footprint = np.array(box(x - half, z - half * 0.5, x + half, z + half * 0.5))
        self.items.append(Item(z, lambda: paint((x, z)), footprint, height))

    def person(self, s: float, z: float, crossing: bool = False) -> None:
        """Add a person on foot."""
        rng = self.rng
        dress, stride = draw_dress(rng), rng.uniform(-1, 1)
        height = rng.uniform(1.2, 1.4) if rng.uniform() < 0.12 else rng.uniform(1.6, 1.92)
        facing = int(rng.choice([-1, 1])) if crossing or rng.uniform() < 0.35 else 0
        paint = partial(paint_person, self.painter, height=height, dress=dress, stride=stride, facing=facing)
        self.stand(s, z, 0.28, height, paint)

    def two_wheeler(self, kind: str, s: float, z: float, turn: float) -> None:
        """Add a ``kind``: cyclist, motorcyclist, or bicycle or motorcycle without a rider."""
        dress = draw_dress(self.rng)
        paint = partial(paint_two_wheeler, self.painter, kind=kind, dress=dress, turn=turn)
        self.stand(s, z, 0.3 + 0.5 * abs(turn), 1.5, paint)

    def people(self, index: int) -> None:
        """Add people on sidewalks and crossings, and riders and two-wheelers whose kinds ``index`` sets."""
        rng, half, crossing = self.rng, self.street.half, self.street.crossing
        for _ in range(int(rng.integers(7, 14))):
            side = int(rng.choice([-1, 1]))
            walk = self.street.walk[(side + 1) // 2]
            s = side * (half + rng.uniform(0.35, 0.9) * walk)
            z = 6.5 + rng.exponential(10)
            self.person(s, z)
            if rng.uniform() < 0.35:
                self.person(s + rng.uniform(0.5, 0.8), z + rng.uniform(-0.3, 0.3))
        if crossing:
            for _ in range(int(rng.integers(0, 4))):
                self.person(rng.uniform(-half, half), crossing + rng.uniform(0.4, 3.0), crossing=True)
        order = 1 if index % 2 else -1
        for number, kind in enumerate(("cyclist", "motorcyclist")[::order]):
            if number == 0 or rng.uniform() < 0.5:
                side = int(rng.choice([-1, 1]))
                s = side * (half - rng.uniform(0.5, 1.1) - (2.3 if self.street.parking else 0.0))
                turn = float(rng.choice([-1, 1]) * rng.uniform(0.4, 0.95))
                self.two_wheeler(kind, s, rng.uniform(7.5, 17), turn)
        for number, kind in enumerate(("motorcycle", "bicycle")[::order]):
            if number == 0 or rng.uniform() < 0.4:
                side = int(rng.choice([-1, 1]))
                s = side * (half + rng.uniform(0.6, 1.2))
                for place in range(int(rng.integers(1, 4))):
                    turn = float(rng.choice([-1, 1]) * rng.uniform(0.6, 1.0))
                    self.two_wheeler(kind, s, rng.uniform(8, 12) + 1.6 * place + 5 * number, turn)
