"""Importance weights: target pictures are drawn class by class, so that all classes are seen equally often.

Araslanov and Roth, "Self-supervised augmentation consistency for adapting semantic segmentation", CVPR 2021,
equation 8: a class draws each picture in proportion to the picture's share of the pixels of that class. As in
their released code, the shares are those of predicted classes, and a part of the draws is uniform.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from datasets.definitions.codings import CITYSCAPES_IDS, TRAIN_IDS
from datasets.definitions.label_coding import train_id_coding
from datasets.files.parallel import threaded_map
from datasets.files.reading import read_label
from datasets.files.segmentation import Draw, RandomUse
from utils.errors import UserError
from utils.files import write_json
from utils.run.checkpoint import NUMPY_SCALARS
from utils.scoring.classes import CITYSCAPES, IGNORE_LABEL, ClassSet
from utils.seeding import generator

CODINGS = {"trainids": TRAIN_IDS, "labelids": CITYSCAPES_IDS}
"""Kind of result, as infer.py calls it -> the coding of its pixel values."""

# In published files, class numbers and shares are numpy scalars.
_PUBLISHED_TYPES = [*NUMPY_SCALARS, type(np.dtype("uint8"))]


def find_predictions(folder: Path, names: Sequence[str]) -> list[Path]:
    """The PNG file with the prediction of every picture, in the order of ``names``.

    A name is a path without suffix, as ``Pair.name``. The prediction of ``city/street_1`` is
    ``city/street_1.png``, as infer.py writes it. If that does not exist, it is the file called
    ``street_1.png`` or ``street_1_<anything>.png`` anywhere below ``folder``, as in the official evaluation
    of Cityscapes. Raises :class:`UserError` if a picture has no prediction or several.
    """
    if not folder.is_dir():
        raise UserError(f"--predictions {folder}: no such folder")
    by_path: dict[str, str] = {}
    by_picture: dict[str, list[str]] = defaultdict(list)
    for file in sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png")):
        by_path[file.removesuffix(".png")] = file
        # The stem a_b_c may be of the picture a_b_c, a_b or a.
        words = PurePosixPath(file).stem.split("_")
        for length in range(1, len(words) + 1):
            by_picture["_".join(words[:length])].append(file)
    found = []
    for name in names:
        matching = [by_path[name]] if name in by_path else by_picture[PurePosixPath(name).name]
        if not matching:
            raise UserError(f"--predictions {folder}: holds no prediction of {name} as PNG")
        if len(matching) > 1:
            raise UserError(
                f"--predictions {folder}: {matching[0]} and {matching[1]} both may be the prediction of "
                f"{name}; give a folder with only one kind of result"
            )
        found.append(folder / matching[0])
    return found


def count_predictions(files: Sequence[Path], coding: str, classes: ClassSet) -> np.ndarray:
    """The number of pixels of each class in every file, int64 (files, classes).

    Pixels of other train ids and ignored pixels are not counted. ``coding`` is a key of :data:`CODINGS`.
    Raises :class:`UserError` with a file that cannot be read, or that holds a value outside the coding.
    """

    if classes.of == CITYSCAPES:
        values = CODINGS[coding]
    elif coding == "trainids":
        values = train_id_coding(classes.of)
    else:
        raise UserError(
            f"--coding {coding}: is Cityscapes', but the classes are those of {classes.of.in_words}"
        )

    def count(file: Path) -> np.ndarray:
        predicted = classes.class_of_train_id[read_label(file, values)]
        return np.bincount(predicted.ravel(), minlength=IGNORE_LABEL + 1)[: len(classes.train_ids)]

    return np.stack(threaded_map(count, files, "predictions"))


@dataclass(frozen=True)
class ImportanceWeights:
    """Each picture's share of each class.

    ``pictures``: name of a picture (see :class:`datasets.files.pairing.Pair`) -> class -> the picture's share
    of all pixels of that class. A class that the picture does not show may be absent. ``dataset`` and
    ``split`` say which pictures these are; they are None if the file does not say it.
    """

    num_classes: int
    pictures: Mapping[str, Mapping[int, float]]
    dataset: str | None = None
    split: str | None = None


def shares(pixels: np.ndarray) -> np.ndarray:
    """Each picture's share of the ``pixels`` of each class, float64, both (pictures, classes).

    A column sums to 1; it is 0 if no picture shows the class.
    """
    return pixels / np.maximum(pixels.sum(0), np.finfo(np.float64).tiny)


def importance_weights(
    names: Sequence[str], pixels: np.ndarray, dataset: str, split: str
) -> ImportanceWeights:
    """The weights of the pictures ``names``, of which ``pixels`` (pictures, classes) counts the classes."""
    pictures = {
        name: {int(c): float(row[c]) for c in np.flatnonzero(row)}
        for name, row in zip(names, shares(pixels), strict=True)
    }
    return ImportanceWeights(pixels.shape[1], pictures, dataset, split)


def write_importance_weights(path: Path, weights: ImportanceWeights) -> None:
    """Write ``weights`` to ``path`` as JSON. The file is written completely or not at all."""
    write_json(path, vars(weights), "free space or choose another --output")


def read_importance_weights(path: Path) -> ImportanceWeights:
    """Read a file of :func:`write_importance_weights`, or a published one.

    A published file holds {label file: {class: share}}, written by ``torch.save``, with numpy scalars. Raises
    :class:`UserError` if there is no such file, or it is of neither kind.
    """
    path = Path(path)
    flag = f"--importance_weights {path}"
    if not path.is_file():
        raise UserError(f"{flag}: no such file; make one with python -m scripts.importance")
    try:
        weights = _weights_in(path)
    except pickle.UnpicklingError:
        raise UserError(f"{flag}: holds more than numbers; refused to run code from it") from None
    except Exception as error:  # For damaged files the readers raise almost any exception.
        reason = f"{type(error).__name__} {error}".split("\n")[0]
        raise UserError(f"{flag}: cannot be read as importance weights ({reason})") from None
    entries = [entry for of_picture in weights.pictures.values() for entry in of_picture.items()]
    if not all(number in range(weights.num_classes) and 0 <= share <= 1 for number, share in entries):
        raise UserError(
            f"{flag}: holds classes beyond its {weights.num_classes}, or shares outside 0 to 1; make it anew "
            "with python -m scripts.importance"
        )
    return weights


def content_digest(weights: ImportanceWeights) -> str:
    """A digest of the weights, 12 hexadecimal digits; it does not depend on the path or the file format."""
    pictures = {
        name: sorted((number, share) for number, share in of_picture.items() if share)
        for name, of_picture in weights.pictures.items()
    }
    content = json.dumps([weights.num_classes, pictures], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def _weights_in(path: Path) -> ImportanceWeights:
    if path.read_bytes()[:1] == b"{":
        content = json.loads(path.read_text(encoding="utf-8"))
    else:
        with torch.serialization.safe_globals(_PUBLISHED_TYPES):
            by_file = torch.load(path, map_location="cpu", weights_only=True)
        # In published files, the name of a picture is the file name of its label.
        pictures = {re.sub(r"(_gtFine_labelIds)?\.png\Z", "", file): by_file[file] for file in by_file}
        content = {"pictures": pictures, "num_classes": len(CITYSCAPES)}
    pictures = {
        name: {int(number): float(share) for number, share in of_picture.items()}
        for name, of_picture in content.pop("pictures").items()
    }
    return ImportanceWeights(int(content.pop("num_classes")), pictures, **content)


def shares_of(weights: ImportanceWeights, names: Sequence[str], path: Path) -> np.ndarray:
    """The shares of the pictures called ``names``, float64 (pictures, classes), from the file ``path``.

    If no name in the file has a folder, as in published files, the folders in ``names`` do not count either.
    Raises :class:`UserError` if a picture has no entry, an entry has no picture, or a name means several
    pictures.
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
        of_picture = weights.pictures[name]
        row[list(of_picture)] = list(of_picture.values())
    return table


