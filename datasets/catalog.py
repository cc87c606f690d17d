"""Every data set we know, declared: where its files are, how its labels are coded, how it is scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from datasets import labels
from datasets.labels import ClassSet, LabelCoding
from datasets.reading import PICTURE_SUFFIXES
from transforms.pipeline import EvaluationTransform
from utils.errors import UserError

PROTOCOLS = ("robustnet", "full")
"""``robustnet``: pictures at the sizes published numbers were scored at; ``full``: whole pictures."""


@dataclass(frozen=True)
class Layout:
    """A folder of pictures and the folder of their labels, both below the data set's root.

    The label of ``<pictures>/<name><picture suffix>`` is ``<labels>/<name><label_suffix>``; ``<name>`` may
    contain folders (cities).
    """

    pictures: str
    labels: str
    picture_suffixes: tuple[str, ...] = PICTURE_SUFFIXES
    label_suffix: str = ".png"


@dataclass(frozen=True)
class Split:
    """The files of one split: the first of ``layouts`` that exists, limited by two regular expressions.

    Both are matched at the start of the file's name without folders: ``only`` must match, ``without`` must
    not.
    """

    layouts: tuple[Layout, ...]
    only: str = ""
    without: str = ""


@dataclass(frozen=True)
class DatasetSpec:
    """One data set; ``root_name`` is its folder under ``--data_root`` and its key in config.DATASET_ROOTS."""

    name: str
    root_name: str
    splits: Mapping[str, Split] = field(hash=False)
    coding: LabelCoding
    class_sets: tuple[ClassSet, ...] = (labels.CITYSCAPES_19,)
    """How it is scored: the first set gives the main mean, further ones are printed beside it."""
    evaluation: Mapping[str, EvaluationTransform] = field(default_factory=dict, hash=False)
    """By protocol, the size it is scored at where that is not the whole picture."""

    @property
    def environment_variable(self) -> str:
        return f"{self.root_name.upper()}_DIR"

    def split(self, name: str) -> Split:
        """The split called "train", "val" or "test"; :class:`UserError` where the data set has none."""
        if name not in self.splits:
            raise UserError(f"{self.name} has no split {name!r}; it has {', '.join(self.splits)}")
        return self.splits[name]


def spec(name: str) -> DatasetSpec:
    """The data set called ``name``; :class:`UserError` listing the known names."""
    if name not in CATALOG:
        raise UserError(f"unknown data set {name!r}; known are {', '.join(CATALOG)}")
    return CATALOG[name]


def evaluation_transform(
    dataset: DatasetSpec, protocol: str, height: int | None = None
) -> EvaluationTransform:
    """How pictures of ``dataset`` are resized and cropped before they are scored under ``protocol``.

    ``height`` replaces the protocol's resize height and crop (Mapillary's 1536) where it has one, for
    miniatures.
    """
    if protocol not in PROTOCOLS:
        raise UserError(f"--protocol {protocol}: known are {', '.join(PROTOCOLS)}")
    transform = dataset.evaluation.get(protocol, EvaluationTransform())
    return replace(transform, height=height, crop=height) if height and transform.height else transform


def _cityscapes(split: str) -> Split:
    folders = (
        ("leftImg8bit_trainvaltest/leftImg8bit", "gtFine_trainvaltest/gtFine"),
        ("leftImg8bit", "gtFine"),
    )
    return Split(
        tuple(
            Layout(f"{pictures}/{split}", f"{fine}/{split}", ("_leftImg8bit.png",), "_gtFine_labelIds.png")
            for pictures, fine in folders
        )
    )


def _bdd100k(split: str) -> Split:
    return Split(
        (
            Layout(f"images/{split}", f"labels/{split}", (".jpg",), "_train_id.png"),
            Layout(f"seg/images/{split}", f"seg/labels/{split}", (".jpg",), "_train_id.png"),
            Layout(f"images/10k/{split}", f"labels/sem_seg/masks/{split}", (".jpg",)),
        )
    )


def _mapillary(folder: str) -> Split:
    pictures = f"{folder}/images"
    return Split((Layout(pictures, f"{folder}/labels"), Layout(pictures, f"{folder}/v1.2/labels")))


def _camvid(name: str, **splits: tuple[str, str]) -> DatasetSpec:
    """CamVid or a sub-domain of it; each split is (folder, pattern of its sequences, as file names begin)."""
    return DatasetSpec(
        name,
        "camvid",
        {split: Split((Layout(folder, f"{folder}annot"),), only) for split, (folder, only) in splits.items()},
        labels.CAMVID,
        (labels.CAMVID_11,),
    )


# Pictures of the official training part whose label has another size; nobody can train on them.
_GTAV_MISMATCHED = r"(12160|12166|12167|12191|12192|12193|12195|1220[2-8]|19993)$"

KITTI_VAL_FRAMES: tuple[tuple[int, ...], ...] = (
    (*(1, 5, 11, 29, 35, 49, 57, 68, 72, 82, 93), *(115, 119, 130, 145, 154, 156, 167, 169, 189, 198)),
    (*(0, 12, 24, 31, 42, 50, 63, 71, 84, 96, 101), *(112, 121, 133, 141, 155, 164, 171, 187, 191, 197)),
    (*(3, 6, 13, 21, 41, 54, 61, 73, 88, 91, 110), *(121, 126, 131, 142, 149, 150, 163, 173, 183, 199)),
)
"""Validation frames of the three published divisions of KITTI's 200 pictures; the first is used."""
_KITTI_LAYOUT = (Layout("training/image_2", "training/semantic"),)
_KITTI_VAL = "(" + "|".join(f"{frame:06d}" for frame in KITTI_VAL_FRAMES[0]) + ")_"

