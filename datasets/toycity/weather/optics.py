"""Light in air, from lamps and on wet ground. Light is linear; pictures have the usual gamma."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from datasets.toycity.colours import Colour
from datasets.toycity.looks import Light
from datasets.toycity.surfaces import Lamp
from datasets.toycity.weather.view import View

_GAMMA = 2.2


def even_light(sky_top: Colour, sky_low: Colour, clouds: float, cloud: Colour, shadow: float) -> Light:
    """The light of a day without sun. It leaves haze to the weather."""
    return Light(
        sky_top=sky_top, sky_low=sky_low, clouds=clouds, cloud=cloud, haze=(0, 0, 0), haze_density=0.0,
        sun=(0.0, 1.0, 0.0), sun_strength=0.16, ambient=0.84, shadow=shadow, shadow_softness=0.012,
    )  # fmt: skip


def linear(image: np.ndarray) -> np.ndarray:
    """A picture, 0 to 255 -> light, float32, 1 for white."""
    return np.power(np.clip(image, 0, 255) / 255, _GAMMA, dtype=np.float32)


def displayed(light: np.ndarray) -> np.ndarray:
    """Light -> a picture, float32, 0 to 255; the inverse of :func:`linear`, which it extends."""
    return 255 * np.power(np.maximum(light, 0), 1 / _GAMMA, dtype=np.float32)


def colour_of(colour: Colour) -> np.ndarray:
    """A colour, 0 to 255 -> light, float32 (3,)."""
    return linear(np.array(colour, dtype=np.float32))


def veil(light: np.ndarray, transmission: np.ndarray, airlight: np.ndarray) -> np.ndarray:
    """Koschmieder's law: the share ``transmission``, (H, W), of the light arrives, the rest is airlight."""
    share = transmission[..., None]
    return light * share + airlight * (1 - share)


def emission(view: View, lamps: Iterable[Lamp], power: float) -> np.ndarray:
    """The light of the discs of all visible lamps, float32 (H, W, 3)."""
    height, width = view.codes.shape
    light = np.zeros((height, width, 3), dtype=np.float32)
    for lamp in lamps:
        z = lamp.point[2]
        column, row = view.camera.project(np.array(lamp.point)) / view.scale - 0.5
        radius = 0.26 * lamp.radius * view.focal / z
        reach = int(min(radius, height)) + 2
        left, top = max(int(column) - reach, 0), max(int(row) - reach, 0)
        right, bottom = min(int(column) + reach + 1, width), min(int(row) + reach + 1, height)
        if right <= left or bottom <= top:
            continue
        rows, columns = np.ogrid[top:bottom, left:right]
        away = np.hypot(rows - row, columns - column)
        # A disc smaller than a pixel keeps its light, spread over that pixel.
        drawn = max(radius, 0.4)
        disc = np.clip(drawn + 0.5 - away, 0, 1) * min(1.0, radius / drawn) ** 2
        disc *= 0.12 + 0.88 * np.exp(-2.5 * (away / (drawn + 0.5)) ** 2)
        disc *= view.surfaces[top:bottom, left:right] <= lamp.surface
        part = light[top:bottom, left:right]
        np.maximum(part, disc[..., None] * colour_of(lamp.colour) * power, out=part)
    return light


def glow(light: np.ndarray, strength: float, reach: float = 1.0) -> np.ndarray:
    """What lens and air scatter of ``light``, float32 (H, W, 3); ``reach`` enlarges it."""
    height, width = light.shape[:2]
    total = np.zeros_like(light)
    for share, part in ((0.5, 1 / 110), (0.32, 1 / 34), (0.18, 1 / 11)):
        sigma = part * height * reach
        step = max(1, min(8, int(sigma / 2)))
        small = cv2.resize(
            light, (max(1, width // step), max(1, height // step)), interpolation=cv2.INTER_AREA
        )
        blurred = cv2.GaussianBlur(small, (0, 0), max(0.5, sigma / step))
        total += share * cv2.resize(blurred, (width, height))
    return strength * total


def mirrored(view: View, light: np.ndarray, ripples: np.ndarray | None = None) -> np.ndarray:
    """What level wet ground mirrors, float32 (H, W, 3); other pixels keep their light.

    What stands above a ground pixel is mirrored at its foot, the lowest row above that shows no ground.
    ``ripples``, (H, W), shift the mirrored rows.
    """
    height, width = view.codes.shape
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    horizon = view.camera.horizon / view.scale
    foot = np.maximum.accumulate(np.where(view.ground, -1, rows), axis=0)
    foot = np.maximum(foot, horizon)
    source = 2 * foot - rows
    if ripples is not None:
        source = source + ripples
    source = np.where(view.ground, np.abs(source), rows)
    return cv2.remap(
        light, columns, source.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )


def streaked(light: np.ndarray, length: float) -> np.ndarray:
    """``light`` blurred along the columns, and a little along the rows, as rough ground mirrors it."""
    return cv2.GaussianBlur(light, (0, 0), sigmaX=max(0.4, length / 9), sigmaY=max(0.5, length))
