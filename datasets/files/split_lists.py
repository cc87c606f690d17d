"""Lists of the pictures of each split, for data sets that have all pictures in one folder."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import scipy.io

from datasets.definitions.spec import DatasetSpec
from utils.errors import UserError


def read_ids(file: Path, split: str, digits: int) -> list[str]:
    """The ids of a list, sorted and without repetitions.

    They are the lines of a text file, which may end in ``.png``, or the numbers ``<split>Ids`` of a ``.mat``
    file (GTAV's official one), written with ``digits`` digits. Raises :class:`UserError` with a file that is
    missing, unreadable or empty.
    """
    if not file.is_file():
        raise UserError(f"{file}: no such file; it should list the pictures of the {split} split")
    ids = _matlab_ids(file, f"{split}Ids", digits) if file.suffix.lower() == ".mat" else _text_ids(file)
    if not ids:
        raise UserError(f"{file}: lists no picture of the {split} split")
    return sorted(set(ids))


def divided_by(dataset: DatasetSpec, lists: Path) -> DatasetSpec:
    """The data set with all pictures in one folder, divided by ``lists`` instead of the published lists.

    ``lists`` is a ``.mat`` file, or a folder of ``<name of the data set>_<split>.txt``. Raises
    :class:`UserError` if it is missing or unreadable, or puts a picture into two splits.
    """
    if not lists.exists():
        raise UserError(f"{lists}: no such file or folder; it should list the splits of {dataset.name}")
    splits, seen = {}, {}
    for name, split in dataset.splits.items():
        file = lists / f"{dataset.name}_{name}.txt" if lists.is_dir() else lists
        flat = [replace(layout, listed=file) for layout in split.layouts if layout.listed]
        splits[name] = replace(split, layouts=tuple(flat))
        # A folder need not have the lists of all splits. Whoever opens a split without a list is told.
        ids = read_ids(file, name, flat[0].digits) if file.exists() else []
        if twice := [each for each in ids if each in seen]:
            raise UserError(
                f"{lists}: pictures are in both {seen[twice[0]]} and {name}: {len(twice)}, first {twice[0]}"
            )
        seen.update(dict.fromkeys(ids, name))
    return replace(dataset, splits=splits)


def division_digest(dataset: DatasetSpec) -> str:
    """A digest of which pictures the lists of ``dataset`` put into which split; their paths do not count."""
    ids = {
        name: read_ids(layout.listed, name, layout.digits)
        for name, split in dataset.splits.items()
        for layout in split.layouts
        if layout.listed and layout.listed.exists()
    }
    return hashlib.sha256(json.dumps(ids).encode()).hexdigest()[:16]


def _text_ids(file: Path) -> list[str]:
    try:
        lines = (line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read as a list of pictures, one per line ({error})") from error
    # A list that was written on Windows may have its separators.
    return [line.removesuffix(".png").replace("\\", "/") for line in lines if line]


def _matlab_ids(file: Path, key: str, digits: int) -> list[str]:
    try:
        numbers = scipy.io.loadmat(file, variable_names=[key])[key]
        return [f"{number:0{digits}d}" for number in np.asarray(numbers).ravel().astype(np.int64).tolist()]
    except KeyError as error:
        raise UserError(f"{file}: has no {key}; GTAV's split.mat holds trainIds, valIds, testIds") from error
    # scipy does not document what it raises for a damaged file; it depends on the damage.
    except Exception as error:
        raise UserError(f"{file}: cannot be read as a MATLAB file ({error})") from error
