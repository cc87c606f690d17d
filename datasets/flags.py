"""Flags about data that the programs share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from datasets.definitions.catalog import PROTOCOLS
from utils.errors import UserError
from utils.scoring.classes import NUM_CLASSES


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Where data is and how it is loaded."""
    group = parser.add_argument_group("data")
    group.add_argument("--data_root", help="folder that holds every data set in a folder of its name")
    add_division_arguments(group)
    add_skip_argument(group)
    group.add_argument(
        "--num_workers", type=int, default=None, help="loader processes (default: up to 8, by cores)"
    )
    group.add_argument("--bs_mult_val", type=int, default=1, help="pictures per evaluation batch and process")
    group.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        default="robustnet",
        help="size of the scored pictures: robustnet = as in published tables (Mapillary: 1536 centre crop), "
        "full = whole pictures, maxsquare = 1024x512 (width x height) whatever the data set",
    )
    group.add_argument(
        "--absent_classes",
        choices=("skip", "zero"),
        default="skip",
        help="a class without labelled pixels: skip = not in the mean, zero = as in published tables, IoU 0 "
        "as soon as a pixel is predicted as it",
    )
    group.add_argument(
        "--evaluation_height",
        type=int,
        default=None,
        help="height that a protocol's resize and crop use instead of its own (for miniature data); "
        "maxsquare is twice as wide",
    )


def add_sample_arguments(parser: argparse.ArgumentParser) -> None:
    """How training samples are made."""
    group = parser.add_argument_group("making of samples")
    group.add_argument(
        "--photometric",
        choices=("cpu", "device"),
        default="cpu",
        help="where colours are jittered and crops blurred: cpu = by the loader's processes, device = batch "
        "by batch where the network is",
    )
    group.add_argument(
        "--prepared",
        metavar="DIR",
        help="read the source domains' training pictures from what python -m scripts.prepare wrote there",
    )


def check_sample_arguments(args: argparse.Namespace) -> None:
    """Raise a UserError for ways to make samples that do not go together."""
    if args.photometric == "device":
        for flag, given in (
            ("--bblur", args.bblur),
            ("--augmentation maxsquare", args.augmentation == "maxsquare"),
        ):
            if given:
                raise UserError(f"--photometric device: cannot do {flag}; use --photometric cpu")
    if args.prepared:
        for flag, given in (
            ("--maxSkip", args.maxSkip),
            ("--coarse_boost_classes", args.coarse_boost_classes),
        ):
            if given:
                raise UserError(f"--prepared {args.prepared}: has no pictures for {flag}; drop one of them")


def add_division_arguments(group: argparse._ActionsContainer) -> None:
    """How pictures are divided into train and val."""
    group.add_argument(
        "--cv",
        type=int,
        default=0,
        metavar="N",
        help="division of the source domains into train and val (valid.py: of every --val_dataset): 0 = "
        "official, 1 and 2 = the other thirds of cityscapes' and gtav's folders, or KITTI's published lists",
    )
    group.add_argument(
        "--gtav_split",
        metavar="FILE",
        help="GTAV with all pictures in one folder: its split.mat, or a folder of gtav_train.txt and "
        "gtav_val.txt (default: the published lists in split_data/)",
    )


def add_skip_argument(group: argparse._ActionsContainer) -> None:
    """What becomes of pictures without a label, in programs that read labels."""
    group.add_argument(
        "--skip_unlabelled",
        action="store_true",
        help="leave out pictures that have no label file, and say how many (default: that is an error)",
    )


def division_flags(args: argparse.Namespace) -> list[str]:
    """Where data is and how it is divided, as it was given: the words for another program."""
    given = {name: vars(args)[name] for name in ("data_root", "cv", "gtav_split") if vars(args)[name]}
    words = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    return [*words, "--skip_unlabelled"] if args.skip_unlabelled else words


def check_boosted_classes(args: argparse.Namespace) -> None:
    """Raise a UserError for classes that cannot be boosted; the train ids become a list of numbers."""
    args.coarse_boost_classes = train_ids("--coarse_boost_classes", args.coarse_boost_classes)
    if args.coarse_boost_classes and args.class_uniform_pct == 0:
        raise UserError("--coarse_boost_classes: is for drawing by class, but --class_uniform_pct is 0")


def train_ids(flag: str, values: Sequence[object]) -> list[int]:
    """Train ids given as ``14 15 16``, ``14,15,16`` or a mixture; a UserError for anything else."""
    words = " ".join(map(str, values)).replace(",", " ").split()
    if not all(word.isdecimal() and int(word) < NUM_CLASSES for word in words):
        raise UserError(f"{flag} {' '.join(words)}: give train ids from 0 to {NUM_CLASSES - 1}")
    return [int(word) for word in words]
