"""People on foot, two-wheelers, and their riders. All are flat figures that face the camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datasets.toycity.codes import Code
from datasets.toycity.colours import Colour, mixed, palette, pick
from datasets.toycity.painter import Figure, Painter
from datasets.toycity.shapes import box, ellipse, limb


@dataclass(frozen=True)
class Dress:
    """The colours of a person and their bicycle (``frame``) or motorcycle (``bike``)."""

    skin: Colour
    hair: Colour
    shirt: Colour
    trousers: Colour
    helmet: Colour
    frame: Colour
    bike: Colour


_PALETTES = {
    "skin": palette("e8bea0 c69674 8c6046 604232"),
    "hair": palette("281c16 5c3e24 b49660 787878"),
    "shirt": palette("c8282c ece8e2 263c82 f0c43c 3c8250 1e1e24 e27896 785096"),
    "trousers": palette("242c48 1e1e20 786854 54585e"),
    "helmet": palette("f0f0f0 dc2828 fac828 28282c"),
    "frame": palette("c4282c 285aaa ececec 28965a 242428"),
    "bike": palette("143cbe c81e1e 1e2024 ec8214 3c9646"),
}


def draw_dress(rng: np.random.Generator) -> Dress:
    """Random colours."""
    return Dress(**{part: pick(rng, colours) for part, colours in _PALETTES.items()})


def paint_person(
    painter: Painter, at: tuple[float, float], height: float, dress: Dress, stride: float, facing: int
) -> None:
    """A walking person (``stride`` from -1 to 1; 0 stands). ``facing`` is -1 or 1 along x, else 0."""
    figure = Figure(painter, at, Code.PERSON, scale=height)
    reach = 0.16 * stride * (1 if facing else 0.3)
    for sign, shade in ((-1, 0.8), (1, 1.0)):
        hip = 0.045 * sign * (0.4 if facing else 1)
        foot = hip + reach * sign
        knee = ((hip + foot) / 2 + 0.02 * facing, 0.27)
        figure.fill(limb([(hip, 0.5), knee, (foot, 0.02)], 0.085), dress.trousers, shade)
        toe = foot + 0.05 + 0.03 * facing
        figure.fill([(foot - 0.045, 0), (toe, 0), (foot + 0.03, 0.045), (foot - 0.04, 0.05)], (30, 26, 24))
    for sign in (-1, 1):
        shoulder = 0.105 * sign * (0.35 if facing else 1)
        hand = shoulder * 1.35 - reach * sign * 0.9
        elbow = ((shoulder * 1.2 + hand) / 2, 0.62)
        figure.fill(limb([(shoulder, 0.79), elbow, (hand, 0.46)], 0.06), dress.shirt, 0.82)
        figure.fill(ellipse(hand, 0.45, 0.026, 0.03), dress.skin)
    half = 0.095 if facing else 0.12
    right = [(half * 0.8, 0.47), (half, 0.78), (half * 0.6, 0.83)]
    figure.fill([(-half * 0.8, 0.47), *right, (-half * 0.6, 0.83), (-half, 0.78)], dress.shirt)
    figure.fill([(0, 0.47), *right, (0.02, 0.83)], dress.shirt, 0.86)
    figure.fill(box(-0.025, 0.82, 0.025, 0.87), dress.skin, 0.85)
    figure.fill(ellipse(0, 0.925, 0.055, 0.07), dress.hair)
    face = dress.skin if facing or stride > 0 else dress.hair
    figure.fill(ellipse(0.018 * facing, 0.912, 0.046, 0.056), face)


def paint_two_wheeler(
    painter: Painter, at: tuple[float, float], kind: str, dress: Dress, turn: float
) -> None:
    """A bicycle or motorcycle, or with a rider a cyclist or motorcyclist.

    Its front points towards positive x if ``turn`` is positive.
    """
    if kind in ("bicycle", "cyclist"):
        _bicycle(Figure(painter, at, Code.BICYCLE, turn), dress)
    else:
        _motorcycle(Figure(painter, at, Code.MOTORCYCLE, turn, scale=1.12), dress)
    # Riders are not squeezed by ``turn``, because one seen from behind is as broad as any person.
    if kind == "cyclist":
        rider = Figure(painter, at, Code.RIDER)
        _rider(rider, dress, turn, seat=0.98, lean=0.3, reach=(0.42, 1.06), pedal=(0.0, 0.22))
    elif kind == "motorcyclist":
        rider = Figure(painter, at, Code.MOTORCYCLIST)
        _rider(rider, dress, turn, seat=1.02, lean=0.16, reach=(0.5, 1.16), pedal=(0.05, 0.42))
        painter.glow((at[0] + 0.6 * turn, 0.95, at[1]), 0.35, (255, 244, 214))


def _wheel(bike: Figure, x: float, radius: float, spokes: bool) -> None:
    """A wheel. With ``spokes`` it looks open between them, but its whole area is labelled as vehicle."""
    squeeze = max(abs(bike.turn), 0.16) / max(abs(bike.turn), 1e-3)
    bike.fill(ellipse(x, radius, radius * squeeze, radius), (22, 22, 24))
    if spokes:
        bike.fill(ellipse(x, radius, radius * 0.8 * squeeze, radius * 0.8), (136, 138, 142))
        for angle in (0.3, 1.35, 2.4):
            tip = np.array([np.cos(angle) * squeeze, np.sin(angle)]) * radius * 0.8
            middle = np.array([x, radius])
            bike.fill(limb([middle - tip, middle + tip], 0.03), (60, 60, 62))
    else:
        bike.fill(ellipse(x, radius, radius * 0.5 * squeeze, radius * 0.5), (140, 142, 148))


def _bicycle(bike: Figure, dress: Dress) -> None:
    for x in (-0.53, 0.53):
        _wheel(bike, x, 0.36, spokes=True)
    thick = 0.07 / max(abs(bike.turn), 0.35)
    rear, pedals, head, seat, front = (-0.53, 0.36), (-0.06, 0.34), (0.34, 0.8), (-0.2, 0.78), (0.53, 0.36)
    for tube in ((rear, pedals), (pedals, head), (rear, seat), (seat, pedals), (seat, head), (head, front)):
        bike.fill(limb(tube, thick), dress.frame)
    bike.fill(box(-0.36, 0.9, -0.08, 0.97), (28, 26, 26))
    bike.fill(limb([head, (0.32, 1.02), (0.5, 1.06)], 0.06), (40, 40, 42))


def _motorcycle(bike: Figure, dress: Dress) -> None:
    broad = 0.2 / max(abs(bike.turn), 0.25)
    for x in (-0.7, 0.7):
        _wheel(bike, x, 0.33, spokes=False)
    bike.fill(limb([(0.7, 0.33), (0.48, 0.95)], 0.1), (120, 122, 126))
    bike.fill([(-0.4, 0.24), (0.36, 0.24), (0.46, 0.66), (-0.36, 0.66)], (58, 60, 64))
    under = [(-0.5 - broad * 0.3, 0.62), (0.5 + broad * 0.3, 0.58)]
    bike.fill([*under, (0.55, 0.86), (0.2, 1.02), (-0.1, 0.84), (-0.86, 0.9)], dress.bike)
    bike.fill([(-0.86, 0.86), (-0.02, 0.8), (-0.06, 0.92), (-0.8, 0.98)], (24, 24, 26))
    bike.fill([(-0.86, 0.3), (-0.2, 0.26), (-0.2, 0.36), (-0.9, 0.44)], (170, 172, 178))
    shield = [(0.42, 0.76), (0.64 + broad * 0.3, 0.76), (0.56, 1.16), (0.4, 1.16)]
    bike.fill(shield, mixed(dress.bike, (255, 255, 255), 0.2))
    bike.fill(ellipse(0.58, 0.86, 0.09, 0.1), (255, 244, 214))


def _rider(
    figure: Figure,
    dress: Dress,
    turn: float,
    seat: float,
    lean: float,
    reach: tuple[float, float],
    pedal: tuple[float, float],
) -> None:
    hip, shoulder = (-0.2 * turn, seat), ((-0.2 + lean) * turn, seat + 0.5)
    broad = 0.34 + 0.12 * (1 - abs(turn))
    spread = 0.14 * (1 - abs(turn))
    for sign, shade in ((-1, 0.8), (1, 1.0)):
        knee = (0.24 * turn + spread * sign * 1.4, seat - 0.22)
        foot = (pedal[0] * turn + spread * sign, pedal[1] + 0.08 * sign)
        figure.fill(limb([(hip[0] + spread * sign * 0.5, hip[1]), knee, foot], 0.16), dress.trousers, shade)
    figure.fill(limb([hip, ((hip[0] + shoulder[0]) / 2, seat + 0.27), shoulder], broad), dress.shirt)
    for sign, shade in ((-1, 0.75), (1, 0.85)):
        top = (shoulder[0] + spread * sign * 1.3, shoulder[1] - 0.06)
        hand = (reach[0] * turn + spread * sign * 1.8, reach[1])
        elbow = ((top[0] + hand[0]) / 2, (top[1] + hand[1]) / 2 - 0.06)
        figure.fill(limb([top, elbow, hand], 0.11), dress.shirt, shade)
    head = (shoulder[0] + 0.05 * turn, shoulder[1] + 0.2)
    figure.fill(ellipse(*head, 0.12, 0.145), dress.skin if abs(turn) > 0.4 else dress.hair)
    figure.fill(ellipse(head[0] - 0.02 * turn, head[1] + 0.05, 0.15, 0.125), dress.helmet)
