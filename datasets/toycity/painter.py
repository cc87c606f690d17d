"""The painter: it fills every shape with the same mask in the picture and in the label raster."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from datasets.toycity.camera import Camera
from datasets.toycity.codes import INSTANCE_STEP, IS_GROUND, Code
from datasets.toycity.colours import Colour
from datasets.toycity.looks import Look
from datasets.toycity.shapes import Outline
from datasets.toycity.surfaces import GROUND, OWN_CAR, Surfaces

OVERSAMPLING = 2
"""Pictures are painted this many times larger, then averaged. A label pixel takes one of the larger ones."""

_SHIFT = 4  # sub-pixel bits of OpenCV's fills
_FAR_OUT = 1e5  # pixels; coordinates are limited to this so that they fit into fixed-point numbers


class Painter:
    """A picture, uint8 (H, W, 3) RGB, and its raster of codes, uint16 (H, W). Paint from far to near.

    Shapes are in camera space (metres). Colours are RGB, 0 to 255, under full light; distance adds haze.
    ``light`` and ``place`` are those of the ``look``. ``glows`` lists the lamps that glow at night, as
    (column, row, radius in pixels, colour). ``surfaces`` are recorded only if they are ``recorded``.
    """

    def __init__(self, camera: Camera, look: Look, recorded: bool = False) -> None:
        self.camera, self.light, self.place = camera, look.light, look.place
        self.image = np.zeros((camera.height, camera.width, 3), dtype=np.uint8)
        self.codes = np.full((camera.height, camera.width), Code.SKY, dtype=np.uint16)
        self.glows: list[tuple[float, float, float, Colour]] = []
        self.surfaces = Surfaces(camera) if recorded else None
        self._instance = 0
        low = max(camera.height - camera.horizon, 1.0) * (1 + 2 * abs(camera.roll))
        self._nearest = 0.8 * camera.focal * camera.eye / low

    def next_instance(self) -> None:
        """Give everything that is painted after this call a new instance number."""
        self._instance += 1

    def tone(self, colour: Sequence[float], z: float, light: float = 1.0) -> tuple[float, ...]:
        """``colour`` as it looks at the distance ``z`` (metres) under ``light``."""
        clear = float(np.exp(-self.light.haze_density * max(z, 0.0)))
        haze = self.light.haze
        return tuple(
            min(255.0, c * light) * clear + h * (1 - clear) for c, h in zip(colour, haze, strict=True)
        )

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Camera-space points (..., 3) as OpenCV's fixed-point pixels, int32 (..., 2)."""
        flat = np.clip(self.camera.project(points), -_FAR_OUT, _FAR_OUT)
        return np.rint(flat * (1 << _SHIFT)).astype(np.int32, order="C")

    def faces(self, points: np.ndarray, colour: Sequence[float], code: int, light: float = 1.0) -> None:
        """Fill polygons (K, N, 3) that share one colour and code and do not overlap one another."""
        pixels = self.pixels(points)
        depth = float(points[..., 2].mean())
        number = self.surfaces.add(points)[0] if self.surfaces else 0
        self._fill(list(pixels), self.tone(colour, depth, light), code, number)

    def face(self, points: np.ndarray, colour: Sequence[float], code: int, light: float = 1.0) -> None:
        """Fill one polygon (N, 3)."""
        self.faces(np.asarray(points, dtype=np.float64)[None], colour, code, light)

    def strip(
        self, s: tuple[float, float], z: tuple[float, float], colour: Sequence[float], code: int
    ) -> None:
        """Fill the ground between two lines parallel to the street (s in street coordinates)."""
        steps = max(2, min(16, int(abs(self.camera.curve) * 4000 + 2)))
        # The part below the picture's lower edge is left out: it would only make coordinates huge.
        depth = np.geomspace(max(z[0], min(self._nearest, z[1])), max(z[1], self._nearest), steps)
        left, right = (np.column_stack([np.full(steps, edge), np.zeros(steps), depth]) for edge in s)
        outline = self.camera.street(np.concatenate([left, right[::-1]]))
        # The colour has no haze here, because haze on the ground is added per pixel at the end.
        self._fill([self.pixels(outline)], tuple(colour), code, GROUND)

    def below_horizon(self, colour: Sequence[float], code: int) -> None:
        """Fill everything below the horizon."""
        camera = self.camera
        ends = camera.project(np.array([(-5e3, camera.eye, 2e3), (5e3, camera.eye, 2e3)]))
        low = np.array([0, 3 * camera.height])
        self.fill_pixels(np.concatenate([ends, ends[::-1] + low]), colour, code, GROUND)

    def ground(self, points: np.ndarray, colour: Sequence[float], code: int) -> None:
        """Fill ground polygons (K, N, 3) given in street coordinates."""
        self._fill(list(self.pixels(self.camera.street(points))), tuple(colour), code, GROUND)

    def fill_pixels(
        self, outline: np.ndarray, colour: Sequence[float], code: int, number: int = OWN_CAR
    ) -> None:
        """Fill a polygon (N, 2) given in pixels, for things that are fixed to the camera.

        ``number`` is that of its surface.
        """
        pixels = np.rint(outline * (1 << _SHIFT)).astype(np.int32, order="C")
        self._fill([pixels], tuple(colour), code, number)

    def panes(self, points: np.ndarray) -> None:
        """Tell which parts (K, N, 3) of what was painted last are windows that may be lit at night."""
        if self.surfaces:
            numbers = self.surfaces.add(points, len(points), panes=True)
            for outline, number in zip(self.pixels(points), numbers, strict=True):
                self._record([outline], number)

    def slope(self, points: np.ndarray) -> None:
        """Tell that what was painted last at ``points`` (N, 3) is a slope towards the camera: snow stays."""
        if self.surfaces:
            self._record([self.pixels(points)], self.surfaces.add(points[None], slopes=True)[0])

    def veil(self, points: np.ndarray, colour: Sequence[float], code: int, opacity: float) -> None:
        """Paint a see-through polygon (N, 3); its whole area is labelled ``code``."""
        pixels = self.pixels(points)
        low = np.maximum((pixels.min(axis=0) >> _SHIFT) - 1, 0)
        high = np.minimum((pixels.max(axis=0) >> _SHIFT) + 2, [self.camera.width, self.camera.height])
        if (high <= low).any():
            return
        window = slice(low[1], high[1]), slice(low[0], high[0])
        part, codes = self.image[window], self.codes[window]
        mask = np.zeros(codes.shape, dtype=np.uint8)
        cv2.fillPoly(mask, [pixels - (low << _SHIFT)], 255, lineType=cv2.LINE_8, shift=_SHIFT)
        tone = np.array(self.tone(colour, float(points[:, 2].mean())), dtype=np.float32)
        cv2.copyTo((part * (1 - opacity) + tone * opacity).astype(np.uint8), mask, part)
        codes[mask > 0] = self._value(code)
        if self.surfaces:
            self._record([pixels], self.surfaces.add(points[None])[0])

    def stamp(
        self,
        table: np.ndarray,
        shade: np.ndarray,
        box: tuple[float, float, float, float],
        z: float,
        code: int,
    ) -> None:
        """Paint a sprite at the depth ``z`` (metres) into the pixel box (left, top, right, bottom).

        ``shade`` is uint8 (H, W); 0 is outside the sprite. ``table``, uint8 (256, 3), maps shade to colour.
        """
        left, top, right, bottom = (round(v) for v in box)
        x0, y0 = max(left, 0), max(top, 0)
        x1, y1 = min(right, self.camera.width), min(bottom, self.camera.height)
        if x1 <= x0 or y1 <= y0 or right - left > _FAR_OUT:
            return
        columns = ((np.arange(x0, x1) - left) * shade.shape[1]) // (right - left)
        rows = ((np.arange(y0, y1) - top) * shade.shape[0]) // (bottom - top)
        visible = shade[rows[:, None], columns[None, :]]
        inside = (visible > 0).view(np.uint8)
        cv2.copyTo(table[visible], inside, self.image[y0:y1, x0:x1])
        self.codes[y0:y1, x0:x1][inside > 0] = self._value(code)
        if self.surfaces:
            self.surfaces.numbers[y0:y1, x0:x1][inside > 0] = self.surfaces.facing(z)

    def glow(self, point: Sequence[float], radius: float, colour: Colour) -> None:
        """Add a lamp at a camera-space point to ``glows``; ``radius`` is in metres."""
        if point[2] < 1.0:
            return
        if self.surfaces:
            self.surfaces.lamp(tuple(map(float, point)), radius, colour)
        column, row = self.camera.project(np.asarray(point, dtype=np.float64))
        self.glows.append((float(column), float(row), radius * self.camera.focal / point[2], colour))

    def darken_ground(self, outlines: Sequence[np.ndarray], strength: float, softness: float) -> None:
        """Darken the ground inside convex outlines (N, 2) in camera-space (x, z).

        ``strength`` is from 0 (no change) to 1 (black). ``softness`` is the width of the shadow's edge as a
        share of the picture's height.
        """
        mask = np.zeros(self.codes.shape, dtype=np.uint8)
        for outline in outlines:
            points = np.column_stack([outline[:, 0], np.zeros(len(outline)), np.maximum(outline[:, 1], 0.8)])
            hull = cv2.convexHull(self.pixels(points))
            cv2.fillConvexPoly(mask, hull, 255, lineType=cv2.LINE_8, shift=_SHIFT)
        sigma = softness * self.camera.height
        if sigma > 0.3:
            mask = cv2.blur(mask, (2 * int(sigma) + 1,) * 2)
        mask &= IS_GROUND[self.codes & (INSTANCE_STEP - 1)]
        gain = cv2.LUT(mask, np.rint(255 - np.arange(256) * strength).astype(np.uint8))
        cv2.multiply(self.image, cv2.merge([gain] * 3), dst=self.image, scale=1 / 255)
        if self.surfaces:
            cv2.multiply(self.surfaces.shade, gain, dst=self.surfaces.shade, scale=1 / 255)

    def _value(self, code: int) -> int:
        return (self._instance % 1000) * INSTANCE_STEP + int(code)

    def _fill(self, pixels: list[np.ndarray], colour: tuple[float, ...], code: int, number: int) -> None:
        cv2.fillPoly(self.image, pixels, colour, lineType=cv2.LINE_8, shift=_SHIFT)
        cv2.fillPoly(self.codes, pixels, self._value(code), lineType=cv2.LINE_8, shift=_SHIFT)
        self._record(pixels, number)

    def _record(self, pixels: list[np.ndarray], number: int) -> None:
        if self.surfaces:
            cv2.fillPoly(self.surfaces.numbers, pixels, number, lineType=cv2.LINE_8, shift=_SHIFT)


class Figure:
    """A flat drawing that faces the camera, of something that stands at camera-space ``at`` = (x, z).

    ``scale`` enlarges the drawing. ``turn`` squeezes it along x: 1 and -1 are views from the side. ``light``
    is its brightness, by default that of anything upright.
    """

    def __init__(
        self,
        painter: Painter,
        at: tuple[float, float],
        code: int,
        turn: float = 1.0,
        scale: float = 1.0,
        light: float | None = None,
    ) -> None:
        self.painter, self.at, self.code, self.turn, self.scale = painter, at, code, turn, scale
        self.light = painter.light.upright if light is None else light

    def fill(self, outline: Outline, colour: Sequence[float], light: float = 1.0) -> None:
        """Fill an outline [(x, y)] in metres; ``light`` is a share of the figure's own."""
        xy = np.asarray(outline, dtype=np.float64) * self.scale
        points = np.empty((len(xy), 3))
        points[:, 0] = self.at[0] + xy[:, 0] * self.turn
        points[:, 1] = xy[:, 1]
        points[:, 2] = self.at[1]
        self.painter.face(points, colour, self.code, self.light * light)
