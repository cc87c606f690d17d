"""The examples of CONTRIBUTING.md, applied to a copy of the project: all of them train and score together."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = re.compile(r"^`([\w/]+\.py)`:\n\n```(python|diff)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_COPIED = (".*", "__pycache__", "data", "logs", "tests", "docs", "demo_output")
NEW = "--method confidence_penalty --backbone efficientnet_b0 --head plain --dataset mytown".split()
TINY = """
    --wt_layer 0 0 0 4 4 0 0 --no_pretrained --num_workers 0 --crop_size 32 --class_uniform_tile 32
    --bs_mult 2 --max_iter 2 --eval_every 0 --log_every 1 --exp example
""".split()


def inserted(text: str, hunk: str) -> str:
    """``text`` after a hunk whose lines start with a space (they exist, in one place) or with a plus."""
    lines = hunk.splitlines(keepends=True)
    old = "".join(line[1:] for line in lines if line[0] == " ")
    assert f"\n{text}".count(f"\n{old}") == 1, f"not just once in the file:\n{old}"
    new = "".join(line[1:] if line.strip() else line for line in lines)
    return f"\n{text}".replace(f"\n{old}", f"\n{new}")[1:]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs with every example applied."""
    folder = tmp_path_factory.mktemp("copy") / "project"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*NOT_COPIED))
    for name, kind, text in EXAMPLE.findall((ROOT / "CONTRIBUTING.md").read_text()):
        file = folder / name
        assert file.exists() == (kind == "diff"), f"{name}: a diff changes a file, a python block makes one"
        if kind == "diff":
            for hunk in text.split("@@\n"):
                file.write_text(inserted(file.read_text(), hunk))
        else:
            file.write_text(text)
    return folder


def run(copy: Path, *words: str) -> None:
    result = subprocess.run([sys.executable, *words], cwd=copy, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_examples_train_and_score(copy: Path, toycity: Path, tmp_path: Path) -> None:
    town = tmp_path / "mytown"
    shutil.copytree(toycity / "bdd100k" / "images", town / "photos")
    shutil.copytree(toycity / "bdd100k" / "labels", town / "masks")
    run(copy, "train.py", *NEW, *TINY, "--data_root", str(tmp_path), "--ckpt", str(tmp_path))
    folder = tmp_path / "default" / "example"
    assert "penalty -" in (folder / "log.txt").read_text()
    scores = json.loads((folder / "results.json").read_text())["domains"]["mytown"]
    recall = [value for value in scores["recall"].values() if value is not None]
    assert scores["mean_accuracy"] == pytest.approx(sum(recall) / len(recall))


def test_every_example_is_applied_and_in_the_projects_style(copy: Path) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    files = [name for name, _, _ in EXAMPLE.findall(text)]
    assert len(files) == len(re.findall("^```(?:python|diff)$", text, re.MULTILINE))
    run(copy, "-m", "ruff", "format", "--check", *files)
    run(copy, "-m", "ruff", "check", *files)
