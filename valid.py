"""Score checkpoints on data sets.

    python valid.py --snapshot best.pth --val_dataset cityscapes bdd100k --output results.json
    torchrun --nproc_per_node=4 valid.py ...                         # the same table, sooner

A checkpoint tells its network; one of the RobustNet family may also need --wt_layer or --arch.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

import config
from datasets.definitions.catalog import CATALOG
from datasets.domains import Domains
from datasets.flags import add_data_arguments
from datasets.sampling.loaders import Loader
from network import stated_architecture
from network.restore import load_network
from transforms.corruptions import CORRUPTIONS
from utils import distributed
from utils.declare import Flag, toy_defaults
from utils.device import device_name, memory_format
from utils.errors import run_program
from utils.files import check_writable, write_json
from utils.flags.family import dataset_name
from utils.flags.parser import FlagParser
from utils.flags.program import add_averaging_arguments
from utils.precision import choose_precision
from utils.scoring.scores import class_table, corruption_table, domain_table, git_commit
from utils.scoring.sliding_window import Inference


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line; without ``--val_dataset`` the five domains of the toy city."""
    # No abbreviations: the family's scripts may pass train.py's --bs_mult, which is not --bs_mult_val.
    parser = FlagParser(__doc__, training=config.training_parser, allow_abbrev=False)
    add = partial(Flag, parser)
    # In a run's args.json, --snapshot is the start of the training, so it is not read from there.
    add("--snapshot", str, nargs="+", required=True, metavar="FILE", once=True, everyday=True).means(
        "Score these checkpoints."
    )
    add("--teacher", False).means("Score the teacher's weights of a checkpoint of --method sac.")
    five = ["gtav", "cityscapes", "bdd100k", "synthia", "mapillary"]
    add("--val_dataset", dataset_name, nargs="+", toy=five, everyday=True).means(
        "Score on these data sets, or on those of the toy city."
    )
    add("--split", "val", choices=("train", "val", "test"), everyday=True).means("Score on this split.")
    add("--corruptions", str, nargs="*", choices=CORRUPTIONS, metavar="NAME", everyday=True).means(
        "Score also under these common corruptions at severities 1 to 5; under all 15 if none is named."
    )
    add("--output", str, metavar="FILE", everyday=True).means(
        "Write the scores to this JSON file, for several checkpoints as a list."
    )
    add_averaging_arguments(parser.add_argument_group("averages of probabilities"))
    add_data_arguments(parser)
    config.add_checkpoint_arguments(parser)
    args = config.parse_program(parser, arguments)
    if args.val_dataset is None:
        config.refuse_root_alone(args, "say with --val_dataset what to score on")
        toy = {name: toy_defaults(parser)[name] for name in ("val_dataset", "evaluation_height", "amp")}
        parser.set_defaults(data_root=str(config.TOYCITY_ROOT), **toy)
        args = config.parse_program(parser, arguments)
    if args.corruptions is not None:
        args.corruptions = [name for name in CORRUPTIONS if name in (args.corruptions or CORRUPTIONS)]
    if args.output:
        check_writable(Path(args.output), "--output")
    return args


def main(arguments: Sequence[str] | None = None) -> int:
    args = parse_arguments(arguments)
    device = distributed.setup(args.device, args.local_rank)
    precision = choose_precision(args, device)
    config.name_flags_without_effect(args)
    stated = stated_architecture(vars(args))

    @cache
    def open_data(num_classes: int) -> tuple[Domains, dict[str, Loader]]:
        """The data that networks of ``num_classes`` are scored on: labels in their classes."""
        settings = Inference("pooling", scales=tuple(args.scales), flip=args.flip)
        roots = config.DATASET_ROOTS, config.TOYCITY_ROOT
        domains = Domains(args, *roots, num_classes, settings, precision)
        how = args.split, args.corruptions or ()
        loaders = {name: domains.evaluation_loader(name, *how) for name in args.val_dataset}
        if distributed.is_main():
            computing = f"computes on {device_name(device)} in {precision}"
            print(*domains.folder_lines, computing, sep="\n", flush=True)
        return domains, loaders

    written = []
    for snapshot in args.snapshot:
        network, checkpoint = load_network(snapshot, stated, args.partial_load, args.teacher)
        domains, loaders = open_data(network.config["num_classes"])
        network.to(device, memory_format=memory_format(args.channels_last, device))
        if args.compile:
            network.compile_for_any_size()
        # A checkpoint that was trained elsewhere may name data sets that are unknown here.
        sources = [s for s in checkpoint.get("arguments", {}).get("dataset", []) if s in CATALOG]
        scores = {
            name: domains.score(name, network.predict, loader, device, args.amp, sources)
            for name, loader in loaders.items()
        }
        if not distributed.is_main():
            continue
        for name, score in scores.items():
            print(f"\n{name}\n{class_table(score, domains.classes.class_names)}")
        rule = checkpoint.get("selection")
        selection = f"{rule or 'unknown'}, teacher" if args.teacher else rule
        chosen = f" ({selection})" if selection else ""
        print(f"\n{snapshot}{chosen}, {args.split} split, {domains.protocol_words}, commit {git_commit()}")
        print(domain_table(scores), flush=True)
        for name, score in scores.items():
            if score.corruptions:
                print(f"\n{name} under corruptions, mIoU\n{corruption_table(score)}", flush=True)
        content = domains.results(
            scores, snapshot, split=args.split, iteration=checkpoint.get("iteration"), selection=selection
        )
        written.append(content)
        if args.output:
            everything = written if len(args.snapshot) > 1 else content
            write_json(Path(args.output), everything, "free space or choose another --output")
    distributed.shutdown()
    return 0


program = partial(run_program, main)
"""The command urbandg-valid."""

if __name__ == "__main__":
    program()
