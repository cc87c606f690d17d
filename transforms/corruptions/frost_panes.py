"""Five panes of frost, drawn: feathers of ice and thin crystals, over clouds of ice.

The benchmark has five photographs instead. The panes have the mean colours and the contrasts of those.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator

from transforms.corruptions.filters import plasma
from utils.seeding import generator

HEIGHT, WIDTH = 600, 900

# cv2 takes places in sixteenths of a pixel.
FRACTION_BITS = 4


class Pane(NamedTuple):
    """How a pane looks.

    ``colour`` is its mean, ``deviation`` that of its grey levels, in grey levels. ``clouds`` is the share of
    clouds in its variation. It has this many ``crystals``, of this mean ``length`` in pixels, with this many
    ``branches`` at each side; without branches they are needles.
    """

    colour: tuple[int, int, int]
    deviation: int
    clouds: float
    crystals: int
    length: int
    branches: int


PANES = (
    Pane((78, 149, 166), 19, 0.7, 4000, 60, 3),
    Pane((201, 205, 214), 22, 0.4, 6000, 50, 0),
    Pane((190, 200, 214), 22, 0.4, 2000, 50, 4),
    Pane((138, 153, 165), 29, 0.4, 3000, 20, 6),
    Pane((112, 123, 135), 43, 0.4, 1500, 45, 12),
)


@functools.cache
def pane(number: int) -> np.ndarray:
    """One of the panes, uint8 600 x 900 x 3, always the same; not to be changed."""
    look, rng = PANES[number], generator(number)
    clouds = plasma(WIDTH, 1.4, rng)[:HEIGHT, :WIDTH]
    ice = drawn_crystals(look, rng).astype(np.float32)
    # Only the clouds vary over long distances.
    ice -= cv2.GaussianBlur(ice, (0, 0), 20)
    variation = look.clouds * _standard(clouds) + (1 - look.clouds) * _standard(ice)
    texture = look.deviation * _standard(variation)[..., None] + np.array(look.colour, dtype=np.float32)
    texture = texture.round().clip(0, 255).astype(np.uint8)
    texture.flags.writeable = False
    return texture


def _standard(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / values.std()


def drawn_crystals(look: Pane, rng: Generator) -> np.ndarray:
    """Crystals of random light on black, later ones over earlier ones; uint8 600 x 900."""
    ice = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    roots = rng.uniform((0, 0), (WIDTH, HEIGHT), (look.crystals, 2))
    angles = rng.uniform(0, 2 * np.pi, look.crystals)
    lengths = look.length * rng.lognormal(-0.1, 0.5, (look.crystals, 1))
    lights = rng.integers(60, 256, look.crystals)
    shapes = (
        feathers(roots, angles, lengths, look.branches) if look.branches else needles(roots, angles, lengths)
    )
    draw = cv2.polylines if look.branches else cv2.fillPoly
    closed = {"isClosed": False} if look.branches else {}
    for shape, light in zip((shapes * 2**FRACTION_BITS).astype(np.int32), lights.tolist(), strict=True):
        draw(ice, list(shape), color=light, lineType=cv2.LINE_AA, shift=FRACTION_BITS, **closed)
    return ice


def needles(roots: np.ndarray, angles: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Narrow triangles, N x 1 x 3 x 2, from places (N x 2), angles (N) and lengths (N x 1)."""
    along, across = lengths * _directions(angles), 0.05 * lengths * _directions(angles + np.pi / 2)
    return np.stack([roots - across, roots + across, roots + along], axis=1)[:, None]


def feathers(roots: np.ndarray, angles: np.ndarray, lengths: np.ndarray, branches: int) -> np.ndarray:
    """Stems with shorter and shorter branches at both sides, as N x lines x 2 x 2; see :func:`needles`."""
    along = lengths * _directions(angles)
    lines = [np.stack([roots, roots + along], axis=1)]
    for place in np.linspace(0.1, 0.9, branches):
        starts = roots + place * along
        for turn in (-1, 1):
            ends = starts + 0.4 * (1 - place) * lengths * _directions(angles + turn)
            lines.append(np.stack([starts, ends], axis=1))
    return np.stack(lines, axis=1)


def _directions(angles: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)
