"""The declarations of data sets that robustness is measured on: weather, night, other countries.

All are read as their vendors ship them, and pictures are scored at their own size. Where a vendor labelled
pictures for evaluation alone, they are both val and test, and there is no train.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import product

from datasets.definitions import codings
from datasets.definitions.label_coding import LabelCoding
from datasets.definitions.published import bdd100k_split, vfm_size
from datasets.definitions.spec import DatasetSpec, Layout, Split

CONDITIONS = ("fog", "night", "rain", "snow")
"""ACDC's conditions."""

BETAS = ("0.005", "0.01", "0.02")
"""The attenuation of Foggy Cityscapes' fog per metre, from light to dense."""

NIGHT_LIST = "images_trainval_night_correct_filenames.txt"
"""The list of BDD100K's night pictures with correct labels (MGCDA), below the root of BDD100K."""

DENSE_LIST = "lists_file_names/leftImg8bit_testdense_filenames.txt"
"""The list of Foggy Driving's pictures of dense fog, below its root."""


def _layouts(
    pictures: Sequence[str],
    labels: Sequence[str] | None,
    picture_suffix: str,
    label_suffix: str = "",
    words: str = "",
) -> tuple[Layout, ...]:
    """Pictures in the first of the folders ``pictures`` that exists, labels in the first of ``labels``."""
    places = product(pictures, labels or [None])
    return tuple(
        Layout(folder, of_labels, (picture_suffix,), label_suffix, unlabelled_words=words)
        for folder, of_labels in places
    )


def _grouped(groups: Iterable[str], layouts: Callable[[str], tuple[Layout, ...]]) -> Split:
    """The pictures of all ``groups`` together."""
    return Split(parts=tuple(Split(layouts(group), group=group) for group in groups))


def _acdc(condition: str, split: str) -> tuple[Layout, ...]:
    """The layouts of one condition; unpacked archives may have an outer folder each."""
    below = f"{condition}/{split}"
    pictures = (f"rgb_anon/{below}", f"rgb_anon_trainvaltest/rgb_anon/{below}")
    if split not in ("train", "val"):
        # The vendor keeps the test labels. The paper's fourth version labels some of the reference pictures;
        # how they are shipped is not known here.
        kind = "_rgb_ref_anon.png" if split.endswith("_ref") else "_rgb_anon.png"
        return _layouts(pictures, None, kind)
    labels = (f"gt/{below}", f"gt_trainval/gt/{below}")
    return _layouts(pictures, labels, "_rgb_anon.png", "_gt_labelTrainIds.png")


def _all_acdc(split: str) -> Split:
    return _grouped(CONDITIONS, lambda condition: _acdc(condition, split))


def _dark_zurich(split: str, time: str, labelled: bool = False) -> Split:
    below = f"{split}/{time}"
    labels = (f"gt/{below}",) if labelled else None
    return Split(_layouts((f"rgb_anon/{below}",), labels, "_rgb_anon.png", "_gt_labelTrainIds.png"))


def _test_alone(
    name: str, root_name: str, test: Split, coding: LabelCoding, further_root_names: tuple[str, ...] = ()
) -> DatasetSpec:
    """A data set whose pictures are labelled for evaluation alone."""
    splits = {"val": test, "test": test}
    return DatasetSpec(name, root_name, splits, coding, further_root_names=further_root_names)


def _nighttime_driving() -> Split:
    places = ("", "NighttimeDrivingTest/")
    pictures, labels = ("leftImg8bit", "gtCoarse_daytime_trainvaltest")
    return Split(
        _layouts(
            [f"{place}{pictures}/test/night" for place in places],
            [f"{place}{labels}/test/night" for place in places],
            "_leftImg8bit.png",
            "_gtCoarse_labelTrainIds.png",
        )
    )


def _bdd100k_night() -> Split:
    """The listed pictures of BDD100K's train and val parts together."""
    parts = (
        tuple(replace(layout, among=NIGHT_LIST) for layout in bdd100k_split(split).layouts)
        for split in ("train", "val")
    )
    return Split(parts=tuple(map(Split, parts)))


