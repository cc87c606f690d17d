"""Finding and counting predictions that are stored in a folder as PNG files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from datasets.definitions.codings import CITYSCAPES_IDS, TRAIN_IDS
from datasets.files.parallel import threaded_map
from datasets.files.reading import read_label
from utils.errors import UserError
from utils.scoring.classes import IGNORE_LABEL, ClassSet

CODINGS = {"trainids": TRAIN_IDS, "labelids": CITYSCAPES_IDS}
"""Kind of result, as infer.py calls it -> the coding of its pixel values."""


def find_predictions(folder: Path, names: Sequence[str]) -> list[Path]:
    """The PNG file with the prediction of every picture, in the order of ``names``.

    A name is a path without suffix, as ``Pair.name``. The prediction of ``city/street_1`` is
    ``city/street_1.png``, as infer.py writes it. If that does not exist, it is the file called
    ``street_1.png`` or ``street_1_<anything>.png`` anywhere below ``folder``, as in the official evaluation
    of Cityscapes.

    Raises:
        UserError: there is no such folder, or a picture has no prediction or several.
    """
    if not folder.is_dir():
        raise UserError(f"--predictions {folder}: no such folder")
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    by_path = {file.removesuffix(".png"): file for file in files}
    by_picture: dict[str, list[str]] = defaultdict(list)
    for file in files:
        for stem in _beginnings(PurePosixPath(file).stem):
            by_picture[stem].append(file)
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


def _beginnings(stem: str) -> Iterator[str]:
    """``a_b_c`` -> ``a_b_c``, ``a_b``, ``a``."""
    while stem:
        yield stem
        stem = stem.rpartition("_")[0]


def count_predictions(files: Sequence[Path], coding: str, classes: ClassSet) -> np.ndarray:
    """The number of pixels of each class in every file, int64 (files, classes).

    Pixels of other train ids and ignored pixels are not counted. ``coding`` is a key of :data:`CODINGS`.
    Raises :class:`UserError` with a file that cannot be read, or that holds a value outside the coding.
    """

    def count(file: Path) -> np.ndarray:
        predicted = classes.class_of_train_id[read_label(file, CODINGS[coding])]
        return np.bincount(predicted.ravel(), minlength=IGNORE_LABEL + 1)[: len(classes.train_ids)]

    return np.stack(threaded_map(count, files, "predictions"))
