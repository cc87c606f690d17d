"""Compare finished runs: one table of their scores, and pictures of their predictions.

    python -m scripts.compare logs/demo/baseline logs/demo/isw --output demo_output

The table shows the scores in the runs' ``results.json``. There is one PNG per domain. Each of its rows shows
a picture, its labels, and the predictions of every run's selected weights.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

import config
from datasets.definitions.catalog import spec, use_catalogs
from datasets.domains import Domains
from datasets.flags import add_data_arguments
from network.restore import load_network
from utils.declare import Flag, check_ranges
from utils.device import select_device
from utils.errors import Parser, UserError, run_program
from utils.files import atomic_write, check_writable
from utils.flags.program import add_device_choice
from utils.scoring.scores import percent, text_table
from utils.scoring.visualize import colour_picture, panel


def read_results(run: Path) -> dict[str, Any]:
    """A run's ``results.json``. Raises a UserError if it is missing or was not written by train.py."""
    try:
        content = json.loads((run / "results.json").read_text(encoding="utf-8"))
        if not content["domains"] or {type(content[name]) for name in ("checkpoint", "protocol")} != {str}:
            raise ValueError("scores nothing")
        return content
    except (OSError, ValueError, KeyError, TypeError):
        message = f"{run}: holds no results.json of train.py; name the folder of a finished run"
        raise UserError(message) from None


def roots_of(args: argparse.Namespace, results: Mapping[str, Any]) -> Mapping[str, str]:
    """The data sets' roots for :class:`Domains`, as they were when the run was scored.

    Sets, in place, the flags for data and height that are not given.
    """
    if args.evaluation_height is None:
        args.evaluation_height = results.get("evaluation_height")
    folders = {} if args.data_root else results.get("folders", {})
    parents = {str(Path(folder).parent) for folder in folders.values()}
    if len(parents) == 1:
        args.data_root = parents.pop()
    return config.DATASET_ROOTS | {spec(name).root_name: folder for name, folder in folders.items()}


def score_table(results: dict[str, dict[str, Any]]) -> str:
    """mIoU in percent: one row per run, one column per domain, the source domain first."""
    domains = list(next(iter(results.values()))["domains"])
    rows = [["mIoU (%)", f"{domains[0]} (source val)", *domains[1:]]]
    for name, content in results.items():
        scores = [content["domains"].get(domain, {}).get("miou") for domain in domains]
        rows.append([name, *(percent(float("nan") if score is None else score) for score in scores)])
    return text_table(rows)


@torch.inference_mode()
def main(arguments: Sequence[str] | None = None) -> int:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="python -m scripts.compare", description=__doc__, formatter_class=formatter)
    parser.add_argument("runs", nargs="+", type=Path, help="run folders of train.py")
    parser.add_argument("--output", type=Path, default=Path("demo_output"), help="folder of the pictures")
    Flag(parser, "--pictures", 3, above=0).means("Show this many rows per domain.")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    add_data_arguments(parser)
    add_device_choice(parser)
    parser.set_defaults(num_workers=0)
    args = parser.parse_args(arguments)
    check_ranges(parser, args)
    check_writable(args.output / "pictures", "--output")
    names_differ = len({run.name for run in args.runs}) == len(args.runs)
    runs = {run.name if names_differ else str(run): run for run in args.runs}
    results = {name: read_results(run) for name, run in runs.items()}
    device = select_device(args.device)
    networks = {
        name: load_network(run / Path(results[name]["checkpoint"]).name)[0].to(device)
        for name, run in runs.items()
    }
    first = next(iter(results.values()))
    use_catalogs(args.catalog)
    of = next(iter(networks.values())).classes.of
    domains = Domains(args, roots_of(args, first), config.TOYCITY_ROOT, of.whole)
    for domain in first["domains"]:
        rows = []
        dataset = domains.evaluation_loader(domain).dataset
        for index in range(min(args.pictures, len(dataset))):
            sample = dataset[index]
            image, label = sample["image"], sample["label"].numpy()
            row = [Image.fromarray(image.permute(1, 2, 0).numpy()), colour_picture(label, of.palette)]
            for network in networks.values():
                prediction = network.predict(image[None].to(device)).argmax(1)[0].byte().cpu().numpy()
                row.append(colour_picture(prediction, network.classes.palette))
            rows.append(row)
        with atomic_write(args.output / f"{domain}.png") as temporary:
            panel(rows, ["picture", "truth", *networks]).save(temporary)
    print(score_table(results))
    protocols = {content["protocol"] for content in results.values()}
    print(f"protocol {', '.join(sorted(protocols))}; pictures are in {args.output}/")
    return 0


if __name__ == "__main__":
    run_program(main)