def _made_from_cityscapes(kind: str, split: str, picture_suffix: str, words: str = "") -> tuple[Layout, ...]:
    """Pictures that were computed from those of Cityscapes, beside its labels."""
    return _layouts(
        (f"leftImg8bit_{kind}/{split}", f"leftImg8bit_trainval_{kind}/leftImg8bit_{kind}/{split}"),
        (f"gtFine/{split}", f"gtFine_trainvaltest/gtFine/{split}"),
        picture_suffix,
        "_gtFine_labelIds.png",
        words,
    )


def _foggy(beta: str, split: str) -> tuple[Layout, ...]:
    return _made_from_cityscapes("foggyDBF", split, f"_leftImg8bit_foggy_beta_{beta}.png")


def _foggy_zurich(listed: str) -> Split:
    """The pictures of one of the vendor's lists; those of the test lists have labels, in two codings."""
    file = f"lists_file_names/RGB_{listed}_filenames.txt"
    if not listed.startswith("test"):
        return Split((Layout("RGB", None, (".png",), among=file),), group=f"{listed} fog")
    kinds = (("gt_labelTrainIds", None), ("gt_labelIds", codings.CITYSCAPES_IDS))
    return Split(
        tuple(Layout("RGB", labels, (".png",), among=file, coding=coding) for labels, coding in kinds)
    )


def _foggy_driving(among: str = "") -> Split:
    """The finely and the coarsely labelled pictures together."""
    kinds = (("test", "gtFine"), ("test_extra", "gtCoarse"))
    layouts = (
        Layout(f"leftImg8bit/{split}", f"{labels}/{split}", ("_leftImg8bit.png",), f"_{labels}_labelIds.png")
        for split, labels in kinds
    )
    return Split(parts=tuple(Split((replace(layout, among=among),)) for layout in layouts))


def _muses(split: str) -> Split:
    """Four kinds of weather by day and by night."""

    def layouts(group: str) -> tuple[Layout, ...]:
        below = f"{split}/{group.replace(' ', '/')}"
        # The vendor keeps the test labels.
        labels = None if split == "test" else (f"gt_semantic/{below}",)
        return _layouts((f"frame_camera/{below}",), labels, "_frame_camera.png", "_gt_labelTrainIds.png")

    weathers, times = ("clear", "fog", "rain", "snow"), ("day", "night")
    return _grouped((f"{weather} {time}" for weather, time in product(weathers, times)), layouts)


def _wilddash2(name: str, coding: LabelCoding) -> DatasetSpec:
    """All pictures with public labels; the archive is ``wd_public_02.zip``.

    In ``wilddash2``, pickups and vans count as cars; in ``wilddash2_strict`` they have no class. Billboards,
    street lights and road markings have none in either.
    """
    places = ("", "wd_public_02/")
    layouts = (Layout(f"{place}images", f"{place}labels", (".jpg",)) for place in places)
    all_pictures = {"val": Split(tuple(layouts))}
    return DatasetSpec(name, "wilddash2", all_pictures, coding, further_root_names=("wilddash",))


def _idd(split: str) -> Split:
    """Both parts of IDD side by side, or their folders merged.

    The vendor's tool makes the label files: those that hold train ids (``--id-type csTrainId``) if they are
    there, else those that hold IDD's ids (``--id-type id``). The pictures of the first part are PNG files,
    those of the second JPEG files.
    """
    places = (("", ""), ("*/", "{1}/"))
    kinds = (("_gtFine_labelcsTrainIds.png", None), ("_gtFine_labelids.png", codings.IDD_IDS))
    return Split(
        tuple(
            Layout(
                f"{pictures}leftImg8bit/{split}",
                None if split == "test" else f"{labels}gtFine/{split}",
                ("_leftImg8bit.png", "_leftImg8bit.jpg"),
                ending,
                coding=coding,
            )
            for (pictures, labels), (ending, coding) in product(places, kinds)
        )
    )


