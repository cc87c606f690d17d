"""What the benchmarks measure with: their flags, train.py's settings, its methods, and a generated GTAV.

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
from utils.declare import Flag
from utils.errors import UserError
from utils.scoring.classes import CITYSCAPES

GTAV_SIZE = (1052, 1914)
"""(height, width) of GTAV's pictures."""

PUBLISHED_CROP = 768

OBJECTS = 400
"""Number of areas in a label, each of one class. Street scenes have some hundreds."""

NOISE = 0.8
"""Standard deviation in grey levels. A PNG then has 2.6 MB, as in GTAV; Pillow reads it in about 50 ms."""

FLAGS = {
    "repeats": (3, "take the median of N calls"),
    "backbone": ("resnet50", "backbone of the networks"),
    "pictures": (2, "pictures per batch"),
    "gpu_pictures": (16, "pictures per batch of the step with all fast flags, on a GPU"),
    "crop_size": (PUBLISHED_CROP, "side of a crop"),
}
"""Flag -> its default and its meaning."""

LEAST = {"repeats": 1, "pictures": 2, "gpu_pictures": 2, "crop_size": 32, "evaluation_size": 2}
LEAST |= {"batch_sizes": 2, "crop_sizes": 32, "workers": 0, "processes": 1}
"""Batch normalisation needs two pictures. A label needs one square area. The scale 0.5 needs two rows."""


def add_flags(parser: argparse.ArgumentParser, *names: str) -> None:
    """The flags of ``FLAGS`` with these names."""
    for name in names:
        default, meaning = FLAGS[name]
        Flag(parser, f"--{name}", default).means(f"{meaning} (default %(default)s)")


def check_least(args: argparse.Namespace) -> None:
    """Raise a UserError if a flag has a number below that of ``LEAST``."""
    for name, lowest in LEAST.items():
        given = vars(args).get(name, lowest)
        numbers = given if isinstance(given, list) else [given]
        if min(numbers) < lowest:
            raise UserError(f"--{name} {' '.join(map(str, numbers))}: must be at least {lowest}")


def training_flags(crop_size: int, *flags: str) -> argparse.Namespace:
    """The settings of train.py on GTAV with this crop size, ``flags``, and its defaults for all others."""
    words = ["--dataset", "gtav", "--crop_size", str(crop_size), *flags]
    return config.parse_training_arguments(config.training_parser(), words)


def random_method(name: str, args: argparse.Namespace, *flags: str, **architecture: Any) -> Method:
    """A method with its published flags and ``flags``, and random weights, in training mode.

    ``architecture`` replaces what the method's network was published with.
    """
    settings = training_flags(args.crop_size, "--method", name, *flags)
    torch.manual_seed(0)
    method = METHODS[name]
    network = create_network(args.backbone, **{**method.architecture, **architecture})
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
        cv2.ellipse(label, centre, axes, rng.uniform(0, 180), 0, 360, int(rng.integers(len(CITYSCAPES))), -1)
    light = cv2.resize(rng.uniform(0.5, 1.5, (16, 28)).astype(np.float32), size[::-1])
    texture = cv2.resize(rng.normal(0, 12, (height // 4, width // 4, 3)).astype(np.float32), size[::-1])
    noise = rng.normal(0, NOISE, (*size, 3)).astype(np.float32)
    picture = CITYSCAPES.palette[label] * light[..., None] + texture + noise
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
        Image.fromarray(CITYSCAPES.palette[label]).save(root / "labels" / "train" / f"{number:05d}.png")


def training_set(root: Path, crop_size: int, flags: Sequence[str] = ()) -> SegmentationSet:
    """train.py's data set for the GTAV below ``root``, with its default flags and ``flags``."""
    args = training_flags(crop_size, "--gblur", *flags)
    return SegmentationSet(spec("gtav"), "train", root, training_transform(args, ("image",)), args.seed)


def decode(path: Path) -> None:
    """Read a picture with Pillow. This is the reference."""
    with Image.open(path) as image:
        image.load()
