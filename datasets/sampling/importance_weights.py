"""How much of each class a target picture shows, and draws by it, so that rare classes are seen as often.

Araslanov and Roth, "Self-supervised augmentation consistency for adapting semantic segmentation", CVPR 2021,
equation 8: the pictures that a batch consists of are drawn class by class, by their share of its pixels. As
in their released code the shares are of predicted classes and a part of the draws is uniform.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from datasets.files.segmentation import Draw
from utils.errors import UserError
from utils.files import write_json
from utils.run.checkpoint import NUMPY_SCALARS
from utils.scoring.classes import NUM_CLASSES
from utils.seeding import generator

# Last key of the generator of an epoch's draws, apart from the keys of other uses.
_IMPORTANCE = 6

# The published files call a picture by its label file.
_LABEL_SUFFIXES = ("_gtFine_labelIds.png", ".png")
# Their keys are numpy's scalars.
_PUBLISHED_TYPES = [*NUMPY_SCALARS, type(np.dtype("uint8"))]


@dataclass(frozen=True)
class ImportanceWeights:
    """Each picture's share of each class.

    ``pictures``: by a picture's name in its data set (see :class:`datasets.files.pairing.Pair`) and by class,
    the picture's part of all pixels of that class; a class that it does not show may be absent. ``dataset``
    and ``split`` say which pictures these are, where the file knows.
    """

    num_classes: int
    pictures: Mapping[str, Mapping[int, float]]
    dataset: str | None = None
    split: str | None = None


def shares(pixels: np.ndarray) -> np.ndarray:
    """Each picture's part of all pixels of each class, float64 (pictures, classes).

    ``pixels``, of the same shape, counts pixels or sums probabilities. A column sums to 1, or is 0 throughout
    where nothing shows the class.
    """
    return pixels / np.maximum(pixels.sum(0), np.finfo(np.float64).tiny)


def importance_weights(
    names: Sequence[str], pixels: np.ndarray, dataset: str, split: str
) -> ImportanceWeights:
    """What ``pixels`` (pictures, classes) of the pictures called ``names`` say."""
    pictures = {
        name: {int(c): float(row[c]) for c in np.flatnonzero(row)}
        for name, row in zip(names, shares(pixels), strict=True)
    }
    return ImportanceWeights(pixels.shape[1], pictures, dataset, split)


def write_importance_weights(path: Path, weights: ImportanceWeights) -> None:
    """Write ``weights`` to ``path`` as JSON: a whole file or none."""
    write_json(path, vars(weights), "free space or choose another --output")


def read_importance_weights(path: Path) -> ImportanceWeights:
    """Read a file of :func:`write_importance_weights`, or a published one.

    The published files hold {label file: {class: share}} as ``torch.save`` writes it, numpy's scalars in it.

    Raises:
        UserError: no such file, or none of either kind.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(
            f"--importance_weights {path}: no such file; make one with python -m scripts.importance"
        )
    try:
        weights = _from_json(path) if path.read_bytes()[:1] == b"{" else _published(path)
    except pickle.UnpicklingError:
        raise UserError(
            f"--importance_weights {path}: not a file of numbers; refused to run code from it"
        ) from None
    except Exception as error:  # On damaged files the readers raise nearly anything.
        reason = f"{type(error).__name__} {error}".split("\n")[0]
        raise UserError(f"--importance_weights {path}: cannot be read as such ({reason})") from None
    values = [share for of_picture in weights.pictures.values() for share in of_picture.values()]
    classes = {number for of_picture in weights.pictures.values() for number in of_picture}
    if not classes <= {*range(weights.num_classes)} or not all(0 <= share <= 1 for share in values):
        raise UserError(
            f"--importance_weights {path}: holds classes beyond its {weights.num_classes}, or shares beyond "
            "0 to 1; make it anew with python -m scripts.importance"
        )
    return weights


