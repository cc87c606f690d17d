"""The declarations of the published data sets: where files are, how labels are coded, how each is scored."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from datasets.definitions import codings
from datasets.definitions.spec import ChannelStatistics, DatasetSpec, Layout, Split
from transforms.pipeline import EvaluationTransform
from utils.scoring import classes

SPLIT_DATA = Path(__file__).resolve().parents[2] / "split_data"
"""The folder of the published lists. They hold one id per line; an id is a file name without its suffix."""


def _cityscapes(pictures: str, labels: str, *splits: str, quality: str = "gtFine") -> tuple[Layout, ...]:
    """First the layouts of unpacked archives (``<archive>/<folder>``), then those without ``<archive>``."""
    return tuple(
        Layout(f"{images}/{split}", f"{truths}/{split}", ("_leftImg8bit.png",), f"_{quality}_labelIds.png")
        for images, truths in ((pictures, labels), (Path(pictures).name, Path(labels).name))
        for split in splits
    )


_FINE = ("leftImg8bit_trainvaltest/leftImg8bit", "gtFine_trainvaltest/gtFine")
_COARSE = ("leftImg8bit_trainextra/leftImg8bit", "gtCoarse/gtCoarse")
_SEQUENCES = (
    "leftImg8bit_sequence_trainvaltest/leftImg8bit_sequence",
    "gtFine_sequence_trainvaltest/gtFine_sequence",
)
# The vendor's sequences have no labels. Labels made by somebody else either lie beside the sequences, or
# frames and labels have a root of their own in the layout of the data set. "val" is needed here because
# other divisions than the official one train on frames of val.
_CITYSCAPES_FRAMES = tuple(
    layout for folders in (_SEQUENCES, _FINE) for layout in _cityscapes(*folders, "train", "val")
)


def _gtav(split: str, *folders: str, without: str = "") -> Split:
    divided = (Layout(f"images/{folder}", f"labels/{folder}") for folder in folders)
    flat = Layout("images", "labels", listed=SPLIT_DATA / f"gtav_{split}.txt", digits=5)
    return Split((*divided, flat), without=without)


def _synthia(split: str) -> Split:
    # Unpacking the vendor's archive makes the folder RAND_CITYSCAPES.
    places = ("", "RAND_CITYSCAPES/")
    divided = (Layout(f"{place}RGB/{split}", f"{place}GT/LABELS/{split}") for place in places)
    flat = partial(Layout, listed=SPLIT_DATA / f"synthia_{split}.txt", digits=7)
    return Split((*divided, *(flat(f"{place}RGB", f"{place}GT/LABELS") for place in places)))


def bdd100k_split(split: str) -> Split:
    """The pictures of BDD100K's ``split`` with labels, in any of the forms that the vendor has shipped."""
    first = f"segmentation/{split}"  # in the first release
    return Split(
        (
            Layout(f"images/{split}", f"labels/{split}", (".jpg",), "_train_id.png"),
            Layout(f"seg/images/{split}", f"seg/labels/{split}", (".jpg",), "_train_id.png"),
            Layout(f"images/10k/{split}", f"labels/sem_seg/masks/{split}", (".jpg",)),
            Layout(f"{first}/raw_images", f"{first}/class_id", (".jpg",), coding=codings.BDD100K_IDS),
        )
    )


def _mapillary(folder: str) -> Split:
    pictures = f"{folder}/images"
    return Split((Layout(pictures, f"{folder}/labels"), Layout(pictures, f"{folder}/v1.2/labels")))


def _camvid(name: str, **splits: tuple[str, str]) -> DatasetSpec:
    """CamVid or a part of it; each split is (folder, pattern of the beginning of its file names)."""
    return DatasetSpec(
        name,
        "camvid",
        {split: Split(_camvid_layouts(folder), only) for split, (folder, only) in splits.items()},
        codings.CAMVID,
        (classes.CAMVID_11,),
    )


def _camvid_layouts(split: str) -> tuple[Layout, ...]:
    """The folders of SegNet's form, which has 11 classes, and of the forms that have all 32 classes."""
    flat = partial(Layout, listed=SPLIT_DATA / f"camvid_{split}.txt", coding=codings.CAMVID_32)
    return (
        Layout(split, f"{split}annot"),
        Layout(split, f"{split}_labels", label_suffix="_L.png", coding=codings.CAMVID_32),
        flat("701_StillsRaw_full", "LabeledApproved_full", label_suffix="_L.png"),
        flat("images", "labels", label_suffix="_P.png"),
    )


def _nthu(city: str) -> DatasetSpec:
    """One city of NTHU's cross-city data: its training pictures have no labels; its test part is also val."""
    test = Split((Layout(f"{city}/Images/Test", f"{city}/Labels/Test", label_suffix="_eval.png"),))
    return DatasetSpec(
        f"nthu_{city.lower()}",
        "nthu",
        {"train": Split((Layout(f"{city}/Images/Train", None),)), "val": test, "test": test},
        codings.CITYSCAPES_IDS,
        (classes.SYNTHIA_13,),
        further_root_names=("NTHU_Datasets",),
    )


# Pictures of the official training part that cannot be used because their label has another size.
_GTAV_MISMATCHED = r"(12160|12166|12167|12191|12192|12193|12195|1220[2-8]|19993)$"

