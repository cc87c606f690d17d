"""A checkpoint as an object: what it says of a picture is what infer.py writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from families import write_family_file_of
from inference import infer_in, save, street, write_checkpoint
from PIL import Image

import network
from utils.errors import UserError


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "best.pth")


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.parametrize("num_classes", [19, 16])
def test_it_says_what_infer_writes(tmp_path: Path, num_classes: int) -> None:
    path = save(street(), tmp_path / "street.png")
    snapshot = write_checkpoint(tmp_path / "best.pth", num_classes=num_classes)
    kinds = ("trainids", "confidence", "overlay")
    assert infer_in(tmp_path, snapshot, "--save", *kinds, source=path) == 0
    trainids, confidence, overlay = (Image.open(tmp_path / "out" / kind / path.name) for kind in kinds)
    result = network.load(snapshot).segment(path)
    assert result.train_ids.dtype == np.uint8 and result.confidence.dtype == np.float32
    np.testing.assert_array_equal(result.train_ids, trainids)
    np.testing.assert_array_equal(np.round(result.confidence * 255).astype(np.uint8), confidence)
    np.testing.assert_array_equal(result.overlay, overlay)
    assert result.confidence.min() >= 0 and result.confidence.max() <= 1


def test_a_file_a_pil_picture_and_its_pixels_are_the_same(checkpoint: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(street(48, 32), tmp_path / "turned.png", exif=exif)
    segmenter = network.load(str(checkpoint), "cpu")
    upright = np.asarray(street(48, 32).transpose(Image.Transpose.ROTATE_270))
    results = [segmenter.segment(each) for each in (path, str(path), Image.open(path), upright)]
    assert results[0].train_ids.shape == (48, 32)
    for result in results[1:]:
        np.testing.assert_array_equal(result.train_ids, results[0].train_ids)
        np.testing.assert_array_equal(result.confidence, results[0].confidence)


def test_a_checkpoint_of_another_system(tmp_path: Path) -> None:
    theirs = network.create_network("mobilenet_v2", partial_dilation=True).eval()
    path = write_family_file_of(tmp_path / "theirs.pth", theirs)
    with pytest.raises(UserError, match="state --wt_layer"):
        network.load(path)
    result = network.load(path, wt_layer=(0,) * 7).segment(street())
    pixels = torch.from_numpy(np.array(street())).permute(2, 0, 1)[None]
    with torch.inference_mode():
        np.testing.assert_array_equal(result.train_ids, theirs.predict(pixels)[0].argmax(0))


def test_classes_that_nothing_names_have_colours_of_their_own(tmp_path: Path) -> None:
    result = network.load(write_checkpoint(tmp_path / "five.pth", num_classes=5)).segment(street())
    assert result.train_ids.max() < 5
    assert result.classes.class_names[4] == "class 4"
    assert np.asarray(result.overlay).shape == (*result.train_ids.shape, 3)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        ("nowhere.png", "nowhere.png: this picture cannot be read"),
        (Image.new("F", (4, 4)), "a PIL picture: this picture cannot be read.*32-bit fractions"),
        (np.zeros((4, 4, 3)), r"uint8 H x W x 3; this is float64 \(4, 4, 3\)"),
        (np.zeros((4, 4), np.uint8), r"this is uint8 \(4, 4\)"),
        (np.zeros((0, 4, 3), np.uint8), r"this is uint8 \(0, 4, 3\)"),
        ([1], "this is list"),
    ],
)
def test_what_is_no_picture_is_named(checkpoint: Path, picture: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        network.load(checkpoint).segment(picture)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": "toaster"}, "device toaster: cannot be used"),
        ({"wt_layer": [0, 0]}, "give 7 codes"),
        ({"backbone": "resnet50"}, "was trained with --backbone mobilenet_v2"),
    ],
)
def test_arguments_that_do_not_fit_are_named(
    checkpoint: Path, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message) as error:
        network.load(checkpoint, **arguments)
    assert "\n" not in str(error.value)


def test_a_picture_too_large_for_the_memory_is_named(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter = network.load(checkpoint)

    def exhausted(pictures: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(segmenter.network, "predict", exhausted)
    with pytest.raises(UserError, match="a picture of 48 x 32: not enough memory"):
        segmenter.segment(street())
