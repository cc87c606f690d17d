"""Snow: it covers the ground, roofs, branches and upper edges, and falls in flakes of all sizes."""

from __future__ import annotations

import cv2
import numpy as np

from datasets.toycity.codes import Code
from datasets.toycity.textures import noise_tile, sample
from datasets.toycity.weather.falling import behind, flakes
from datasets.toycity.weather.optics import colour_of, displayed, even_light, linear, veil
from datasets.toycity.weather.view import View, Weather

_SNOW = (234, 238, 246)
_WHEEL = 0.78  # metres from the middle of a lane to a wheel


class Snow(Weather):
    """Snowfall by day."""

    def __init__(self, rng: np.random.Generator) -> None:
        level = rng.uniform(0.93, 1.03)
        grey = (210 * level, 215 * level, 222 * level)
        self.airlight = grey
        self.density = rng.uniform(0.006, 0.016)
        self.depth = rng.uniform(0.5, 1.0)
        self.slant = rng.uniform(-0.5, 0.5)
        self.amount = rng.uniform(0.5, 1.3)
        self.light = even_light(grey, grey, 0.25, tuple(1.06 * v for v in grey), shadow=0.4)

    def show(self, view: View, rng: np.random.Generator) -> np.ndarray:
        light = linear(view.image)
        light *= np.where(view.sky, 1.0, 0.8)[..., None]
        cover = np.where(view.ground, self._on_ground(view, rng), self._on_things(view))[..., None]
        shade = np.where(view.ground, view.shade, 0.92)
        white = colour_of(_SNOW) * (0.86 * shade)[..., None]
        light = light * (1 - cover) + white * cover
        distance = view.distance
        light = veil(light, np.exp(-self.density * distance), colour_of(self.airlight))
        return self._falling(displayed(light), distance, rng)

    def _on_ground(self, view: View, rng: np.random.Generator) -> np.ndarray:
        """How much of the ground is white, float32 (H, W), 0 to 1: least where wheels roll."""
        s, z, lane = view.s, view.depth, view.lane_width
        shift = rng.uniform(0, 256)
        patches = sample(noise_tile(23, 5, 0.7), s * 16 + shift, z * 7)
        strands = sample(noise_tile(24, 5, 0.7), s * 60 + shift, z * 3)
        rolled = np.abs(np.abs(np.mod(s, lane) - lane / 2) - _WHEEL)
        track = np.clip(1.3 - rolled / 0.3 + 0.25 * strands, 0, 1) * (np.abs(s) < 2 * lane)
        road = np.clip(0.35 + 0.5 * self.depth + 0.22 * patches, 0.1, 0.95)
        road = road * (1 - 0.8 * track)
        walk = np.clip(0.72 + 0.25 * self.depth + 0.14 * patches, 0.3, 1)
        grass = np.clip(0.9 + 0.08 * patches, 0.5, 1)
        cover = np.where(view.asphalt, road, np.where(view.codes == Code.TERRAIN, grass, walk))
        return cover.astype(np.float32)

    def _on_things(self, view: View) -> np.ndarray:
        """How much of everything upright is white, float32 (H, W): slopes, twigs and upper edges."""
        height, width = view.codes.shape
        cover = np.clip((view.normals[..., 1] - 0.25) * 2.5, 0, 1) * (0.7 + 0.3 * self.depth)
        cap = 0.05 + 0.09 * self.depth
        edges = self._below_upper_edge(view, cap)
        leafy = view.codes == Code.VEGETATION
        rows, columns = np.mgrid[0:height, 0:width].astype(np.float32) * (256 / height)
        grain = sample(noise_tile(25, 6, 0.9), columns * 2.2, rows * 2.2)
        brightness = view.image.mean(axis=-1)
        around = cv2.GaussianBlur(brightness, (0, 0), height / 40)
        laden = np.clip(0.42 * self.depth + (brightness - around) / 34 + 0.16 * grain, 0, 0.92)
        laden = np.maximum(laden, self._below_upper_edge(view, 3.2 * cap) * 0.85)
        # Roofs seen from their gables keep a thick rim.
        eaves = np.where(view.codes == Code.BUILDING, self._below_upper_edge(view, 2.5 * cap), 0)
        cover = np.where(leafy, laden, np.maximum(cover, np.maximum(edges, eaves)))
        cover[view.sky | (view.codes == Code.EGO_VEHICLE)] = 0
        return cover.astype(np.float32)

    @staticmethod
    def _below_upper_edge(view: View, thickness: float) -> np.ndarray:
        """Pixels less than ``thickness`` metres below the upper edge of something, float32 (H, W), 0 to 1."""
        height = view.codes.shape[0]
        depth = view.depth
        rows, columns = np.mgrid[0:height, 0 : view.codes.shape[1]].astype(np.float32)
        total = np.zeros_like(depth)
        for share in (0.5, 1.0):
            reach = np.clip(thickness * share * view.focal / depth, 0.45, height / 20)
            above = cv2.remap(depth, columns, np.maximum(rows - reach, 0), cv2.INTER_LINEAR)
            total += above > 1.06 * depth + 0.6
        edge = np.clip(total * 0.6 * np.clip(thickness * view.focal / depth, 0.3, 1), 0, 0.95)
        return cv2.GaussianBlur(edge, (0, 0), 0.55)

    def _falling(self, image: np.ndarray, distance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Four layers of flakes, each between the camera and what is farther away than the layer."""
        height, width = image.shape[:2]
        # Distance (m), flakes per million pixels, radius and softness in shares of the height, opacity
        for away, count, radius, softness, opacity in (
            (28.0, 14000, 1 / 620, 1 / 700, 0.55),
            (12.0, 4500, 1 / 330, 1 / 420, 0.7),
            (5.0, 900, 1 / 150, 1 / 170, 0.75),
            (2.0, 130, 1 / 62, 1 / 60, 0.5),
        ):
            number = round(self.amount * count * height * width / 1e6)
            layer = flakes((height, width), number, radius * height, softness * height, self.slant, rng)
            image = behind(opacity * layer, (244, 246, 250), away, image, distance)
        return image
