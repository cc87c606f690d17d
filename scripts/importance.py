"""Importance weights of a target domain: which pictures show which classes, by a network's predictions.

    python -m scripts.importance --snapshot abn.pth --dataset cityscapes --split train --output weights.json
    torchrun --nproc_per_node=4 -m scripts.importance ...           # the same file, sooner
    python -m scripts.importance --predictions results/cityscapes/trainids --dataset cityscapes ...

The program counts the predicted pixels of each class in every whole picture of the split, as DA-SAC
(Araslanov and Roth, CVPR 2021) does before its last step. ``train.py --importance_weights`` then draws
pictures by these weights. Labels are not needed and not read. The predictions come from a checkpoint, or from
files of infer.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

import config
from datasets.definitions.catalog import network_classes
from datasets.domains import default_workers, divided_spec
from datasets.files.roots import resolve_root
from datasets.files.segmentation import SegmentationSet
from datasets.flags import add_division_arguments, add_root_argument
from datasets.sampling.importance_weights import (
    CODINGS,
    count_predictions,
    find_predictions,
    importance_weights,
    write_importance_weights,
)
from datasets.sampling.loaders import evaluation_loader
from network import stated_architecture
from network.restore import load_network
from transforms.pipeline import EvaluationTransform
from utils import distributed
from utils.declare import Flag
from utils.device import memory_format, pins_memory, to_device
from utils.errors import Parser, UserError, run_program
from utils.files import check_writable
from utils.flags.family import dataset_name
from utils.precision import autocast, choose_precision
from utils.progress import progress_bar
from utils.scoring.classes import ClassSet
from utils.scoring.metrics import count_values


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line. Flags of train.py are accepted without effect, so that both can have the same."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = Parser(
        "python -m scripts.importance", description=__doc__, formatter_class=formatter, allow_abbrev=False
    )
    whose = parser.add_mutually_exclusive_group(required=True)
    whose.add_argument("--snapshot", help="checkpoint whose network predicts")
    whose.add_argument("--predictions", type=Path, metavar="DIR", help="folder of predictions as PNG files")
    Flag(parser, "--coding", "trainids", choices=CODINGS).means(
        "--predictions: what their values are (default trainids)"
    )
    parser.add_argument("--output", required=True, type=Path, help="JSON file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace it if it is there")
    group = parser.add_argument_group("data")
    group.add_argument("--dataset", required=True, type=dataset_name, help="the target's data set")
    group.add_argument("--split", default="train", help="which of its pictures (default train)")
    add_root_argument(group)
    add_division_arguments(group)
    Flag(group, "--num_workers", int, at_least=0).means("Load with this many processes; up to 32 by default.")
    config.add_checkpoint_arguments(parser)
    args = config.parse_program(parser, arguments)
    check_writable(args.output, "--output")
    if args.output.exists() and not args.overwrite:
        raise UserError(f"--output {args.output}: is there already; replace it with --overwrite")
    return args


def count_with_network(
    args: argparse.Namespace, pictures: SegmentationSet, device: torch.device
) -> tuple[np.ndarray, ClassSet]:
    """Pixels that the network of ``--snapshot`` predicts, int64 (pictures, classes), and its classes.

    The processes share the pictures, and each gets the counts of all.
    """
    network, _ = load_network(args.snapshot, stated_architecture(vars(args)), args.partial_load)
    classes = network.classes
    network.to(device, memory_format=memory_format(args.channels_last, device))
    if args.compile:
        network.compile_for_any_size()
    workers = default_workers() if args.num_workers is None else args.num_workers
    loader = evaluation_loader(
        pictures, 1, workers, distributed.rank(), distributed.world_size(), pins_memory(args.device)
    )
    counts = torch.zeros((len(pictures), len(classes.train_ids)), dtype=torch.int64, device=device)
    for batch in progress_bar(loader, desc="predictions", unit="batch", leave=False):
        batch = to_device(batch, device)
        with torch.inference_mode(), autocast(args.amp, device):
            predicted = network.predict(batch["image"]).argmax(1)
        # The loader makes batches of one picture.
        counts[batch["index"]] = count_values(predicted.flatten(), counts.shape[1])
    return distributed.all_reduce_sum(counts).cpu().numpy(), classes


def main(arguments: Sequence[str] | None = None) -> int:
    args = parse_arguments(arguments)
    device = distributed.setup(args.device, args.local_rank)
    choose_precision(args, device)
    config.name_flags_without_effect(args)
    dataset = divided_spec(args.dataset, args.cv, args.gtav_split)
    root = resolve_root(dataset, args.data_root, config.DATASET_ROOTS)
    pictures = SegmentationSet(dataset, args.split, root, EvaluationTransform(), labelled=False)
    if distributed.is_main():
        print(f"{args.dataset}: read from {pictures.root.absolute()}", flush=True)
    names = [pair.name for pair in pictures.pairs]
    if args.predictions is None:
        counts, classes = count_with_network(args, pictures, device)
    else:
        classes = network_classes([args.dataset], args.num_classes)
        counts = count_predictions(find_predictions(args.predictions, names), args.coding, classes)
    if distributed.is_main():
        weights = importance_weights(names, counts, args.dataset, args.split)
        write_importance_weights(args.output, weights)
        absent = [classes.class_names[number] for number in np.flatnonzero(counts.sum(0) == 0)]
        if absent:
            print(f"{', '.join(absent)}: not predicted anywhere; draws for it take all pictures alike")
        done = f"{len(counts)} pictures of {args.dataset} {args.split}, {classes.name}"
        print(f"{args.output}: {done}", flush=True)
    distributed.shutdown()
    return 0


if __name__ == "__main__":
    run_program(main)
