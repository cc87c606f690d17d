"""python -m scripts.importance: weights by a network's predictions, or by what infer.py made of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from inference import infer_in, write_checkpoint
from PIL import Image
from processes import two_processes
from programs import TINY_METHODS, train_arguments

import train
from datasets.sampling.importance_weights import (
    find_predictions,
    importance_weights,
    read_importance_weights,
    write_importance_weights,
)
from network.restore import load_network
from scripts import importance
from utils.errors import UserError
from utils.scoring.classes import classes_of_number

Run = Callable[..., int]
PICTURES = "cityscapes/leftImg8bit_trainvaltest/leftImg8bit/train"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "last.pth", seed=1)


@pytest.fixture(scope="module")
def unlabelled(toycity: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of data sets in which Cityscapes has its training pictures, and no label file."""
    root = tmp_path_factory.mktemp("unlabelled")
    shutil.copytree(toycity / PICTURES, root / PICTURES)
    return root


@pytest.fixture
def run(unlabelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the program on Cityscapes' training pictures, on the CPU, with the result in weights.json."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    def call(*words: object) -> int:
        places = ["--data_root", unlabelled, "--output", tmp_path / "weights.json"]
        flags = ("--dataset", "cityscapes", "--num_workers", 0, *places, *words)
        return importance.main([str(word) for word in flags])

    return call


def written(folder: Path) -> dict[str, dict[str, float]]:
    return json.loads((folder / "weights.json").read_text())["pictures"]


def expected_counts(root: Path, checkpoint: Path) -> dict[str, np.ndarray]:
    """By picture, how many pixels of each class the network predicts in the whole of it."""
    network, _ = load_network(checkpoint)
    counts = {}
    for path in sorted((root / PICTURES).glob("*/*.png")):
        pixels = torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)[None]
        with torch.inference_mode():
            classes = network.predict(pixels).argmax(1).flatten()
        name = f"{path.parent.name}/{path.name.removesuffix('_leftImg8bit.png')}"
        counts[name] = classes.bincount(minlength=network.config["num_classes"]).numpy()
    return counts


@pytest.mark.parametrize("num_classes", [19, 16])
def test_shares_are_of_what_the_network_predicts(
    run: Run, unlabelled: Path, tmp_path: Path, num_classes: int, capsys: pytest.CaptureFixture[str]
) -> None:
    snapshot = write_checkpoint(tmp_path / "last.pth", seed=1, num_classes=num_classes)
    assert run("--snapshot", snapshot) == 0
    counts = expected_counts(unlabelled, snapshot)
    total = sum(counts.values())
    weights = read_importance_weights(tmp_path / "weights.json")
    assert (weights.num_classes, weights.dataset, weights.split) == (num_classes, "cityscapes", "train")
    assert len(weights.pictures) == 6
    assert {name: [*of_picture] for name, of_picture in weights.pictures.items()} == {
        name: np.flatnonzero(count).tolist() for name, count in counts.items()
    }
    for name, of_picture in weights.pictures.items():
        shares = {c: counts[name][c] / total[c] for c in of_picture}
        assert of_picture == pytest.approx(shares)
    assert np.count_nonzero(total) >= 8
    never = [
        n for n, pixels in zip(classes_of_number(num_classes).class_names, total, strict=True) if pixels == 0
    ]
    assert never
    assert f"{', '.join(never)}: not predicted anywhere" in capsys.readouterr().out


@pytest.mark.parametrize("coding", ["trainids", "labelids"])
@pytest.mark.parametrize("num_classes", [19, 16])
def test_files_of_infer_give_the_same_weights(
    run: Run, unlabelled: Path, tmp_path: Path, coding: str, num_classes: int
) -> None:
    snapshot = write_checkpoint(tmp_path / "last.pth", seed=1, num_classes=num_classes)
    assert run("--snapshot", snapshot) == 0
    by_network = written(tmp_path)
    words = ("--val_dataset", "cityscapes", "--split", "train", "--data_root", unlabelled, "--save", coding)
    assert infer_in(tmp_path, snapshot, *words, source=None) == 0
    folder = tmp_path / "out/cityscapes" / coding
    flags = ("--coding", coding, "--num_classes", num_classes, "--overwrite")
    assert run("--predictions", folder, *flags) == 0
    assert written(tmp_path) == by_network

    # In one folder, called as the label files: DA-SAC's own way, and the Cityscapes server's.
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in folder.rglob("*.png"):
        path.rename(flat / f"{path.stem}_gtFine_labelIds.png")
    assert run("--predictions", flat, *flags) == 0
    assert written(tmp_path) == by_network


def test_two_processes_write_the_same_file(
    run: Run, unlabelled: Path, checkpoint: Path, tmp_path: Path, project: Path
) -> None:
    assert run("--snapshot", checkpoint) == 0
    output = tmp_path / "two.json"
    words = ["--dataset", "cityscapes", "--data_root", str(unlabelled), "--num_workers", "0"]
    words += ["--snapshot", str(checkpoint), "--output", str(output)]
    two_processes(project, "scripts.importance", *words)
    assert json.loads(output.read_text()) == json.loads((tmp_path / "weights.json").read_text())


