"""What the tests of infer.py share: a tiny checkpoint, pictures of noise, and running the program on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import infer
from network import create_network
from utils.run.checkpoint import save_checkpoint

Run = Callable[..., int]


def write_checkpoint(path: Path, seed: int = 0, **architecture: object) -> Path:
    """A checkpoint of a small network with random weights."""
    torch.manual_seed(seed)
    network = create_network(**{"backbone": "mobilenet_v2", **architecture})
    content = {
        "network": network.config,
        "method": "baseline",
        "model": {f"network.{key}": value for key, value in network.state_dict().items()},
        "iteration": 0,
    }
    save_checkpoint(path, content)
    return path


def infer_in(
    folder: Path,
    checkpoint: Path,
    *words: object,
    source: Path | str | None = "in",
    output: Path | str = "out",
) -> int:
    """Run infer.py with further ``words``; ``source`` and ``output`` are below ``folder`` unless absolute.

    ``source=None`` gives it no ``--input``.
    """
    places = ["--input", folder / source] if source else []
    places += ["--output", folder / output]
    return infer.main([str(word) for word in ("--snapshot", checkpoint, *places, *words)])


def street(width: int = 48, height: int = 32, seed: int = 0) -> Image.Image:
    """A picture of noise."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def save(picture: Image.Image, path: Path, **options: object) -> Path:
    """Write a picture, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **options)
    return path


def results(folder: Path) -> set[str]:
    """Every file below a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
