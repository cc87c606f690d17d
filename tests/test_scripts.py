"""Every script of a published experiment runs: its own command line, in this process, two steps, tiny."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import infer
import train
import valid
from network import create_network
from utils.checkpoint import load_checkpoint, save_checkpoint

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
TINY = """
    --max_iter 2 --bs_mult 2 --crop_size 64 --class_uniform_tile 64 --no_pretrained --num_workers 0
    --evaluation_height 64 --trials 1 --covstat_images 2 --cov_stat_epoch 0
""".split()


def command_line(script: Path) -> tuple[str, list[str]]:
    """The program that a script starts and the arguments it passes, without the user's own at the end."""
    lines = [line for line in script.read_text().splitlines() if not line.startswith("#")]
    command = "\n".join(lines).partition("exec ")[2].replace("\\\n", " ")
    words = shlex.split(command.splitlines()[0])
    place = next(i for i, word in enumerate(words) if word.endswith(".py"))
    return words[place], [word for word in words[place + 1 :] if word not in ("$@", "${@:3}")]


@pytest.fixture(scope="module")
def data(toycity: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of all data sets: the toy city's, and a CamVid of random pictures in every sequence."""
    root = tmp_path_factory.mktemp("data")
    for domain in toycity.iterdir():
        if domain.is_dir():
            (root / domain.name).symlink_to(domain)
    rng = np.random.default_rng(0)
    for split, sequences in {
        "train": ("0006R0", "0016E5", "0001TP"),
        "val": ("0016E5",),
        "test": ("Seq05VD",),
    }.items():
        for folder in (split, f"{split}annot"):
            (root / "camvid" / folder).mkdir(parents=True)
        for sequence in sequences:
            for number in range(4):
                name = f"{sequence}_{number:05d}.png"
                picture = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
                Image.fromarray(picture).save(root / "camvid" / split / name)
                label = rng.integers(0, 12, (48, 64), dtype=np.uint8)
                Image.fromarray(label).save(root / "camvid" / f"{split}annot" / name)
    return root


@pytest.mark.parametrize("name", sorted(path.name for path in SCRIPTS.glob("train_*.sh")))
def test_training_script(name: str, data: Path, tmp_path: Path) -> None:
    program, words = command_line(SCRIPTS / name)
    assert program == "train.py"
    extra = ["--data_root", str(data), "--ckpt", str(tmp_path), "--tb_path", str(tmp_path)]
    steps = ["--max_iter", "4"] if "isw" in name else []  # Two epochs: the second one with masks.
    assert train.main([*words, *TINY, *extra, *steps]) == 0
    (results,) = tmp_path.glob("*/*/results.json")
    exp = words[words.index("--exp") + 1]
    assert results.parent.name == exp
    checkpoint = load_checkpoint(results.with_name("last.pth"))
    codes = [int(code) for code in words[words.index("--wt_layer") + 1 :][:7]]
    assert checkpoint["network"]["wt_layer"] == codes
    assert checkpoint["method"] == ("isw" if 2 in codes else "baseline")
    if "isw" in name:
        assert checkpoint["model"]["mask_site3"].sum() > 0


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the network that the valid and infer scripts are for, with random weights."""
    network = create_network("resnet50", wt_layer=(0, 0, 2, 2, 2, 0, 0))
    model = {f"network.{name}": value for name, value in network.state_dict().items()}
    path = tmp_path_factory.mktemp("snapshot") / "best.pth"
    save_checkpoint(path, {"network": network.config, "method": "isw", "model": model, "iteration": 0})
    return path


@pytest.mark.parametrize("name", sorted(path.name for path in SCRIPTS.glob("valid_*.sh")))
def test_validation_script(name: str, data: Path, snapshot: Path, tmp_path: Path) -> None:
    program, words = command_line(SCRIPTS / name)
    assert program == "valid.py"
    words = [str(snapshot) if word == "$snapshot" else word for word in words]
    output = tmp_path / "results.json"
    extra = [
        "--data_root",
        str(data),
        "--evaluation_height",
        "64",
        "--num_workers",
        "0",
        "--output",
        str(output),
    ]
    assert valid.main([*words, *extra]) == 0
    assert output.exists()


def test_inference_script(toycity: Path, snapshot: Path, tmp_path: Path) -> None:
    program, words = command_line(SCRIPTS / "infer_r50os16_cty_isw.sh")
    assert program == "infer.py"
    replaced = {
        "$snapshot": str(snapshot),
        "$output": str(tmp_path),
        "$1": str(snapshot),
        "$2": str(tmp_path),
    }
    pictures = toycity / "cityscapes" / "leftImg8bit_trainvaltest" / "leftImg8bit" / "val"
    words = [replaced.get(word, word) for word in words]
    assert infer.main([*words, "--input", str(pictures), "--crop_size", "64", "--scales", "1.0"]) == 0
    assert len(list(tmp_path.rglob("color/**/*.png"))) == 3


@pytest.mark.parametrize("name", ["valid_r50os16_gtav_isw.sh", "infer_r50os16_cty_isw.sh"])
def test_script_without_arguments_says_how_to_use_it(name: str) -> None:
    done = subprocess.run([SCRIPTS / name], capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stderr.startswith("usage:")


def test_a_python_that_is_too_old_is_one_clear_sentence(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.8.1" || exit 1\n')
    old.chmod(0o755)
    environment = {**os.environ, "PYTHON": str(old)}
    for script in ("demo.sh", "test.sh"):
        done = subprocess.run([SCRIPTS / script], capture_output=True, text=True, env=environment)
        assert done.returncode == 1
        assert done.stderr == (
            "error: Python 3.8.1 is too old: UrbanDG needs Python 3.10 or newer; set PYTHON to one\n"
        )
