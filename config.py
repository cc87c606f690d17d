"""Where your data is, and the command line of training.

Edit ``DATASET_ROOTS`` once and forget about it, or set the environment variable of a data set, which wins
over it. With ``--data_root`` neither counts: every data set is in there.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from datasets.definitions.catalog import spec
from datasets.definitions.labels import NETWORK_CLASS_SETS, NUM_CLASSES
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
from methods import METHODS, Method, declared, flags_of_others
from methods.common.restitution import RestitutionLoss
from network.flags import add_network_arguments, add_network_training_arguments
from utils.errors import Parser, UserError
from utils.flags.family import IGNORED, add_family_arguments, apply_family_arguments
from utils.flags.program import add_device_arguments, add_process_arguments
from utils.flags.ranges import check_ranges
from utils.flags.training import add_loss_arguments, add_training_arguments

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
}

# The embedded data set: made here on first use, with the command line's default sizes.
TOYCITY_ROOT = Path("data/toycity")

# What a method that adapts to a target domain gets there.
TOYCITY_TARGET = ["cityscapes"]

# What replaces the programs' defaults when no data set is named and toycity is used, so that a laptop can
# follow.
TOYCITY_DEFAULTS: dict[str, object] = {
    "dataset": ["gtav"],
    "val_dataset": ["cityscapes", "bdd100k", "synthia", "mapillary"],
    "arch": "network.deepv3.DeepR18V3PlusD",
    "pretrained": False,
    "crop_size": 192,
    "scale_min": 0.5,
    "scale_max": 1.25,
    "class_uniform_tile": 128,
    "bs_mult": 4,
    "lr": 0.03,
    "max_iter": 500,
    "eval_every": 250,
    "channels_last": True,
    "evaluation_height": 256,
    # Its layer4 has 6 x 6 pixels of a crop.
    "contrast_max_classes": 6,
    "contrast_max_views": 6,
    "num_patch": 4,
}


# What may differ when a run is resumed: where things are, how they are computed and reported.
FREE_ON_RESUME = {
    *"data_root num_workers bs_mult_val val_dataset protocol absent_classes evaluation_height".split(),
    *"amp channels_last compile debug local_rank deterministic bs_mult accumulate target_bs_mult".split(),
    *"processes_per_group ckpt tb_path date exp resume overwrite snapshot resume_from pretrained".split(),
    *"device backbone_weights partial_load selection iter_stop eval_every save_every log_every".split(),
    *"dump_augmentation_images visualize_feature max_bad_steps max_bad_samples".split(),
    # What is in them, which is a setting of its own, may not.
    *"importance_weights prepared gtav_split".split(),
    *"sgd syncbn fp16 test_mode restore_optimizer jit_only".split(),
    *IGNORED,
}


def training_parser(description: str | None = None) -> argparse.ArgumentParser:
    """train.py's command line."""
    parser = Parser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_training_arguments(parser)
    add_loss_arguments(parser)
    add_data_arguments(parser)
    add_sample_arguments(parser)
    add_network_arguments(parser, NETWORK_CLASS_SETS)
    network_training = parser.add_argument_group("training of the network")
    add_network_training_arguments(network_training)
    RestitutionLoss.add_arguments(network_training)
    add_device_arguments(parser)
    add_process_arguments(parser)
    for name, method in METHODS.items():
        method.add_arguments(parser.add_argument_group(f"method {name}"))
    add_family_arguments(parser)
    return parser


def method_notices(args: argparse.Namespace, snr_stages: Sequence[int] = ()) -> list[str]:
    """One line for each given flag that neither ``--method`` nor a network with ``snr_stages`` heeds."""
    lines = [
        f"--{flag}: has no effect with --method {args.method}"
        for flag, default in flags_of_others(args.method).items()
        if getattr(args, flag) not in (default, TOYCITY_DEFAULTS.get(flag, default))
    ]
    given = [
        f"--{flag}" for flag, default in declared(RestitutionLoss).items() if getattr(args, flag) != default
    ]
    if not args.train_snr:
        given.append("--no_train_snr")
    if snr_stages and not METHODS[args.method].restitutes:
        lines.append(f"--snr_stages: --method {args.method} has no dual restitution loss; --method snr has")
    if not snr_stages:
        lines += [f"{flag}: has no effect without SNR; add --snr_stages 1 2 3" for flag in given]
    return lines


def training_flags(program: str, words: Sequence[str]) -> list[str]:
    """The flags among ``words``, which have to be arguments of train.py.

    The family's scripts give the other programs some of them.

    Raises:
        UserError: one that is not, named as an error of ``program``.
    """
    parser = training_parser()
    parser.prog = program
    parser.parse_args(words)
    return [word.partition("=")[0] for word in words if word.startswith("--")]