KITTI_VAL_FRAMES: tuple[tuple[int, ...], ...] = (
    (*(1, 5, 11, 29, 35, 49, 57, 68, 72, 82, 93), *(115, 119, 130, 145, 154, 156, 167, 169, 189, 198)),
    (*(0, 12, 24, 31, 42, 50, 63, 71, 84, 96, 101), *(112, 121, 133, 141, 155, 164, 171, 187, 191, 197)),
    (*(3, 6, 13, 21, 41, 54, 61, 73, 88, 91, 110), *(121, 126, 131, 142, 149, 150, 163, 173, 183, 199)),
)
"""The val frames of the three published divisions of KITTI's 200 pictures. The first division is official."""


def _kitti(fold: int) -> dict[str, Split]:
    layouts = (Layout("training/image_2", "training/semantic"),)
    # The same folder may hold the multi-view extension: other frames of the same scenes, without labels.
    labelled = r"_10$"
    val = "(" + "|".join(f"{frame:06d}" for frame in KITTI_VAL_FRAMES[fold]) + ")" + labelled
    return {"train": Split(layouts, only=r"\d{6}" + labelled, without=val), "val": Split(layouts, only=val)}


_GTAV_STATISTICS = ChannelStatistics((0.481, 0.479, 0.465), (0.243, 0.239, 0.237))
# How the file names of CamVid's sequences by day and at dusk begin.
_DAY, _DUSK = "(0006R0|0016E5)_", "0001TP_"


def vfm_size(height: int, width: int) -> dict[str, EvaluationTransform]:
    """The size of pictures under the protocol ``vfm``."""
    return {"vfm": EvaluationTransform(size=(height, width), whole_label=True)}


PUBLISHED: tuple[DatasetSpec, ...] = (
    DatasetSpec(
        "cityscapes",
        "cityscapes",
        {
            **{split: Split(_cityscapes(*_FINE, split)) for split in ("train", "val")},
            # The vendor keeps the test labels. The label files in the archive hold no classes.
            "test": Split(tuple(replace(each, labels=None) for each in _cityscapes(*_FINE, "test"))),
            "train_extra": Split(_cityscapes(*_COARSE, "train_extra", quality="gtCoarse")),
        },
        codings.CITYSCAPES_IDS,
        city_folds=2,
        nearby_frames=_CITYSCAPES_FRAMES,
        statistics=ChannelStatistics((0.300, 0.344, 0.297), (0.175, 0.180, 0.177)),
        evaluation=vfm_size(512, 1024),
    ),
    DatasetSpec(
        "gtav",
        "gtav",
        {
            "train": _gtav("train", "train", without=_GTAV_MISMATCHED),
            "val": _gtav("val", "valid", "val"),
            "test": _gtav("test", "test"),
        },
        codings.GTAV,
        city_folds=2,
        lists_flag="--gtav_split",
        further_root_names=("gta", "gta5"),
        statistics=_GTAV_STATISTICS,
        evaluation=vfm_size(720, 1280),
    ),
    DatasetSpec(
        "synthia",
        "synthia",
        {split: _synthia(split) for split in ("train", "val")},
        codings.SYNTHIA,
        (classes.CITYSCAPES_19, classes.SYNTHIA_16, classes.SYNTHIA_13),
        statistics=ChannelStatistics((0.315, 0.278, 0.248), (0.225, 0.214, 0.210)),
    ),
    DatasetSpec(
        "bdd100k",
        "bdd100k",
        {split: bdd100k_split(split) for split in ("train", "val")},
        codings.TRAIN_IDS,
        evaluation=vfm_size(720, 1280),
    ),
    DatasetSpec(
        "mapillary",
        "mapillary",
        {"train": _mapillary("training"), "val": _mapillary("validation")},
        codings.MAPILLARY,
        evaluation={
            "robustnet": EvaluationTransform(height=1536, crop=1536),
            "vfm": EvaluationTransform(factor=0.5, whole_label=True),
        },
    ),
    DatasetSpec(
        "kitti",
        "kitti",
        _kitti(0),
        codings.CITYSCAPES_IDS,
        evaluation={"robustnet": EvaluationTransform(size=(376, 1242))},
        folds=(_kitti(1), _kitti(2)),
    ),
    # DA-SAC chooses its checkpoints on 500 labelled pictures of the training split. Only their number is
    # known, so this is about every sixth picture.
    DatasetSpec(
        "cityscapes_val2",
        "cityscapes",
        {"val": Split(_cityscapes(*_FINE, "train"), evenly=500)},
        codings.CITYSCAPES_IDS,
        evaluation=vfm_size(512, 1024),
    ),
    # DA-SAC trains on the first 10,000 pictures of GTAV, whichever official split they are in. Only the
    # sizes of its train and val parts are published: 9,000 and 1,000. Neighbouring pictures are frames of
    # one sequence, so here val is the last 1,000 instead of pictures in between.
    DatasetSpec(
        "gtav_10k",
        "gtav",
        {
            "train": Split((Layout("images", "labels"),), only=r"0([0-8]\d{3}|9000)$"),
            "val": Split((Layout("images", "labels"),), only=r"(09\d{3}|10000)$", without="09000$"),
        },
        codings.GTAV,
        statistics=_GTAV_STATISTICS,
        evaluation=vfm_size(720, 1280),
    ),
    _camvid("camvid", train=("train", ""), val=("val", ""), test=("test", "")),
    _camvid("camvid_day", train=("train", _DAY), val=("val", _DAY)),
    _camvid("camvid_seq05", val=("test", "Seq05VD_"), test=("test", "Seq05VD_")),
    # Train and val are the same pictures, so training may use them only without their labels.
    _camvid("camvid_dusk", train=("train", _DUSK), val=("train", _DUSK)),
    *(_nthu(city) for city in ("Rome", "Rio", "Tokyo", "Taipei")),
)
