"""Rain: a dark sky, wet ground that mirrors, rain in the air, and sometimes drops on the glass."""

from __future__ import annotations

import numpy as np

from datasets.toycity.codes import Code
from datasets.toycity.textures import noise_tile, sample
from datasets.toycity.weather.falling import behind, drops_on_glass, streaks
from datasets.toycity.weather.optics import (
    colour_of,
    displayed,
    emission,
    even_light,
    glow,
    linear,
    mirrored,
    streaked,
    veil,
)
from datasets.toycity.weather.view import View, Weather


class Rain(Weather):
    """Rain by day; on two of five pictures there are drops on the glass."""

    def __init__(self, rng: np.random.Generator) -> None:
        level = rng.uniform(0.9, 1.1)
        low = (172 * level, 178 * level, 184 * level)
        self.density = rng.uniform(0.005, 0.011)
        self.airlight = tuple(0.97 * v for v in low)
        self.brightness = rng.uniform(0.5, 0.62)
        self.slant = rng.uniform(-0.21, 0.21)
        self.amount = rng.uniform(0.6, 1.2)
        self.drops = int(rng.integers(24, 60)) if rng.uniform() < 0.4 else 0
        top = (128 * level, 135 * level, 143 * level)
        self.light = even_light(top, low, 0.75, (110 * level, 116 * level, 124 * level), shadow=0.42)

    def show(self, view: View, rng: np.random.Generator) -> np.ndarray:
        light = linear(view.image)
        light *= np.where(view.sky, 1.0, self.brightness)[..., None]
        light = self._wet(view, light, emission(view, view.vehicle_lamps, power=5.0))
        distance = view.distance
        light = veil(light, np.exp(-self.density * distance), colour_of(self.airlight))
        image = self._falling(displayed(light), distance, rng)
        if self.drops:
            image = drops_on_glass(image, self.drops, rng)
        return image

    def _wet(self, view: View, light: np.ndarray, lamps: np.ndarray) -> np.ndarray:
        """The scene with lamps lit, and with wet ground: darker, and a mirror where water stands."""
        height = view.codes.shape[0]
        ground, z = view.ground, view.depth
        grain = sample(noise_tile(21, 6, 0.8), view.s * 12, z * 5)
        pools = np.clip(0.5 + 0.75 * sample(noise_tile(22, 4), view.s * 17, z * 9), 0, 1)
        pools = np.where(view.asphalt, pools, 0.45 * pools)
        soaked = np.where(view.codes == Code.TERRAIN, 0.8, 0.62 - 0.14 * pools)
        light = light * np.where(ground, soaked, 1.0)[..., None]
        light = light + lamps + glow(lamps, 0.3)
        ripples = grain * (height / 160)
        mirror = mirrored(view, light, ripples)
        rough, calm = streaked(mirror, height / 22), streaked(mirror, height / 90)
        pools = pools[..., None]
        seen = rough * (1 - pools) + calm * pools
        # Fresnel: the flatter the line of sight, the more is mirrored. What is far is too rough to mirror.
        steep = view.camera.eye / view.distance
        share = (0.16 + 0.5 * (1 - steep) ** 4)[..., None] * (0.45 + 0.75 * pools)
        share *= np.exp(-z / 45)[..., None]
        share *= np.where(view.codes == Code.TERRAIN, 0.15, 1.0)[..., None]
        return np.where(ground[..., None], light * (1 - 0.5 * share) + seen * share, light)

    def _falling(self, image: np.ndarray, distance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Three layers of streaks, each between the camera and what is farther away than the layer."""
        height, width = image.shape[:2]
        # Distance (m), streaks per million pixels, length and width in shares of the height, opacity
        for away, count, length, thick, opacity in (
            (25.0, 9000, 0.035, 0.0, 0.16),
            (9.0, 3000, 0.075, 0.0, 0.24),
            (3.0, 420, 0.15, 1 / 400, 0.26),
        ):
            number = round(self.amount * count * height * width / 1e6)
            layer = streaks((height, width), number, length * height, thick * height, self.slant, rng)
            image = behind(opacity * layer, (206, 212, 218), away, image, distance)
        return image
