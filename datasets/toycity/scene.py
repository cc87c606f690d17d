"""Choosing what is in a street scene, and painting it from far to near."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import cv2
import numpy as np

from datasets.toycity.camera import Camera
from datasets.toycity.colours import pick
from datasets.toycity.facades import Plot, paint_building, paint_skyline
from datasets.toycity.finish import finish
from datasets.toycity.furniture import (
    SIGNS,
    paint_hood,
    paint_lamp,
    paint_sign,
    paint_static,
    paint_traffic_light,
    paint_utility_pole,
)
from datasets.toycity.ground import Street, paint_ground
from datasets.toycity.looks import Lens, Look, Place
from datasets.toycity.painter import OVERSAMPLING, Painter
from datasets.toycity.roadside import (
    paint_bush,
    paint_fence,
    paint_hedge,
    paint_tree,
    paint_wall,
    paint_woods,
)
from datasets.toycity.textures import TILE, noise_tile, sample
from datasets.toycity.traffic import Traffic, painting_order
from datasets.toycity.weather.view import Weather

_RARE = ("train", "bus", "truck")
_OPEN_KINDS = ("wall", "fence", "park")


def render(
    look: Look, index: int, rng: np.random.Generator, weather: Weather | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Paint picture ``index`` of a domain; a ``weather`` replaces the light of the look, not the scene.

    Returns the picture, uint8 (H, W, 3) RGB, and its raster of paint codes, uint16 (H, W): instance *
    ``INSTANCE_STEP`` + ``Code``. Pictures take the rarer things in turn by ``index``, so that every class
    comes into view regularly.
    """
    if weather:
        # The side of the sun mirrors trees, so it stays.
        sun = (float(np.copysign(0.01, look.light.sun[0])), 1.0, 0.0)
        look = replace(look, light=replace(weather.light, sun=sun))
    first = _RARE[index % 3]
    special = [first] + [kind for kind in _RARE if kind != first and rng.uniform() < 0.25]
    street = _draw_street(look.place, special, rng)
    camera = _draw_camera(look.lens, street, rng)
    painter = Painter(camera, look, recorded=weather is not None)
    traffic = Traffic(painter, street, rng)
    traffic.fill_lanes(special)
    traffic.people(index)
    _furnish(traffic, rng)

    _paint_sky(painter, rng)
    paint_skyline(painter, rng)
    paint_woods(painter, rng)
    paint_ground(painter, street, rng)
    sides = {side: _draw_side(side, index, street, rng) for side in (-1, 1)}
    _paint_shadows(traffic, sides)
    for side, segments in sides.items():
        for kind, near, far, share in reversed(segments):
            plot = Plot(painter, side, street.building_line(side), near, far)
            _paint_segment(plot, kind, share, rng)
    for item in painting_order(traffic.items):
        painter.next_instance()
        item.paint()
    if look.lens.hood:
        painter.next_instance()
        paint_hood(painter, look.lens.hood)
    return finish(painter, look.lens, rng, weather)


def _draw_street(place: Place, special: list[str], rng: np.random.Generator) -> Street:
    lanes = int(rng.choice(place.lanes))
    parking = rng.uniform() < 0.45
    half = lanes * place.lane_width + (2.2 if parking else 0.5)
    crossing = rng.uniform(9, 18) if rng.uniform() < 0.5 else None
    start = rng.uniform(18, 30)
    side_street = (start, start + rng.uniform(8, 11)) if rng.uniform() < 0.45 else None
    rails: tuple[float, ...] = ()
    if "train" in special:
        side = -1 if rng.uniform() < 0.65 else 1
        rails = (side * place.lane_width / 2, -side * place.lane_width / 2)
    paved = rng.uniform(3.0, 5.4), rng.uniform(3.0, 5.4)
    verge = tuple(rng.uniform(1.4, 2.2) if rng.uniform() < 0.4 else 0.0 for _ in range(2))
    walk = (paved[0] + verge[0], paved[1] + verge[1])
    return Street(half, walk, verge, lanes, place.lane_width, parking, crossing, side_street, rails)


