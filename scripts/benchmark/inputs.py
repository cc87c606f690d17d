"""A GTAV of the published sizes and of a photograph's entropy, made on the spot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

import config
from datasets.definitions.catalog import spec
from datasets.files.segmentation import SegmentationSet
from datasets.training import training_transform
from utils.scoring.classes import NUM_CLASSES, PALETTE

GTAV_SIZE = (1052, 1914)
"""(height, width) of GTAV's pictures."""

PUBLISHED_CROP = 768

OBJECTS = 400
"""Areas of one class in a label; street scenes have some hundreds."""

NOISE = 0.8
"""Deviation in grey levels; a PNG is then of 2.6 MB, as GTAV's are, and costs Pillow about 50 ms."""


def street(size: tuple[int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture uint8 H x W x 3 and its train ids uint8 H x W: lit, textured areas of all classes."""
    rng, (height, width) = np.random.default_rng(seed), size
    label = np.zeros(size, dtype=np.uint8)
    for number in range(OBJECTS):
        # Large areas first, small ones on top of them.
        side = height * 0.5 * (1 - number / OBJECTS) ** 2 + 4
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        axes = (int(side * rng.uniform(0.2, 1)), int(side * rng.uniform(0.2, 1)))
        cv2.ellipse(label, centre, axes, rng.uniform(0, 180), 0, 360, int(rng.integers(NUM_CLASSES)), -1)
    light = cv2.resize(rng.uniform(0.5, 1.5, (16, 28)).astype(np.float32), size[::-1])
    texture = cv2.resize(rng.normal(0, 12, (height // 4, width // 4, 3)).astype(np.float32), size[::-1])
    noise = rng.normal(0, NOISE, (*size, 3)).astype(np.float32)
    picture = PALETTE[label] * light[..., None] + texture + noise
    return picture.clip(0, 255).astype(np.uint8), label


def write_gtav(root: Path, pictures: int, crop_size: int = PUBLISHED_CROP) -> None:
    """A GTAV of ``pictures`` training pictures with labels in colours below ``root``.

    They are of the published size at the published crop, smaller in proportion at a smaller one.
    """
    height, width = (max(1, length * crop_size // PUBLISHED_CROP) for length in GTAV_SIZE)
    for folder in ("images", "labels"):
        (root / folder / "train").mkdir(parents=True, exist_ok=True)
    for number in range(1, pictures + 1):
        picture, label = street((height, width), number)
        Image.fromarray(picture).save(root / "images" / "train" / f"{number:05d}.png")
        Image.fromarray(PALETTE[label]).save(root / "labels" / "train" / f"{number:05d}.png")


def training_set(root: Path, crop_size: int, flags: Sequence[str] = ()) -> SegmentationSet:
    """What train.py makes samples with of the GTAV below ``root``, at its defaults but for ``flags``."""
    every = ["--dataset", "gtav", "--crop_size", str(crop_size), "--gblur", *flags]
    args = config.parse_training_arguments(config.training_parser(), every)
    return SegmentationSet(spec("gtav"), "train", root, training_transform(args, ("image",)), args.seed)


def decode(path: Path) -> None:
    """The reference: Pillow reads a picture."""
    with Image.open(path) as image:
        image.load()
