"""What the tests of scripts/*.sh share: reading a script's command line, starting a script, data for them."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from network import create_network
from utils.run.checkpoint import save_checkpoint

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
CAMVID_SEQUENCES = {"train": ("0006R0", "0016E5", "0001TP"), "val": ("0016E5",), "test": ("Seq05VD",)}


def command_line(script: Path) -> tuple[str, list[str]]:
    """The program that a script starts and the arguments it passes, without the user's own at the end."""
    lines = [line for line in script.read_text().splitlines() if not line.startswith("#")]
    command = "\n".join(lines).partition("exec ")[2].replace("\\\n", " ")
    words = shlex.split(command.splitlines()[0])
    place = next(i for i, word in enumerate(words) if word.endswith(".py"))
    return words[place], [word for word in words[place + 1 :] if word not in ("$@", "${@:3}")]


def by_flag(words: list[str]) -> dict[str, list[str]]:
    """A command line as flag -> its values."""
    flags: dict[str, list[str]] = {}
    for word in words:
        if word.startswith("--"):
            flags[word.removeprefix("--")] = []
        else:
            flags[list(flags)[-1]].append(word)
    return flags


def started(script: str, *words: str, folder: Path) -> str:
    """Run a script in ``folder`` with one process and return what it prints."""
    environment = {**os.environ, "PROCESSES": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment["PYTHON"] = sys.executable
    command = [SCRIPTS / script, *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def snapshot_of(folder: Path, **architecture: Any) -> str:
    """A checkpoint, in ``folder``, of a network with random weights."""
    network = create_network(**architecture)
    model = {f"network.{name}": value for name, value in network.state_dict().items()}
    save_checkpoint(folder / "best.pth", {"network": network.config, "model": model, "iteration": 0})
    return str(folder / "best.pth")


def write_camvid(root: Path) -> None:
    """A CamVid of random pictures, four in every sequence."""
    rng = np.random.default_rng(0)
    for split, sequences in CAMVID_SEQUENCES.items():
        for folder in (split, f"{split}annot"):
            (root / folder).mkdir(parents=True)
        for sequence in sequences:
            for number in range(4):
                name = f"{sequence}_{number:05d}.png"
                picture = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
                Image.fromarray(picture).save(root / split / name)
                label = rng.integers(0, 12, (48, 64), dtype=np.uint8)
                Image.fromarray(label).save(root / f"{split}annot" / name)
