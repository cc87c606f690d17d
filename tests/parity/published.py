"""What was published of a public system's cases, and the weights and pictures they were made with.

The numbers and the rule that fills the weights are in a folder beside the project; without it these tests
skip.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

PICTURES = ("0016E5_00390", "0016E5_05310")
LOGIT_TOLERANCE = 1e-3  # relative to the logits' standard deviation
LOSS_TOLERANCE = 1e-4
LEAST_AGREEMENT = 0.995  # of two label maps


def read_numbers(shared: Path, system: str, case: str) -> dict[str, Any]:
    """The scalars of a case, and ``keys``: entry -> shape."""
    return json.loads((shared / "parity" / system / f"{case}.json").read_text(encoding="utf-8"))


def read_arrays(shared: Path, system: str, case: str) -> dict[str, np.ndarray]:
    """The arrays of a case."""
    with np.load(shared / "parity" / system / f"{case}.npz") as arrays:
        return dict(arrays)


def family_weights(shared: Path, system: str, case: str) -> dict[str, Tensor]:
    """The entries of a case's state dict under the family's names, by the rule that fills them.

    The case of DIIA has another ``gamma``, named in its numbers.
    """
    spec = importlib.util.spec_from_file_location("parity_fill", shared / "parity" / "fill.py")
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    numbers = read_numbers(shared, system, case)
    keys = numbers["keys"]
    state = {key: torch.from_numpy(np.asarray(fill.fill_value(key, shape))) for key, shape in keys.items()}
    if "gamma_key" in numbers:
        state[numbers["gamma_key"]].fill_(numbers["gamma"])
    return state


def picture_files(shared: Path) -> list[Path]:
    """The two pictures of all cases."""
    return [shared / "data" / "CamVid" / "train" / f"{name}.jpg" for name in PICTURES]


def load_pictures(shared: Path) -> tuple[Tensor, Tensor]:
    """The two pictures, normalised, and their stored labels with 11 (unlabelled) as 255."""
    pictures = [np.asarray(Image.open(file).convert("RGB")) for file in picture_files(shared)]
    annotations = shared / "data" / "CamVid" / "trainannot"
    labels = [np.asarray(Image.open(annotations / f"{name}.png")) for name in PICTURES]
    x = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    label = torch.from_numpy(np.stack(labels)).long()
    return (x - mean.view(3, 1, 1)) / std.view(3, 1, 1), torch.where(label == 11, 255, label)


def logit_difference(ours: Tensor, theirs: np.ndarray) -> float:
    """Largest difference of logits at picture size from published ones, every eighth row and column, in
    their standard deviations.
    """
    return float(np.abs(ours[:, :, ::8, ::8].numpy() - theirs).max() / theirs.std())
