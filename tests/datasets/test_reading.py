"""Files of every kind a user may have, and broken ones."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from datasets.definitions import codings
from datasets.files.reading import read_label
from utils.errors import UserError
from utils.images import read_image, read_size
from utils.scoring import classes

TRAIN_IDS = np.arange(19, dtype=np.uint8).repeat(2).reshape(2, 19)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("picture.jpg" if mode == "CMYK" else "picture.png")
    Image.new("RGB", (6, 4), (255, 255, 255)).convert(mode).save(path)
    image = read_image(path)
    assert image.mode == "RGB"
    assert read_size(path) == image.size == (6, 4)
    assert np.asarray(image).min() == 255


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), np.full((4, 6), 0x8000, dtype=np.uint16))
    assert np.asarray(read_image(path)).tolist()[0][0] == [128, 128, 128]


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_exif_orientation_turns_picture_and_size(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"picture{suffix}"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (6, 4)).save(path, exif=exif)
    assert read_image(path).size == read_size(path) == (4, 6)


def street(height: int = 40, width: int = 30) -> np.ndarray:
    """Smooth colours, so that a PNG uses all of its row filters."""
    waves = np.add.outer(np.arange(height) / 7, np.arange(width) / 5)
    return ((np.sin(waves[..., None] + [0, 1, 2]) + 1) * 127).astype(np.uint8)


def asked_for(rows: range | None) -> slice:
    return slice(None) if rows is None else slice(rows.start, rows.stop)


@pytest.mark.parametrize("rows", [None, range(1), range(5, 17), range(5, 39), range(40)])
def test_plain_pictures_are_pillows_where_asked_for(tmp_path: Path, rows: range | None) -> None:
    path, expected = tmp_path / "picture.png", street()
    Image.fromarray(expected).save(path)
    image = read_image(path, rows)
    assert (image.mode, image.size) == ("RGB", (30, 40))
    assert np.array_equal(np.asarray(image)[asked_for(rows)], expected[asked_for(rows)])


@pytest.mark.parametrize("rows", [None, range(1), range(5, 17), range(5, 39), range(40)])
def test_coloured_labels_are_right_where_asked_for(tmp_path: Path, rows: range | None) -> None:
    path = tmp_path / "label.png"
    train_ids = np.random.default_rng(0).integers(0, 19, (40, 30), dtype=np.uint8)
    Image.fromarray(classes.CITYSCAPES.palette[train_ids]).save(path)
    label = read_label(path, codings.GTAV, rows)
    assert label.shape == (40, 30)
    assert np.array_equal(label[asked_for(rows)], train_ids[asked_for(rows)])


def test_rgb_pngs_that_are_not_plain_are_read_as_before(tmp_path: Path) -> None:
    pixels = street()
    turned = Image.Exif()
    turned[0x0112] = 3
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=turned)
    Image.fromarray(pixels).save(tmp_path / "transparent.png", transparency=(0, 0, 0))
    cv2.imwrite(str(tmp_path / "deep.png"), pixels[..., ::-1].astype(np.uint16) * 256 + 255)
    for name, expected in (("turned", pixels[::-1, ::-1]), ("transparent", pixels), ("deep", pixels)):
        assert np.array_equal(np.asarray(read_image(tmp_path / f"{name}.png", range(3))), expected), name


def test_cut_short_plain_pictures_are_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    noise = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:-1500])
    for rows in (None, range(33)):
        with pytest.raises(UserError, match=r"cut\.png: this picture cannot be read"):
            read_image(path, rows)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_broken_files_are_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    for read in (
        read_image,
        read_size,
        lambda p: read_label(p, codings.GTAV),
        lambda p: read_label(p, codings.SYNTHIA),
    ):
        with pytest.raises(UserError, match=r"broken\.png: this (picture|label) cannot be read"):
            read(path)


def test_truncated_and_missing_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    Image.effect_noise((64, 64), 50).save(path)
    path.write_bytes(path.read_bytes()[:1000])
    for read in (
        read_image,
        lambda p: read_label(p, codings.TRAIN_IDS),
        lambda p: read_label(p, codings.SYNTHIA),
    ):
        with pytest.raises(UserError, match=r"cut\.png"):
            read(path)
        with pytest.raises(UserError, match=r"gone\.png.*No such file"):
            read(tmp_path / "gone.png")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_synthia_class_is_the_red_channel(tmp_path: Path, dtype: type, channels: int) -> None:
    path = tmp_path / "label.png"
    native = codings.SYNTHIA.native_ids[TRAIN_IDS].astype(dtype)
    if channels == 3:
        instance = np.full_like(native, 77)
        native = np.stack([instance, instance, native], axis=-1)  # OpenCV writes blue, green, red
    cv2.imwrite(str(path), native)
    assert (read_label(path, codings.SYNTHIA) == TRAIN_IDS).all()


def test_value_outside_the_coding_names_file_and_place(tmp_path: Path) -> None:
    path = tmp_path / "label.png"
    Image.fromarray(np.array([[0, 1], [2, 40]], dtype=np.uint8)).save(path)
    with pytest.raises(
        UserError, match=r"label\.png: label value 40 at \(1, 1\) is not in the train id coding"
    ):
        read_label(path, codings.TRAIN_IDS)


def test_the_place_of_a_wrong_colour_is_the_pictures_own_if_only_rows_are_read(tmp_path: Path) -> None:
    pixels = np.full((200, 40, 3), codings.GTAV.palette[7], dtype=np.uint8)
    pixels[60, 3] = 1, 2, 3
    Image.fromarray(pixels).save(tmp_path / "label.png")
    with pytest.raises(UserError, match=r"label\.png: label value \(1, 2, 3\) at \(3, 60\)"):
        read_label(tmp_path / "label.png", codings.GTAV, range(50, 80))
    # A label that is shorter than its picture is for whoever compares their sizes.
    assert read_label(tmp_path / "label.png", codings.GTAV, range(300, 310)).shape == (200, 40)
