"""Rows: pictures that are odd, and legal: what comes out is right."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import cv2
import numpy as np
from PIL import Image

from tests.faults.table import Place, Row
from tests.inference import save, street
from tests.videos import H264, VARIABLE, write_video

LEGAL = "legal though odd"
SIZE = (48, 32)
_ROTATED = 0x0112


def _same_prediction(place: Place) -> None:
    """The odd picture is predicted as the plain one, which has the colours it should be read with."""
    predictions = place.root / "out" / "trainids"
    odd, plain = (np.asarray(Image.open(predictions / f"{name}.png")) for name in ("odd", "plain"))
    assert odd.shape == plain.shape
    # Colours that a lossy format or another depth rounds may move a border by a few pixels.
    assert (odd != plain).mean() < 0.02


def _in_mode(mode: str, suffix: str = "png", **options: object) -> Callable[[Place], None]:
    def make(place: Place) -> None:
        odd = street(*SIZE).convert(mode)
        path = save(odd, place.root / "in" / f"odd.{suffix}", **options)
        with Image.open(path) as saved:
            save(saved.convert("RGB"), place.root / "in" / "plain.png")

    return make


def _array(pixels: np.ndarray, plain: np.ndarray, suffix: str = "png") -> Callable[[Place], None]:
    def make(place: Place) -> None:
        cv2.imwrite(str(place.root / "in" / f"odd.{suffix}"), pixels)
        cv2.imwrite(str(place.root / "in" / "plain.png"), plain)

    return make


def _turned(orientation: int) -> Callable[[Place], None]:
    turns = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        6: [Image.Transpose.ROTATE_270],
        8: [Image.Transpose.ROTATE_90],
    }

    def make(place: Place) -> None:
        exif = Image.Exif()
        exif[_ROTATED] = orientation
        picture = street(*SIZE)
        save(picture, place.root / "in" / "odd.png", exif=exif)
        for turn in turns[orientation]:
            picture = picture.transpose(turn)
        save(picture, place.root / "in" / "plain.png")

    return make


def _of_size(width: int, height: int) -> tuple[Callable[[Place], None], Callable[[Place], None]]:
    def right(place: Place) -> None:
        assert Image.open(place.root / "out" / "trainids" / "odd.png").size == (width, height)

    return lambda place: save(street(width, height), place.root / "in" / "odd.png") and None, right


def _resized_pair(width: int, height: int) -> Callable[[Place], None]:
    def make(place: Place) -> None:
        for split in ("train", "val"):
            image, label = place.pair(split)[1:3]
            for path in (image, label):
                with Image.open(path) as picture:
                    small = picture.resize((width, height), Image.Resampling.NEAREST)
                small.save(path)

    return make


def _scored(place: Place) -> None:
    content = json.loads((place.out / "scores.json").read_text())
    assert content["domains"]["gtav"]["images"] == 3


def _label_missing(split: str) -> Callable[[Place], None]:
    return lambda place: place.pair(split).label.unlink()


def _scored_without_one(place: Place) -> None:
    content = json.loads((place.out / "scores.json").read_text())
    assert content["domains"]["gtav"]["images"] == 2


def _trained_without_one(place: Place) -> None:
    log = (place.out / "default" / "tiny" / "log.txt").read_text()
    assert "gtav train: 1 pictures without a label are left out, first " in log


def _prepared_without_one(place: Place) -> None:
    assert len([*(place.out / "copies" / "gtav" / "val" / "labels").rglob("*.png")]) == 2


def _trained(place: Place) -> None:
    assert (place.out / "default" / "tiny" / "last.pth").is_file()


def _frames(place: Place) -> None:
    assert place.written() == {f"trainids/drive/{number:06d}.png" for number in range(1, 10)}


def _video(suffix: str, *options: str) -> Callable[[Place], None]:
    return lambda place: write_video(place.root / "in" / f"drive.{suffix}", 9, *H264, *options) and None


def _among_notes(place: Place) -> None:
    save(street(*SIZE), place.root / "in" / "odd.png")
    for name in ("notes.txt", "a.json"):
        (place.root / "in" / name).write_text("")


def _rows() -> Iterator[Row]:
    grey = np.random.default_rng(0).integers(0, 2**16, SIZE[::-1], dtype=np.uint16)
    colour = np.random.default_rng(0).integers(0, 2**16, (*SIZE[::-1], 3), dtype=np.uint16)
    made = {
        "grey": _in_mode("L"),
        "grey with alpha": _in_mode("LA"),
        "colours with alpha": _in_mode("RGBA"),
        "a palette": _in_mode("P"),
        "a palette with a transparent colour": _in_mode("P", transparency=0),
        "black and white, 1 bit": _in_mode("1"),
        "CMYK": _in_mode("CMYK", "jpg"),
        "a progressive JPEG": _in_mode("RGB", "jpg", progressive=True),
        "GIF": _in_mode("RGB", "gif"),
        "JPEG 2000": _in_mode("RGB", "jp2"),
        "JFIF": _in_mode("RGB", "jfif"),
        "QOI": _in_mode("RGB", "qoi"),
        "TGA": _in_mode("RGB", "tga"),
        "WebP": _in_mode("RGB", "webp", lossless=True),
        "a suffix in capitals": _in_mode("RGB", "PNG"),
        "a JPEG that is called PNG": _in_mode("RGB", "png", format="JPEG"),
        "16-bit grey": _array(grey, (grey >> 8).astype(np.uint8)),
        "16-bit grey TIFF": _array(grey, (grey >> 8).astype(np.uint8), "tif"),
        "16-bit colours": _array(colour, (colour >> 8).astype(np.uint8)),
        **{f"EXIF orientation {number}": _turned(number) for number in (2, 3, 6, 8)},
    }
    for what, make in made.items():
        yield Row(LEGAL, what, "infer.py", make=make, right=_same_prediction)
    for size, flags in (
        ((1, 1), ""),
        ((1, 200), ""),
        ((20_000, 24), ""),
        ((3, 5_000), "--inference_mode sliding --crop_size 256"),
        ((40, 30), "--scales 0.001"),
    ):
        make, right = _of_size(*size)
        what = f"{size[0]} x {size[1]} pixels {flags}".strip()
        yield Row(LEGAL, what, "infer.py", flags, make=make, right=right)
    for suffix in ("mp4", "mkv", "mov"):
        make = _video(suffix, *VARIABLE)
        yield Row(LEGAL, f"a video (.{suffix}) of variable frame rate", "infer.py", make=make, right=_frames)
    make = _video("mkv", "-live", "1")
    yield Row(LEGAL, "a video without stated duration", "infer.py", make=make, right=_frames)
    right = _of_size(*SIZE)[1]
    yield Row(LEGAL, "a picture among other files", "infer.py", make=_among_notes, right=right)
    for program, split, right in (
        ("train.py", "train", _trained_without_one),
        ("valid.py", "val", _scored_without_one),
        ("scripts.prepare", "val", _prepared_without_one),
    ):
        what, make = f"a {split} label is missing, --skip_unlabelled", _label_missing(split)
        yield Row(LEGAL, what, program, "--skip_unlabelled", make=make, right=right)
    yield Row(LEGAL, "a pair of 1 x 1 pixels", "valid.py", make=_resized_pair(1, 1), right=_scored)
    make = _resized_pair(1, 1)
    yield Row(LEGAL, "pairs of 1 x 1 pixels", "train.py", make=make, right=_trained)
    make = _resized_pair(4_000, 3)
    yield Row(LEGAL, "pairs of 4,000 x 3 pixels", "train.py", make=make, right=_trained)
    refused = ("odd.tif", "32-bit", "8 bits")
    make = _array(np.full(SIZE[::-1], 0.5, dtype=np.float32), np.zeros(SIZE[::-1], dtype=np.uint8), "tif")
    yield Row(
        "broken pictures", "fractions (TIFF)", "infer.py", "", refused, make, leaves=("trainids/plain",)
    )


ROWS = [*_rows()]
