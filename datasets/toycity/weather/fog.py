"""Fog: Koschmieder's law over the distance of every pixel (Sakaridis, Dai, Van Gool, IJCV 2018)."""

from __future__ import annotations

import cv2
import numpy as np

from datasets.toycity.textures import noise_tile, sample
from datasets.toycity.weather.optics import colour_of, displayed, emission, even_light, glow, linear, veil
from datasets.toycity.weather.view import View, Weather


class Fog(Weather):
    """Fog with a visibility (contrast 5 %, 3 / density) of about 55 to 190 metres."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.density = float(np.exp(rng.uniform(np.log(0.016), np.log(0.055))))
        level, tint = rng.uniform(186, 218), rng.uniform(-3, 4)
        self.airlight = (level - tint, level, level + tint)
        self.light = even_light(self.airlight, self.airlight, 0.0, self.airlight, shadow=0.3)

    def show(self, view: View, rng: np.random.Generator) -> np.ndarray:
        light = linear(view.image) * 0.72
        lamps = emission(view, view.vehicle_lamps, power=5.0)
        light += lamps + glow(lamps, 0.4)
        distance = view.distance
        # Banks of fog are thicker in some directions, and lie low.
        height, width = view.codes.shape
        rows, columns = np.mgrid[0:height, 0:width].astype(np.float32) * (256 / height)
        shift = rng.uniform(0, 256, 2)
        banks = 1 + 0.16 * sample(noise_tile(20, 3), columns * 0.35 + shift[0], rows * 0.7 + shift[1])
        transmission = np.exp(-self.density * banks * distance)
        # Light that is scattered on its way blurs what is far.
        soft = cv2.GaussianBlur(light, (0, 0), max(0.5, height / 150))
        light += (soft - light) * (0.75 * (1 - transmission))[..., None]
        up = np.clip((view.camera.horizon / view.scale - rows * (height / 256)) / height, 0, 1)
        airlight = colour_of(self.airlight) * (0.93 + 0.22 * up)[..., None]
        return displayed(veil(light, transmission, airlight))
