"""Files of every kind a user may have, and broken ones."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from datasets import labels
from datasets.reading import read_image, read_label, read_size
from utils.errors import UserError

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


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_broken_files_are_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    for read in (
        read_image,
        read_size,
        lambda p: read_label(p, labels.GTAV),
        lambda p: read_label(p, labels.SYNTHIA),
    ):
        with pytest.raises(UserError, match=r"broken\.png: this (picture|label) cannot be read"):
            read(path)


def test_truncated_and_missing_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    Image.effect_noise((64, 64), 50).save(path)
    path.write_bytes(path.read_bytes()[:1000])
    for read in (
        read_image,
        lambda p: read_label(p, labels.TRAIN_IDS),
        lambda p: read_label(p, labels.SYNTHIA),
    ):
        with pytest.raises(UserError, match=r"cut\.png"):
            read(path)
        with pytest.raises(UserError, match=r"gone\.png.*No such file"):
            read(tmp_path / "gone.png")


def gtav_palette_png(path: Path, palette: np.ndarray, indices: np.ndarray) -> None:
    image = Image.fromarray(indices)
    image.putpalette(palette.tobytes())
    image.save(path)


def test_gtav_by_palette_index_colour_or_foreign_palette(tmp_path: Path) -> None:
    path = tmp_path / "label.png"
    ids = labels.GTAV.native_ids[TRAIN_IDS]
    gtav_palette_png(path, labels.LABEL_COLOURS, ids)
    assert (read_label(path, labels.GTAV) == TRAIN_IDS).all()
    Image.fromarray(labels.PALETTE[TRAIN_IDS]).save(path)
    assert (read_label(path, labels.GTAV) == TRAIN_IDS).all()
    Image.fromarray(labels.PALETTE[TRAIN_IDS]).convert("RGBA").save(path)
    assert (read_label(path, labels.GTAV) == TRAIN_IDS).all()
    gtav_palette_png(path, labels.PALETTE[::-1].copy(), 18 - TRAIN_IDS)
    assert (read_label(path, labels.GTAV) == TRAIN_IDS).all()
    Image.fromarray(ids).save(path)
    assert (read_label(path, labels.GTAV) == TRAIN_IDS).all()


def test_palette_index_ignores_what_colours_cannot_tell(tmp_path: Path) -> None:
    path = tmp_path / "label.png"
    gtav_palette_png(path, labels.LABEL_COLOURS, np.array([[18, 34]], dtype=np.uint8))
    assert read_label(path, labels.GTAV).tolist() == [[255, 255]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_synthia_class_is_the_red_channel(tmp_path: Path, dtype: type, channels: int) -> None:
    path = tmp_path / "label.png"
    native = labels.SYNTHIA.native_ids[TRAIN_IDS].astype(dtype)
    if channels == 3:
        instance = np.full_like(native, 77)
        native = np.stack([instance, instance, native], axis=-1)  # OpenCV writes blue, green, red
    cv2.imwrite(str(path), native)
    assert (read_label(path, labels.SYNTHIA) == TRAIN_IDS).all()


def test_value_outside_the_coding_names_file_and_place(tmp_path: Path) -> None:
    path = tmp_path / "label.png"
    Image.fromarray(np.array([[0, 1], [2, 40]], dtype=np.uint8)).save(path)
    with pytest.raises(
        UserError, match=r"label\.png: label value 40 at \(1, 1\) is not in the train id coding"
    ):
        read_label(path, labels.TRAIN_IDS)
