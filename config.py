"""Where your data is, and the arguments that the three programs share.

Edit ``DATASET_ROOTS`` once and forget about it, or set the environment variable of a data set, or pass
``--data_root``; the later wins over the earlier.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from datasets.catalog import PROTOCOLS
from datasets.labels import NUM_CLASSES
from methods import METHODS
from utils.errors import UserError
from utils.family_flags import IGNORED, add_family_arguments, apply_family_arguments

# One folder per data set, in the vendor's own layout. An empty string means: not set here.
DATASET_ROOTS: dict[str, str] = {
    "cityscapes": "",
    "gtav": "",
    "synthia": "",
    "bdd100k": "",
    "mapillary": "",
    "kitti": "",
    "camvid": "",
}

# The embedded data set: made here on first use, with the command line's default sizes.
TOYCITY_ROOT = Path("data/toycity")

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
}


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Where data is and how it is loaded."""
    group = parser.add_argument_group("data")
    group.add_argument("--data_root", help="folder that holds every data set in a folder of its name")
    add_division_arguments(group)
    group.add_argument(
        "--num_workers", type=int, default=None, help="loader processes (default: up to 8, by cores)"
    )
    group.add_argument("--bs_mult_val", type=int, default=1, help="pictures per evaluation batch and process")
    group.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        default="robustnet",
        help="size of the scored pictures: robustnet = as in published tables (Mapillary: 1536 centre crop), "
        "full = whole pictures",
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
        help="height that a protocol's resize and crop use instead of its own (for miniature data)",
    )


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


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    """Which network."""
    group = parser.add_argument_group("network")
    group.add_argument(
        "--arch", help="a family name, e.g. network.deepv3.DeepR50V3PlusD (default), or --backbone"
    )
    group.add_argument(
        "--backbone", help="a backbone by name, e.g. resnet50, mobilenet_v2, timm:convnext_tiny"
    )
    group.add_argument(
        "--output_stride", type=int, choices=(4, 8, 16, 32), help="with --backbone (default 16)"
    )
    group.add_argument(
        "--wt_layer",
        type=int,
        nargs=7,
        metavar="CODE",
        help="normalisation at the seven sites (three in the stem, one at the end of layer1..4): 0 BN only, "
        "1 IW/IRW, 2 ISW, 3 instance norm, 4 instance norm with affine (IBN), 5 switchable whitening",
    )
    group.add_argument(
        "--image_in",
        action="store_true",
        help="normalise every picture by its own mean and deviation, not by ImageNet's",
    )
    group.add_argument("--partial_load", action="store_true", help="take from --snapshot what fits")


def add_device_arguments(parser: argparse.ArgumentParser) -> None:
    """How it is computed, and how errors are shown."""
    group = parser.add_argument_group("device")
    group.add_argument("--amp", choices=("off", "bf16", "fp16"), default="off", help="mixed precision")
    group.add_argument(
        "--channels_last",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="NHWC memory layout (faster on CPUs, and on GPUs with --amp)",
    )
    group.add_argument("--compile", action="store_true", help="torch.compile the network")
    group.add_argument("--debug", action="store_true", help="show the traceback of an error")


