"""Where your data is, and the command line of training.

Set the folders of the data sets once in ``DATASET_ROOTS``. The environment variable of a data set replaces
its entry there. ``--data_root`` replaces both: all data sets are then read from this one folder.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from datasets.definitions.catalog import TOYCITY_ROOT, declared_digest, network_classes, spec, use_catalogs
from datasets.files.prepared import differences
from datasets.files.split_lists import divided_by, division_digest
from datasets.flags import (
    add_data_arguments,
    add_sample_arguments,
    check_boosted_classes,
    check_sample_arguments,
    division_flags,
    train_ids,
)
from datasets.sampling.importance_weights import content_digest, read_importance_weights
from datasets.toycity.generation import MANIFEST
from methods import METHODS, Method, declared, flags_of, flags_of_others
from methods.common.restitution import RestitutionLoss
from network.flags import (
    add_network_arguments,
    add_network_training_arguments,
    add_tuning_arguments,
    backbone_factor,
    tuning_of,
)
from utils.declare import Flag, check_ranges, facts, toy_defaults
from utils.errors import UserError
from utils.flags.family import add_family_arguments, apply_family_arguments
from utils.flags.parser import FlagParser, in_words
from utils.flags.program import add_device_arguments
from utils.flags.training import add_training_arguments
from utils.progress import print_notices
from utils.scoring.classes import CITYSCAPES_19, CITYSCAPES_SETS

# One folder per data set, in the vendor's own layout. An empty string means: not set here.
DATASET_ROOTS: dict[str, str] = {
    "cityscapes": "",
    "gtav": "",
    "synthia": "",
    "bdd100k": "",
    "mapillary": "",
    "kitti": "",
    "camvid": "",
    "nthu": "",
    "acdc": "",
    "dark_zurich": "",
    "nighttime_driving": "",
    "foggy_zurich": "",
    "foggy_driving": "",
    "muses": "",
    "wilddash2": "",
    "idd": "",
}

NETWORK_CLASS_COUNTS = [len(each.train_ids) for each in CITYSCAPES_SETS]

# Flag -> the attribute of a method that is its default.
METHOD_DEFAULTS = {name: name for name in "color_jitter crop_padding renormalise bias_lr_mult".split()}
METHOD_DEFAULTS |= {"gblur": "gaussian_blur", "bias_weight_decay": "bias_weight_decay"}


def add_checkpoint_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of a program that takes the network of a checkpoint: which network, and how it computes."""
    add_network_arguments(parser, NETWORK_CLASS_COUNTS)
    # In a run's args.json it says where the run started, which is what a checkpoint of tuned weights needs.
    Flag(parser, "--backbone_weights", str, metavar="FILE").means(
        "Read from this file the weights that a checkpoint of --tune was trained on and leaves out. The "
        "default is to download them."
    )
    add_device_arguments(parser)


def training_parser(description: str | None = None) -> FlagParser:
    """train.py's command line."""
    parser = FlagParser(description, {name: partial(method_topic, name) for name in METHODS})
    add_training_arguments(parser)
    add_data_arguments(parser)
    add_sample_arguments(parser)
    add_network_arguments(parser, NETWORK_CLASS_COUNTS)
    network_training = parser.add_argument_group("training of the network")
    add_network_training_arguments(network_training)
    add_tuning_arguments(parser.add_argument_group("tuning of a loaded backbone"))
    RestitutionLoss.add_arguments(network_training)
    add_device_arguments(parser)
    for name, method in METHODS.items():
        method.add_arguments(parser.add_argument_group(f"method {name}"))
    add_family_arguments(parser)
    return parser


def method_topic(name: str, parser: FlagParser) -> str:
    """The help of a method: its flags, and the defaults of other flags that it changes."""
    method = METHODS[name]
    usual = {flag: getattr(Method, attribute) for flag, attribute in METHOD_DEFAULTS.items()}
    own = {flag: getattr(method, attribute) for flag, attribute in METHOD_DEFAULTS.items()}
    changed = {flag: own[flag] for flag in own if own[flag] != usual[flag]}
    changed |= method.architecture
    lines = [f"--{flag} {in_words(value)}" for flag, value in changed.items()]
    notes = ["\n  ".join(["This method changes the defaults of other flags:", *lines])] if lines else []
    if "target" in method.domains:
        notes.append("This method needs --target_dataset")
    described = (method.__doc__ or "").partition("\n\n")[0].replace("``", "")
    flags = [*flags_of(name), *(declared(RestitutionLoss) if method.restitutes else ())]
    return parser.text(f"--method {name}: {described}", {"flags": flags}, "\n".join(notes) or None)


