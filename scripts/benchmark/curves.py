"""Draw how training speed grows: images/s against batch size, crop, loader workers and processes.

    python -m scripts.benchmark.curves --output docs/speed.png

The network's step is timed with data in memory, and the loader without a network. The slower of the two
limits a run.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

import torch

import config
from datasets.domains import Domains
from datasets.toycity.generation import generate
from datasets.training import TrainingLoaders
from scripts.benchmark.inputs import PUBLISHED_CROP, add_flags, check_least, training_flags
from scripts.benchmark.processes import TORCHRUN, seconds_of
from scripts.benchmark.step import batches, iteration, training_step
from scripts.benchmark.timing import one_core, seconds_in_turns, synchronise
from utils.device import device_name, select_device
from utils.errors import Parser, optional_library, run_program
from utils.files import atomic_write, check_writable
from utils.flags.program import add_device_choice
from utils.scoring.scores import git_commit, text_table

Curve = list[tuple[float, float]]
LOADED_BATCHES = 30
AXES = {"batch_sizes": [2, 4, 8], "crop_sizes": [256, 384, 512], "workers": [0, 1, 2, 4], "processes": [1, 2]}


def step_speed(args: argparse.Namespace, device: torch.device, pictures: int, crop: int) -> float:
    """Images/s of train.py's training step."""
    sizes = argparse.Namespace(pictures=pictures, crop_size=crop, backbone=args.backbone)
    layout = ("--channels_last", "--amp", "bf16") if device.type == "cuda" else ("--channels_last",)
    step = training_step("baseline", sizes, device, *layout)
    (cost,) = seconds_in_turns([iteration(step, batches(sizes, device))], args.repeats)
    return pictures / cost


def loader_speed(
    root: Path,
    workers: int,
    *more: str,
    crop: int = PUBLISHED_CROP,
    use: Callable[[dict[str, Any]], object] = id,
) -> float:
    """Samples/s of the training loader with ``workers`` processes, for pictures of 1052 x 1914 as in GTAV.

    ``more``: flags of train.py. ``use`` is called with each batch of the source.
    """
    words = ("--data_root", str(root), "--num_workers", str(workers), "--bs_mult", "2", "--gblur", *more)
    flags = training_flags(crop, *words)
    data = Domains(flags, config.DATASET_ROOTS, config.TOYCITY_ROOT)
    loaders = TrainingLoaders(data, flags, ("image",))
    batches_of_all_epochs = chain.from_iterable(map(loaders.batches, count()))
    with one_core():  # Without workers this process loads.
        # Every worker must have started, and have made more than the batches it keeps ready.
        for measured in (max(4, 2 * workers), max(LOADED_BATCHES, 20 * workers)):
            started = time.perf_counter()
            for _ in range(measured):
                use(next(batches_of_all_epochs)["source"])
            synchronise()
    return flags.bs_mult * measured / (time.perf_counter() - started)


def process_speed(args: argparse.Namespace, processes: int) -> float:
    """Images/s of all ``processes`` together, on one CPU core each."""
    sizes = argparse.Namespace(**vars(args), pictures=2, crop_size=args.crop_sizes[0], channels_last=True)
    launcher = [*TORCHRUN[:-1], f"--nproc_per_node={processes}"] if processes > 1 else ()
    return processes * 2 / seconds_of(sizes, launcher)


def curves(args: argparse.Namespace, device: torch.device, root: Path) -> dict[str, Curve]:
    """The curves that are drawn; each key names what grows along its curve."""
    crop, batch = args.crop_sizes[-1], args.batch_sizes[0]
    speeds: dict[str, tuple[list[int], Callable[[int], float]]] = {
        f"pictures per step, crop {crop}": (args.batch_sizes, lambda n: step_speed(args, device, n, crop)),
        f"side of the crop, {batch} pictures": (
            args.crop_sizes,
            lambda side: step_speed(args, device, batch, side),
        ),
        "loader workers, no network": (args.workers, lambda n: loader_speed(root, n)),
        f"processes on CPUs, crop {args.crop_sizes[0]}": (args.processes, lambda n: process_speed(args, n)),
    }
    return {name: [(value, speed(value)) for value in values] for name, (values, speed) in speeds.items()}


def draw(found: dict[str, Curve], title: str, path: Path) -> None:
    """Draw one small diagram per curve."""
    optional_library("matplotlib", "--output").use("Agg")
    pyplot = optional_library("matplotlib.pyplot", "--output")

    figure, axes = pyplot.subplots(1, len(found), figsize=(3.4 * len(found), 3), layout="constrained")
    for axis, (name, curve) in zip(axes, found.items(), strict=True):
        axis.plot(*zip(*curve, strict=True), marker="o")
        axis.set(xlabel=name, ylim=(0, None), xticks=[value for value, _ in curve])
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("images/s")
    figure.suptitle(title, fontsize=9)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110, metadata={"Software": None})


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser(prog="python -m scripts.benchmark.curves", description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, metavar="FILE.png", help="draw the curves to this file")
    add_flags(parser, "backbone", "repeats")
    parser.set_defaults(repeats=2)
    for name, default in AXES.items():
        parser.add_argument(f"--{name}", type=int, nargs="+", default=default, metavar="N")
    add_device_choice(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args(arguments)
    check_least(args)
    if args.output:
        check_writable(args.output, "--output")
    device = select_device(args.device)
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder), ["gtav"], train=8, val=1, size=(1052, 1914))
        found = curves(args, device, Path(folder))
    title = f"{args.backbone}, {device_name(device)}, torch {torch.__version__}, commit {git_commit()}"
    print(title)
    for name, curve in found.items():
        print(text_table([[name, "images/s"], *([f"{x:g}", f"{y:.2f}"] for x, y in curve)]))
    if args.output:
        draw(found, title, args.output)
    return 0


if __name__ == "__main__":
    run_program(main)