_SPLITS = ("train", "val", "test")

SUITES: tuple[DatasetSpec, ...] = (
    DatasetSpec("acdc", "acdc", {split: _all_acdc(split) for split in _SPLITS}, codings.TRAIN_IDS),
    *(
        DatasetSpec(
            f"acdc_{condition}",
            "acdc",
            {split: Split(_acdc(condition, split)) for split in _SPLITS},
            codings.TRAIN_IDS,
        )
        for condition in CONDITIONS
    ),
    # The same places in good weather by day.
    DatasetSpec(
        "acdc_reference",
        "acdc",
        {split: _all_acdc(f"{split}_ref") for split in _SPLITS},
        codings.TRAIN_IDS,
    ),
    DatasetSpec(
        "dark_zurich",
        "dark_zurich",
        {
            "train": _dark_zurich("train", "night"),
            "val": _dark_zurich("val", "night", labelled=True),
            "test": _dark_zurich("test", "night"),
        },
        codings.TRAIN_IDS,
    ),
    *(
        DatasetSpec(
            f"dark_zurich_{time}", "dark_zurich", {"train": _dark_zurich("train", time)}, codings.TRAIN_IDS
        )
        for time in ("twilight", "day")
    ),
    _test_alone(
        "nighttime_driving",
        "nighttime_driving",
        _nighttime_driving(),
        codings.TRAIN_IDS,
        ("NighttimeDrivingTest",),
    ),
    DatasetSpec(
        "bdd100k_night",
        "bdd100k",
        {"val": _bdd100k_night()},
        codings.TRAIN_IDS,
        evaluation=vfm_size(720, 1280),
    ),
    DatasetSpec(
        "foggy_cityscapes",
        "cityscapes",
        {
            split: Split(parts=tuple(Split(_foggy(beta, split), group=f"beta {beta}") for beta in BETAS))
            for split in ("train", "val")
        },
        codings.CITYSCAPES_IDS,
        evaluation=vfm_size(512, 1024),
    ),
    *(
        DatasetSpec(
            f"foggy_cityscapes_{beta}",
            "cityscapes",
            {split: Split(_foggy(beta, split)) for split in ("train", "val")},
            codings.CITYSCAPES_IDS,
            evaluation=vfm_size(512, 1024),
        )
        for beta in BETAS
    ),
    # A picture is there several times, with different rain that its name describes.
    DatasetSpec(
        "rain_cityscapes",
        "cityscapes",
        {
            split: Split(_made_from_cityscapes("rain", split, ".png", words=r"_leftImg8bit_rain_.*"))
            for split in ("train", "val")
        },
        codings.CITYSCAPES_IDS,
        evaluation=vfm_size(512, 1024),
    ),
    DatasetSpec(
        "foggy_zurich",
        "foggy_zurich",
        {
            "train": Split(parts=(_foggy_zurich("light"), _foggy_zurich("medium"))),
            "val": _foggy_zurich("testv2"),
            "test": _foggy_zurich("testv2"),
        },
        codings.TRAIN_IDS,
    ),
    _test_alone("foggy_driving", "foggy_driving", _foggy_driving(), codings.CITYSCAPES_IDS),
    _test_alone("foggy_driving_dense", "foggy_driving", _foggy_driving(DENSE_LIST), codings.CITYSCAPES_IDS),
    DatasetSpec("muses", "muses", {split: _muses(split) for split in _SPLITS}, codings.TRAIN_IDS),
    _wilddash2("wilddash2", codings.WILDDASH2),
    _wilddash2("wilddash2_strict", codings.WILDDASH2_STRICT),
    DatasetSpec(
        "idd",
        "idd",
        {split: _idd(split) for split in _SPLITS},
        codings.TRAIN_IDS,
        further_root_names=("IDD_Segmentation",),
    ),
)
