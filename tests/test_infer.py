"""infer.py: what it says about pictures, data sets and networks of every kind."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from inference import Run, infer_in, results, save, street, write_checkpoint
from PIL import Image

import infer
from network.restore import load_network
from utils.errors import UserError
from utils.scoring.classes import CITYSCAPES, LABEL_ID_OF_TRAIN_ID, classes_of_number


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "last.pth")


@pytest.fixture
def run(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return partial(infer_in, tmp_path, checkpoint)


def test_every_kind_of_one_picture(run: Run, tmp_path: Path, checkpoint: Path) -> None:
    image = street()
    path = save(image, tmp_path / "street.png")
    assert run("--save", *infer.KINDS, source=path) == 0
    assert results(tmp_path / "out") == {f"{kind}/street.png" for kind in infer.KINDS}
    pictures = {kind: Image.open(tmp_path / "out" / kind / "street.png") for kind in infer.KINDS}
    assert {picture.size for picture in pictures.values()} == {image.size}

    network, _ = load_network(checkpoint)
    with torch.inference_mode():
        logits = network.predict(torch.from_numpy(np.array(image)).permute(2, 0, 1)[None])[0]
    train_ids = np.asarray(pictures["trainids"])
    np.testing.assert_array_equal(train_ids, logits.argmax(0))
    np.testing.assert_array_equal(np.asarray(pictures["labelids"]), LABEL_ID_OF_TRAIN_ID[train_ids])
    np.testing.assert_array_equal(np.asarray(pictures["color"]), CITYSCAPES.palette[train_ids])
    overlay = (np.asarray(image, dtype=float) + CITYSCAPES.palette[train_ids]) / 2
    np.testing.assert_allclose(np.asarray(pictures["overlay"]), overlay, atol=1)
    confidence = logits.softmax(0).amax(0) * 255
    np.testing.assert_allclose(np.asarray(pictures["confidence"]), confidence, atol=1)


def test_default_kinds_are_for_the_eye(run: Run, tmp_path: Path) -> None:
    save(street(), tmp_path / "in/a.png")
    assert run() == 0
    assert results(tmp_path / "out") == {"color/a.png", "overlay/a.png"}


@pytest.mark.parametrize("size", [(1, 1), (1, 37), (33, 17), (200, 3)])
@pytest.mark.parametrize("mode", ["whole", "sliding", "pooling"])
def test_any_size(run: Run, tmp_path: Path, size: tuple[int, int], mode: str) -> None:
    path = save(street(*size), tmp_path / "a.png")
    words = (
        "--inference_mode",
        mode,
        "--crop_size",
        24,
        "--scales",
        0.5,
        1.3,
        "--flip",
        "--save",
        "trainids",
    )
    assert run(*words, source=path) == 0
    assert Image.open(tmp_path / "out/trainids/a.png").size == size


def test_any_kind_of_picture(run: Run, tmp_path: Path) -> None:
    image, folder = street(), tmp_path / "in"
    save(image.convert("L"), folder / "grey.png")
    save(image.convert("CMYK"), folder / "cmyk.jpg")
    save(image.convert("RGBA"), folder / "alpha.png")
    save(image.convert("LA"), folder / "grey-alpha.png")
    save(image.convert("P"), folder / "palette.png")
    save(image.convert("1"), folder / "bits.png")
    save(Image.fromarray(np.full((32, 48), 40000, dtype=np.uint16)), folder / "deep.png")
    save(image, folder / "other.bmp")
    assert run() == 0
    assert len(list((tmp_path / "out/color").iterdir())) == 8


def test_pictures_are_turned_upright(run: Run, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(street(48, 32), tmp_path / "a.jpg", exif=exif)
    assert run(source=path) == 0
    assert Image.open(tmp_path / "out/overlay/a.png").size == (32, 48)


def test_a_picture_too_large_for_the_memory_is_reported(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    predict_picture = infer.predict_picture

    def limited(predict, pictures, size, *rest):
        if size[0] > 32:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return predict_picture(predict, pictures, size, *rest)

    save(street(), tmp_path / "in/small.png")
    save(street(48, 64), tmp_path / "in/large.png")
    monkeypatch.setattr(infer, "predict_picture", limited)
    assert run("--save", "trainids") == 1
    assert results(tmp_path / "out") == {"trainids/small.png"}
    assert (
        "large: not enough memory (CUDA out of memory); use --inference_mode sliding"
        in capsys.readouterr().err
    )


def test_pictures_of_data_sets_without_their_labels(
    run: Run, tmp_path: Path, toycity: Path, checkpoint: Path
) -> None:
    (tmp_path / "data").mkdir()
    shutil.copytree(toycity / "bdd100k/images", tmp_path / "data/bdd100k/images")
    pictures = toycity / "cityscapes/leftImg8bit_trainvaltest"
    shutil.copytree(pictures, tmp_path / "data/cityscapes" / pictures.name)
    words = ("--data_root", tmp_path / "data", "--save", "trainids", "confidence", "--mod", "mine")
    # A data set named twice is segmented once.
    names = ("--val_dataset", "cityscapes", "bdd100k", "cityscapes")
    assert run(*names, *words, source=None) == 0
    out = tmp_path / "out/mine"
    city = [path.name.removesuffix("_leftImg8bit.png") for path in pictures.glob("leftImg8bit/val/*/*.png")]
    city = [f"cityscapes/{{kind}}/{name.split('_')[0]}/{name}.png" for name in city]
    bdd = [f"bdd100k/{{kind}}/{path.stem}.png" for path in (toycity / "bdd100k").glob("images/val/*.jpg")]
    assert len(city) == len(bdd) == 3
    expected = {name.format(kind=kind) for name in (*city, *bdd) for kind in ("trainids", "confidence")}
    assert results(out) == expected

    made = sorted(out.glob("bdd100k/trainids/*.png"))[0]
    (image,) = (toycity / "bdd100k").glob(f"images/val/{made.stem}.jpg")
    assert run("--save", "trainids", source=image, output=tmp_path / "one") == 0
    np.testing.assert_array_equal(Image.open(made), Image.open(tmp_path / "one/trainids" / made.name))

    for path in out.rglob("*.png"):
        path.write_bytes(b"left alone")
    made.unlink()
    assert run(*names, *words, "--resume", source=None) == 0
    assert {name for name in results(out) if (out / name).read_bytes() != b"left alone"} == {
        made.relative_to(out).as_posix(),
        made.relative_to(out).as_posix().replace("trainids", "confidence"),
    }


def test_another_split_of_a_data_set(run: Run, tmp_path: Path, toycity: Path) -> None:
    words = ("--data_root", toycity, "--split", "train", "--save", "trainids")
    assert run("--val_dataset", "bdd100k", *words, source=None) == 0
    assert len(results(tmp_path / "out/bdd100k/trainids")) == 6


def test_a_submission_to_the_cityscapes_server(run: Run, tmp_path: Path, toycity: Path) -> None:
    pictures = "cityscapes/leftImg8bit_trainvaltest/leftImg8bit"
    shutil.copytree(toycity / pictures / "val", tmp_path / "data" / pictures / "test")
    words = ("--data_root", tmp_path / "data", "--split", "test", "--save", "labelids")
    assert run("--val_dataset", "cityscapes", *words, source=None) == 0
    names = {f"{path.parent.name}/{path.name}" for path in (toycity / pictures).glob("val/*/*.png")}
    written = results(tmp_path / "out/cityscapes/labelids")
    assert len(written) == 3 and written == {name.replace("_leftImg8bit", "") for name in names}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere",), "unknown data set 'nowhere'"),
        (("kitti",), "kitti: .* has no folder kitti; put the data"),
        (("bdd100k", "--split", "test"), "bdd100k has no split 'test'"),
        (("bdd100k", "--cv", "1"), "--cv 1: bdd100k has only its official division"),
    ],
)
def test_data_sets_that_are_not_there(
    run: Run, tmp_path: Path, toycity: Path, words: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        run("--val_dataset", *words, "--data_root", toycity, source=None)
    assert not (tmp_path / "out").exists()


def test_one_of_input_and_data_set_is_asked_for(run: Run) -> None:
    for words, source in (((), None), (("--val_dataset", "bdd100k"), Path("in"))):
        with pytest.raises(UserError, match="--val_dataset"):
            run(*words, source=source)


def test_the_familys_command_line(
    run: Run, tmp_path: Path, toycity: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--results is --output; what the network or training is told is compared, or has no effect."""
    words = "--val_dataset cityscapes mapillary bdd-100k --mod blindnet --wt_layer 0 0 0 0 0 0 0".split()
    words += ["--arch", "network.deepv3.DeepMobileNetV3PlusD", "--data_root", str(toycity), "--lr", "0.01"]
    snapshot = write_checkpoint(tmp_path / "family.pth", partial_dilation=True)
    given = [*words, "--snapshot", snapshot, "--results", tmp_path / "theirs"]
    assert run(*given, source=None) == 0
    assert "--lr: for training, no effect here" in capsys.readouterr().out
    folders = sorted(path.name for path in (tmp_path / "theirs/blindnet").iterdir())
    assert folders == ["bdd100k", "cityscapes", "mapillary"]
    assert len(list(tmp_path.glob("theirs/blindnet/*/color/**/*.png"))) == 9
    with pytest.raises(UserError, match="--lr_of_nothing"):
        run("--lr_of_nothing", "1")


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (("--sliding_overlap", "1"), "--sliding_overlap"),
        (("--crop_size", "0"), "--crop_size"),
        (("--scales", "1", "-0.5"), "--scales"),
        (("--tile_batch", "0"), "--tile_batch"),
        (("--snapshot", "missing.pth"), "missing.pth"),
    ],
)
def test_flags_out_of_range(run: Run, tmp_path: Path, words: tuple[str, ...], flag: str) -> None:
    save(street(), tmp_path / "in/a.png")
    with pytest.raises(UserError, match=flag):
        run(*words)
    assert not (tmp_path / "out").exists()


