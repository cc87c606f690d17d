"""Flags about data that the programs share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial

from datasets.definitions.catalog import PROTOCOLS, spec
from utils.declare import Flag
from utils.errors import UserError
from utils.scoring.classes import ClassList


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say where data is and how it is loaded."""
    group = parser.add_argument_group("data")
    add = partial(Flag, group)
    add_root_argument(group)
    add_division_arguments(group)
    add_skip_argument(group)
    add("--num_workers", int, at_least=0, free=True, everyday=True).means(
        "Load data with this many processes. The default follows the cores, up to 32."
    )
    add("--bs_mult_val", int, above=0, free=True).means(
        "Score this many pictures of one size per batch and process. The default is 4 on a GPU, else 1."
    )
    add("--protocol", "robustnet", choices=PROTOCOLS, free=True).means(
        "Score pictures at this size. robustnet is that of published tables (Mapillary: a 1536 centre crop), "
        "full is the whole picture, maxsquare is 1024 x 512 (width x height) for all data sets, vfm is that "
        "of tuned vision transformers: windows of 512 at every 320, on smaller pictures than their labels."
    )
    add("--absent_classes", "skip", choices=("skip", "zero"), free=True).means(
        "skip leaves a class without labelled pixels out of the mean. zero counts it as IoU 0 if any pixel "
        "is predicted as this class, as published tables do."
    )
    add("--evaluation_height", int, above=0, free=True, toy=256).means(
        "Use this height for a protocol's resize and crop, for miniature data. maxsquare is twice as wide."
    )


def add_sample_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say how training samples are made."""
    add = partial(Flag, parser.add_argument_group("making of samples"))
    add("--photometric", "cpu", choices=("cpu", "device")).means(
        "Jitter colours and blur crops in the loader's processes (cpu), or batch by batch where the network "
        "is (device)."
    )
    add("--prepared", str, metavar="DIR", free=True).means(
        "Read the sources' training pictures from the folder that python -m scripts.prepare wrote."
    )


def check_sample_arguments(args: argparse.Namespace) -> None:
    """Raise a UserError for ways to make samples that do not go together."""
    maxsquare = args.augmentation == "maxsquare"
    for given, words in ((args.bblur, "--bblur"), (maxsquare, "--augmentation maxsquare")):
        if given and args.photometric == "device":
            raise UserError(f"--photometric device: cannot do {words}; use --photometric cpu")
    for name in ("maxSkip", "coarse_boost_classes"):
        if vars(args)[name] and args.prepared:
            raise UserError(f"--prepared {args.prepared}: has no pictures for --{name}; drop one of them")


def add_root_argument(group: argparse._ActionsContainer) -> None:
    """Add the flags that say which data sets there are, and where."""
    Flag(group, "--data_root", str, metavar="DIR", free=True, everyday=True).means(
        "Find each data set in the folder of its name in DIR."
    )
    Flag(group, "--catalog", str, metavar="FILE", nargs="+", action="extend", default=[], free=True).means(
        "Read data sets and lists of classes of your own from these TOML files."
    )


def add_division_arguments(group: argparse._ActionsContainer) -> None:
    """Add the flags that say how pictures are divided into train and val."""
    Flag(group, "--cv", 0, at_least=0).means(
        "Use this division of the sources (valid.py: each --val_dataset) into train and val. 0 is the "
        "official one. 1 and 2 use as many other folders for val (Cityscapes, GTAV), or KITTI's other "
        "published lists."
    )
    Flag(group, "--gtav_split", str, metavar="FILE", free=True).means(
        "If all pictures of GTAV are in one folder, divide them by its split.mat, or by a folder with "
        "gtav_train.txt and gtav_val.txt. The default is the published lists in split_data/."
    )


def add_skip_argument(group: argparse._ActionsContainer) -> None:
    """Add the flag for pictures without a label, in programs that read labels."""
    Flag(group, "--skip_unlabelled", False).means(
        "Leave out pictures that have no label file, and say how many. Without this they are an error."
    )


def division_flags(args: argparse.Namespace) -> list[str]:
    """The given flags about where data is and how it is divided, as words of a command line."""
    given = {name: vars(args)[name] for name in ("data_root", "cv", "gtav_split") if vars(args)[name]}
    words = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    return [*words, "--skip_unlabelled"] if args.skip_unlabelled else words


def check_boosted_classes(args: argparse.Namespace) -> None:
    """Raise a UserError for classes that cannot be boosted; turn the train ids into a list of int."""
    args.coarse_boost_classes = train_ids(
        "--coarse_boost_classes", args.coarse_boost_classes, spec(args.dataset[0]).classes
    )
    if args.coarse_boost_classes and args.class_uniform_pct == 0:
        raise UserError("--coarse_boost_classes: is for drawing by class, but --class_uniform_pct is 0")


def train_ids(flag: str, values: Sequence[object], of: ClassList) -> list[int]:
    """Train ids of ``of``, given as ``14 15 16`` or ``14,15,16``; a UserError for anything else."""
    words = " ".join(map(str, values)).replace(",", " ").split()
    if not all(word.isdecimal() and int(word) < len(of) for word in words):
        raise UserError(f"{flag} {' '.join(words)}: give train ids from 0 to {len(of) - 1}")
    return [int(word) for word in words]