def add_process_arguments(parser: argparse.ArgumentParser) -> None:
    """What the launcher of several processes passes."""
    group = parser.add_argument_group("processes")
    group.add_argument("--local_rank", "--local-rank", type=int, default=None, help="set by the launcher")


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything else that train.py takes, in the family's spelling."""
    data = parser.add_argument_group("training data")
    data.add_argument("--dataset", nargs="+", help="source domains (default: the toy city's gtav)")
    data.add_argument(
        "--image_uniform_sampling",
        action="store_true",
        help="several sources: draw from all their pictures alike; default: a picture of each per item",
    )
    data.add_argument(
        "--step_per_domain",
        action="store_true",
        help="several sources: an optimiser step for each in turn, as published; default: one joint step",
    )
    data.add_argument(
        "--val_dataset", nargs="*", default=[], help="domains that are scored at the end, never trained on"
    )
    data.add_argument(
        "--covstat_val_dataset", nargs="+", help="data sets of the ISW statistics (default: --dataset)"
    )
    data.add_argument("--covstat_images", type=int, default=500, help="ISW: pictures per round of statistics")
    data.add_argument(
        "--city_mode",
        choices=("train", "val", "trainval"),
        default="train",
        help="split that is trained on; trainval = train and val together",
    )
    data.add_argument(
        "--class_uniform_pct", type=float, default=0.5, help="share of crops drawn by class, 0 = none"
    )
    data.add_argument(
        "--class_uniform_tile", type=int, default=1024, help="tile side in pixels for class centroids"
    )
    data.add_argument(
        "--coarse_boost_classes",
        nargs="+",
        default=[],
        metavar="CLASS",
        help="cityscapes: these train ids (14,15,16 or 14 15 16) are drawn by class from train_extra, "
        "with its coarse labels, too",
    )
    data.add_argument(
        "--maxSkip",
        type=int,
        default=0,
        metavar="N",
        help="cityscapes: train also on the frames N before and behind each one in its sequence, where "
        "picture and label are below $CITYSCAPES_AUG_DIR (default: the data set's folder)",
    )
    data.add_argument(
        "--max_cu_epoch",
        type=int,
        default=10000,
        help="last epoch that draws the pictures of --coarse_boost_classes and --maxSkip",
    )
    data.add_argument("--crop_size", type=int, default=768, help="side of the training crop in pixels")
    data.add_argument(
        "--crop_nopad", action="store_true", help="shrink the crop to small pictures instead of padding"
    )
    data.add_argument("--scale_min", type=float, default=0.5, help="smallest random scale")
    data.add_argument("--scale_max", type=float, default=2.0, help="largest random scale")
    data.add_argument(
        "--pre_size", type=int, default=None, help="scale pictures to this short side before the random scale"
    )
    data.add_argument("--rrotate", type=float, default=0, help="largest random rotation in degrees, 0 = none")
    data.add_argument(
        "--color_aug", type=float, default=0.5, help="share of crops whose colours are jittered"
    )
    data.add_argument("--gblur", action="store_true", help="Gaussian blur on every crop")
    data.add_argument("--bblur", action="store_true", help="bilateral blur on every crop, instead of --gblur")
    data.add_argument(
        "--dump_augmentation_images",
        action="store_true",
        help="write the first batch of crops and labels to the run folder",
    )

    steps = parser.add_argument_group("optimisation")
    steps.add_argument("--method", help="default: what the --wt_layer codes ask for")
    steps.add_argument("--max_iter", type=int, default=40000, help="optimiser steps")
    steps.add_argument("--bs_mult", type=int, default=4, help="pictures per step and process")
    steps.add_argument(
        "--accumulate", type=int, default=1, help="batches of bs_mult whose gradients make one step"
    )
    steps.add_argument("--lr", type=float, default=0.01, help="learning rate")
    steps.add_argument(
        "--lr_schedule",
        choices=("poly", "scl-poly"),
        default="poly",
        help="poly = lr x (1 - step / max_iter) ^ poly_exp; scl-poly = poly that restarts at --rlx_off_iter",
    )
    steps.add_argument("--poly_exp", type=float, default=0.9, help="exponent of the poly schedule")
    steps.add_argument("--momentum", type=float, default=0.9, help="SGD momentum")
    steps.add_argument(
        "--weight_decay", type=float, default=5e-4, help="SGD weight decay, on every parameter"
    )
    steps.add_argument(
        "--sgd", action="store_true", help="the optimiser is SGD with or without this family flag"
    )
    steps.add_argument(
        "--syncbn", action="store_true", help="BN is synchronised whenever there are several GPUs"
    )
    steps.add_argument("--seed", type=int, default=304, help="seed of every random draw")
    steps.add_argument(
        "--deterministic",
        action="store_true",
        help="deterministic algorithms wherever PyTorch has them, slower",
    )

    start = parser.add_argument_group("start and results")
    start.add_argument(
        "--pretrained", action="store_true", default=True, help="start from ImageNet weights (default)"
    )
    start.add_argument(
        "--no_pretrained", dest="pretrained", action="store_false", help="start from random weights"
    )
    start.add_argument("--backbone_weights", help="ImageNet weights from this file instead of a download")
    start.add_argument("--snapshot", help="start from a checkpoint's weights, at step 0")
    start.add_argument(
        "--resume", help="'auto' = go on from the run folder's last.pth if there is one, or a file"
    )
    start.add_argument("--overwrite", action="store_true", help="replace a run that is in the run folder")
    start.add_argument(
        "--eval_every",
        type=int,
        default=5000,
        help="steps between evaluations on source val, 0 = only at the end",
    )
    start.add_argument(
        "--selection",
        choices=("source", "last"),
        default="source",
        help="weights that are scored at the end: best on source val, or of the last step",
    )
    start.add_argument(
        "--visualize_feature",
        action="store_true",
        help="whitened sites: write their covariance as pictures to the run folder at every evaluation",
    )
    start.add_argument("--save_every", type=int, default=1000, help="steps between writes of last.pth")
    start.add_argument("--log_every", type=int, default=10, help="steps between log lines")
    start.add_argument("--ckpt", default="./logs/", help="folder of all runs")
    start.add_argument("--tb_path", help="folder of TensorBoard logs (default: --ckpt)")
    start.add_argument("--date", default="default", help="first part of the run folder's name")
    start.add_argument("--exp", help="second part (default: method and backbone)")


