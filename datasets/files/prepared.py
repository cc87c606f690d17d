"""Copies of a data set's pictures and labels that are faster to read.

The file name of a copy holds a stamp of all that it depends on: the sizes and modification times of the
originals, the label coding and the settings. If a file of that name exists, it is complete and up to date.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from datasets.definitions.codings import TRAIN_IDS
from datasets.definitions.label_coding import LabelCoding, train_id_coding
from datasets.definitions.spec import DatasetSpec
from datasets.files.pairing import Pair
from datasets.files.reading import READING_VERSION, fingerprint, read_label
from datasets.files.segmentation import SegmentationSet
from transforms.geometric import resize_label
from utils.errors import UserError
from utils.files import atomic_write
from utils.images import read_image
from utils.scoring.classes import CITYSCAPES

SETTINGS_FILE = "settings.json"


@dataclass(frozen=True)
class Settings:
    """How copies are made.

    ``quality``: 1 to 100 for JPEG pictures; None keeps them lossless. ``height``: the height that pictures
    and labels are resized to; None keeps their size.
    """

    quality: int | None = None
    height: int | None = None

    @property
    def flags(self) -> list[str]:
        """These settings as flags of the program that makes copies; none for lossless, full-size copies."""
        given = {name: value for name, value in dataclasses.asdict(self).items() if value is not None}
        return [word for name, value in given.items() for word in (f"--{name}", str(value))]


def folder_of(directory: Path, spec: DatasetSpec, split: str) -> Path:
    """The folder of the copies of a split."""
    return directory / spec.name / split


def copy_of(pair: Pair, folder: Path, settings: Settings, coding: LabelCoding) -> Pair:
    """The paths of a pair's copies in ``folder``, whether or not they exist."""
    files = (("picture", pair.image), ("label", pair.label))
    how = dataclasses.asdict(settings), *coding.key
    name = f"{pair.name}.{fingerprint(files, READING_VERSION, *how)}"
    suffix = ".ppm" if settings.quality is None else ".jpg"
    picture, label = folder / "pictures" / f"{name}{suffix}", folder / "labels" / f"{name}.png"
    return pair._replace(image=picture, label=label)


def write_copy(pair: Pair, copy: Pair, settings: Settings, coding: LabelCoding) -> None:
    """Write those copies of a pair that do not exist yet."""
    if not copy.image.exists():
        image = read_image(pair.image)
        if settings.height is not None:
            width = max(1, int(image.width / image.height * settings.height))
            image = image.resize((width, settings.height), Image.Resampling.BICUBIC)
        how = {} if settings.quality is None else {"quality": settings.quality, "subsampling": 0}
        with atomic_write(copy.image) as temporary:
            image.save(temporary, **how)
    if not copy.label.exists():
        label = read_label(pair.label, coding)
        if settings.height is not None:
            width = max(1, int(label.shape[1] / label.shape[0] * settings.height))
            label = resize_label(label, (settings.height, width))
        # A palette picture, here in the colours of the classes, is fast to read.
        image = Image.fromarray(label)
        image.putpalette(coding.of.palette.tobytes().ljust(3 * 256, b"\0"))
        with atomic_write(copy.label) as temporary:
            image.save(temporary)


def read_settings(folder: Path) -> Settings | None:
    """The settings of the copies in ``folder``; None if there are no copies."""
    try:
        return Settings(**json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (TypeError, ValueError) as error:
        raise UserError(f"{folder / SETTINGS_FILE}: cannot be read ({error}); remove {folder}") from error


def present_settings(directory: Path, spec: DatasetSpec, split: str, flags: Sequence[str] = ()) -> Settings:
    """The settings of a split's copies. If there are none: a UserError whose command has ``flags``."""
    settings = read_settings(folder_of(directory, spec, split))
    if settings is None:
        command = _command(directory, spec, split, flags)
        raise UserError(f"--prepared {directory}: holds no {spec.name} {split}; run {command}")
    return settings


def differences(directory: Path, specs: Sequence[DatasetSpec], split: str, flags: Sequence[str] = ()) -> str:
    """How the copies in ``directory`` differ from the originals; empty if they are lossless and full-size.

    ``flags`` as for :func:`prepared`. Raises a :class:`UserError` if there are no copies.
    """
    made = {spec.name: present_settings(directory, spec, split, flags).flags for spec in specs}
    return ", ".join(f"{name} {' '.join(flags)}" for name, flags in made.items() if flags)


def prepared(dataset: SegmentationSet, directory: Path, flags: Sequence[str] = ()) -> SegmentationSet:
    """``dataset`` with the copies in ``directory`` instead of its own pictures and labels.

    Raises :class:`UserError` if a copy is missing or out of date. It shows the command that makes the copies,
    with ``flags``, which say where the originals are and how they are divided.
    """
    spec, split = dataset.spec, dataset.split
    folder = folder_of(directory, spec, split)
    settings = present_settings(directory, spec, split, flags)
    copies = [copy_of(pair, folder, settings, spec.coding) for pair in dataset.pairs]
    present = set(folder.rglob("*"))
    absent = [copy.name for copy in copies if not {copy.image, copy.label} <= present]
    if absent:
        command = _command(directory, spec, split, [*settings.flags, *flags])
        raise UserError(
            f"--prepared {directory}: {len(absent)} of {len(copies)} pictures of {spec.name} {split} are not "
            f"there or have changed since, the first is {absent[0]}; run {command}"
        )
    result = dataset.with_pairs(split, copies)
    of_copies = TRAIN_IDS if spec.classes == CITYSCAPES else train_id_coding(spec.classes)
    result.spec = dataclasses.replace(spec, coding=of_copies)
    return result


def _command(directory: Path, spec: DatasetSpec, split: str, flags: Sequence[str]) -> str:
    """The command line that makes copies."""
    prepare = ("python", "-m", "scripts.prepare", "--dataset", spec.name, "--split", split)
    # PowerShell and cmd have quotes of their own.
    join = subprocess.list2cmdline if os.name == "nt" else shlex.join
    return join([*prepare, "--output", str(directory), *flags])
