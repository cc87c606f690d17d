"""What the benchmarks measure with: train.py's settings, its methods, and a generated GTAV.

The GTAV has the published sizes, and its pictures compress like photographs.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

import config
from datasets.definitions.catalog import spec
from datasets.files.segmentation import SegmentationSet
from datasets.training import training_transform
from methods import METHODS, Method
from network import create_network
from utils.scoring.classes import NUM_CLASSES, PALETTE

GTAV_SIZE = (1052, 1914)
"""(height, width) of GTAV's pictures."""

PUBLISHED_CROP = 768

OBJECTS = 400
"""Number of areas in a label, each of one class. Street scenes have some hundreds."""

NOISE = 0.8
"""Standard deviation in grey levels. A PNG then has 2.6 MB, as in GTAV; Pillow reads it in about 50 ms."""


def training_flags(crop_size: int, *flags: str) -> argparse.Namespace:
    """The settings of train.py on GTAV with this crop size, ``flags``, and its defaults for all others."""
    words = ["--dataset", "gtav", "--crop_size", str(crop_size), *flags]
    return config.parse_training_arguments(config.training_parser(), words)


def random_method(settings: argparse.Namespace, backbone: str, **architecture: Any) -> Method:
    """The method of ``settings`` with random weights, in training mode.

    ``architecture`` replaces what the method's network was published with.
    """
    torch.manual_seed(0)
    method = METHODS[settings.method]
    network = create_network(backbone, **{**method.architecture, **architecture})
    return method(network, settings).train()


def street(size: tuple[int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture, uint8 H x W x 3, and its train ids, uint8 H x W: lit, textured areas of all classes."""
    rng, (height, width) = np.random.default_rng(seed), size
    label = np.zeros(size, dtype=np.uint8)
    for number in range(OBJECTS):
        # Large areas come first, and small ones lie on top of them.
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
    """Write a GTAV of ``pictures`` training pictures, with labels stored as colours, below ``root``.

    With the published crop size they have the published size, and with a smaller one they are smaller in
    proportion.
    """
    height, width = (max(1, length * crop_size // PUBLISHED_CROP) for length in GTAV_SIZE)
    for folder in ("images", "labels"):
        (root / folder / "train").mkdir(parents=True, exist_ok=True)
    for number in range(1, pictures + 1):
        picture, label = street((height, width), number)
        Image.fromarray(picture).save(root / "images" / "train" / f"{number:05d}.png")
        Image.fromarray(PALETTE[label]).save(root / "labels" / "train" / f"{number:05d}.png")


def training_set(root: Path, crop_size: int, flags: Sequence[str] = ()) -> SegmentationSet:
    """train.py's data set for the GTAV below ``root``, with its default flags and ``flags``."""
    args = training_flags(crop_size, "--gblur", *flags)
    return SegmentationSet(spec("gtav"), "train", root, training_transform(args, ("image",)), args.seed)


def decode(path: Path) -> None:
    """Read a picture with Pillow. This is the reference."""
    with Image.open(path) as image:
        image.load()