def method_notices(args: argparse.Namespace, snr_stages: Sequence[int] = ()) -> list[str]:
    """One line per given flag that has no effect with ``--method`` and a network with ``snr_stages``."""
    lines = [
        f"--{flag.dest}: has no effect with --method {args.method}"
        for flag in flags_of_others(args.method)
        if getattr(args, flag.dest) not in (flag.default, facts(flag).toy)
    ]
    if snr_stages and not METHODS[args.method].restitutes:
        lines.append(f"--snr_stages: --method {args.method} has no dual restitution loss; --method snr has")
    if not snr_stages:
        restitution = declared(RestitutionLoss)
        given = [f"--{flag.dest}" for flag in restitution if getattr(args, flag.dest) != flag.default]
        given += [] if args.train_snr else ["--no_train_snr"]
        lines += [f"{flag}: has no effect without SNR; add --snr_stages 1 2 3" for flag in given]
    return lines


def parse_program(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line of a program other than train.py, which may also contain flags of train.py.

    Scripts of the RobustNet family pass such flags to all programs. ``without_effect`` of the result lists
    them. Raises a UserError for a value out of range, and for a flag that train.py does not have either.
    """
    args, words = parser.parse_known_args(arguments)
    training = training_parser()
    training.prog = parser.prog
    training.parse_args(words)
    use_catalogs(args.catalog)
    args.without_effect = [word.partition("=")[0] for word in words if word.startswith("--")]
    check_ranges(parser, args)
    return args


def name_flags_without_effect(args: argparse.Namespace) -> None:
    """Print that the flags of train.py found by :func:`parse_program` have no effect; one process prints."""
    if args.without_effect:
        print_notices(f"{' '.join(args.without_effect)}: for training, no effect here")


def check_loss_arguments(args: argparse.Namespace) -> None:
    """Raise a UserError for loss flags that contradict each other; turn train ids into a list of int."""
    classes = network_classes(args.dataset, args.num_classes)
    args.strict_bdr_cls = train_ids("--strict_bdr_cls", args.strict_bdr_cls, classes.of)
    if not classes.is_whole and (args.cls_wt_loss or args.strict_bdr_cls):
        raise UserError(
            f"--num_classes {args.num_classes}: goes with neither --cls_wt_loss nor --strict_bdr_cls, "
            f"which are for all {len(classes.of)} classes"
        )
    if args.cls_wt_loss and classes != CITYSCAPES_19:
        raise UserError(
            f"--cls_wt_loss: its weights are published for Cityscapes' classes, not for {classes.name}; drop "
            "it, or use --img_wt_loss, which weights any classes"
        )
    if args.img_wt_loss and args.jointwtborder:
        raise UserError("--img_wt_loss and --jointwtborder are both main losses: give one of them")
    if args.rlx_off_iter < -1:
        raise UserError(f"--rlx_off_iter {args.rlx_off_iter}: must be a step, or -1 to relax always")
    if args.lr_schedule == "scl-poly" and not (args.jointwtborder and args.rlx_off_iter >= 0):
        raise UserError("--lr_schedule scl-poly: needs --jointwtborder and --rlx_off_iter, where it restarts")


def apply_method_defaults(args: argparse.Namespace, method: type[Method]) -> None:
    """Set, in place, the flags that were not given to the defaults of ``method``."""
    if args.gblur is None:
        args.gblur = method.gaussian_blur
    if args.crop_padding is None:
        args.crop_padding = method.crop_padding
    if args.renormalise is None:
        args.renormalise = method.renormalise
        # The published statistics are of real pictures, not of the toy city's.
        if args.renormalise == "published" and is_toycity(args):
            args.renormalise = "measured"


def is_toycity(args: argparse.Namespace) -> bool:
    """Whether the data are those of the toy city in its usual place."""
    return bool(args.data_root) and Path(args.data_root).resolve() == TOYCITY_ROOT.resolve()


def made_by_toycity(folders: Iterable[str]) -> bool:
    """Whether one of the ``folders`` of data sets was written by the toy city, wherever it lies."""
    return any((Path(folder) / MANIFEST).is_file() for folder in folders)


def apply_target_arguments(args: argparse.Namespace, domains: Sequence[str]) -> None:
    """Check that a target data set is given exactly if "target" is among ``domains`` of the method.

    ``importance_weights_content`` in ``args`` becomes a digest of the file of ``--importance_weights``.
    Raises a UserError if a target is missing, unused or named twice, or if the weights cannot be read.
    """
    if "target" in domains and args.target_dataset is None:
        if not is_toycity(args):
            raise UserError(
                f"--method {args.method}: adapts to unlabelled pictures; name them with --target_dataset"
            )
        args.target_dataset = ["cityscapes"]
    targets = args.target_dataset or []
    if targets and "target" not in domains:
        raise UserError(
            f"--target_dataset {' '.join(targets)}: the method {args.method} uses no target domain; drop the "
            "flag or choose another --method"
        )
    repeated = [name for name in targets if targets.count(name) > 1]
    if repeated:
        raise UserError(f"--target_dataset {' '.join(targets)}: names {repeated[0]} more than once")
    file = args.importance_weights if targets else None
    args.importance_weights_content = content_digest(read_importance_weights(file)) if file else None


def add_digests(args: argparse.Namespace) -> None:
    """Add ``gtav_split_content`` to the settings, a digest of the lists of ``--gtav_split``, and
    ``prepared_content``, which says how the copies in ``--prepared`` differ from their originals.
    ``catalog_content`` is a digest of what catalog files say of the pictures that are trained on.

    Raises a UserError if the lists cannot be read, or if there are no copies.
    """
    args.gtav_split_content = args.prepared_content = None
    args.catalog_content = declared_digest([*args.dataset, *(args.target_dataset or [])])
    if args.gtav_split:
        args.gtav_split_content = division_digest(divided_by(spec("gtav"), Path(args.gtav_split)))
    if args.prepared:
        specs = [spec(name) for name in args.dataset]
        content = differences(Path(args.prepared), specs, args.city_mode, division_flags(args))
        args.prepared_content = content or None


def refuse_root_alone(args: argparse.Namespace, remedy: str) -> None:
    """For a command without data sets: a UserError with ``remedy`` if ``--data_root`` is not the toy city."""
    if args.data_root and not is_toycity(args):
        raise UserError(f"--data_root {args.data_root}: {remedy}")


def parse_training_arguments(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None
) -> argparse.Namespace:
    """Parse train.py's command line. Without ``--dataset``, the toy city's defaults are used.

    Raises a UserError for a value out of range, and for flags that contradict each other.
    """
    args = parser.parse_args(arguments)
    if args.dataset is None:
        refuse_root_alone(args, "say with --dataset what to train on")
        parser.set_defaults(data_root=str(TOYCITY_ROOT), **toy_defaults(parser))
        if args.backbone:
            parser.set_defaults(arch=None)
        args = parser.parse_args(arguments)
    use_catalogs(args.catalog)
    if args.arch is None and args.backbone is None:
        args.arch = "network.deepv3.DeepR50V3PlusD"
    check_ranges(parser, args)
    if args.scale_max < args.scale_min:
        raise UserError(f"--scale_max {args.scale_max}: is below --scale_min {args.scale_min}")
    if args.color_jitter and not (min(args.color_jitter) >= 0 and args.color_jitter[3] <= 0.5):
        amounts = " ".join(map(str, args.color_jitter))
        raise UserError(f"--color_jitter {amounts}: must be 0 or more, the last, of hue, at most 0.5")
    if not (args.relax_denom == 0 or 1 <= args.relax_denom < math.inf):
        raise UserError(f"--relax_denom {args.relax_denom}: must be 0, or 1 and more")
    if args.snapshot and args.resume_from:
        raise UserError("--snapshot and --resume_from: both say where to start; give one of them")
    if args.arch and args.backbone:
        raise UserError("--arch and --backbone both name a network: give one of them")
    if args.backbone_weights and not args.pretrained:
        raise UserError(
            f"--backbone_weights {args.backbone_weights}: is not read without --pretrained; add it, or drop "
            "--no_pretrained (the toy city's default)"
        )
    if args.arch and args.output_stride:
        raise UserError("--output_stride goes with --backbone: the name given to --arch has its own")
    apply_family_arguments(args)
    tuning_of(args)
    args.backbone_lr_mult = backbone_factor(args)
    check_loss_arguments(args)
    check_boosted_classes(args)
    check_sample_arguments(args)
    add_digests(args)
    repeated = [name for name in args.dataset if args.dataset.count(name) > 1]
    if repeated:
        raise UserError(f"--dataset {' '.join(args.dataset)}: names {repeated[0]} more than once")
    if args.step_per_domain and (args.image_uniform_sampling or args.accumulate > 1):
        raise UserError("--step_per_domain: goes with neither --image_uniform_sampling nor --accumulate")
    return args
