"""Score checkpoints on data sets.

    python valid.py --snapshot best.pth --val_dataset cityscapes bdd100k --output results.json
    python valid.py --snapshot best.pth --anomaly smiyc /data/smiyc  # how well anomalies are found
    torchrun --nproc_per_node=4 valid.py ...                         # the same table, sooner

A checkpoint tells its network; one of the RobustNet family may also need --wt_layer or --arch.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path

import config
from datasets.anomaly import add_anomaly_argument, anomaly_words, find_tracks, score_tracks
from datasets.calibration import Calibration, calibrate
from datasets.definitions.catalog import known_datasets
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
from utils.scoring.anomaly import AnomalyScore, anomaly_results, anomaly_table
from utils.scoring.classes import ClassSet
from utils.scoring.reliability_report import reliability_table, write_diagrams
from utils.scoring.scores import DomainScore, class_table, corruption_table, domain_table, git_commit
from utils.scoring.sliding_window import Inference


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line; without ``--val_dataset`` and ``--anomaly`` the five domains of the toy city."""
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
    add_anomaly_argument(parser)
    add("--split", "val", choices=("train", "val", "test"), everyday=True).means("Score on this split.")
    add("--corruptions", str, nargs="*", choices=CORRUPTIONS, metavar="NAME", everyday=True).means(
        "Score also under these common corruptions at severities 1 to 5; under all 15 if none is named."
    )
    add("--output", str, metavar="FILE", everyday=True).means(
        "Write the scores to this JSON file, for several checkpoints as a list."
    )
    add("--reliability", False).means(
        "Also measure whether the network knows when it is wrong: calibration, errors found by low "
        "confidence, and boundaries of classes."
    )
    add("--calibrate", False).means(
        "Measure --reliability also after temperature scaling, fitted to the val split of the network's "
        "source."
    )
    add_averaging_arguments(parser.add_argument_group("averages of probabilities"))
    add_data_arguments(parser)
    config.add_checkpoint_arguments(parser)
    args = config.parse_program(parser, arguments)
    if args.val_dataset is None:
        config.refuse_root_alone(args, "say with --val_dataset what to score on")
    if args.val_dataset is None and not args.anomaly:
        toy = {name: toy_defaults(parser)[name] for name in ("val_dataset", "evaluation_height", "amp")}
        parser.set_defaults(data_root=str(config.TOYCITY_ROOT), **toy)
        args = config.parse_program(parser, arguments)
    if args.corruptions is not None:
        args.corruptions = [name for name in CORRUPTIONS if name in (args.corruptions or CORRUPTIONS)]
    if args.output:
        check_writable(Path(args.output), "--output")
    return args


def print_scores(
    whose: str,
    split: str,
    domains: Domains,
    scores: Mapping[str, DomainScore],
    anomalies: Mapping[str, AnomalyScore],
    calibration: Calibration | None,
) -> None:
    """Print all tables of the checkpoint ``whose``."""
    for name, score in scores.items():
        print(f"\n{name}\n{class_table(score, domains.classes.class_names)}")
    tables = [(f"{split} split, {domains.protocol_words}", domain_table(scores))] if scores else []
    tables += [(anomaly_words(domains), anomaly_table(anomalies))] if anomalies else []
    for how, table in tables:
        print(f"\n{whose}, {how}, commit {git_commit()}\n{table}", flush=True)
    for name, score in scores.items():
        if score.corruptions:
            print(f"\n{name} under corruptions, mIoU\n{corruption_table(score)}", flush=True)
    if calibration:
        print(f"\n{calibration.words}")
    if any(score.reliability for score in scores.values()):
        print(f"\n{reliability_table(scores)}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    args = parse_arguments(arguments)
    device = distributed.setup(args.device, args.local_rank)
    precision = choose_precision(args, device)
    config.name_flags_without_effect(args)
    stated, tracks = stated_architecture(vars(args)), find_tracks(args.anomaly)

    @cache
    def open_data(classes: ClassSet) -> tuple[Domains, dict[str, Loader]]:
        """The data that networks of these ``classes`` are scored on: labels in their classes."""
        settings = Inference("pooling", scales=tuple(args.scales), flip=args.flip)
        roots = config.DATASET_ROOTS, config.TOYCITY_ROOT
        domains = Domains(args, *roots, classes, settings, precision)
        how = args.split, args.corruptions or ()
        loaders = {name: domains.evaluation_loader(name, *how) for name in args.val_dataset or ()}
        if distributed.is_main():
            computing = f"computes on {device_name(device)} in {precision}"
            found = [*domains.folder_lines, *(track.line for track in tracks)]
            print(*found, computing, sep="\n", flush=True)
        return domains, loaders

    written = []
    for snapshot in args.snapshot:
        network, checkpoint = load_network(
            snapshot, stated, args.partial_load, args.teacher, args.backbone_weights
        )
        domains, loaders = open_data(network.classes)
        network.to(device, memory_format=memory_format(args.channels_last, device))
        if args.compile:
            network.compile_for_any_size()
        # A checkpoint that was trained elsewhere may name data sets that are unknown here.
        known, trained = known_datasets(), checkpoint.get("arguments", {})
        sources = [s for s in trained.get("dataset", []) if s in known]
        own = domains, trained, snapshot, network.predict, device, args.amp
        calibration = calibrate(*own) if args.calibrate else None
        temperatures = calibration.temperatures if calibration else [1.0] * args.reliability
        scores = {
            name: domains.score(name, network.predict, loader, device, args.amp, sources, temperatures)
            for name, loader in loaders.items()
        }
        anomalies = score_tracks(tracks, domains, network.predict, device, args.amp)
        if not distributed.is_main():
            continue
        rule = checkpoint.get("selection")
        selection = f"{rule or 'unknown'}, teacher" if args.teacher else rule
        extra = {"split": args.split, "iteration": checkpoint.get("iteration"), "selection": selection}
        extra |= anomaly_results(anomalies)
        if calibration:
            extra["calibration"] = calibration.content
        whose = f"{snapshot} ({selection})" if selection else str(snapshot)
        print_scores(whose, args.split, domains, scores, anomalies, calibration)
        content = domains.results(scores, snapshot, **extra)
        written.append(content)
        if args.output:
            everything = written if len(args.snapshot) > 1 else content
            write_json(Path(args.output), everything, "free space or choose another --output")
            write_diagrams(Path(args.output), scores, len(written) if len(args.snapshot) > 1 else None)
    distributed.shutdown()
    return 0


program = partial(run_program, main)
"""The command urbandg-valid."""

if __name__ == "__main__":
    program()