def add_loss_arguments(parser: argparse.ArgumentParser) -> None:
    """What a labelled pixel costs, and the schedule that goes with boundary label relaxation."""
    group = parser.add_argument_group("segmentation loss")
    group.add_argument(
        "--cls_wt_loss", action="store_true", help="fixed class weights on plain and auxiliary cross entropy"
    )
    group.add_argument(
        "--img_wt_loss", action="store_true", help="main loss: class weights of every picture's own"
    )
    group.add_argument(
        "--img_wt_reduction",
        choices=("mean", "sum"),
        default="mean",
        help="--img_wt_loss over the pictures of a batch; the published code sums",
    )
    group.add_argument(
        "--batch_weighting", action="store_true", help="class weights of the batch instead of every picture's"
    )
    group.add_argument(
        "--wt_bound", "-wb", type=float, default=1.0, help="such a class weight is at most 1 + this"
    )
    group.add_argument(
        "--jointwtborder", action="store_true", help="main loss: boundary label relaxation, class-weighted"
    )
    group.add_argument(
        "--strict_bdr_cls", nargs="+", default=[], help="train ids that are not relaxed: 5,6,7 or 5 6 7"
    )
    group.add_argument(
        "--rlx_off_iter",
        type=int,
        default=-1,
        help="no relaxation after this step, pixels at a boundary count twice instead; -1 = relax always",
    )
    group.add_argument(
        "--rescale", type=float, default=1.0, help="scl-poly: learning rate at the restart / --lr"
    )
    group.add_argument("--repoly", type=float, default=1.5, help="scl-poly: exponent after the restart")


# What may differ when a run is resumed: where things are, how they are computed and reported.
FREE_ON_RESUME = {"data_root", "num_workers", "bs_mult_val", "val_dataset", "protocol", "absent_classes"}
FREE_ON_RESUME |= {
    "evaluation_height",
    "amp",
    "channels_last",
    "compile",
    "debug",
    "local_rank",
    "deterministic",
}
FREE_ON_RESUME |= {
    "bs_mult",
    "accumulate",
    "ckpt",
    "tb_path",
    "date",
    "exp",
    "resume",
    "overwrite",
    "snapshot",
}
FREE_ON_RESUME |= {"pretrained", "backbone_weights", "partial_load", "selection", "sgd", "syncbn"}
FREE_ON_RESUME |= {"eval_every", "save_every", "log_every", "dump_augmentation_images", "visualize_feature"}
FREE_ON_RESUME |= {"fp16", "test_mode", "restore_optimizer", *IGNORED}

POSITIVE = (
    "max_iter",
    "bs_mult",
    "bs_mult_val",
    "accumulate",
    "crop_size",
    "class_uniform_tile",
    "scale_min",
)
POSITIVE += ("pre_size", "scale_max", "save_every", "log_every", "covstat_images", "evaluation_height")
NOT_NEGATIVE = ("lr", "poly_exp", "momentum", "weight_decay", "rrotate", "color_aug", "wt_reg_weight", "seed")
NOT_NEGATIVE += ("cv", "maxSkip", "eval_every", "max_cu_epoch", "num_workers", "cov_stat_epoch")
NOT_NEGATIVE += ("wt_bound", "rescale", "repoly")


