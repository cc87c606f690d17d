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
from datasets.labels import NETWORK_CLASS_SETS, NUM_CLASSES
from methods import METHODS, flags_of_others
from methods.restitution import RestitutionLoss
from network.head import HEADS
from network.head.deeplabv2 import BRANCHES
from utils.errors import UserError
from utils.family_flags import IGNORED, add_family_arguments, apply_family_arguments
from utils.training_flags import add_loss_arguments, add_training_arguments

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
        "--arch",
        help="a published name, e.g. network.deepv3.DeepR50V3PlusD (default), deeplabv2_multi, "
        "deeplabv2_multi_snr, or --backbone",
    )
    group.add_argument(
        "--backbone", help="a backbone by name, e.g. resnet50, mobilenet_v2, timm:convnext_tiny"
    )
    group.add_argument(
        "--head",
        choices=sorted(HEADS),
        help="what segments the backbone's features (default: --arch's or the method's, else deeplabv3plus)",
    )
    group.add_argument(
        "--deeplabv2_head",
        choices=BRANCHES,
        help="head deeplabv2: sum all four atrous branches (default), or two of them, as the code released "
        "with AdaptSegNet, MaxSquare and SNR does",
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
        "--snr_stages",
        type=int,
        nargs="*",
        choices=(1, 2, 3, 4),
        metavar="STAGE",
        help="style normalisation and restitution (SNR) after these of layer1..4; published: 1 2 3",
    )
    group.add_argument(
        "--image_in",
        action="store_true",
        help="normalise every picture by its own mean and deviation, not by those of all pictures",
    )
    group.add_argument(
        "--num_classes",
        type=int,
        choices=tuple(NETWORK_CLASS_SETS),
        help="classes the network tells apart (default 19): 16 = SYNTHIA's, 13 = those of NTHU's cities",
    )
    group.add_argument("--partial_load", action="store_true", help="take from --snapshot what fits")


def add_network_training_arguments(parser: argparse.ArgumentParser) -> None:
    """How the parts of a network are trained."""
    group = parser.add_argument_group("training of the network")
    group.add_argument(
        "--backbone_lr_mult",
        type=float,
        default=1.0,
        metavar="FACTOR",
        help="learning rate of the backbone relative to --lr; 3.0 comes near to what the released code of "
        "MaxSquare and SNR amounts to",
    )
    group.add_argument(
        "--no_train_snr",
        dest="train_snr",
        action="store_false",
        help="leave the SNR modules of --snr_stages as they start, as the released code did",
    )
    RestitutionLoss.add_arguments(group)


class Scales(argparse.Action):
    """Numbers in words of one or several with commas between, as one list."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Sequence[list[float]],
        option: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, [scale for word in values for scale in word])


def scale_list(word: str) -> list[float]:
    """A word of ``--scales``: a number, or several with commas between."""
    return [float(number) for number in word.split(",")]


def add_averaging_arguments(group: argparse._ActionsContainer) -> None:
    """Over which versions of a picture the network's answers are averaged."""
    group.add_argument(
        "--scales",
        type=scale_list,
        nargs="+",
        action=Scales,
        default=[1.0],
        help="average over these sizes: 0.5 1.0 2.0 or 0.5,1.0,2.0 (default 1.0)",
    )
    group.add_argument("--flip", action="store_true", help="average with the mirrored picture")


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
FREE_ON_RESUME |= {"fp16", "test_mode", "restore_optimizer", "jit_only", *IGNORED}

POSITIVE = (
    "max_iter",
    "iter_stop",
    "bs_mult",
    "bs_mult_val",
    "accumulate",
    "class_uniform_tile",
    "scale_min",
)
POSITIVE += ("pre_size", "scale_max", "save_every", "log_every", "covstat_images", "evaluation_height")
POSITIVE += ("backbone_lr_mult", "nce_T", "contrast_max_classes", "contrast_max_views", "num_patch")
NOT_NEGATIVE = ("lr", "poly_exp", "momentum", "weight_decay", "rrotate", "color_aug", "seed")
NOT_NEGATIVE += ("cv", "maxSkip", "eval_every", "max_cu_epoch", "num_workers", "cov_stat_epoch")
NOT_NEGATIVE += (
    "wt_bound",
    "rescale",
    "repoly",
    "w1",
    "w2",
    "w3",
    "w4",
    "diia_layout_switch",
    "lambda_target",
)


def check_ranges(args: argparse.Namespace) -> None:
    """Raise a UserError for a number that makes no sense, whichever of the programs it was given to."""
    values = {name: value for name, value in vars(args).items() if isinstance(value, (int, float))}
    for name in values.keys() & {*POSITIVE}:
        if not 0 < values[name] < math.inf:
            raise UserError(f"--{name} {values[name]}: must be greater than 0")
    for name in values.keys() & {*NOT_NEGATIVE, *(name for name in values if name.endswith("_weight"))}:
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
    add_network_training_arguments(parser)
    add_device_arguments(parser)
    add_process_arguments(parser)
    for name, method in METHODS.items():
        method.add_arguments(parser.add_argument_group(f"method {name}"))
    add_family_arguments(parser)
    return parser


def method_notices(args: argparse.Namespace) -> list[str]:
    """One line for each given flag of a method that ``--method`` does not heed."""
    return [
        f"--{flag}: has no effect with --method {args.method}"
        for flag, default in flags_of_others(args.method).items()
        if getattr(args, flag) not in (default, TOYCITY_DEFAULTS.get(flag, default))
    ]


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
    if args.num_classes not in (None, NUM_CLASSES) and (args.cls_wt_loss or args.strict_bdr_cls):
        raise UserError(
            f"--num_classes {args.num_classes}: goes with neither --cls_wt_loss nor --strict_bdr_cls, "
            f"which are for all {NUM_CLASSES} classes"
        )
    if args.img_wt_loss and args.jointwtborder:
        raise UserError("--img_wt_loss and --jointwtborder are both main losses: give one of them")
    if args.lr_schedule == "scl-poly" and not (args.jointwtborder and args.rlx_off_iter >= 0):
        raise UserError("--lr_schedule scl-poly: needs --jointwtborder and --rlx_off_iter, where it restarts")


def apply_target_arguments(args: argparse.Namespace, domains: Sequence[str]) -> None:
    """Check, in place, that there is a target data set just if ``domains`` of the method have a target.

    Raises:
        UserError: it is missing, nobody would use it, or it is named twice.
    """
    if "target" in domains and args.target_dataset is None:
        if not (args.data_root and Path(args.data_root).resolve() == TOYCITY_ROOT.resolve()):
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
