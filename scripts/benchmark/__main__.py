"""Measure the speed of this machine. Each figure is a ratio to a bare reference of the same run.

python -m scripts.benchmark losses --json losses.json
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from scripts.benchmark import centroids, data, inference, isw, losses, processes, step, validation
from scripts.benchmark.ranges import check_least
from scripts.benchmark.timing import Row, table
from utils.device import device_name, select_device
from utils.errors import Parser, run_program
from utils.files import check_writable, write_json
from utils.flags.program import add_device_choice
from utils.scoring.evaluation import AMP_TYPES
from utils.scoring.scores import git_commit

BENCHMARKS: dict[str, Callable[[argparse.Namespace, torch.device], list[Row]]] = {
    "data": data.rows,
    "centroids": centroids.rows,
    "step": step.rows,
    "processes": processes.rows,
    "losses": losses.rows,
    "isw": isw.rows,
    "inference": inference.rows,
    "validation": validation.rows,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures that the command line asks for, with all settings, and write them to ``--json``."""
    parser = Parser(prog="python -m scripts.benchmark", description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=(*BENCHMARKS, "all"), help="which figures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file, too")
    parser.add_argument("--repeats", type=int, default=3, help="take the median of N calls (default 3)")
    parser.add_argument("--backbone", default="resnet50", help="backbone of the networks (default resnet50)")
    parser.add_argument("--pictures", type=int, default=2, help="pictures per batch (default 2)")
    parser.add_argument(
        "--gpu_pictures",
        type=int,
        default=16,
        help="pictures per batch of the step with all fast flags, on a GPU (default 16)",
    )
    parser.add_argument("--crop_size", type=int, default=768, help="side of a crop (default 768)")
    parser.add_argument(
        "--evaluation_size",
        type=int,
        nargs=2,
        default=[1024, 2048],
        metavar=("HEIGHT", "WIDTH"),
        help="size of the pictures of inference and validation (default 1024 2048)",
    )
    parser.add_argument(
        "--amp", choices=AMP_TYPES, default="off", help="precision of inference and validation"
    )
    parser.add_argument("--channels_last", action=argparse.BooleanOptionalAction, default=True)
    add_device_choice(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args(arguments)
    check_least(args)
    if args.json:
        check_writable(args.json, "--json")
    torch.backends.cudnn.benchmark = True  # train.py does the same.
    device = select_device(args.device)
    names = BENCHMARKS if args.what == "all" else [args.what]
    rows = [row for name in names for row in BENCHMARKS[name](args, device)]
    machine = {"where": device_name(device), "torch": torch.__version__, "commit": git_commit()}
    # All settings that a figure depends on are written, so that two files can be compared. ``where`` tells
    # the device.
    settings = {name: value for name, value in vars(args).items() if name not in ("json", "debug", "device")}
    print(", ".join(f"{name} {value}" for name, value in {**machine, **settings}.items()))
    print(table(rows))
    if args.json:
        figures = [{**dataclasses.asdict(row), "ratio": row.ratio} for row in rows]
        content = {**machine, "settings": settings, "rows": figures}
        write_json(args.json, content, "free space or choose another --json")
    return 0


if __name__ == "__main__":
    run_program(main)