def test_other_classes_have_no_label_ids_of_cityscapes(run: Run, tmp_path: Path) -> None:
    save(street(), tmp_path / "in/a.png")
    snapshot = write_checkpoint(tmp_path / "five.pth", num_classes=5)
    with pytest.raises(UserError, match="--save labelids: .*5 classes without names"):
        run("--snapshot", snapshot, "--save", "labelids")
    assert run("--snapshot", snapshot, "--save", "trainids", "color") == 0
    assert np.asarray(Image.open(tmp_path / "out/trainids/a.png")).max() < 5


@pytest.mark.parametrize("num_classes", [16, 13])
def test_results_of_fewer_classes_are_in_train_ids(run: Run, tmp_path: Path, num_classes: int) -> None:
    image = street()
    save(image, tmp_path / "in/a.png")
    snapshot = write_checkpoint(tmp_path / "fewer.pth", num_classes=num_classes)
    assert run("--snapshot", snapshot, "--num_classes", num_classes, "--save", *infer.KINDS) == 0
    network, _ = load_network(snapshot)
    with torch.inference_mode():
        logits = network.predict(torch.from_numpy(np.array(image)).permute(2, 0, 1)[None])[0]
    expected = np.array(classes_of_number(num_classes).train_ids)[logits.argmax(0)]
    found = {
        kind: np.asarray(Image.open(tmp_path / "out" / kind / "a.png"))
        for kind in ("trainids", "labelids", "color")
    }
    assert expected.max() >= num_classes  # Otherwise classes and train ids might be the same here.
    np.testing.assert_array_equal(found["trainids"], expected)
    np.testing.assert_array_equal(found["labelids"], LABEL_ID_OF_TRAIN_ID[expected])
    np.testing.assert_array_equal(found["color"], CITYSCAPES.palette[expected])
    with pytest.raises(UserError, match=f"--num_classes {num_classes}, the flags say --num_classes 19"):
        run("--snapshot", snapshot, "--num_classes", 19)


def test_mixed_precision_and_memory_layout(run: Run, tmp_path: Path) -> None:
    save(street(), tmp_path / "in/a.png")
    assert run("--save", "confidence") == 0
    exact = np.asarray(Image.open(tmp_path / "out/confidence/a.png"), dtype=float)
    assert run("--save", "confidence", "--amp", "bf16", "--channels_last") == 0
    mixed = np.asarray(Image.open(tmp_path / "out/confidence/a.png"), dtype=float)
    assert abs(mixed - exact).mean() < 10


def test_several_processes_are_refused(
    toycity: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "x", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="works in one process; start it without torchrun"):
        infer.main(["--snapshot", "x", "--input", str(toycity), "--output", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
