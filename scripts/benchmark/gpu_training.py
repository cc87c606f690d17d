"""Runs of train.py on the toy city, for the checks of a GPU."""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from scripts.benchmark.losses import CODES
from scripts.benchmark.processes import reason_of
from scripts.benchmark.step import FAST
from utils.errors import UserError
from utils.run.checkpoint import load_checkpoint

ISW = "--cov_stat_epoch 0 --trials 2 --covstat_images 3".split()
WHITENED = ["--wt_layer", *map(str, CODES), "--clusters", "3", *ISW]
TARGET = ["--target_dataset", "cityscapes"]
TRAINED: dict[str, list[str]] = {
    "baseline": [],
    "isw": WHITENED,
    "blindnet": "--contrast_max_classes 2 --contrast_max_views 2 --num_patch 1".split(),
    "diia": ISW,
    "snr": ["--snr_stages", "1", "2", "3"],
    "maxsquare": [*TARGET, "--multi", "--threshold", "0.01"],
    "abn": TARGET,
    "sac": [*TARGET, "--group_size", "2", "--teacher_every", "2", "--confidence_lower", "0"],
}
"""Method -> flags with which three steps on tiny pictures use all of it."""

EAGER = ("bf16", "fp16")
MODES = {"bf16": FAST[:2], "fp16": ("--amp", "fp16"), "compiled": FAST}
"""Mode of ``trains`` -> its flags of train.py. Compilation takes long, so it is a check of its own."""


def train(args: argparse.Namespace, experiment: str, *flags: str) -> str:
    """Run train.py on the toy city in a new process; returns the losses of its last log line."""
    sizes = ["--crop_size", "64" if args.tiny else "128", "--class_uniform_tile", "32", "--bs_mult", "2"]
    words = ["--data_root", args.folder / "toycity", "--ckpt", args.folder / "logs", "--exp", experiment]
    words += ["--dataset", "gtav", "--val_dataset", "cityscapes", "--no_pretrained", "--num_workers", "2"]
    words += [*sizes, "--arch", "network.deepv3.DeepR18V3PlusD"]
    words += ["--max_iter", "3", "--eval_every", "0", "--log_every", "1", *flags]
    code, output = printed([sys.executable, "train.py", *map(str, words)])
    losses = re.findall(r"^\[epoch .*?\] \[iter .*?\] (.*?), images/s.*$", output, re.MULTILINE)
    if code:
        raise UserError(f"train.py ended with {code}, {reason_of(output, 'without a word')}")
    if not losses or "nan" in losses[-1]:
        raise UserError(f"train.py gave {losses[-1] if losses else 'no losses'}")
    return losses[-1]


def printed(command: Sequence[str]) -> tuple[int, str]:
    """Exit code and output of a program. Each line is also printed at once: this process may be killed."""
    print(shlex.join(command), flush=True)
    lines: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    return process.returncode, "".join(lines)


def trains(args: argparse.Namespace, device: torch.device) -> str:
    """Train a method for three steps in each of ``args.modes``; all are tried before an error is raised."""
    results, failed = [], False
    for mode in args.modes:
        flags = ("--method", args.method, *TRAINED[args.method], *MODES[mode])
        try:
            words = train(args, f"{args.method}-{mode}", *flags)
        except UserError as error:
            failed, words = True, str(error)
        results.append(f"{mode}: {words}")
    if failed:
        raise UserError("; ".join(results))
    return "; ".join(results)


def deterministic(args: argparse.Namespace, device: torch.device) -> str:
    """Train ISW with --deterministic twice, and once with a stop and a resume; compare the bits."""
    flags = ["--method", "isw", *WHITENED, "--deterministic", "--max_iter", "6"]
    for name in ("whole", "again"):
        train(args, name, *flags)
    train(args, "resumed", *flags, "--iter_stop", "3")
    train(args, "resumed", *flags, "--resume", "auto")
    files = [args.folder / "logs/default" / name / "last.pth" for name in ("whole", "again", "resumed")]
    whole, *others = (dict(tensors(load_checkpoint(file))) for file in files)
    for name, other in zip(("second", "resumed"), others, strict=True):
        wrong = [key for key in whole if key not in other or not torch.equal(whole[key], other[key])]
        if wrong:
            raise UserError(f"the {name} run: {len(wrong)} of {len(whole)} tensors differ, first {wrong[0]}")
    return f"two runs and a resumed one: all {len(whole)} tensors of model and optimiser have the same bits"


def tensors(content: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors of a checkpoint's weights and optimiser, with their paths."""
    if isinstance(content, Tensor):
        yield path, content
    elif isinstance(content, dict):
        # How long the steps took is no result of the run.
        for key in content.keys() - ({"meter"} if not path else set()):
            yield from tensors(content[key], f"{path}/{key}")
    elif isinstance(content, (list, tuple)):
        for number, value in enumerate(content):
            yield from tensors(value, f"{path}/{number}")
