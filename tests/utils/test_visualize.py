from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from utils.scoring.visualize import (
    colour_picture,
    confidence_picture,
    crop_pictures,
    grid_picture,
    overlay_picture,
)

PALETTE = np.array([(128, 64, 128), (244, 35, 232)], dtype=np.uint8)


def test_colours_by_class_and_black_elsewhere() -> None:
    picture = colour_picture(np.array([[0, 1, 255]], dtype=np.uint8), PALETTE)
    assert picture.mode == "RGB"
    assert np.asarray(picture).tolist() == [[[128, 64, 128], [244, 35, 232], [0, 0, 0]]]


def test_overlay_is_half_of_each() -> None:
    image, colours = Image.new("RGB", (3, 2), (0, 100, 200)), Image.new("RGB", (3, 2), (200, 100, 0))
    assert np.asarray(overlay_picture(image, colours)).tolist() == [[[100, 100, 100]] * 3] * 2
    assert overlay_picture(image, colours, opacity=0).getpixel((0, 0)) == (0, 100, 200)


def test_confidence_is_grey_from_black_to_white() -> None:
    picture = confidence_picture(np.array([[0, 0.5, 1, 1.0000001]], dtype=np.float32))
    assert picture.mode == "L"
    assert np.asarray(picture).tolist() == [[0, 128, 255, 255]]


def test_crops_with_and_without_labels() -> None:
    image = torch.randint(0, 256, (2, 3, 4, 5), dtype=torch.uint8)
    label = torch.zeros(2, 4, 5, dtype=torch.uint8)
    pictures = crop_pictures({"image": image, "label": label}, ["image"], PALETTE)
    assert set(pictures) == {"0_image", "1_image", "0_label", "1_label"}
    assert pictures["1_label"].getpixel((0, 0)) == (128, 64, 128)
    assert np.array_equal(pictures["1_image"], image[1].permute(1, 2, 0))
    assert set(crop_pictures({"image": image}, ["image"], PALETTE)) == {"0_image", "1_image"}


def test_a_grid_of_rows_shrunk_without_new_colours() -> None:
    board = Image.fromarray(np.indices((8, 16)).sum(0).astype(np.uint8) % 2 * 255)
    red = Image.new("RGB", (16, 8), (255, 0, 0))
    assert grid_picture([[red, board], [board, red]]).size == (32, 16)
    pixels = np.asarray(grid_picture([[red, board], [board, red]], side=5))
    assert pixels.shape == (4, 10, 3)
    assert set(np.unique(pixels)) == {0, 255}
    assert (pixels[:2, :5] == (255, 0, 0)).all() and (pixels[2:, 5:] == (255, 0, 0)).all()
