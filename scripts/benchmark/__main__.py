"""Measure the speed of this machine. Each figure is a ratio to a bare reference of the same run.

python -m scripts.benchmark losses --json losses.json
python -m scripts.benchmark gpu --output gpu.md
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from scripts.benchmark import data, evaluation, gpu, losses, precision, processes, step
from scripts.benchmark.inputs import FLAGS, add_flags, check_least
from scripts.benchmark.timing import Row
from utils.declare import Flag
from utils.device import device_name, select_device
from utils.errors import Parser, run_program
from utils.files import check_writable, write_json
from utils.flags.program import add_device_choice
from utils.precision import AMP_TYPES
from utils.scoring.scores import git_commit, text_table

BENCHMARKS: dict[str, Callable[[argparse.Namespace, torch.device], list[Row]]] = {
    "data": data.sample_rows,
    "centroids": data.centroid_rows,
    "step": step.rows,
    "public": step.public_rows,
    "processes": processes.rows,
    "losses": losses.loss_rows,
    "isw": losses.isw_rows,
    "inference": evaluation.inference_rows,
    "validation": evaluation.validation_rows,
    "reliability": evaluation.reliability_rows,
    "bf16": precision.rows,
}


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] == ["gpu"]:
        return gpu.main(arguments[1:])
    parser = Parser(prog="python -m scripts.benchmark", description=__doc__.splitlines()[0])
    parser.add_argument(
        "what", choices=(*BENCHMARKS, "all", "gpu"), help="which figures; gpu checks a GPU, see gpu --help"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file, too")
    add_flags(parser, *FLAGS)
    Flag(parser, "--evaluation_size", int, nargs=2, default=[1024, 2048], metavar=("HEIGHT", "WIDTH")).means(
        "size of the pictures of inference, validation and reliability (default 1024 2048)"
    )
    Flag(parser, "--amp", "off", choices=AMP_TYPES).means(
        "precision of inference, validation and reliability"
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
    # All settings that a figure depends on are written, to compare files by. ``where`` tells the device.
    settings = {name: value for name, value in vars(args).items() if name not in ("json", "debug", "device")}
    print(", ".join(f"{name} {value}" for name, value in {**machine, **settings}.items()))
    header = ["figure", "ratio", "target", "cost", "reference", "its cost"]
    print(text_table([header, *(row.cells() for row in rows)]))
    if args.json:
        figures = [{**dataclasses.asdict(row), "ratio": row.ratio} for row in rows]
        content = {**machine, "settings": settings, "rows": figures}
        write_json(args.json, content, "free space or choose another --json")
    return 0


if __name__ == "__main__":
    run_program(main)
