"""What falls between the camera and the scene, and what sticks to the glass."""

from __future__ import annotations

import cv2
import numpy as np

_SUBPIXEL = 4


def behind(
    layer: np.ndarray,
    colour: tuple[float, float, float],
    away: float,
    image: np.ndarray,
    distance: np.ndarray,
) -> np.ndarray:
    """``image``, float32 (H, W, 3), behind a ``layer`` of things of one colour, float32 (H, W), 0 to 1.

    The layer is about ``away`` metres from the camera. What is nearer by its ``distance``, (H, W), stays in
    front of it.
    """
    cover = layer * np.clip(distance / away - 0.4, 0, 1)
    return image + (np.array(colour, dtype=np.float32) - image) * cover[..., None]


def streaks(
    shape: tuple[int, int], count: int, length: float, width: float, slant: float, rng: np.random.Generator
) -> np.ndarray:
    """Rain that is blurred by its motion, float32 (H, W), 0 to 1.

    ``length`` and ``width`` are in pixels; the streaks lean by ``slant`` (columns per row).
    """
    height, wide = shape
    field = np.zeros(shape, dtype=np.float32)
    rows, columns = rng.integers(height, size=count), rng.integers(wide, size=count)
    np.add.at(field, (rows, columns), rng.uniform(0.3, 1.0, count).astype(np.float32))
    reach = max(1, round(length / 2))
    side = 2 * reach + 1
    kernel = np.zeros((side, side), dtype=np.uint8)
    ends = [(reach + sign * slant * reach, reach + sign * reach) for sign in (-1, 1)]
    start, end = (tuple(round(v * (1 << _SUBPIXEL)) for v in point) for point in ends)
    cv2.line(kernel, start, end, 255, 1, cv2.LINE_AA, _SUBPIXEL)
    blurred = cv2.filter2D(field, -1, kernel.astype(np.float32) / 255, borderType=cv2.BORDER_CONSTANT)
    if width > 0.3:
        blurred = cv2.GaussianBlur(blurred, (0, 0), width) * (2.2 * width + 0.4)
    return np.clip(blurred, 0, 1)


def flakes(
    shape: tuple[int, int], count: int, radius: float, softness: float, slant: float, rng: np.random.Generator
) -> np.ndarray:
    """Snow flakes of about ``radius`` pixels with soft edges, float32 (H, W), 0 to 1."""
    height, width = shape
    field = np.zeros(shape, dtype=np.uint8)
    for column, row, size, level in rng.uniform(0, 1, (count, 4)):
        centre = round(column * width * (1 << _SUBPIXEL)), round(row * height * (1 << _SUBPIXEL))
        half = radius * (0.6 + 0.8 * size)
        axes = round(half * (1 << _SUBPIXEL)), round(1.35 * half * (1 << _SUBPIXEL))
        tilt = -np.degrees(np.arctan(slant))
        level = round(120 + 135 * level)
        cv2.ellipse(field, centre, axes, tilt, 0, 360, level, -1, cv2.LINE_AA, _SUBPIXEL)
    return cv2.GaussianBlur(field.astype(np.float32) / 255, (0, 0), max(0.3, softness))


def drops_on_glass(image: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """``image``, float32 (H, W, 3), through glass with ``count`` drops of water.

    A drop is a small lens: it shows the scene upside down and blurred, darker at its upper edge.
    """
    height, width = image.shape[:2]
    blurred = cv2.GaussianBlur(image, (0, 0), height / 60)
    result = image.copy()
    for x, y, size in rng.uniform(0, 1, (count, 3)):
        radius = height * (0.008 + 0.032 * size**3)
        tall = radius * rng.uniform(1.0, 1.35)
        left, top = max(int(x * width - radius), 0), max(int(y * height - tall), 0)
        right, bottom = min(int(x * width + radius) + 2, width), min(int(y * height + tall) + 2, height)
        if right - left < 2 or bottom - top < 2:
            continue
        rows, columns = np.mgrid[top:bottom, left:right].astype(np.float32)
        u, v = (columns - x * width) / radius, (rows - y * height) / tall
        away = np.hypot(u, v)
        cover = np.clip((1 - away) * 2.2, 0, 1)[..., None]
        seen = cv2.remap(
            blurred,
            np.clip(columns - u * radius * 5, 0, width - 1).astype(np.float32),
            np.clip(height * 0.45 - v * height * 0.33, 0, height - 1).astype(np.float32),
            cv2.INTER_LINEAR,
        )
        seen = seen * (1.05 + 0.3 * v - 0.25 * away**4)[..., None]
        part = result[top:bottom, left:right]
        part += (seen - part) * cover * 0.85
    return result