def check_loss_arguments(args: argparse.Namespace) -> None:
    """Raise a UserError for loss flags that do not go together; train ids become a list of numbers."""
    args.strict_bdr_cls = train_ids("--strict_bdr_cls", args.strict_bdr_cls)
    if args.num_classes not in (None, NUM_CLASSES) and (args.cls_wt_loss or args.strict_bdr_cls):
        raise UserError(
            f"--num_classes {args.num_classes}: goes with neither --cls_wt_loss nor --strict_bdr_cls, "
            f"which are for all {NUM_CLASSES} classes"
        )
    if args.img_wt_loss and args.jointwtborder:
        raise UserError("--img_wt_loss and --jointwtborder are both main losses: give one of them")
    if args.rlx_off_iter < -1:
        raise UserError(f"--rlx_off_iter {args.rlx_off_iter}: must be a step, or -1 to relax always")
    if args.lr_schedule == "scl-poly" and not (args.jointwtborder and args.rlx_off_iter >= 0):
        raise UserError("--lr_schedule scl-poly: needs --jointwtborder and --rlx_off_iter, where it restarts")


def apply_method_defaults(args: argparse.Namespace, method: type[Method]) -> None:
    """Put in place what ``method`` was published with and the command line leaves open."""
    if args.gblur is None:
        args.gblur = method.gaussian_blur
    if args.crop_padding is None:
        args.crop_padding = method.crop_padding
    if args.renormalise is None:
        args.renormalise = method.renormalise
        # Published colours are those of the real pictures.
        if args.renormalise == "published" and is_toycity(args):
            args.renormalise = "measured"


def is_toycity(args: argparse.Namespace) -> bool:
    """Whether the data are those of the toy city in its usual place."""
    return bool(args.data_root) and Path(args.data_root).resolve() == TOYCITY_ROOT.resolve()


def apply_target_arguments(args: argparse.Namespace, domains: Sequence[str]) -> None:
    """Check, in place, that there is a target data set just if ``domains`` of the method have a target.

    What ``--importance_weights`` says of its pictures becomes a setting, ``importance_weights_content``.

    Raises:
        UserError: it is missing, nobody would use it, or it is named twice; the weights cannot be read.
    """
    if "target" in domains and args.target_dataset is None:
        if not is_toycity(args):
            raise UserError(
                f"--method {args.method}: adapts to unlabelled pictures; name them with --target_dataset"
            )
        args.target_dataset = [*TOYCITY_TARGET]
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


def note_contents(args: argparse.Namespace) -> None:
    """What ``--gtav_split`` says and in what the copies in ``--prepared`` are not as the originals become
    settings, ``gtav_split_content`` and ``prepared_content``.

    Raises a UserError for lists that cannot be read, and where there are no copies.
    """
    lists = args.gtav_split
    args.gtav_split_content = division_digest(divided_by(spec("gtav"), Path(lists))) if lists else None
    args.prepared_content = None
    if args.prepared:
        specs = [spec(name) for name in args.dataset]
        content = differences(Path(args.prepared), specs, args.city_mode, division_flags(args))
        args.prepared_content = content or None


def parse_training_arguments(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None
) -> argparse.Namespace:
    """Parse train.py's command line. Without ``--dataset``, ``TOYCITY_DEFAULTS`` stand in for the defaults.

    Raises:
        UserError: a value out of range, or flags that contradict each other.
    """
    args = parser.parse_args(arguments)
    if args.dataset is None:
        if args.data_root and not is_toycity(args):
            raise UserError(f"--data_root {args.data_root}: say with --dataset what to train on")
        parser.set_defaults(data_root=str(TOYCITY_ROOT), **TOYCITY_DEFAULTS)
        if args.backbone:
            parser.set_defaults(arch=None)
        args = parser.parse_args(arguments)
    if args.arch is None and args.backbone is None:
        args.arch = "network.deepv3.DeepR50V3PlusD"
    check_ranges(args)
    if args.scale_max < args.scale_min:
        raise UserError(f"--scale_max {args.scale_max}: is below --scale_min {args.scale_min}")
    if args.color_jitter and not (min(args.color_jitter) >= 0 and args.color_jitter[3] <= 0.5):
        amounts = " ".join(map(str, args.color_jitter))
        raise UserError(f"--color_jitter {amounts}: must be 0 or more, the last, of hue, at most 0.5")
    for name in ("class_uniform_pct", "color_aug", "importance_uniform_prior"):
        if not 0 <= getattr(args, name) <= 1:
            raise UserError(f"--{name} {getattr(args, name)}: must be between 0 and 1")
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
    check_loss_arguments(args)
    check_boosted_classes(args)
    check_sample_arguments(args)
    note_contents(args)
    repeated = [name for name in args.dataset if args.dataset.count(name) > 1]
    if repeated:
        raise UserError(f"--dataset {' '.join(args.dataset)}: names {repeated[0]} more than once")
    if args.step_per_domain and (args.image_uniform_sampling or args.accumulate > 1):
        raise UserError("--step_per_domain: goes with neither --image_uniform_sampling nor --accumulate")
    return args
