"""Small hand-made data set trees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.definitions.codings import GTAV

GtavWriter = Callable[..., Path]


@pytest.fixture
def write_gtav(tmp_path: Path) -> GtavWriter:
    """Writes pictures 00000, 00001 ... with the given train-id labels (H x W each) as GTAV data."""

    def write(labels: list[np.ndarray], root: Path = tmp_path / "gtav", split: str = "train") -> Path:
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True, exist_ok=True)
        for index, label in enumerate(labels):
            pixels = np.random.default_rng(index).integers(0, 256, (*label.shape, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / "images" / split / f"{index:05d}.png")
            Image.fromarray(GTAV.native_ids[label]).save(root / "labels" / split / f"{index:05d}.png")
        return root

    return write


@pytest.fixture
def random_labels() -> Callable[[int], list[np.ndarray]]:
    """``count`` blocky random labels, train ids uint8 40 x 60."""

    def make(count: int) -> list[np.ndarray]:
        rng = np.random.default_rng(0)
        return [
            np.kron(rng.integers(0, 19, (4, 6)), np.ones((10, 10))).astype(np.uint8) for _ in range(count)
        ]

    return make