def content_digest(weights: ImportanceWeights) -> str:
    """Twelve hexadecimal digits that tell apart what different files say, wherever and however they do."""
    pictures = {
        name: sorted((number, share) for number, share in of_picture.items() if share)
        for name, of_picture in weights.pictures.items()
    }
    content = json.dumps([weights.num_classes, pictures], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def _from_json(path: Path) -> ImportanceWeights:
    content = json.loads(path.read_text(encoding="utf-8"))
    pictures = {name: _plain(of_picture) for name, of_picture in content.pop("pictures").items()}
    return ImportanceWeights(int(content.pop("num_classes")), pictures, **content)


def _published(path: Path) -> ImportanceWeights:
    with torch.serialization.safe_globals(_PUBLISHED_TYPES):
        content = torch.load(path, map_location="cpu", weights_only=True)
    pictures = {_without_suffix(file): _plain(of_picture) for file, of_picture in content.items()}
    return ImportanceWeights(NUM_CLASSES, pictures)


def _plain(of_picture: Mapping[Any, Any]) -> dict[int, float]:
    return {int(number): float(share) for number, share in of_picture.items()}


def _without_suffix(file: str) -> str:
    suffix = next((each for each in _LABEL_SUFFIXES if file.endswith(each)), "")
    return file.removesuffix(suffix)


def shares_of(weights: ImportanceWeights, names: Sequence[str], path: Path) -> np.ndarray:
    """The shares of the pictures called ``names``, float64 (pictures, classes), from the file ``path``.

    Where the file names no folders, as the published ones, neither do these pictures' names count theirs.

    Raises:
        UserError: a picture without an entry, an entry without picture, or a name that means two pictures.
    """
    if not any("/" in name for name in weights.pictures):
        names = [name.rpartition("/")[2] for name in names]
    counts = Counter(names)
    problems = {
        "has no entry for": counts.keys() - weights.pictures.keys(),
        "has an entry for, but the split no picture called": weights.pictures.keys() - counts.keys(),
        "has one entry for several pictures called": {name for name, count in counts.items() if count > 1},
    }
    for problem, wrong in problems.items():
        if wrong:
            more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
            raise UserError(
                f"--importance_weights {path}: {problem} {min(wrong)}{more}; make it of the pictures of "
                "--target_dataset and --target_split with python -m scripts.importance"
            )
    table = np.zeros((len(names), weights.num_classes))
    for row, name in zip(table, names, strict=True):
        for number, share in weights.pictures[name].items():
            row[number] = share
    return table


def picture_probabilities(table: np.ndarray, uniform_prior: float) -> np.ndarray:
    """How probable each picture is in a draw of each class, float64 (pictures, classes); columns sum to 1.

    ``table`` is that of :func:`shares`. A part ``uniform_prior`` of the draws takes every picture alike, and
    so do all draws of a class that no picture shows.
    """
    total = table.sum(0)
    uniform = 1 / len(table)
    mixed = uniform_prior * uniform + (1 - uniform_prior) * table / np.where(total > 0, total, 1)
    return np.where(total > 0, mixed, uniform)


def importance_draws(probabilities: np.ndarray, epoch: int, seed: int = 0) -> list[Draw]:
    """One epoch's draws, as many as there are pictures: a pure function of (``seed``, ``epoch``).

    Classes take turns through all epochs; ``probabilities`` (pictures, classes) says with which probability a
    class draws a picture. Pictures are drawn with replacement.
    """
    pictures, num_classes = probabilities.shape
    classes = (epoch * pictures + np.arange(pictures)) % num_classes
    cumulative = probabilities.cumsum(0)
    uniform = generator(seed, epoch, 0, _IMPORTANCE).random(pictures)
    draws = []
    for position, (number, place) in enumerate(zip(classes, uniform, strict=True)):
        # Rounding may leave the last sum below 1: the draw is in proportion to it.
        of_class = cumulative[:, number]
        index = int(np.searchsorted(of_class, place * of_class[-1], side="right"))
        draws.append(Draw(min(index, pictures - 1), epoch, position))
    return draws
