"""People on foot, two-wheelers, and their riders. All are flat figures that face the camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datasets.toycity.codes import Code
from datasets.toycity.colours import Colour, mixed
from datasets.toycity.painter import Painter

_SKINS = ((232, 190, 160), (198, 150, 116), (140, 96, 70), (96, 66, 50))
_HAIR = ((40, 28, 22), (92, 62, 36), (180, 150, 96), (120, 120, 120))
_SHIRTS = (
    (200, 40, 44),
    (236, 232, 226),
    (38, 60, 130),
    (240, 196, 60),
    (60, 130, 80),
    (30, 30, 36),
    (226, 120, 150),
    (120, 80, 150),
)
_TROUSERS = ((36, 44, 72), (30, 30, 32), (120, 104, 84), (84, 88, 94))
_HELMETS = ((240, 240, 240), (220, 40, 40), (250, 200, 40), (40, 40, 44))
_FRAMES = ((196, 40, 44), (40, 90, 170), (236, 236, 236), (40, 150, 90), (36, 36, 40))
_BIKES = ((20, 60, 190), (200, 30, 30), (30, 32, 36), (236, 130, 20), (60, 150, 70))
_TURN = np.linspace(0, 2 * np.pi, 16, endpoint=False)


@dataclass(frozen=True)
class Dress:
    """The colours of a person and their two-wheeler."""

    skin: Colour
    hair: Colour
    shirt: Colour
    trousers: Colour
    helmet: Colour
    frame: Colour
    bike: Colour


def draw_dress(rng: np.random.Generator) -> Dress:
    """Random colours."""
    tables = (_SKINS, _HAIR, _SHIRTS, _TROUSERS, _HELMETS, _FRAMES, _BIKES)
    return Dress(*(table[int(rng.integers(len(table)))] for table in tables))


def _ellipse(x: float, y: float, half_x: float, half_y: float) -> np.ndarray:
    return np.column_stack([x + half_x * np.cos(_TURN), y + half_y * np.sin(_TURN)])


def limb(points: list[tuple[float, float]], thick: float) -> np.ndarray:
    """The outline of a line through ``points`` (at least 2) that is ``thick`` metres thick."""
    line = np.array(points, dtype=float)
    step = np.gradient(line, axis=0)
    across = (
        np.column_stack([-step[:, 1], step[:, 0]]) / np.maximum(np.hypot(*step.T), 1e-6)[:, None] * thick / 2
    )
    return np.concatenate([line + across, (line - across)[::-1]])


class Figure:
    """A flat drawing of one thing at camera-space ``at`` = (x, z). ``turn`` squeezes it along x.

    ``turn`` is 1 or -1 for a view from the side. ``scale`` enlarges the drawing.
    """

    def __init__(
        self, painter: Painter, at: tuple[float, float], code: int, turn: float = 1.0, scale: float = 1.0
    ) -> None:
        self.painter, self.at, self.code, self.turn, self.scale = painter, at, code, turn, scale

    def fill(self, outline: np.ndarray | list, colour: Colour, light: float = 1.0) -> None:
        """Fill an outline [(x, y)] in metres."""
        self.painter.flat(
            np.asarray(outline, float) * self.scale,
            self.at,
            colour,
            self.code,
            self.painter.light.upright * light,
            self.turn,
        )

    def wheel(self, x: float, radius: float, spokes: bool) -> None:
        """A wheel. With ``spokes`` it looks open between them, but its whole area is labelled as vehicle."""
        squeeze = max(abs(self.turn), 0.16) / max(abs(self.turn), 1e-3)
        self.fill(_ellipse(x, radius, radius * squeeze, radius), (22, 22, 24))
        if spokes:
            self.fill(_ellipse(x, radius, radius * 0.8 * squeeze, radius * 0.8), (136, 138, 142))
            for angle in (0.3, 1.35, 2.4):
                tip = np.array([np.cos(angle) * squeeze, np.sin(angle)]) * radius * 0.8
                self.fill(
                    limb([(x - tip[0], radius - tip[1]), (x + tip[0], radius + tip[1])], 0.03), (60, 60, 62)
                )
        else:
            self.fill(_ellipse(x, radius, radius * 0.5 * squeeze, radius * 0.5), (140, 142, 148))


def paint_person(
    painter: Painter, at: tuple[float, float], height: float, dress: Dress, stride: float, facing: int
) -> None:
    """A walking person (``stride`` from -1 to 1; 0 stands). ``facing`` is -1 or 1 along x, else 0."""
    figure = Figure(painter, at, Code.PERSON, scale=height)
    reach = 0.16 * stride * (1 if facing else 0.3)
    for sign, shade in ((-1, 0.8), (1, 1.0)):
        hip = 0.045 * sign * (0.4 if facing else 1)
        foot = hip + reach * sign
        figure.fill(
            limb([(hip, 0.5), ((hip + foot) / 2 + 0.02 * facing, 0.27), (foot, 0.02)], 0.085),
            dress.trousers,
            shade,
        )
        figure.fill(
            [(foot - 0.045, 0), (foot + 0.05 + 0.03 * facing, 0), (foot + 0.03, 0.045), (foot - 0.04, 0.05)],
            (30, 26, 24),
        )
    for sign in (-1, 1):
        shoulder = 0.105 * sign * (0.35 if facing else 1)
        hand = shoulder * 1.35 - reach * sign * 0.9
        figure.fill(
            limb([(shoulder, 0.79), ((shoulder * 1.2 + hand) / 2, 0.62), (hand, 0.46)], 0.06),
            dress.shirt,
            0.82,
        )
        figure.fill(_ellipse(hand, 0.45, 0.026, 0.03), dress.skin)
    half = 0.095 if facing else 0.12
    torso = [
        (-half * 0.8, 0.47),
        (half * 0.8, 0.47),
        (half, 0.78),
        (half * 0.6, 0.83),
        (-half * 0.6, 0.83),
        (-half, 0.78),
    ]
    figure.fill(torso, dress.shirt)
    figure.fill(
        [(0, 0.47), (half * 0.8, 0.47), (half, 0.78), (half * 0.6, 0.83), (0.02, 0.83)], dress.shirt, 0.86
    )
    figure.fill([(-0.025, 0.82), (0.025, 0.82), (0.025, 0.87), (-0.025, 0.87)], dress.skin, 0.85)
    figure.fill(_ellipse(0, 0.925, 0.055, 0.07), dress.hair)
    figure.fill(
        _ellipse(0.018 * facing, 0.912, 0.046, 0.056), dress.skin if facing or stride > 0 else dress.hair
    )


def paint_bicycle(painter: Painter, at: tuple[float, float], dress: Dress, turn: float) -> None:
    """A bicycle; its front points towards positive x if ``turn`` is positive."""
    bike = Figure(painter, at, Code.BICYCLE, turn)
    for x in (-0.53, 0.53):
        bike.wheel(x, 0.36, spokes=True)
    thick = 0.07 / max(abs(turn), 0.35)
    lines = [
        [(-0.53, 0.36), (-0.06, 0.34), (0.34, 0.8)],
        [(-0.53, 0.36), (-0.2, 0.78), (-0.06, 0.34)],
        [(-0.2, 0.78), (0.34, 0.8), (0.53, 0.36)],
    ]
    for line in lines:
        for a, b in zip(line[:-1], line[1:], strict=True):
            bike.fill(limb([a, b], thick), dress.frame)
    bike.fill([(-0.36, 0.9), (-0.08, 0.9), (-0.08, 0.97), (-0.36, 0.97)], (28, 26, 26))
    bike.fill(limb([(0.34, 0.8), (0.32, 1.02), (0.5, 1.06)], 0.06), (40, 40, 42))


def paint_cyclist(painter: Painter, at: tuple[float, float], dress: Dress, turn: float) -> None:
    """A bicycle with its rider."""
    paint_bicycle(painter, at, dress, turn)
    _rider(painter, at, dress, turn, Code.RIDER, seat=0.98, lean=0.3, reach=(0.42, 1.06), pedal=(0.0, 0.22))


def paint_motorcycle(painter: Painter, at: tuple[float, float], dress: Dress, turn: float) -> None:
    """A motorcycle, larger and bulkier than a bicycle."""
    bike = Figure(painter, at, Code.MOTORCYCLE, turn, scale=1.12)
    broad = 0.2 / max(abs(turn), 0.25)
    for x in (-0.7, 0.7):
        bike.wheel(x, 0.33, spokes=False)
    bike.fill(limb([(0.7, 0.33), (0.48, 0.95)], 0.1), (120, 122, 126))
    bike.fill([(-0.4, 0.24), (0.36, 0.24), (0.46, 0.66), (-0.36, 0.66)], (58, 60, 64))
    bike.fill(
        [
            (-0.5 - broad * 0.3, 0.62),
            (0.5 + broad * 0.3, 0.58),
            (0.55, 0.86),
            (0.2, 1.02),
            (-0.1, 0.84),
            (-0.86, 0.9),
        ],
        dress.bike,
    )
    bike.fill([(-0.86, 0.86), (-0.02, 0.8), (-0.06, 0.92), (-0.8, 0.98)], (24, 24, 26))
    bike.fill([(-0.86, 0.3), (-0.2, 0.26), (-0.2, 0.36), (-0.9, 0.44)], (170, 172, 178))
    bike.fill(
        [(0.42, 0.76), (0.64 + broad * 0.3, 0.76), (0.56, 1.16), (0.4, 1.16)],
        mixed(dress.bike, (255, 255, 255), 0.2),
    )
    bike.fill(_ellipse(0.58, 0.86, 0.09, 0.1), (255, 244, 214))


def paint_motorcyclist(painter: Painter, at: tuple[float, float], dress: Dress, turn: float) -> None:
    """A motorcycle with its rider."""
    paint_motorcycle(painter, at, dress, turn)
    _rider(
        painter,
        at,
        dress,
        turn,
        Code.MOTORCYCLIST,
        seat=1.02,
        lean=0.16,
        reach=(0.5, 1.16),
        pedal=(0.05, 0.42),
    )
    painter.glow((at[0] + 0.6 * turn, 0.95, at[1]), 0.35, (255, 244, 214))


def _rider(
    painter: Painter,
    at: tuple[float, float],
    dress: Dress,
    turn: float,
    code: int,
    seat: float,
    lean: float,
    reach: tuple[float, float],
    pedal: tuple[float, float],
) -> None:
    # The figure is not squeezed by ``turn``, because a rider seen from behind is as broad as any person.
    figure = Figure(painter, at, code)
    hip, shoulder = (-0.2 * turn, seat), ((-0.2 + lean) * turn, seat + 0.5)
    broad = 0.34 + 0.12 * (1 - abs(turn))
    spread = 0.14 * (1 - abs(turn))
    for sign, shade in ((-1, 0.8), (1, 1.0)):
        knee = ((0.24) * turn + spread * sign * 1.4, seat - 0.22)
        foot = (pedal[0] * turn + spread * sign, pedal[1] + 0.08 * sign)
        figure.fill(limb([(hip[0] + spread * sign * 0.5, hip[1]), knee, foot], 0.16), dress.trousers, shade)
    torso = limb([hip, ((hip[0] + shoulder[0]) / 2, seat + 0.27), shoulder], broad)
    figure.fill(torso, dress.shirt)
    for sign, shade in ((-1, 0.75), (1, 0.85)):
        top = (shoulder[0] + spread * sign * 1.3, shoulder[1] - 0.06)
        hand = (reach[0] * turn + spread * sign * 1.8, reach[1])
        elbow = ((top[0] + hand[0]) / 2, (top[1] + hand[1]) / 2 - 0.06)
        figure.fill(limb([top, elbow, hand], 0.11), dress.shirt, shade)
    head = (shoulder[0] + 0.05 * turn, shoulder[1] + 0.2)
    figure.fill(_ellipse(*head, 0.12, 0.145), dress.skin if abs(turn) > 0.4 else dress.hair)
    figure.fill(_ellipse(head[0] - 0.02 * turn, head[1] + 0.05, 0.15, 0.125), dress.helmet)
