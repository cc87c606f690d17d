"""A stand-in for scripts/launch.sh: a training of a few steps that takes no time; and a runner of it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# It counts its steps in last.pth, waits after the second one as long as the project has a file "hold", and
# scores what its seed and its steps say. A run whose flags contain --lr=0.5 fails.
LAUNCH = f"""#!{sys.executable}
import json, os, sys, threading
from pathlib import Path
project = Path(__file__).resolve().parents[1]
words = sys.argv[2:]
flag = {{}}
for word, after in zip(words, [*words[1:], ""]):
    name, _, value = word.partition("=")
    flag[name] = value or after
folder = Path(flag["--ckpt"]) / flag["--date"] / flag["--exp"]
folder.mkdir(parents=True, exist_ok=True)
with (folder / "started.txt").open("a") as file:
    file.write(os.environ["PROCESSES"] + " " + os.environ.get("OMP_NUM_THREADS", "") + "\\n")
if "--lr=0.5" in words:
    print("error: --lr 0.5: is too much")
    sys.exit(3)
last = folder / "last.pth"
done = int(last.read_text()) if last.exists() else 0
settings = {{"seed": int(flag["--seed"]), "max_iter": 4, "lr": float(flag.get("--lr", 0.01))}}
(folder / "args.json").write_text(json.dumps(settings))
for step in range(done + 1, 5):
    with (folder / "log.txt").open("a") as file:
        file.write(f"[epoch 0] [iter {{step}} / 4] main 0.5, images/s 8, data wait 0\\n")
    last.write_text(str(step))
    while step == 2 and (project / "hold").exists():
        threading.Event().wait(0.02)
miou = (int(flag["--seed"]) % 7 + int(last.read_text())) / 20
domain = {{"miou": miou, "iou": {{"road": miou}}, "images": 3}}
content = {{"protocol": "full", "checkpoint": str(last), "commit": "0123", "domains": {{"gtav": domain}}}}
(folder / "results.json").write_text(json.dumps(content))
"""

RUNNER = """
import sys
from pathlib import Path
from scripts.experiments import runner
from scripts.experiments.__main__ import main
from utils.errors import run_program
runner.PROJECT = Path(sys.argv.pop(1))
run_program(main)
"""

FOUR_RUNS = """
[matrix]
seed = [1, 2]
[runs.baseline]
[runs.isw]
wt_layer = [0, 0, 2, 2, 2, 0, 0]
"""


def fake_project(folder: Path) -> Path:
    """A project in which launch.sh trains next to nothing."""
    (folder / "scripts").mkdir(parents=True)
    launch = folder / "scripts" / "launch.sh"
    launch.write_text(LAUNCH)
    launch.chmod(0o755)
    return folder


def start_runner(project: Path, *words: object) -> subprocess.Popen[str]:
    """Start the runner in a process of its own, with ``project`` in place of this one."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    environment = {name: value for name, value in environment.items() if name != "OMP_NUM_THREADS"}
    return subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(project), *map(str, words)],
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_until_there(path: Path, process: subprocess.Popen[str]) -> None:
    """Return as soon as a file exists; fails if the process ends before."""
    pause = threading.Event()
    while not path.exists():
        assert process.poll() is None, process.communicate()[0]
        pause.wait(0.02)


def scores(folder: Path) -> dict[str, str]:
    """Run -> its results, of the folder of an experiment."""
    return {path.parent.name: path.read_text() for path in sorted(folder.glob("*/results.json"))}


def starts(folder: Path) -> dict[str, int]:
    """Run -> how often its training was started."""
    return {path.parent.name: len(path.read_text().splitlines()) for path in folder.glob("*/started.txt")}
