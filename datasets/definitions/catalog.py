"""All data sets by name: those that the project knows and those that catalog files declare."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from datasets.definitions.catalog_file import Catalog, read_catalog
from datasets.definitions.published import PUBLISHED, SPLIT_DATA
from datasets.definitions.spec import DatasetSpec
from datasets.definitions.suites import SUITES
from transforms.pipeline import EvaluationTransform
from utils.errors import UserError
from utils.scoring.classes import CITYSCAPES, ClassSet, classes_of_number
from utils.scoring.sliding_window import Inference

PROTOCOLS = ("robustnet", "full", "maxsquare", "vfm")
"""``robustnet``: pictures have the sizes at which RobustNet was scored; ``full``: whole pictures;
``maxsquare``: all pictures are 1024 x 512 (width x height), as for maximum squares and SNR; ``vfm``: as for
tuned vision transformers (Rein, SoMA, VFMNet), pictures are smaller than their labels, the network sees them
in windows (:func:`windows`), and its scores are resized to the label.
"""

VFM_SIDE = 512
"""The side of the windows under the protocol ``vfm``; sizes of pictures are given for this side."""

CATALOG_VARIABLE = "URBANDG_CATALOG"
"""The environment variable that names catalog files."""

PROJECT = Path(__file__).resolve().parents[2]

_STARTED_IN_PROJECT = Path("split_data").is_dir() and Path("split_data").samefile(SPLIT_DATA)

TOYCITY_ROOT = Path("data/toycity") if _STARTED_IN_PROJECT else PROJECT / "data/toycity"
"""The folder of the toy city, which is made on first use. It is always in the project's folder. For a program
started in the project's folder the path is relative, so that messages are short.
"""


CATALOG: dict[str, DatasetSpec] = {each.name: each for each in (*PUBLISHED, *SUITES)}
"""The data sets that the project knows."""

_declared = Catalog()
"""What the catalog files of the running program declare."""


def use_catalogs(files: Sequence[str]) -> None:
    """Let :func:`spec` also know the data sets of these TOML files, and of no other files.

    Without ``files``, it is those that the environment variable ``URBANDG_CATALOG`` names, separated as in
    ``PATH``. Raises :class:`UserError` with the file and the key that is wrong.
    """
    global _declared
    named = files or list(filter(None, os.environ.get(CATALOG_VARIABLE, "").split(os.pathsep)))
    declared = Catalog()
    for file in named:
        read_catalog(Path(file).expanduser(), CATALOG, declared)
    _declared = declared


def known_datasets() -> dict[str, DatasetSpec]:
    """All data sets: those of the project and those of the catalog files."""
    return {**CATALOG, **_declared.datasets}


def spec(name: str) -> DatasetSpec:
    """The data set called ``name``; :class:`UserError` with the known names if there is none."""
    known = known_datasets()
    if name not in known:
        raise UserError(f"unknown data set {name!r}; known are {', '.join(known)}")
    return known[name]


def network_classes(names: Sequence[str], num_classes: int | None) -> ClassSet:
    """The classes of a network that is trained on the data sets ``names``.

    They are all of the data sets' list, or a part of Cityscapes' (``--num_classes``). Raises
    :class:`UserError` if the data sets have different lists, or the list another number of classes.
    """
    first, *others = map(spec, names)
    for other in others:
        if other.classes.names != first.classes.names:
            raise UserError(
                f"--dataset {' '.join(names)}: {first.name} has the classes of {first.classes.in_words}, "
                f"{other.name} those of {other.classes.in_words}; declare one of them in a --catalog file "
                "with the classes of the other and a map"
            )
    if first.classes == CITYSCAPES:
        return classes_of_number(num_classes or len(first.classes))
    if num_classes not in (None, len(first.classes)):
        raise UserError(
            f"--num_classes {num_classes}: {first.name} has the {len(first.classes)} classes of "
            f"{first.classes.name}; drop the flag"
        )
    return first.classes.whole


def declared_digest(names: Iterable[str]) -> str | None:
    """A digest of what catalog files say of the data sets ``names``; None if they say nothing."""
    content = [
        [name, each.declared["table"], each.classes.names]
        for name, each in ((name, spec(name)) for name in names)
        if each.declared
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16] if content else None


def evaluation_transform(
    dataset: DatasetSpec, protocol: str, height: int | None = None
) -> EvaluationTransform:
    """How pictures of ``dataset`` are resized and cropped before they are scored under ``protocol``.

    ``height`` is for miniature data. It replaces the height and the crop that the protocol has for the data
    set (1536 for Mapillary); with ``maxsquare``, pictures become ``height`` high and twice as wide; with
    ``vfm`` they change like the windows, whose side it replaces.
    """
    if protocol not in PROTOCOLS:
        raise UserError(f"--protocol {protocol}: known are {', '.join(PROTOCOLS)}")
    if protocol == "maxsquare":
        rows = height or 512
        return EvaluationTransform(size=(rows, 2 * rows))
    transform = dataset.evaluation.get(protocol, EvaluationTransform())
    if height and protocol == "vfm" and transform.size:
        rows, columns = (round(side * height / VFM_SIDE) for side in transform.size)
        return replace(transform, size=(rows, columns))
    return replace(transform, height=height, crop=height) if height and transform.height else transform


def windows(settings: Inference, protocol: str, height: int | None = None) -> Inference:
    """``settings`` with the windows that ``protocol`` prescribes: with ``vfm`` 512 pixels, at every 320.

    ``height`` replaces the side of 512, for miniature data. Logits of overlapping windows are averaged.
    """
    if protocol != "vfm":
        return settings
    return replace(settings, mode="sliding", crop_size=height or VFM_SIDE, overlap=1 - 320 / VFM_SIDE)
