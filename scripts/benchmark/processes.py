"""The gain from a second process: two processes with gloo, on one core each, against one on one core.

    python -m scripts.benchmark.processes --pictures 2 --crop_size 768    # one process's share of the figure

As a program, alone or under torchrun, this prints the seconds of one step of train.py.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import statistics
import subprocess
import sys
from collections.abc import Sequence

import torch

from scripts.benchmark.inputs import add_flags, check_least
from scripts.benchmark.step import batches, iteration, training_step
from scripts.benchmark.timing import Row, seconds_in_turns
from utils import distributed
from utils.errors import Parser, UserError, run_program
from utils.flags.program import add_device_choice

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
# The error in what failed programs print. torchrun adds its own report after the messages of its processes.
_ERROR = re.compile(r"^(?:\[rank\d+\]: )?(?:error: |(?=[\w.]+(?:Error|Exception): ))(.+)$", re.MULTILINE)


def rows(args: argparse.Namespace, device: torch.device) -> list[Row]:
    """Compare a step of two processes with a step of one.

    If two processes are to do the work of 1.7, their step may take 1.18 (2 / 1.7) times as long. Both are
    started in turns, so that a busy machine slows both alike.
    """
    once = argparse.Namespace(**{**vars(args), "repeats": 1})
    turns = [[seconds_of(once, launcher) for launcher in ((), TORCHRUN)] for _ in range(args.repeats)]
    one, two = (statistics.median(times) for times in zip(*turns, strict=True))
    name = f"DDP on 2 cores, {2 * one / two:.2f} times the pictures/s"
    return [Row(name, two, "one process on one core", one, 2 / 1.7)]


def seconds_of(args: argparse.Namespace, launcher: Sequence[str]) -> float:
    """Seconds of a step, measured in new processes.

    If they fail, a UserError quotes their error and the command that shows their whole output.
    """
    sizes = [f"--{name}={getattr(args, name)}" for name in ("backbone", "pictures", "crop_size", "repeats")]
    layout = "--channels_last" if args.channels_last else "--no-channels_last"
    command = [sys.executable, *launcher, "-m", __name__, *sizes, layout, "--device=cpu"]
    one_core = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=one_core, capture_output=True, text=True)
    if done.returncode:
        reason = reason_of(done.stderr, f"exit code {done.returncode}")
        by_hand = shlex.join(["env", "OMP_NUM_THREADS=1", *command])
        raise UserError(f"{reason}; to see the whole output run {by_hand}")
    return float(done.stdout.split()[-1])


def reason_of(stderr: str, otherwise: str) -> str:
    """The error that failed programs printed, or their last line, or ``otherwise`` if they printed none."""
    return (_ERROR.findall(stderr) or stderr.strip().splitlines() or [otherwise])[-1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the seconds of one step of this process, or of its group of processes."""
    parser = Parser(prog="python -m scripts.benchmark.processes")
    add_flags(parser, "backbone", "pictures", "crop_size", "repeats")
    parser.add_argument("--channels_last", action=argparse.BooleanOptionalAction, default=True)
    add_device_choice(parser)
    args = parser.parse_args(arguments)
    check_least(args)
    device = distributed.setup(args.device)
    layout = ("--channels_last" if args.channels_last else "--no-channels_last",)
    step = training_step("baseline", args, device, *layout)
    (seconds,) = seconds_in_turns([iteration(step, batches(args, device))], args.repeats)
    if distributed.is_main():
        print(seconds)
    distributed.shutdown()
    return 0


if __name__ == "__main__":
    run_program(main)