def picture_probabilities(table: np.ndarray, uniform_prior: float) -> np.ndarray:
    """The probability that a class draws a picture, float64 (pictures, classes); each column sums to 1.

    ``table`` has the shares, as from :func:`shares`. A fraction ``uniform_prior`` of the draws is uniform
    over the pictures. If no picture shows a class, all its draws are.
    """
    total = table.sum(0)
    uniform = 1 / len(table)
    mixed = uniform_prior * uniform + (1 - uniform_prior) * table / np.where(total > 0, total, 1)
    return np.where(total > 0, mixed, uniform)


def importance_draws(probabilities: np.ndarray, epoch: int, seed: int = 0) -> list[Draw]:
    """The draws of one epoch, as many as there are pictures: a pure function of (``seed``, ``epoch``).

    The classes take turns, from one epoch into the next. A class draws a picture with its probability in
    ``probabilities`` (pictures, classes), with replacement.
    """
    pictures, num_classes = probabilities.shape
    classes = (epoch * pictures + np.arange(pictures)) % num_classes
    cumulative = probabilities.cumsum(0)
    uniform = generator(seed, epoch, 0, RandomUse.IMPORTANCE_DRAWS).random(pictures)
    draws = []
    for position, (class_number, random) in enumerate(zip(classes, uniform, strict=True)):
        # Because of rounding, the last sum may not be exactly 1, so the random number is scaled by it.
        of_class = cumulative[:, class_number]
        index = int(np.searchsorted(of_class, random * of_class[-1], side="right"))
        draws.append(Draw(min(index, pictures - 1), epoch, position))
    return draws
