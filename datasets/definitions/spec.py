"""How a data set is declared: where pictures and labels are, how labels are coded, and how it is scored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from datasets.definitions.label_coding import LabelCoding
from transforms.pipeline import EvaluationTransform
from utils.errors import UserError
from utils.scoring.classes import CITYSCAPES_19, ClassList, ClassSet


@dataclass(frozen=True)
class Layout:
    """A folder of pictures and the folder of their labels, both below the data set's root.

    The label of ``<pictures>/<name><picture suffix>`` is ``<labels>/<name><label_suffix>``. ``<name>`` may
    contain folders (cities). ``labels`` is None if the pictures have no labels. The name of a label begins
    with ``label_prefix``, and what the regular expression ``unlabelled_words`` finds is left out of it.

    ``pictures`` may be a pattern such as ``photos/*/left`` for several folders. ``{1}`` in ``labels`` then
    stands for what its first ``*`` means in a folder. ``among`` is a file below the root that lists which
    pictures count, by their file names with or without folders and suffix; the names of others in it do no
    harm.

    If the folder holds the pictures of all splits, as in the vendor's archive, the file ``listed`` names
    those of this split (see :mod:`datasets.files.split_lists`). ``digits`` is the number of digits of file
    names where the list holds plain numbers. Such a layout is used only if no split of the data set has a
    folder of its own. ``coding`` is that of these labels, if it is not the coding of the data set.
    """

    pictures: str
    labels: str | None
    picture_suffixes: tuple[str, ...] = (".png", ".jpg", ".jpeg")
    label_suffix: str = ".png"
    listed: Path | None = None
    coding: LabelCoding | None = None
    digits: int = 0
    label_prefix: str = ""
    unlabelled_words: str = ""
    among: str = ""

    def label_of(self, name: str) -> str:
        """The path of the label of the picture ``name``, below ``labels``."""
        if self.unlabelled_words:
            name = re.sub(self.unlabelled_words, "", name)
        folder, slash, file = name.rpartition("/")
        return f"{folder}{slash}{self.label_prefix}{file}{self.label_suffix}"


@dataclass(frozen=True)
class Split:
    """The files of one split: the first of ``layouts`` that exists, or those of all ``parts`` together.

    Of layouts that have the same folders, it is the first that has a label.

    ``group`` is what the pictures of a part have in common, such as their weather.

    Two regular expressions choose among the pictures. They are matched at the start of the file name, without
    folders and suffix: ``only`` must match, and ``without``, if it is not empty, must not. If ``evenly`` is
    given, the split has at most so many of them, at equal distances in the order of names.
    """

    layouts: tuple[Layout, ...] = ()
    only: str = ""
    without: str = ""
    evenly: int | None = None
    parts: tuple[Split, ...] = ()
    group: str = ""

    @property
    def every_layout(self) -> tuple[Layout, ...]:
        """The layouts of the split and of its parts."""
        return (*self.layouts, *(layout for part in self.parts for layout in part.every_layout))

    @property
    def labelled(self) -> bool:
        """Whether the pictures have labels."""
        return all(layout.labels is not None for layout in self.every_layout)


@dataclass(frozen=True)
class ChannelStatistics:
    """Mean and standard deviation of red, green and blue over all pixels, on a scale from 0 to 1."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class DatasetSpec:
    """One data set; ``root_name`` is its folder under ``--data_root`` and its key in config.DATASET_ROOTS."""

    name: str
    root_name: str
    splits: Mapping[str, Split] = field(hash=False)
    coding: LabelCoding
    class_sets: tuple[ClassSet, ...] = (CITYSCAPES_19,)
    """The classes that scores are averaged over: those of the main mean, then those of further means."""
    evaluation: Mapping[str, EvaluationTransform] = field(default_factory=dict, hash=False)
    """Protocol -> the size at which pictures are scored, if that is not their own size."""
    folds: tuple[Mapping[str, Split], ...] = field(default=(), hash=False)
    """Other published divisions into splits, for cross-validation; the first one is ``--cv 1``."""
    city_folds: int = 0
    """The number of other divisions that are made from the cities (folders) of the data set."""
    fold: int = 0
    """The number of the division that is used; 0 is the official one."""
    nearby_frames: tuple[Layout, ...] = ()
    """Where to find labelled frames that belong to no split, from the sequences of the training pictures."""
    skips_unlabelled: bool = False
    """Whether pictures without a label are left out (``--skip_unlabelled``) instead of being an error."""
    lists_flag: str | None = None
    """The flag that replaces the published lists by the user's own, if there is one."""
    further_root_names: tuple[str, ...] = ()
    """Other names that the folder under ``--data_root`` may have."""
    statistics: ChannelStatistics | None = None
    """Those published with DA-SAC (Araslanov and Roth, CVPR 2021); others are measured when needed."""
    class_shares: tuple[float, ...] | None = None
    """How often each train id occurs, on any scale, if the labels should not be compared with those of
    Cityscapes (see :mod:`datasets.definitions.plausibility`).
    """

    root: Path | None = None
    """The folder that the declaration names, if it does."""
    declared: Mapping[str, Any] | None = field(default=None, hash=False)
    """What a catalog file says of the data set: its ``file`` and its tables."""

    @property
    def classes(self) -> ClassList:
        """The list of the classes of its labels."""
        return self.coding.of

    @property
    def environment_variable(self) -> str:
        return re.sub(r"\W", "_", f"{self.root_name.upper()}_DIR")

    def split(self, name: str) -> Split:
        """The split called ``name``, such as "train"; :class:`UserError` if the data set does not have it."""
        if name not in self.splits:
            raise UserError(f"{self.name} has no split {name!r}; it has {', '.join(self.splits)}")
        return self.splits[name]

    def cross_validation(self, fold: int) -> DatasetSpec:
        """The data set with train and val divided as ``--cv fold`` says; UserError if there is none."""
        if fold == 0:
            return self
        divisions = max(len(self.folds), self.city_folds)
        if not 0 < fold <= divisions:
            known = f"has divisions 0 to {divisions}" if divisions else "has only its official division, 0"
            raise UserError(f"--cv {fold}: {self.name} {known}")
        splits = {**self.splits, **self.folds[fold - 1]} if self.folds else self.splits
        return replace(self, splits=splits, fold=fold)
