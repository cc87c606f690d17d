"""From flat paint to a picture: surfaces, haze on the ground, night, rain, and the effects of the camera."""

from __future__ import annotations

import cv2
import numpy as np

from datasets.toycity.camera import Camera
from datasets.toycity.codes import ASPHALT, INSTANCE_STEP, IS_GROUND, Code
from datasets.toycity.looks import Lens
from datasets.toycity.painter import OVERSAMPLING, Painter
from datasets.toycity.textures import TILE, noise_tile, sample
from datasets.toycity.weather.view import Weather, view_of

_STRENGTH = np.full(INSTANCE_STEP, 0.015, dtype=np.float32)
_STRENGTH[ASPHALT] = 0.05
_STRENGTH[[Code.SIDEWALK, Code.CURB]] = 0.06
_STRENGTH[Code.TERRAIN] = 0.17
_STRENGTH[[Code.BUILDING, Code.WALL]] = (0.055, 0.09)
_STRENGTH[Code.VEGETATION] = 0.17
_STRENGTH[Code.SKY] = 0.0

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def finish(
    painter: Painter, lens: Lens, rng: np.random.Generator, weather: Weather | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Average the painted picture to the size of the ``lens``, and add surfaces, weather and lens effects.

    The weather is that of the painter's light, unless another one is given.
    Returns the picture, uint8 (H, W, 3) RGB, and its raster of codes, uint16 (H, W).
    """
    light, (height, width) = painter.light, lens.size
    image = cv2.resize(painter.image, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    taken = slice(OVERSAMPLING // 2, None, OVERSAMPLING)
    raster = np.ascontiguousarray(painter.codes[taken, taken])
    codes = (raster & (INSTANCE_STEP - 1)).astype(np.uint8)
    s, z = painter.camera.ground_of_pixels(OVERSAMPLING)
    ground = IS_GROUND[codes] > 0
    gain = 1 + lens.texture * _STRENGTH[codes] * _surface(painter.camera, codes, ground, s, z)
    image *= gain[..., None]
    # The joints between the slabs of near sidewalks
    joint = ((np.mod(s, 0.9) < 0.07) & (z < 16)) | ((np.mod(z, 1.2) < 0.012 * z) & (z < 20))
    image[joint & (codes == Code.SIDEWALK)] *= 1 - 0.14 * lens.texture
    if weather:
        image = weather.show(view_of(image, codes, s, painter, taken), rng)
        return _through_lens(image, raster, lens, rng), raster
    # The painter adds haze to all but the ground.
    hazy = np.where(ground, 1 - np.exp(-light.haze_density * z), 0)[..., None].astype(np.float32)
    image += (np.array(light.haze, dtype=np.float32) - image) * hazy
    if light.darkness:
        _night(image, codes, ground, s, z, painter)
    if light.wetness:
        _wet(image, codes, light.wetness)
    if light.rain:
        image = _rain(image, light.rain, rng)
    return _through_lens(image, raster, lens, rng), raster


def _surface(
    camera: Camera, codes: np.ndarray, ground: np.ndarray, s: np.ndarray, z: np.ndarray
) -> np.ndarray:
    """The texture of the surface at each pixel: noise, float32 (H, W), with a deviation of about 1."""
    rows, columns = np.mgrid[0 : codes.shape[0], 0 : codes.shape[1]].astype(np.float32) * OVERSAMPLING
    grain = sample(noise_tile(0, 6, 0.9), s * 30, z * 30)
    # All walls are treated as two planes along the street; far from it the error is not visible.
    depth = camera.focal * 9.0 / np.maximum(np.abs(columns - camera.centre), 0.03 * camera.width)
    brick = sample(noise_tile(1, 6, 0.9), depth * 11, (rows - camera.horizon) * depth * (30 / camera.focal))
    leaves = sample(noise_tile(2, 6, 0.95), columns * (0.5 * TILE / 90), rows * (0.5 * TILE / 90))
    brick *= np.clip(np.abs(columns - camera.centre) / (0.25 * camera.width), 0.3, 1)
    return np.where(ground, grain, np.where(codes == Code.VEGETATION, leaves, brick))


def _night(
    image: np.ndarray, codes: np.ndarray, ground: np.ndarray, s: np.ndarray, z: np.ndarray, painter: Painter
) -> None:
    """Add darkness, the headlamps of the camera's car, and the glow of every visible lamp."""
    camera, darkness = painter.camera, painter.light.darkness
    height, width = codes.shape
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    beam = np.exp(-(((columns - camera.centre / OVERSAMPLING) / (0.3 * width)) ** 2))
    beam *= np.exp(-(((rows - camera.horizon / OVERSAMPLING - 0.16 * height) / (0.2 * height)) ** 2))
    cone = np.exp(-z / 16) * np.exp(-(((s - camera.offset) / 4.2) ** 2))
    lamps = np.where(ground, 0.8 * cone + 0.2 * beam, 0.55 * beam) * min(1.0, darkness * 1.3)
    lit = np.where(codes == Code.SKY, 1 - 0.15 * darkness, 1 - darkness + lamps)
    image *= lit[..., None]
    half = OVERSAMPLING * 2
    glow = np.zeros(((height + 1) // 2, (width + 1) // 2, 3), dtype=np.float32)
    for column, row, radius, colour in painter.glows:
        centre = (round(np.clip(column / half, -999, 9999)), round(np.clip(row / half, -999, 9999)))
        cv2.circle(glow, centre, max(1, round(min(radius / half, height / 8))), colour, -1)
    near = cv2.GaussianBlur(glow, (0, 0), max(0.6, height / 128))
    wide = cv2.GaussianBlur(glow, (0, 0), max(1.2, height / 22))
    halo = cv2.resize(1.0 * near + 1.1 * wide, (width, height))
    share = np.where(codes == Code.SKY, 0.45, 0.8).astype(np.float32)[..., None]
    image += halo * (0.75 * darkness) * share


def _wet(image: np.ndarray, codes: np.ndarray, wetness: float) -> None:
    """Add streaked reflections: wet asphalt mirrors what is above it, stretched downwards."""
    length = max(3, image.shape[0] // 4) | 1
    streaks = np.roll(cv2.blur(np.clip(image, 0, 255), (3, length)), length // 2, axis=0)
    flat = np.isin(codes, ASPHALT)[..., None]
    image += np.where(flat, (streaks - image * 0.9) * wetness, 0)


def _rain(image: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    """The picture with streaks of rain and drops on the glass."""
    height, width = image.shape[:2]
    streaks = np.zeros((height, width), dtype=np.uint8)
    count = int(260 * amount)
    starts = rng.uniform(0, 1, (count, 2)) * (width, height)
    lengths = rng.uniform(0.02, 0.07, count) * height
    for (x, y), length in zip(starts, lengths, strict=True):
        cv2.line(streaks, (int(x), int(y)), (int(x - 0.22 * length), int(y + length)), 70, 1, cv2.LINE_AA)
    image = image + cv2.blur(streaks, (1, 3))[..., None] * 0.7
    drops = np.zeros((height, width), dtype=np.uint8)
    for x, y, size in rng.uniform(0, 1, (26, 3)):
        radius = max(1, int((0.006 + 0.012 * size) * height))
        cv2.circle(drops, (int(x * width), int(y * height)), radius, 255, -1)
    glass = cv2.GaussianBlur(drops, (0, 0), 0.8).astype(np.float32)[..., None] / 255
    seen = cv2.GaussianBlur(image, (0, 0), height / 40) * 1.08
    return image * (1 - 0.75 * glass) + seen * 0.75 * glass


def _through_lens(image: np.ndarray, raster: np.ndarray, lens: Lens, rng: np.random.Generator) -> np.ndarray:
    height, width = image.shape[:2]
    if lens.outline:
        edges = cv2.morphologyEx(raster, cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8)) > 0
        image[edges] *= 1 - lens.outline
    if lens.blur:
        image = cv2.GaussianBlur(image, (0, 0), lens.blur * height / 256 + 0.15)
    # Saturation, contrast around mid grey, white balance and offset together are one affine map of RGB.
    mix = lens.saturation * np.eye(3) + (1 - lens.saturation) * np.tile(_LUMA, (3, 1))
    mix = np.array(lens.balance)[:, None] * mix * lens.contrast
    shift = 128 * (1 - lens.contrast) + lens.offset
    image = cv2.transform(image, np.column_stack([mix, np.full(3, shift)]).astype(np.float32))
    if lens.vignette:
        y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        image *= (1 - lens.vignette * np.clip((x * x + y * y) / 2, 0, 1) ** 1.2).astype(np.float32)[..., None]
    if lens.noise:
        image += rng.standard_normal(image.shape, dtype=np.float32) * lens.noise
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