def _draw_camera(lens: Lens, street: Street, rng: np.random.Generator) -> Camera:
    height, width = (v * OVERSAMPLING for v in lens.size)
    lane = int(rng.integers(street.lanes))
    own = (lane + 0.5) * street.lane_width + rng.uniform(-0.3, 0.3)
    return Camera(
        width=width,
        height=height,
        focal=lens.focal * width,
        centre=width * (0.5 + lens.shift),
        horizon=height * lens.horizon,
        eye=lens.eye,
        offset=float(np.clip(own + lens.lateral, 0.8, street.half + 1.5)),
        curve=float(rng.choice([0.0, 1.0]) * rng.uniform(-0.0016, 0.0016)),
        roll=lens.roll,
    )


# Kind, start and end depth in metres, and a random number from 0 to 1 that sets the height.
Segment = tuple[str, float, float, float]


def _draw_side(side: int, index: int, street: Street, rng: np.random.Generator) -> list[Segment]:
    """The buildings and open places along one side of the street, from near to far."""
    segments: list[Segment] = []
    # ``wanted``, chosen by ``index``, is put where it is seen best. ``other`` comes farther away.
    wanted = _OPEN_KINDS[(index + (side > 0)) % 3] if (index // 3 + (side > 0)) % 2 else None
    other = _OPEN_KINDS[(index + 2 * (side > 0) + 1) % 3]
    z = 1.5
    while z < 150:
        length = rng.uniform(9, 19)
        kind = "building" if rng.uniform() < 0.62 else pick(rng, _OPEN_KINDS)
        if wanted and z + length > 7:
            kind, wanted, length = wanted, None, max(length, 29 - z)
        elif z > 18 and other and rng.uniform() < 0.4:
            kind, other = other, None
        end = z + length
        if street.side_street and z < street.side_street[1] and end > street.side_street[0] - 1:
            end = street.side_street[0] - 1.0
            if end - z > 4:
                segments.append((kind, z, end, rng.uniform()))
            z = street.side_street[1] + 1.0
            continue
        segments.append((kind, z, end, rng.uniform()))
        z = end
    return segments


def _paint_segment(plot: Plot, kind: str, share: float, rng: np.random.Generator) -> None:
    painter, near, far = plot.painter, plot.near, plot.far
    if kind == "building":
        low, high = painter.place.heights
        paint_building(plot, low + (high - low) * share**1.4, rng)
        return
    for z in sorted(rng.uniform(near, far, int(rng.integers(2, 5))), reverse=True):
        x, _ = painter.camera.locate(plot.line + plot.side * rng.uniform(2.5, 8), z)
        kind_of_tree, height = int(rng.integers(64)), rng.uniform(4.5, 9.5)
        style = _tree_style(painter.place, rng)
        paint_tree(painter, (x, z), height * (1.25 if style == "palm" else 1), kind_of_tree, style)
    if kind == "wall":
        paint_wall(plot, rng)
    elif kind == "fence":
        paint_fence(plot, rng)
    else:
        if rng.uniform() < 0.4:
            paint_hedge(replace(plot, line=plot.line + plot.side * 5), rng)
        for z in sorted(rng.uniform(near, far, 3), reverse=True):
            x, _ = painter.camera.locate(plot.line + plot.side * rng.uniform(0.8, 4), z)
            width, height = rng.uniform(1.2, 2.6), rng.uniform(0.8, 1.7)
            paint_bush(painter, (x, z), width, height, int(rng.integers(64)))


def _tree_style(place: Place, rng: np.random.Generator) -> str:
    draw = rng.uniform()
    if draw < place.palms:
        return "palm"
    if draw < place.palms + place.bare:
        return "bare"
    return "conifer" if rng.uniform() < 0.18 else "leafy"


def _furnish(traffic: Traffic, rng: np.random.Generator) -> None:
    """Put lamps, traffic lights, signs, trees and bins along both curbs."""
    painter, street = traffic.painter, traffic.street
    light_depth = street.crossing - 0.8 if street.crossing else rng.uniform(10, 22)
    wires = int(rng.choice([-1, 0, 1]))
    for side in (-1, 1):
        curb = side * (street.half + 0.55)
        for z in np.arange(rng.uniform(7, 20), 90, rng.uniform(17, 26)).tolist():
            if side == wires:
                traffic.stand(curb, z, 0.2, 8.0, partial(paint_utility_pole, painter))
            else:
                traffic.stand(curb, z, 0.2, 7.0, partial(paint_lamp, painter, side=side))
        if side > 0 or rng.uniform() < 0.7:
            state, overhead = int(rng.integers(3)), rng.uniform() < 0.45
            signal = partial(paint_traffic_light, painter, side=side, state=state, overhead=overhead)
            traffic.stand(curb, light_depth + 0.2 * side, 0.25, 4.0, signal)
        for _ in range(int(rng.integers(1, 4))):
            sign = partial(paint_sign, painter, kind=pick(rng, tuple(SIGNS)))
            traffic.stand(curb + side * 0.2, rng.uniform(7, 26), 0.3, 3.0, sign)
        if rng.uniform() < 0.6:
            for z in np.arange(rng.uniform(8, 18), 80, rng.uniform(8, 14)).tolist():
                style, height = _tree_style(painter.place, rng), rng.uniform(4.5, 8.0)
                tree = partial(paint_tree, painter, height=height, kind=int(rng.integers(64)), style=style)
                traffic.stand(side * (street.half + 1.3), z, height * 0.22, height, tree)
        if rng.uniform() < 0.6:
            thing = partial(paint_static, painter, kind=int(rng.integers(3)))
            s = side * (street.half + 0.8 * street.walk[(side + 1) // 2])
            traffic.stand(s, rng.uniform(7, 20), 0.4, 0.9, thing)


def _paint_sky(painter: Painter, rng: np.random.Generator) -> None:
    """Paint a colour gradient with clouds, which fade out at the horizon."""
    camera, light = painter.camera, painter.light
    rows, columns = np.mgrid[0 : camera.height // 4, 0 : camera.width // 4].astype(np.float32) * 4
    rise = np.maximum(camera.horizon - rows, 0) / camera.focal
    share = np.clip(rise / 0.5, 0, 1)[..., None] ** 0.6
    sky = np.array(light.sky_low, np.float32) * (1 - share) + np.array(light.sky_top, np.float32) * share
    away = 1 / (rise + 0.12)
    shift = rng.uniform(0, TILE, 2)
    across = (columns - camera.centre) / camera.focal * away
    field = sample(noise_tile(3), across * 34 + shift[0], away * 40 + shift[1])
    cover = np.clip((field + 2.2 * light.clouds - 1.0) * 0.8, 0, 1) * np.clip(rise / 0.06, 0, 1)
    cover = cover[..., None]
    sky = sky * (1 - 0.85 * cover) + np.array(light.cloud, np.float32) * 0.85 * cover
    painter.image[:] = cv2.resize(np.clip(sky, 0, 255).astype(np.uint8), (camera.width, camera.height))


def _paint_shadows(traffic: Traffic, sides: dict[int, list[Segment]]) -> None:
    """Paint the shadows that the sun casts on the ground, and darken the ground under all things."""
    painter, light = traffic.painter, traffic.painter.light
    items = [item for item in traffic.items if item.z < 70]
    if light.sun_strength > 0.3:
        sun = np.array(light.sun)
        direction = -sun[[0, 2]] / max(float(sun[1]), 0.2)
        cast = [(item.footprint, item.height) for item in items]
        for side, segments in sides.items():
            line = traffic.street.building_line(side)
            for kind, near, far, share in segments:
                height = 9 * (0.6 + share) if kind == "building" else 2.2 if kind == "wall" else 0.0
                if height and near < 70:
                    corners = np.array([(line, 0.0, near), (line, 0.0, far)])
                    cast.append((painter.camera.street(corners)[:, [0, 2]], height))
        shadows = [np.concatenate([outline, outline + direction * height]) for outline, height in cast]
        painter.darken_ground(shadows, light.shadow, light.shadow_softness)
    under = [_grown(item.footprint, 0.25) for item in items]
    painter.darken_ground(under, light.shadow * 0.75, max(light.shadow_softness, 0.003))


def _grown(outline: np.ndarray, margin: float) -> np.ndarray:
    away = outline - outline.mean(axis=0)
    return outline + away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6) * margin
