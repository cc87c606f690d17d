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
from utils.errors import UserError

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


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    """Which network."""
    group = parser.add_argument_group("network")
    group.add_argument(
        "--arch", help="a family name, e.g. network.deepv3.DeepR50V3PlusD (default), or --backbone"
    )
    group.add_argument("--backbone", help="a backbone by name, e.g. resnet50, mobilenet_v2")
    group.add_argument("--output_stride", type=int, choices=(8, 16, 32), help="with --backbone (default 16)")
    group.add_argument(
        "--wt_layer",
        type=int,
        nargs=7,
        metavar="CODE",
        help="normalisation at the seven sites (three in the stem, one at the end of layer1..4): 0 BN only, "
        "1 IW/IRW, 2 ISW, 3 instance norm, 4 instance norm with affine (IBN), 5 switchable whitening",
    )


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
    data.add_argument("--dataset", nargs="+", help="source domain (default: the toy city's gtav)")
    data.add_argument(
        "--val_dataset", nargs="*", default=[], help="domains that are scored at the end, never trained on"
    )
    data.add_argument(
        "--covstat_val_dataset", nargs="+", help="data sets of the ISW statistics (default: --dataset)"
    )
    data.add_argument("--covstat_images", type=int, default=500, help="ISW: pictures per round of statistics")
    data.add_argument(
        "--city_mode", choices=("train", "val"), default="train", help="split that is trained on"
    )
    data.add_argument(
        "--class_uniform_pct", type=float, default=0.5, help="share of crops drawn by class, 0 = none"
    )
    data.add_argument(
        "--class_uniform_tile", type=int, default=1024, help="tile side in pixels for class centroids"
    )
    data.add_argument("--max_cu_epoch", type=int, default=10000, help="draw by class up to this epoch")
    data.add_argument("--crop_size", type=int, default=768, help="side of the training crop in pixels")
    data.add_argument(
        "--crop_nopad", action="store_true", help="shrink the crop to small pictures instead of padding"
    )
    data.add_argument("--scale_min", type=float, default=0.5, help="smallest random scale")
    data.add_argument("--scale_max", type=float, default=2.0, help="largest random scale")
    data.add_argument("--rrotate", type=float, default=0, help="largest random rotation in degrees, 0 = none")
    data.add_argument(
        "--color_aug", type=float, default=0.5, help="colour jitter on half of the crops, 0 = none"
    )
    data.add_argument("--gblur", action="store_true", help="Gaussian blur on every crop")
    data.add_argument("--bblur", action="store_true", help="bilateral blur on every crop, instead of --gblur")

    steps = parser.add_argument_group("optimisation")
    steps.add_argument("--method", help="default: what the --wt_layer codes ask for")
    steps.add_argument("--max_iter", type=int, default=40000, help="optimiser steps")
    steps.add_argument("--bs_mult", type=int, default=4, help="pictures per step and process")
    steps.add_argument(
        "--accumulate", type=int, default=1, help="batches of bs_mult whose gradients make one step"
    )
    steps.add_argument("--lr", type=float, default=0.01, help="learning rate")
    steps.add_argument(
        "--lr_schedule", choices=("poly",), default="poly", help="lr x (1 - step / max_iter) ^ poly_exp"
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
        "--deterministic", action="store_true", help="bit-exact repetition on the same machine, slower"
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
    start.add_argument("--partial_load", action="store_true", help="take from --snapshot what fits")
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
    start.add_argument("--save_every", type=int, default=1000, help="steps between writes of last.pth")
    start.add_argument("--log_every", type=int, default=10, help="steps between log lines")
    start.add_argument("--ckpt", default="./logs/", help="folder of all runs")
    start.add_argument("--tb_path", help="folder of TensorBoard logs (default: --ckpt)")
    start.add_argument("--date", default="default", help="first part of the run folder's name")
    start.add_argument("--exp", help="second part (default: method and backbone)")


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
FREE_ON_RESUME |= {"eval_every", "save_every", "log_every"}

POSITIVE = (
    "max_iter",
    "bs_mult",
    "bs_mult_val",
    "accumulate",
    "crop_size",
    "class_uniform_tile",
    "scale_min",
)
POSITIVE += ("scale_max", "save_every", "log_every", "covstat_images", "evaluation_height")
NOT_NEGATIVE = ("lr", "poly_exp", "momentum", "weight_decay", "rrotate", "color_aug", "wt_reg_weight", "seed")
NOT_NEGATIVE += ("eval_every", "max_cu_epoch", "num_workers", "cov_stat_epoch")


def check_ranges(args: argparse.Namespace) -> None:
    """Raise a UserError for a number that makes no sense, whichever of the programs it was given to."""
    values = {name: value for name, value in vars(args).items() if isinstance(value, (int, float))}
    for name in values.keys() & {*POSITIVE}:
        if not 0 < values[name] < math.inf:
            raise UserError(f"--{name} {values[name]}: must be greater than 0")
    for name in values.keys() & {*NOT_NEGATIVE}:
        if not 0 <= values[name] < math.inf:
            raise UserError(f"--{name} {values[name]}: must be 0 or a positive number")


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
    if not 0 <= args.class_uniform_pct <= 1:
        raise UserError(f"--class_uniform_pct {args.class_uniform_pct}: must be between 0 and 1")
    if not (args.relax_denom == 0 or 1 <= args.relax_denom < math.inf):
        raise UserError(f"--relax_denom {args.relax_denom}: must be 0, or 1 and more")
    if args.arch and args.backbone:
        raise UserError("--arch and --backbone both name a network: give one of them")
    if args.arch and args.output_stride:
        raise UserError("--output_stride goes with --backbone: the name given to --arch has its own")
    if len(args.dataset) > 1:
        raise UserError(
            f"--dataset {' '.join(args.dataset)}: one source domain is trained on at a time, name one"
        )
    return args