_SYNTHIA_CLASS_SETS = (labels.CITYSCAPES_19, labels.SYNTHIA_16, labels.SYNTHIA_13)
_DAY, _DUSK = "(0006R0|0016E5)_", "0001TP_"

CATALOG: dict[str, DatasetSpec] = {
    each.name: each
    for each in (
        DatasetSpec(
            "cityscapes",
            "cityscapes",
            {split: _cityscapes(split) for split in ("train", "val")},
            labels.CITYSCAPES_IDS,
        ),
        DatasetSpec(
            "gtav",
            "gtav",
            {
                "train": Split((Layout("images/train", "labels/train"),), without=_GTAV_MISMATCHED),
                "val": Split((Layout("images/valid", "labels/valid"), Layout("images/val", "labels/val"))),
                "test": Split((Layout("images/test", "labels/test"),)),
            },
            labels.GTAV,
        ),
        DatasetSpec(
            "synthia",
            "synthia",
            {split: Split((Layout(f"RGB/{split}", f"GT/LABELS/{split}"),)) for split in ("train", "val")},
            labels.SYNTHIA,
            _SYNTHIA_CLASS_SETS,
        ),
        DatasetSpec(
            "bdd100k", "bdd100k", {split: _bdd100k(split) for split in ("train", "val")}, labels.TRAIN_IDS
        ),
        DatasetSpec(
            "mapillary",
            "mapillary",
            {"train": _mapillary("training"), "val": _mapillary("validation")},
            labels.MAPILLARY,
            evaluation={"robustnet": EvaluationTransform(height=1536, crop=1536)},
        ),
        DatasetSpec(
            "kitti",
            "kitti",
            {"train": Split(_KITTI_LAYOUT, without=_KITTI_VAL), "val": Split(_KITTI_LAYOUT, only=_KITTI_VAL)},
            labels.CITYSCAPES_IDS,
            evaluation={"robustnet": EvaluationTransform(size=(376, 1242))},
        ),
        _camvid("camvid", train=("train", ""), val=("val", ""), test=("test", "")),
        _camvid("camvid_day", train=("train", _DAY), val=("val", _DAY)),
        _camvid("camvid_seq05", val=("test", "Seq05VD_"), test=("test", "Seq05VD_")),
        # One domain without a split of its own: trained on only as unlabelled pictures.
        _camvid("camvid_dusk", train=("train", _DUSK), val=("train", _DUSK)),
    )
}
