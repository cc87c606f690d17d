"""The parts of a look (light, place and lens), and the weathers, which draw a light."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from datasets.toycity.colours import Colour


@dataclass(frozen=True)
class Light:
    """Sky and illumination. Colours are RGB, 0 to 255; ``sun`` is the unit vector to the sun.

    ``haze_density`` is per metre. ``clouds``, ``shadow`` and the values from ``darkness`` on are strengths;
    0 is none.
    """

    sky_top: Colour
    sky_low: Colour
    clouds: float
    cloud: Colour
    haze: Colour
    haze_density: float
    sun: tuple[float, float, float]
    sun_strength: float
    ambient: float
    shadow: float
    shadow_softness: float
    darkness: float = 0.0
    wetness: float = 0.0
    rain: float = 0.0

    def on(self, normal: tuple[float, float, float]) -> float:
        """The brightness of a surface with this unit normal."""
        return self.ambient + self.sun_strength * max(0.0, float(np.dot(self.sun, normal)))

    @property
    def upright(self) -> float:
        """The brightness of something upright that faces the camera."""
        return self.ambient + self.sun_strength * 0.45


@dataclass(frozen=True)
class Place:
    """The streets of a domain: their colours (RGB, 0 to 255) and lengths (metres).

    A street draws its number of lanes per direction from ``lanes``; ``heights`` is the range of house
    heights, ``leaves`` has (dark, bright) pairs. ``pitched`` is the probability of a pitched roof, ``palms``
    and ``bare`` are those of trees that are palms or without leaves.
    """

    lanes: tuple[int, ...]
    lane_width: float
    asphalt: Colour
    marking: Colour
    centre_line: Colour
    pavement: Colour
    grass: Colour
    facades: tuple[Colour, ...]
    walls: tuple[Colour, ...]
    vehicles: tuple[Colour, ...]
    leaves: tuple[tuple[Colour, Colour], ...]
    heights: tuple[float, float]
    pitched: float
    palms: float = 0.0
    bare: float = 0.0
    snow: bool = False


@dataclass(frozen=True)
class Lens:
    """The camera and what it does to the picture.

    ``size`` is (height, width); ``focal`` and ``shift`` are shares of the width, ``horizon`` and ``hood`` of
    the height. ``eye`` (height) and ``lateral`` (offset in the lane) are metres, ``roll`` radians. ``offset``
    and ``noise`` (a standard deviation) are grey levels.
    """

    size: tuple[int, int]
    focal: float
    eye: float
    horizon: float
    lateral: float = 0.0
    shift: float = 0.0
    roll: float = 0.0
    hood: float = 0.0
    saturation: float = 1.0
    contrast: float = 1.0
    balance: Colour = (1.0, 1.0, 1.0)
    offset: float = 0.0
    texture: float = 1.0
    outline: float = 0.0
    noise: float = 0.0
    blur: float = 0.0
    vignette: float = 0.0


@dataclass(frozen=True)
class Look:
    """Everything about a picture that is chosen before anything is painted."""

    light: Light
    place: Place
    lens: Lens


def _direction(azimuth: float, elevation: float) -> tuple[float, float, float]:
    """The unit vector to a sun at these angles in radians; azimuth 0 is ahead, positive is to the right."""
    flat = np.cos(elevation)
    return float(flat * np.sin(azimuth)), float(np.sin(elevation)), float(flat * np.cos(azimuth))


def sunny(rng: np.random.Generator) -> Light:
    azimuth = rng.choice([-1, 1]) * rng.uniform(1.9, 2.6)  # behind the camera, so that the scene is lit
    return Light(
        sky_top=(44, 116, 214), sky_low=(176, 214, 244), clouds=rng.uniform(0.1, 0.55), cloud=(252, 252, 255),
        haze=(190, 214, 236), haze_density=0.0035, sun=_direction(azimuth, rng.uniform(0.5, 0.85)),
        sun_strength=0.62, ambient=0.58, shadow=0.52, shadow_softness=0.0,
    )  # fmt: skip


def overcast(rng: np.random.Generator) -> Light:
    level = rng.uniform(0.92, 1.05)
    return Light(
        sky_top=(212 * level, 218 * level, 220 * level), sky_low=(236 * level, 240 * level, 238 * level),
        clouds=0.4, cloud=(236, 240, 240), haze=(204, 212, 210), haze_density=rng.uniform(0.005, 0.009),
        sun=_direction(rng.uniform(-np.pi, np.pi), 1.2), sun_strength=0.18, ambient=0.82,
        shadow=0.42, shadow_softness=0.008,
    )  # fmt: skip


def dull(rng: np.random.Generator) -> Light:
    return replace(
        overcast(rng), sky_top=(150, 158, 170), sky_low=(186, 192, 200), clouds=0.8,
        haze=(170, 178, 186), ambient=0.7,
    )  # fmt: skip


def rainy(rng: np.random.Generator) -> Light:
    return replace(
        dull(rng), sky_top=(112, 120, 132), sky_low=(150, 158, 168), haze=(142, 150, 160), haze_density=0.013,
        ambient=0.6, darkness=0.2, shadow=0.5, wetness=0.55, rain=1.0,
    )  # fmt: skip


def night(rng: np.random.Generator) -> Light:
    return replace(
        dull(rng), sky_top=(30, 34, 54), sky_low=(74, 66, 74), cloud=(60, 58, 66), haze=(70, 66, 74),
        haze_density=0.006, ambient=0.78, darkness=0.74, wetness=float(rng.choice([0.0, 0.35])), shadow=0.55,
    )  # fmt: skip
