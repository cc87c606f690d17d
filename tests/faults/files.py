"""Rows: pictures and labels that cannot be read, or do not belong together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from datasets.definitions.catalog import spec
from datasets.definitions.codings import GTAV
from datasets.files.pairing import list_pairs
from datasets.files.reading import read_label
from tests.faults.spoiling import SPOILT, Spoil
from tests.faults.table import COPIES, RUN, Place, Row
from tests.inference import street
from tests.videos import H264, cut, write_video

PICTURES, LABELS = "broken pictures", "broken labels"
# Program -> what it leaves of the others' pictures and labels.
_READERS = {"valid.py": (), "scripts.check": (), "scripts.importance": (), "scripts.prepare": COPIES}
_LABEL_READERS = {"valid.py": (), "scripts.check": (), "scripts.prepare": COPIES}
_ODD_IDS = {"gtav": 77, "cityscapes": 77, "synthia": 77, "bdd100k": 77, "mapillary": 177}

_ENCODED = {"mp4": H264, "mkv": H264, "avi": ("-c:v", "mpeg4", "-g", "10", "-q:v", "2")}
_VIDEO_SPOILT: dict[str, Spoil] = {
    "empty": SPOILT["empty"],
    "zeros": SPOILT["zeros"],
    "only its first 60 bytes": SPOILT["only its first 60 bytes"],
    "a pipe": SPOILT["a pipe"],
    "cut in half": SPOILT["cut in half"],
    "without its last part": lambda path: cut(path, 0.9) and None,
}


def _spoilt_input(spoil: Spoil) -> Callable[[Place], None]:
    return lambda place: spoil(place.picture)


def _spoilt_among_others(spoil: Spoil) -> Callable[[Place], None]:
    def make(place: Place) -> None:
        spoil(place.picture)
        street().save(place.root / "in" / "good.png")

    return make


def _spoilt_pair(part: str, spoil: Spoil, split: str = "val") -> Callable[[Place], None]:
    """Data whose first picture ("image") or label ("label") of a split is spoilt."""
    return lambda place: spoil(getattr(place.pair(split), part))


def _relabelled(change: Callable[[Image.Image], Image.Image], name: str = "gtav") -> Callable[[Place], None]:
    """Data whose first validation label is changed."""

    def make(place: Place) -> None:
        path = place.pair(name=name).label
        with Image.open(path) as label:
            changed = change(label)
        changed.save(path, format="TIFF" if changed.mode == "F" else "PNG")

    return make


def _with_value(value: int) -> Callable[[Image.Image], Image.Image]:
    def change(label: Image.Image) -> Image.Image:
        ids = np.full((label.height, label.width), value, dtype=np.uint16 if value > 255 else np.uint8)
        return Image.fromarray(ids)

    return change


def _without_a_class(split: str) -> Callable[[Place], None]:
    """GTAV data all of whose labels of a split tell the road, 255, from everything else, 0."""

    def make(place: Place) -> None:
        for pair in list_pairs(spec("gtav"), split, place.dataset()):
            road = read_label(pair.label, GTAV) == 0
            Image.fromarray(np.where(road, 255, 0).astype(np.uint8)).save(pair.label)

    return make


def _as_mode(mode: str) -> Callable[[Image.Image], Image.Image]:
    return lambda label: Image.new("F", label.size, 7.5).convert(mode)


def _spoilt_video(suffix: str, options: tuple[str, ...], spoil: Spoil) -> Callable[[Place], None]:
    def make(place: Place) -> None:
        spoil(write_video(place.root / "in" / f"drive.{suffix}", 12, *options))

    return make


def _gone(path: Path) -> None:
    path.unlink()


def _all_training_pictures_cut(place: Place) -> None:
    for path in (place.dataset() / "images" / "train").rglob("*.png"):
        SPOILT["cut in half"](path)


def _pictures() -> Iterator[Row]:
    mend = ("remove",)
    for what, spoil in SPOILT.items():
        make = _spoilt_input(spoil)
        yield Row(PICTURES, what, "infer.py", words=("street.png", *mend), make=make)
        for program, leaves in _READERS.items():
            make, words = _spoilt_pair("image", spoil), ("images/valid", *mend)
            yield Row(PICTURES, f"a val picture is {what}", program, "", words, make, leaves=leaves)
    for what in ("empty", "cut in half"):
        yield Row(
            PICTURES,
            f"one of two is {what}",
            "infer.py",
            words=("street.png", *mend),
            make=_spoilt_among_others(SPOILT[what]),
            leaves=("trainids/good.png",),
        )
    for what in ("empty", "a pipe", "a web page"):
        make = _spoilt_pair("image", SPOILT[what], "train")
        yield Row(
            PICTURES, f"a training picture is {what}", "train.py", words=("images/train", *mend), make=make
        )
    yield Row(
        PICTURES,
        "every training picture is cut in half",
        "train.py",
        words=("--max_bad_samples 10", "images/train", *mend),
        make=_all_training_pictures_cut,
        leaves=RUN,
    )
    for what in ("empty", "a link to nowhere"):
        make = _spoilt_pair("image", SPOILT[what])
        yield Row(PICTURES, f"a val picture is {what}", "train.py", words=("images/valid", *mend), make=make)
    yield Row(
        PICTURES,
        "a val picture is cut in half",
        "train.py",
        words=("images/valid", *mend),
        make=_spoilt_pair("image", SPOILT["cut in half"]),
        leaves=RUN,
    )
    yield Row(
        PICTURES,
        "a video is a text",
        "infer.py",
        words=("drive.mp4",),
        make=lambda place: (place.root / "in" / "drive.mp4").write_text("no video") and None,
    )
    for suffix, options in _ENCODED.items():
        for what, spoil in _VIDEO_SPOILT.items():
            yield Row(
                PICTURES,
                f"a video (.{suffix}) is {what}",
                "infer.py",
                words=(f"drive.{suffix}: ", *mend),
                make=_spoilt_video(suffix, options, spoil),
                leaves=("trainids/drive/",),
            )
    for what in ("empty", "cut in half"):
        make = _spoilt_pair("image", SPOILT[what])
        yield Row(PICTURES, f"a val picture is {what}", "scripts.report", words=("images/valid",), make=make)


def _labels() -> Iterator[Row]:
    for what, spoil in SPOILT.items():
        make = _spoilt_pair("label", spoil)
        for program, leaves in _LABEL_READERS.items():
            words = ("labels/valid", "remove")
            yield Row(LABELS, f"a val label is {what}", program, "", words, make, leaves=leaves)
    for what in ("empty", "cut in half", "flipped bits"):
        for split, folder in (("train", "labels/train"), ("val", "labels/valid")):
            make = _spoilt_pair("label", SPOILT[what], split)
            yield Row(LABELS, f"a {split} label is {what}", "train.py", words=(folder, "remove"), make=make)
    for program, leaves in {"train.py": (), **_LABEL_READERS}.items():
        make = _spoilt_pair("label", _gone)
        yield Row(
            LABELS,
            "a label is missing",
            program,
            words=("has no label", "labels/valid", "--skip_unlabelled"),
            make=make,
        )
        make = _relabelled(lambda label: label.crop((0, 0, 20, 30)))
        words = ("is 128x64 but its label", "20x30", "remove the pair")
        yield Row(LABELS, "a label of another size", program, words=words, make=make)
        make = _relabelled(_with_value(200))
        words = ("labels/valid", "200")
        yield Row(LABELS, "a value that no class has", program, "", words, make, leaves=leaves)
    for name, value in _ODD_IDS.items():
        words, make = (str(value), "not in the"), _relabelled(_with_value(value), name)
        flags = f"--val_dataset {name}"
        yield Row(LABELS, f"a value that {name} has not", "valid.py", flags, words, make)
    make = _relabelled(_with_value(300))
    yield Row(LABELS, "16-bit values above the coding", "valid.py", words=("300", "labels/valid"), make=make)
    for mode, what in (("RGB", "colours that mean no class"), ("F", "fractions")):
        make = _relabelled(_as_mode(mode))
        yield Row(LABELS, f"a label in {what}", "valid.py", words=("labels/valid",), make=make)
    make = _relabelled(_as_mode("RGB"), "cityscapes")
    flags = "--val_dataset cityscapes"
    yield Row(LABELS, "a colour label where ids are", "valid.py", flags, ("(7, 7, 7)", "gtFine"), make)
    words = ("no pixel of its labels has a class", "all are ignored")
    for program, split in (("train.py", "train"), ("train.py", "val"), ("valid.py", "val")):
        make = _without_a_class(split)
        yield Row(LABELS, f"every {split} label is a mask of 0 and 255", program, words=words, make=make)
    yield Row(
        LABELS,
        "every label is a mask of 0 and 255",
        "scripts.check",
        words=words,
        make=_without_a_class("val"),
    )


ROWS = [*_pictures(), *_labels()]
