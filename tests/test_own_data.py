"""All programs on data sets and classes that a TOML file declares: nothing but the file is written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from programs import TINY_METHODS, TRAIN

import infer
import network
import train
import valid
from datasets.definitions.catalog import use_catalogs
from network.legacy.__main__ import main as legacy
from scripts.check import main as check
from scripts.importance import main as importance
from scripts.prepare import main as prepare

FOUR = """
[classes.four]
names = ["ground", "thing", "wall of stone", "sky"]
colours = [[1, 200, 3], [220, 20, 60], [9, 9, 9], [70, 130, 180]]
[datasets.yard]
classes = "four"
root = "yard"
labels = { ground = [17, 900], thing = [65000], "wall of stone" = [3], sky = [201], ignored = [0] }
colours = { ground = [[0, 90, 0]], thing = [[200, 0, 0], [201, 0, 0]], sky = [[0, 0, 255]] }
[datasets.yard.splits]
train = { pictures = "photos/train", label = "masks/train/{name}.png" }
val = [{ pictures = "photos/val/*", label = "painted/{1}/{name}.png", group = "evening" }]
[datasets.city]
like = "gtav"
classes = "four"
map = { road = "ground", car = "thing", wall = "wall of stone" }
"""
TWO = """
[classes.two]
names = ["lane", "rest"]
[datasets.lanes]
classes = "two"
labels = { lane = [65000], rest = [17, 900, 3, 201, 0] }
colours = { lane = [[201, 0, 0]], rest = [[0, 90, 0], [0, 0, 255]] }
root = "yard"
[datasets.lanes.splits]
train = { pictures = "photos/train", label = "masks/train/{name}.png" }
val = { pictures = "photos/val", label = "painted/{name}.png" }
"""


@pytest.fixture(autouse=True)
def _no_catalogs_afterwards() -> Iterator[None]:
    yield
    use_catalogs([])


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    """The file, and pictures whose masks have strange 16-bit values (train) or colours (val)."""
    rng = np.random.default_rng(0)
    values = np.zeros((40, 60), np.uint16)
    values[:20], values[20:, :20], values[20:, 20:40], values[25:, 45:] = 201, 17, 65000, 3
    colours = np.zeros((40, 60, 3), np.uint8)
    colours[:20], colours[20:, :30], colours[20:, 30:] = (0, 0, 255), (0, 90, 0), (201, 0, 0)
    files = {f"photos/train/{number}.png": None for number in range(4)}
    files |= {f"masks/train/{number}.png": values for number in range(4)}
    files |= {"photos/val/west/a.jpg": None, "painted/west/a.png": colours}
    for name, pixels in files.items():
        path = tmp_path / "yard" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8) if pixels is None else pixels
        Image.fromarray(pixels).save(path)
    file = tmp_path / "my.toml"
    file.write_text(FOUR + TWO)
    return file


def test_every_program_works_by_the_file_alone(
    catalog: Path, toycity: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declared = ["--catalog", str(catalog)]
    check([*declared, "--dataset", "yard", "lanes", "--sheet", str(tmp_path / "sheet.png")])
    assert re.search(r"wall of stone +900 ", capsys.readouterr().out)
    assert np.asarray(Image.open(tmp_path / "sheet.png")).reshape(-1, 3).tolist().count([1, 200, 3]) > 400
    prepare([*declared, "--dataset", "yard", "--output", str(tmp_path / "copies"), "--processes", "1"])
    # The mixture of the own pictures and GTAV's, with a map; validated on both.
    flags = [*declared, "--data_root", str(toycity), "--ckpt", str(tmp_path / "logs"), "--max_iter", "2"]
    flags += ["--class_uniform_pct", "0.5", "--val_dataset", "yard", "city"]
    assert train.main([*TRAIN, *flags, "--dataset", "yard", "city"]) == 0
    run = tmp_path / "logs/default/tiny"
    content = json.loads((run / "results.json").read_text())
    assert list(content["domains"]["city"]["iou"]) == ["ground", "thing", "wall of stone", "sky"]
    assert list(content["domains"]["yard"]["conditions"]) == ["evening"]

    capsys.readouterr()
    output = tmp_path / "scores.json"
    words = ["--snapshot", str(run / "best.pth"), "--val_dataset", "yard", "--num_workers", "0"]
    assert valid.main([*declared, *words, "--output", str(output)]) == 0
    assert json.loads(output.read_text())["domains"]["yard"]["iou"] == content["domains"]["yard"]["iou"]
    assert "networks of the 4 classes of four" in capsys.readouterr().out

    # From here on without the file: the checkpoint knows names and colours.
    use_catalogs([])
    pictures, segmented = tmp_path / "yard/photos/val", tmp_path / "segmented"
    words = ["--snapshot", str(run / "best.pth"), "--input", str(pictures), "--output", str(segmented)]
    assert infer.main([*words, "--save", "color", "trainids"]) == 0
    train_ids = np.asarray(Image.open(segmented / "trainids/west/a.png"))
    palette = np.array([[1, 200, 3], [220, 20, 60], [9, 9, 9], [70, 130, 180]])
    assert (np.asarray(Image.open(segmented / "color/west/a.png")) == palette[train_ids]).all()
    segmentation = network.load(run / "best.pth").segment(pictures / "west/a.jpg")
    assert segmentation.classes.class_names == ("ground", "thing", "wall of stone", "sky")
    legacy(["export", str(run / "best.pth"), str(tmp_path / "theirs.pth")])
    assert (tmp_path / "theirs.pth").is_file()

    # Prepared copies hold the same labels as the originals, and weights are of the list's classes.
    run_of_copies = [*TRAIN, *flags, "--dataset", "yard", "--val_dataset", "yard", "--exp", "copies"]
    assert train.main([*run_of_copies, "--prepared", str(tmp_path / "copies"), "--max_iter", "1"]) == 0
    words = [*declared, "--dataset", "yard", "--snapshot", str(run / "best.pth"), "--num_workers", "0"]
    assert importance([*words, "--output", str(tmp_path / "weights.json")]) == 0
    assert json.loads((tmp_path / "weights.json").read_text())["num_classes"] == 4


@pytest.mark.parametrize("method", ["blindnet", "diia", "sac"])
def test_methods_that_look_at_classes_train_with_two(
    catalog: Path, toycity: Path, tmp_path: Path, method: str
) -> None:
    """Also with a target of another list, because its labels are not read."""
    flags = ["--catalog", str(catalog), "--data_root", str(toycity), "--ckpt", str(tmp_path / "logs")]
    flags += ["--dataset", "lanes", "--max_iter", "1", "--method", method, *TINY_METHODS[method]]
    assert train.main([*TRAIN, *flags]) == 0
    content = json.loads((tmp_path / "logs/default/tiny/results.json").read_text())
    assert list(content["domains"]["lanes"]["iou"]) == ["lane", "rest"]


def test_the_ten_lines_of_the_docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[1] / "docs" / "own-data.md").read_text()
    toml, commands = re.findall(r"```(?:toml)?\n(.*?)```", page, re.DOTALL)[:2]
    (tmp_path / "my.toml").write_text(toml)
    label = np.repeat(np.array([2, 0, 7, 1, 255], np.uint8), 8)[:, None].repeat(60, 1)
    for folder in ("photos/train", "photos/val", "../new_pictures"):
        (tmp_path / "yard" / folder).mkdir(parents=True, exist_ok=True)
        Image.fromarray(label).convert("RGB").save(tmp_path / "yard" / folder / f"{Path(folder).name}.png")
        if folder.startswith("photos"):
            masks = tmp_path / "yard" / folder.replace("photos", "masks")
            masks.mkdir(parents=True)
            Image.fromarray(label).save(masks / f"{masks.name}.png")
    monkeypatch.chdir(tmp_path)
    tiny = "--max_iter 1 --crop_size 32 --bs_mult 2 --no_pretrained --num_workers 0".split()
    mains = {"scripts.check": check, "train.py": train.main, "valid.py": valid.main, "infer.py": infer.main}
    for line in commands.splitlines():
        program, *words = line.removeprefix("python ").removeprefix("-m ").split()
        more = {"train.py": [*tiny, "--arch", "network.deepv3.DeepMobileNetV3PlusD"], "valid.py": tiny[-2:]}
        mains[program]([*words, *more.get(program, [])])
    assert (tmp_path / "sheet.png").is_file()
    assert (tmp_path / "segmented/overlay/new_pictures.png").is_file()
