"""How a data set is declared: where its files are, how names pair up, how its labels are coded and scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from datasets.definitions.codings import LabelCoding
from transforms.pipeline import EvaluationTransform
from utils.errors import UserError
from utils.scoring.classes import CITYSCAPES_19, ClassSet

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Layout:
    """A folder of pictures and the folder of their labels, both below the data set's root.

    The label of ``<pictures>/<name><picture suffix>`` is ``<labels>/<name><label_suffix>``; ``<name>`` may
    contain folders (cities). With ``listed``, the folder holds the pictures of all splits, as the vendor's
    archives do, and this file names those of the split (see :mod:`datasets.files.split_lists`); such a layout
    counts only where no split has a folder of its own. ``labels`` is None where there are none.
    """

    pictures: str
    labels: str | None
    picture_suffixes: tuple[str, ...] = PICTURE_SUFFIXES
    label_suffix: str = ".png"
    listed: Path | None = None
    coding: LabelCoding | None = None
    """Of its labels, where that is not the data set's."""
    digits: int = 0
    """Length of the file names that a ``listed`` file of plain numbers means."""


@dataclass(frozen=True)
class Split:
    """The files of one split: the first of ``layouts`` that exists, limited by two regular expressions.

    Both are matched at the start of the file's name without folders: ``only`` must match, ``without`` must
    not.
    """

    layouts: tuple[Layout, ...]
    only: str = ""
    without: str = ""
    evenly: int | None = None
    """Of what is left, sorted by name, only this many pictures at equal distances; all where they are
    fewer.
    """

    @property
    def labelled(self) -> bool:
        """Whether its pictures have labels."""
        return all(layout.labels is not None for layout in self.layouts)


@dataclass(frozen=True)
class ChannelStatistics:
    """Mean and standard deviation of red, green and blue over all pixels, as parts of the greatest value."""

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
    """How it is scored: the first set gives the main mean, further ones are printed beside it."""
    evaluation: Mapping[str, EvaluationTransform] = field(default_factory=dict, hash=False)
    """By protocol, the size it is scored at where that is not the whole picture."""
    folds: tuple[Mapping[str, Split], ...] = field(default=(), hash=False)
    """Further published divisions into splits, number 1 first, for cross-validation."""
    city_folds: int = 0
    """Further divisions, by city: as ``folds``, made from the cities that are found."""
    fold: int = 0
    """The division that is used; 0 is the official one."""
    nearby_frames: tuple[Layout, ...] = ()
    """Where labelled frames of its training sequences are that belong to no split."""
    skips_unlabelled: bool = False
    """Whether pictures without a label are left out (``--skip_unlabelled``) instead of being an error."""
    lists_flag: str | None = None
    """The flag for lists of one's own in place of the published ones, where there is one."""
    further_root_names: tuple[str, ...] = ()
    """Other names that its folder under ``--data_root`` may have."""
    statistics: ChannelStatistics | None = None
    """Published ones; :mod:`datasets.sampling.statistics` measures those of other data sets."""
    class_shares: tuple[float, ...] | None = None
    """How often each train id occurs, on any scale, where its labels should not be compared with those of
    Cityscapes (see :mod:`datasets.definitions.plausibility`).
    """

    @property
    def environment_variable(self) -> str:
        return f"{self.root_name.upper()}_DIR"

    @property
    def frames_variable(self) -> str:
        """The environment variable for the root of ``nearby_frames``, if that is not the data set's own."""
        return f"{self.root_name.upper()}_AUG_DIR"

    def split(self, name: str) -> Split:
        """The split called "train", "val" or "test"; :class:`UserError` where the data set has none."""
        if name not in self.splits:
            raise UserError(f"{self.name} has no split {name!r}; it has {', '.join(self.splits)}")
        return self.splits[name]

    def cross_validation(self, fold: int) -> DatasetSpec:
        """The data set in division ``fold`` of its train and val pictures (``--cv``); 0 is the official one.

        Raises:
            UserError: the data set has no such division.
        """
        if fold == 0:
            return self
        divisions = max(len(self.folds), self.city_folds)
        if not 0 < fold <= divisions:
            known = f"has divisions 0 to {divisions}" if divisions else "has only its official division, 0"
            raise UserError(f"--cv {fold}: {self.name} {known}")
        splits = {**self.splits, **self.folds[fold - 1]} if self.folds else self.splits
        return replace(self, splits=splits, fold=fold)
