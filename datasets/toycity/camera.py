"""The pinhole camera of a street scene, and the coordinates of the street."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NEAR = 0.5  # metres; nearer points are treated as if they were this far away


@dataclass(frozen=True)
class Camera:
    """A level pinhole camera above a gently curved street.

    Camera space is (x to the right, y up from the ground, z ahead), in metres. In street coordinates
    (s, y, z), s is the distance to the right of the street's middle line, which bends by ``curve * z**2``.
    The camera is ``eye`` metres high, at s = ``offset``. Pixels are (column, row), with the origin in the
    upper left corner. A lens shift puts the horizon at row ``horizon``, so verticals stay vertical. Then
    ``roll`` (radians) turns the picture about its centre.
    """

    width: int
    height: int
    focal: float
    centre: float
    horizon: float
    eye: float
    offset: float
    curve: float
    roll: float = 0.0

    def locate(self, s: float, z: float) -> tuple[float, float]:
        """Camera-space x of the street point (s, z), and the street's direction there (radians, 0: ahead)."""
        return s - self.offset + self.curve * z * z, float(np.arctan(2 * self.curve * z))

    def street(self, points: np.ndarray) -> np.ndarray:
        """Street coordinates (..., 3) -> camera space (..., 3)."""
        moved = np.array(points, dtype=np.float64)
        moved[..., 0] += self.curve * moved[..., 2] ** 2 - self.offset
        return moved

    def project(self, points: np.ndarray) -> np.ndarray:
        """Camera space (..., 3) -> pixels (..., 2), float."""
        scale = self.focal / np.maximum(points[..., 2], NEAR)
        pixels = np.empty((*points.shape[:-1], 2))
        pixels[..., 0] = self.centre + points[..., 0] * scale
        pixels[..., 1] = self.horizon + (self.eye - points[..., 1]) * scale
        return self._turn(pixels, self.roll)

    def ground_of_pixels(self, scale: int) -> tuple[np.ndarray, np.ndarray]:
        """Street coordinates s and z (metres) of the ground in a ``scale`` times smaller picture.

        Each is float32 (H, W). Pixels on or above the horizon get the depth just below it.
        """
        level = self._level_pixels(scale)
        z = self.focal * self.eye / np.maximum(level[..., 1] - self.horizon, self.height / 400)
        s = (level[..., 0] - self.centre) * z / self.focal + self.offset - self.curve * z * z
        return s.astype(np.float32), z.astype(np.float32)

    def rays(self, scale: int) -> tuple[np.ndarray, np.ndarray]:
        """How far a pixel's line of sight goes to the right and down per metre ahead.

        Each is float32 (H, W), for a ``scale`` times smaller picture.
        """
        level = self._level_pixels(scale)
        across = (level[..., 0] - self.centre) / self.focal
        down = (level[..., 1] - self.horizon) / self.focal
        return across.astype(np.float32), down.astype(np.float32)

    def _level_pixels(self, scale: int) -> np.ndarray:
        """Where the pixels of a ``scale`` times smaller picture are before ``roll``, (H, W, 2)."""
        rows, columns = np.mgrid[0 : self.height // scale, 0 : self.width // scale].astype(np.float32)
        pixels = np.stack([columns, rows], axis=-1) * scale + (scale - 1) / 2
        return self._turn(pixels, -self.roll)

    def _turn(self, pixels: np.ndarray, angle: float) -> np.ndarray:
        if not angle:
            return pixels
        middle = np.array([self.width / 2, self.height / 2])
        cosine, sine = np.cos(angle), np.sin(angle)
        return (pixels - middle) @ np.array([[cosine, sine], [-sine, cosine]]) + middle