def check_ranges(args: argparse.Namespace) -> None:
    """Raise a UserError for a number that makes no sense, whichever of the programs it was given to."""
    values = {name: value for name, value in vars(args).items() if isinstance(value, (int, float))}
    for name in values.keys() & {*POSITIVE}:
        if not 0 < values[name] < math.inf:
            raise UserError(f"--{name} {values[name]}: must be greater than 0")
    for name in values.keys() & {*NOT_NEGATIVE}:
        if not 0 <= values[name] < math.inf:
            raise UserError(f"--{name} {values[name]}: must be 0 or a positive number")


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


def training_parser(description: str | None = None) -> argparse.ArgumentParser:
    """train.py's command line."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_training_arguments(parser)
    add_loss_arguments(parser)
    add_data_arguments(parser)
    add_network_arguments(parser)
    add_device_arguments(parser)
    add_process_arguments(parser)
    for name, method in METHODS.items():
        method.add_arguments(parser.add_argument_group(f"method {name}"))
    add_family_arguments(parser)
    return parser


def training_flags(program: str, words: Sequence[str]) -> list[str]:
    """The flags among ``words``, which have to be arguments of train.py; else ``program`` ends with usage.

    The family's scripts give the other programs some of them.
    """
    parser = training_parser()
    parser.prog = program
    parser.usage = "%(prog)s [its own flags, see --help] [flags of train.py, without effect]"
    parser.parse_args(words)
    return [word.partition("=")[0] for word in words if word.startswith("--")]


def check_loss_arguments(args: argparse.Namespace) -> None:
    """Raise a UserError for loss flags that do not go together; train ids become a list of numbers."""
    args.strict_bdr_cls = train_ids("--strict_bdr_cls", args.strict_bdr_cls)
    if args.img_wt_loss and args.jointwtborder:
        raise UserError("--img_wt_loss and --jointwtborder are both main losses: give one of them")
    if args.lr_schedule == "scl-poly" and not (args.jointwtborder and args.rlx_off_iter >= 0):
        raise UserError("--lr_schedule scl-poly: needs --jointwtborder and --rlx_off_iter, where it restarts")


def parse_training_arguments(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None
) -> argparse.Namespace:
    """Parse train.py's command line. Without ``--dataset``, ``TOYCITY_DEFAULTS`` stand in for the defaults.

    Raises:
        UserError: a value out of range, or flags that contradict each other.
    """
    args = parser.parse_args(arguments)
    if args.dataset is None:
        if args.data_root and Path(args.data_root).resolve() != TOYCITY_ROOT.resolve():
            raise UserError(f"--data_root {args.data_root}: say with --dataset what to train on")
        parser.set_defaults(data_root=str(TOYCITY_ROOT), **TOYCITY_DEFAULTS)
        args = parser.parse_args(arguments)
    if args.arch is None and args.backbone is None:
        args.arch = "network.deepv3.DeepR50V3PlusD"
    check_ranges(args)
    if args.scale_max < args.scale_min:
        raise UserError(f"--scale_max {args.scale_max}: is below --scale_min {args.scale_min}")
    for name in ("class_uniform_pct", "color_aug"):
        if not 0 <= getattr(args, name) <= 1:
            raise UserError(f"--{name} {getattr(args, name)}: must be between 0 and 1")
    if not (args.relax_denom == 0 or 1 <= args.relax_denom < math.inf):
        raise UserError(f"--relax_denom {args.relax_denom}: must be 0, or 1 and more")
    if args.arch and args.backbone:
        raise UserError("--arch and --backbone both name a network: give one of them")
    if args.arch and args.output_stride:
        raise UserError("--output_stride goes with --backbone: the name given to --arch has its own")
    apply_family_arguments(args)
    check_loss_arguments(args)
    check_boosted_classes(args)
    repeated = [name for name in args.dataset if args.dataset.count(name) > 1]
    if repeated:
        raise UserError(f"--dataset {' '.join(args.dataset)}: names {repeated[0]} more than once")
    if args.step_per_domain and (args.image_uniform_sampling or args.accumulate > 1):
        raise UserError("--step_per_domain: goes with neither --image_uniform_sampling nor --accumulate")
    return args
