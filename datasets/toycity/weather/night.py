"""Night and twilight: the light of lamps at their places in the scene, their glow, and a noisy sensor."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from datasets.toycity.codes import Code
from datasets.toycity.surfaces import Lamp
from datasets.toycity.weather.optics import (
    colour_of,
    displayed,
    emission,
    even_light,
    glow,
    linear,
    mirrored,
    streaked,
)
from datasets.toycity.weather.view import View, Weather

_STREET_LAMP = 6.5  # metres; lower lamps are those of vehicles and signals
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_SODIUM, _WHITE = (255, 186, 104), (255, 232, 200)
_ROOMS = np.array([(255, 196, 112), (255, 214, 150), (255, 232, 196), (210, 222, 255)], dtype=np.float32)


class Night(Weather):
    """A city at night.

    ``ambient`` is the range of the sky's light as a share of daylight, and ``tint`` its colour. ``lit_rooms``
    is the share of lit windows. ``sky`` has its colours at the top, at the horizon, and those of clouds.
    """

    ambient = (0.008, 0.02)
    tint = (0.75, 0.85, 1.25)
    lit_rooms = 0.36
    sky = ((8, 12, 30), (34, 36, 54), (26, 28, 42))

    def __init__(self, rng: np.random.Generator) -> None:
        self.sky_light = rng.uniform(*self.ambient) * np.array(self.tint, dtype=np.float32)
        self.lamp_colour = _SODIUM if rng.uniform() < 0.6 else _WHITE
        self.wet = bool(rng.uniform() < 0.3)
        self.noise = rng.uniform(3.5, 7.0)
        top, low, cloud = self.sky
        self.light = even_light(top, low, rng.uniform(0.1, 0.5), cloud, shadow=0.45)

    def show(self, view: View, rng: np.random.Generator) -> np.ndarray:
        lamps = [self._tinted(lamp) for lamp in view.lamps]
        albedo = linear(view.image)
        arriving = self.sky_light + _lamplight(view, lamps) + _headlights(view)
        light = np.where(view.sky[..., None], albedo, albedo * arriving)
        rooms = self._rooms(view, rng)
        light = np.where(view.panes[..., None], light * 0.6 + rooms, light)
        discs = emission(view, lamps, power=14.0)
        light = light + discs
        light += glow(rooms, 0.35) + glow(discs, 0.55, reach=1.3)
        if self.wet:
            mirror = streaked(mirrored(view, light), view.codes.shape[0] / 40)
            light += mirror * np.where(view.asphalt, 0.3, np.where(view.ground, 0.12, 0))[..., None]
        return _exposed(light, self.noise, rng)

    def _tinted(self, lamp: Lamp) -> Lamp:
        """The lamp; those of the street have the colour of this picture."""
        street = lamp.point[1] > _STREET_LAMP
        return replace(lamp, colour=self.lamp_colour) if street else lamp

    def _rooms(self, view: View, rng: np.random.Generator) -> np.ndarray:
        """The light behind the windows, float32 (H, W, 3)."""
        count = int(view.surfaces.max()) + 1
        brightness = rng.uniform(0.1, 0.5, count)
        colours = linear(_ROOMS)[rng.integers(len(_ROOMS), size=count)]
        draw = rng.uniform(size=count).astype(np.float32)[view.surfaces]
        vehicle = np.isin(view.codes, [Code.BUS, Code.TRAIN])
        shop = view.position[..., 1] < 3.0
        share = np.where(vehicle, 1.0, np.where(shop, 0.6, self.lit_rooms))
        lit = view.panes & (draw < share)
        gain = np.where(vehicle, 0.45, brightness.astype(np.float32)[view.surfaces])
        return (colours[view.surfaces] * (gain * lit)[..., None]).astype(np.float32)


class Twilight(Night):
    """Dusk: lamps are lit already, and the sky still gives light."""

    ambient = (0.22, 0.42)
    tint = (0.88, 0.94, 1.16)
    lit_rooms = 0.2
    sky = ((92, 116, 170), (242, 194, 160), (150, 140, 160))


def _lamplight(view: View, lamps: list[Lamp]) -> np.ndarray:
    """The light that reaches every surface from the lamps, float32 (H, W, 3)."""
    # Separate planes are several times faster than one array whose last axis has length 3.
    position, normals = (np.ascontiguousarray(np.moveaxis(v, -1, 0)) for v in (view.position, view.normals))
    total = np.zeros((3, *view.codes.shape), dtype=np.float32)
    for lamp in lamps:
        street = lamp.point[1] > _STREET_LAMP
        if lamp.point[2] > (90 if street else 45):
            continue
        x, y, z = (np.float32(p) - plane for p, plane in zip(lamp.point, position, strict=True))
        square = x * x + y * y + z * z + np.float32(0.6)
        nearness = 1 / np.sqrt(square)
        facing = np.maximum((x * normals[0] + y * normals[1] + z * normals[2]) * nearness, 0)
        arriving = (0.15 + 0.85 * facing) * (lamp.radius**2 / square)
        if street:  # these shine down
            arriving *= 22 * np.clip(y * nearness + 0.1, 0, 1)
        else:
            arriving *= 9
        for plane, share in zip(total, colour_of(lamp.colour), strict=True):
            plane += arriving * share
    return np.moveaxis(total, 0, -1)


def _headlights(view: View) -> np.ndarray:
    """The low beam of the camera's car, float32 (H, W, 3)."""
    x, y, z = np.moveaxis(view.position, -1, 0)
    across = np.exp(-((x / (1.6 + 0.2 * z)) ** 2))
    below = 1 / (1 + np.exp(np.clip((y - 0.75 - 0.012 * z) / 0.25, -20, 20)))
    on_ground = 0.85 * np.exp(-z / 15) * (1 - np.exp(-((z / 3.5) ** 2)))
    upright = 0.9 * (below + 0.06) / (1 + (z / 11) ** 2)
    beam = across * np.where(view.ground, on_ground, upright)
    return beam[..., None] * colour_of((255, 240, 214))


def _exposed(light: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    """What a small camera makes of little light."""
    height, width = light.shape[:2]
    light = 1 - np.exp(-1.5 * light)
    grey = light @ _LUMA
    # In the dark there is little colour.
    colour = np.clip(0.62 + 2.5 * grey, 0, 1)[..., None]
    image = displayed(grey[..., None] * (1 - colour) + light * colour)
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    image *= (1 - 0.38 * np.clip((x * x + y * y) / 2, 0, 1) ** 1.1).astype(np.float32)[..., None]
    grain = rng.standard_normal(image.shape, dtype=np.float32)
    blotches = cv2.GaussianBlur(rng.standard_normal(image.shape, dtype=np.float32), (0, 0), 1.2) * 2.2
    dark = 1 - 0.6 * np.clip(image / 255, 0, 1)
    return image + 2 + noise * dark * (0.75 * grain + 0.55 * blotches)