def test_another_split_and_mixed_precision(run: Run, toycity: Path, checkpoint: Path, tmp_path: Path) -> None:
    words = ("--snapshot", checkpoint, "--data_root", toycity, "--split", "val")
    assert run(*words) == 0
    exact = written(tmp_path)
    assert len(exact) == 3
    assert run(*words, "--amp", "bf16", "--channels_last", "--overwrite") == 0
    assert written(tmp_path).keys() == exact.keys()
    assert written(tmp_path) != exact


def test_nothing_is_replaced_unasked(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "weights.json").write_text("mine")
    with pytest.raises(UserError, match=r"--output .*weights.json: is there already; .*--overwrite"):
        run("--snapshot", checkpoint)
    assert (tmp_path / "weights.json").read_text() == "mine"
    assert run("--snapshot", checkpoint, "--overwrite") == 0
    assert len(written(tmp_path)) == 6


def test_flags_of_training_have_no_effect(
    run: Run, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        run("--snapshot", checkpoint, "--max_iter", "2", "--bs_mult", "1", "--backbone", "mobilenet_v2") == 0
    )
    assert "--max_iter --bs_mult: for training, no effect here" in capsys.readouterr().out
    with pytest.raises(UserError, match="--max_iters 2"):
        run("--snapshot", checkpoint, "--max_iters", "2")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--dataset", "nowhere"), "unknown data set 'nowhere'"),
        (("--dataset", "gtav"), "gtav: .*has no folder gtav"),
        (("--split", "dusk"), "cityscapes has no split 'dusk'"),
        (("--split", "test"), "leftImg8bit/test: no such folder"),
        (("--split", "val"), "leftImg8bit/val: no such folder"),
        (("--snapshot", "missing.pth"), "missing.pth: no such checkpoint"),
        (("--num_classes", "16"), "--num_classes 19, the flags say --num_classes 16"),
        (("--output", "."), "--output .*: a file cannot be written there"),
        (("--num_workers", "-1"), "--num_workers -1"),
    ],
)
def test_mistakes_are_one_line(
    run: Run, checkpoint: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        run("--snapshot", checkpoint, *words)
    assert not (tmp_path / "weights.json").exists()


def test_a_file_that_is_no_network(run: Run, tmp_path: Path) -> None:
    (tmp_path / "rubbish.pth").write_bytes(b"rubbish")
    with pytest.raises(UserError, match="rubbish.pth: "):
        run("--snapshot", tmp_path / "rubbish.pth")
    assert not (tmp_path / "weights.json").exists()


def test_predictions_that_cannot_be_used(run: Run, unlabelled: Path, tmp_path: Path) -> None:
    folder = tmp_path / "predictions"
    with pytest.raises(UserError, match="--predictions .*: no such folder"):
        run("--predictions", folder)
    pictures = sorted((unlabelled / PICTURES).glob("*/*.png"))
    names = [path.name.removesuffix("_leftImg8bit.png") for path in pictures]
    folder.mkdir()
    for name in names[1:]:
        Image.fromarray(np.full((8, 8), 18, dtype=np.uint8)).save(folder / f"{name}.png")
    with pytest.raises(UserError, match=f"holds no prediction of .*/{names[0]}"):
        run("--predictions", folder)
    first = folder / f"{names[0]}_gtFine_labelIds.png"
    first.write_bytes(b"rubbish")
    with pytest.raises(UserError, match=f"{first.name}: this label cannot be read"):
        run("--predictions", folder)
    Image.fromarray(np.full((8, 8), 26, dtype=np.uint8)).save(first)
    with pytest.raises(UserError, match=rf"{first.name}: .*26"):
        run("--predictions", folder)
    shutil.copy(first, folder / f"{names[0]}_color.png")
    with pytest.raises(UserError, match=f"{names[0]}_color.png and {first.name} both"):
        run("--predictions", folder)
    assert not (tmp_path / "weights.json").exists()


def test_a_name_that_begins_another_is_not_mistaken_for_it(tmp_path: Path) -> None:
    for name in ("city/a_1.png", "city/a_1_2.png", "other/b_1_x.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert find_predictions(tmp_path, ["city/a_1", "city/a_1_2", "elsewhere/b_1"]) == [
        tmp_path / "city/a_1.png",
        tmp_path / "city/a_1_2.png",
        tmp_path / "other/b_1_x.png",
    ]


def test_a_run_goes_on_with_the_same_weights_wherever_they_are(toycity: Path, tmp_path: Path) -> None:
    names = [f"{p.parent.name}/{p.name[:-16]}" for p in (toycity / PICTURES).glob("*/*_leftImg8bit.png")]
    pixels = np.random.default_rng(0).integers(0, 100, (len(names), 19))
    for file, counts in {"own.json": pixels, "moved.json": pixels, "other.json": pixels[::-1]}.items():
        write_importance_weights(tmp_path / file, importance_weights(names, counts, "cityscapes", "train"))
    words = ["--method", "abn", *TINY_METHODS["abn"], "--max_iter", "1", "--eval_every", "0"]
    words = train_arguments(toycity, tmp_path, *words, "--resume", "auto", "--importance_weights")
    assert train.main([*words, str(tmp_path / "own.json")]) == 0
    (tmp_path / "own.json").unlink()
    assert train.main([*words, str(tmp_path / "moved.json")]) == 0
    with pytest.raises(UserError, match=r"\(importance_weights_content was \w+, is \w+\)"):
        train.main([*words, str(tmp_path / "other.json")])
    with pytest.raises(UserError, match=r"\(importance_weights_content was \w+, is None\)"):
        train.main(words[:-1])
