"""Choosing what is in a street scene, and painting it from far to near."""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np

from datasets.toycity.camera import Camera
from datasets.toycity.facades import paint_building, paint_skyline
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
from datasets.toycity.looks import Lens, Light, Look, Place
from datasets.toycity.painter import Painter
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

# Pictures are painted this many times larger and then averaged. A label pixel takes one of the larger ones.
OVERSAMPLING = 2

_RARE = ("train", "bus", "truck")
_OPEN_KINDS = ("wall", "fence", "park")


def render(look: Look, index: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Paint picture ``index`` of a domain.

    Returns the picture, uint8 (H, W, 3) RGB, and its raster of paint codes, uint16 (H, W): instance *
    ``INSTANCE_STEP`` + ``Code``. Pictures take the rarer things in turn by ``index``, so that every class
    comes into view regularly.
    """
    special = [_RARE[index % 3]] + [
        kind for kind in _RARE if kind != _RARE[index % 3] and rng.uniform() < 0.25
    ]
    street = _draw_street(look.place, special, rng)
    camera = _draw_camera(look.lens, street, rng)
    painter = Painter(camera, look.light)
    traffic = Traffic(painter, street, look.place, rng)
    tram_lane = street.rails[0] if street.rails else None
    traffic.fill_lanes(special, tram_lane)
    traffic.people(index)
    _furnish(traffic, look.place, rng)

    _paint_sky(painter, rng)
    paint_skyline(painter, look.place, rng)
    paint_woods(painter, look.place, rng)
    paint_ground(painter, street, look.place, rng)
    sides = {side: _draw_side(side, index, street, rng) for side in (-1, 1)}
    _paint_shadows(painter, look.light, traffic, sides, street)
    for side, segments in sides.items():
        for segment in reversed(segments):
            _paint_segment(painter, side, street, look.place, segment, rng)
    for item in painting_order(traffic.items):
        painter.next_instance()
        item.paint()
    if look.lens.hood:
        painter.next_instance()
        paint_hood(painter, look.lens.hood)
    return finish(painter, look, OVERSAMPLING, rng)


def _draw_street(place: Place, special: list[str], rng: np.random.Generator) -> Street:
    lanes = int(rng.choice(place.lanes))
    parking = bool(rng.uniform() < 0.45)
    half = lanes * place.lane_width + (2.2 if parking else 0.5)
    crossing = float(rng.uniform(9, 18)) if rng.uniform() < 0.5 else None
    start = float(rng.uniform(18, 30))
    side_street = (start, start + float(rng.uniform(8, 11))) if rng.uniform() < 0.45 else None
    rails: tuple[float, ...] = ()
    if "train" in special:
        side = -1 if rng.uniform() < 0.65 else 1
        rails = (side * place.lane_width / 2, -side * place.lane_width / 2)
    walk = (float(rng.uniform(3.0, 5.4)), float(rng.uniform(3.0, 5.4)))
    verge = tuple(float(rng.uniform(1.4, 2.2)) if rng.uniform() < 0.4 else 0.0 for _ in range(2))
    walk = (walk[0] + verge[0], walk[1] + verge[1])
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
        length = float(rng.uniform(9, 19))
        kind = "building" if rng.uniform() < 0.62 else _OPEN_KINDS[int(rng.integers(3))]
        if wanted and z + length > 7:
            kind, wanted, length = wanted, None, max(length, 29 - z)
        elif z > 18 and other and rng.uniform() < 0.4:
            kind, other = other, None
        end = z + length
        if street.side_street and z < street.side_street[1] and end > street.side_street[0] - 1:
            end = street.side_street[0] - 1.0
            if end - z > 4:
                segments.append((kind, z, end, float(rng.uniform())))
            z = street.side_street[1] + 1.0
            continue
        segments.append((kind, z, end, float(rng.uniform())))
        z = end
    return segments


def _paint_segment(
    painter: Painter, side: int, street: Street, place: Place, segment: Segment, rng: np.random.Generator
) -> None:
    kind, near, far, share = segment
    line = street.building_line(side)
    z = (near, far)
    if kind == "building":
        low, high = place.heights
        paint_building(painter, side, line, z, low + (high - low) * share**1.4, place, rng)
        return
    depths = sorted(rng.uniform(near, far, int(rng.integers(2, 5))), reverse=True)
    for depth in depths:
        x, _ = painter.camera.locate(line + side * float(rng.uniform(2.5, 8)), depth)
        kind_number, tall = int(rng.integers(64)), float(rng.uniform(4.5, 9.5))
        style = _tree_style(place, rng)
        paint_tree(painter, (x, depth), tall * (1.25 if style == "palm" else 1), place, kind_number, style)
    if kind == "wall":
        paint_wall(painter, side, line, z, place, rng)
    elif kind == "fence":
        paint_fence(painter, side, line, z, place, rng)
    else:
        if rng.uniform() < 0.4:
            paint_hedge(painter, side, line + side * 5, z, place, rng)
        for depth in sorted(rng.uniform(near, far, 3), reverse=True):
            x, _ = painter.camera.locate(line + side * float(rng.uniform(0.8, 4)), depth)
            paint_bush(
                painter,
                (x, depth),
                float(rng.uniform(1.2, 2.6)),
                float(rng.uniform(0.8, 1.7)),
                place,
                int(rng.integers(64)),
            )


def _tree_style(place: Place, rng: np.random.Generator) -> str:
    draw = rng.uniform()
    if draw < place.palms:
        return "palm"
    if draw < place.palms + place.bare:
        return "bare"
    return "conifer" if rng.uniform() < 0.18 else "leafy"


def _furnish(traffic: Traffic, place: Place, rng: np.random.Generator) -> None:
    """Put lamps, traffic lights, signs, trees and bins along both curbs."""
    painter, street = traffic.painter, traffic.street
    light_depth = street.crossing - 0.8 if street.crossing else float(rng.uniform(10, 22))
    wires = int(rng.choice([-1, 0, 1]))
    for side in (-1, 1):
        curb = side * (street.half + 0.55)
        for z in np.arange(rng.uniform(7, 20), 90, rng.uniform(17, 26)):
            if side == wires:
                traffic.stand(curb, float(z), 0.2, 8.0, partial(paint_utility_pole, painter))
            else:
                traffic.stand(curb, float(z), 0.2, 7.0, partial(paint_lamp, painter, side=side))
        if side > 0 or rng.uniform() < 0.7:
            state, overhead = int(rng.integers(3)), bool(rng.uniform() < 0.45)
            signal = partial(paint_traffic_light, painter, side=side, state=state, overhead=overhead)
            traffic.stand(curb, light_depth + 0.2 * side, 0.25, 4.0, signal)
        for _ in range(int(rng.integers(1, 4))):
            kind = SIGNS[int(rng.integers(len(SIGNS)))]
            z = float(rng.uniform(7, 26))
            traffic.stand(curb + side * 0.2, z, 0.3, 3.0, partial(paint_sign, painter, kind=kind))
        if rng.uniform() < 0.6:
            for z in np.arange(rng.uniform(8, 18), 80, rng.uniform(8, 14)):
                style, tall = _tree_style(place, rng), float(rng.uniform(4.5, 8.0))
                tree = partial(paint_tree, painter, place=place, kind=int(rng.integers(64)), style=style)
                traffic.stand(
                    side * (street.half + 1.3), float(z), tall * 0.22, tall, partial(tree, height=tall)
                )
        if rng.uniform() < 0.6:
            bin_kind, z = int(rng.integers(3)), float(rng.uniform(7, 20))
            s = side * (street.half + 0.8 * street.walk[(side + 1) // 2])
            traffic.stand(s, z, 0.4, 0.9, partial(paint_static, painter, kind=bin_kind))


def _paint_sky(painter: Painter, rng: np.random.Generator) -> None:
    """Paint a colour gradient with clouds, which fade out at the horizon."""
    camera, light = painter.camera, painter.light
    rows, columns = np.mgrid[0 : camera.height // 4, 0 : camera.width // 4].astype(np.float32) * 4
    rise = np.maximum(camera.horizon - rows, 0) / camera.focal
    share = np.clip(rise / 0.5, 0, 1)[..., None] ** 0.6
    sky = np.array(light.sky_low, np.float32) * (1 - share) + np.array(light.sky_top, np.float32) * share
    away = 1 / (rise + 0.12)
    shift = rng.uniform(0, TILE, 2)
    field = sample(
        noise_tile(3), (columns - camera.centre) / camera.focal * away * 34 + shift[0], away * 40 + shift[1]
    )
    cover = (
        np.clip((field + 2.2 * light.clouds - 1.0) * 0.8, 0, 1)[..., None]
        * np.clip(rise / 0.06, 0, 1)[..., None]
    )
    sky = sky * (1 - 0.85 * cover) + np.array(light.cloud, np.float32) * 0.85 * cover
    painter.image[:] = cv2.resize(np.clip(sky, 0, 255).astype(np.uint8), (camera.width, camera.height))


def _paint_shadows(
    painter: Painter, light: Light, traffic: Traffic, sides: dict[int, list[Segment]], street: Street
) -> None:
    """Paint the shadows that the sun casts on the ground, and darken the ground under all things."""
    under = [_grown(item.footprint, 0.25) for item in traffic.items if item.z < 70]
    sun = np.array(light.sun)
    direction = -sun[[0, 2]] / max(float(sun[1]), 0.2)
    if light.sun_strength > 0.3:
        cast = [_swept(item.footprint, direction * item.height) for item in traffic.items if item.z < 70]
        for side, segments in sides.items():
            line = street.building_line(side)
            for kind, near, far, share in segments:
                height = 9 * (0.6 + share) if kind == "building" else 2.2 if kind == "wall" else 0.0
                corners = [(line, near), (line, far)]
                outline = painter.camera.street(np.array([(s, 0.0, z) for s, z in corners]))[:, [0, 2]]
                if height and near < 70:
                    cast.append(_swept(outline, direction * height))
        painter.darken_ground(cast, light.shadow, light.shadow_softness)
    painter.darken_ground(under, light.shadow * 0.75, max(light.shadow_softness, 0.003))


def _grown(outline: np.ndarray, margin: float) -> np.ndarray:
    middle = outline.mean(axis=0)
    away = outline - middle
    return outline + away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6) * margin


def _swept(outline: np.ndarray, step: np.ndarray) -> np.ndarray:
    return np.concatenate([outline, outline + step])
