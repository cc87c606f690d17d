"""Predictions that lie in a folder as PNG files, by the pictures they are of."""

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
"""What pixel values of a prediction mean, by the names that infer.py gives its results."""


def find_predictions(folder: Path, names: Sequence[str]) -> list[Path]:
    """The PNG file of every picture, in the order of ``names`` (paths without suffix, as ``Pair.name``).

    The prediction of ``city/street_1`` is ``city/street_1.png``, as infer.py writes it; in its absence the
    file anywhere below ``folder`` that is called ``street_1.png`` or ``street_1_<anything>.png``, as the
    official evaluation of Cityscapes looks for it.

    Raises:
        UserError: no such folder, a picture without a prediction, or with several.
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
            raise UserError(f"--predictions {folder}: holds no prediction of {name} (PNG)")
        if len(matching) > 1:
            raise UserError(
                f"--predictions {folder}: {matching[0]} and {matching[1]} both may be the prediction of "
                f"{name}; name a folder of one kind of result"
            )
        found.append(folder / matching[0])
    return found


def _beginnings(stem: str) -> Iterator[str]:
    """``a_b_c``, ``a_b``, ``a`` of ``a_b_c``."""
    while stem:
        yield stem
        stem = stem.rpartition("_")[0]


def count_predictions(files: Sequence[Path], coding: str, classes: ClassSet) -> np.ndarray:
    """Pixels of each class in every file, int64 (files, classes); other train ids and ignored are left out.

    ``coding`` is one of :data:`CODINGS`. Raises :class:`UserError` naming a file that cannot be read, or with
    a value that the coding does not have.
    """

    def count(file: Path) -> np.ndarray:
        predicted = classes.class_of_train_id[read_label(file, CODINGS[coding])]
        return np.bincount(predicted.ravel(), minlength=IGNORE_LABEL + 1)[: len(classes.train_ids)]

    return np.stack(threaded_map(count, files, "predictions"))
