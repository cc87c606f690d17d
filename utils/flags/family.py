"""Flags of the RobustNet family. Those that did nothing there are ignored here, or do what they say."""

from __future__ import annotations

import argparse
from functools import partial

from utils.declare import Flag
from utils.errors import UserError

# Flag -> what stands in its place here. Each is taken with or without a value.
IGNORED = {
    "hardnm": "",
    "scf": "",
    "trunk": "; --arch names the network",
    "start_epoch": "; --resume goes on with a run",
    "max_epoch": "; --max_iter says how long a run is",
    "contrast_temperature": "; --nce_T is the temperature",
    "alpha": "",
    "st_weight": "; --w1 is the weight",
}
# The family's other names of data sets.
DATASET_ALIASES = {"bdd-100k": "bdd100k"}
# In BlindNet's command lines the name of a data set ends so if it is read in two views.
TWO_VIEWS = "_jitter"
# Flag -> what it does here.
EFFECTIVE = {
    "fp16": "the same as --amp fp16",
    "adam": "Adam in place of SGD",
    "amsgrad": "with --adam: its AMSGrad variant",
    "freeze_trunk": "train the heads alone; the backbone's BatchNorm statistics still follow the data",
}
TEST_MODE_STEPS = 7
PUBLISHED_WEIGHT_DECAY = 5e-4


def dataset_name(word: str) -> str:
    """A data set named on the command line, for argparse."""
    return DATASET_ALIASES.get(word, word)


def add_family_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of this file."""
    add = partial(Flag, parser.add_argument_group("flags of the RobustNet family"))
    for name, meaning in EFFECTIVE.items():
        # A run's settings hold --fp16 as --amp fp16.
        add(f"--{name}", False, once=name == "fp16").means(f"{meaning[0].upper()}{meaning[1:]}.")
    add("--test_mode", False, once=True).means(f"Train for {TEST_MODE_STEPS} steps, to try things out.")
    add("--restore_optimizer", False, once=True).means("Go on with the run of --snapshot, as --resume does.")
    add = partial(Flag, parser.add_argument_group("flags of the RobustNet family that change nothing"))
    add("--sgd", False, free=True).means("The optimiser is SGD with or without this flag.")
    add("--syncbn", False, free=True).means("BatchNorm is synchronised whenever there are several GPUs.")
    for name, instead in IGNORED.items():
        add(f"--{name}", str, nargs="?", const="", free=True).means(f"This is ignored{instead}.")


def apply_family_arguments(args: argparse.Namespace) -> None:
    """Translate these flags to others, in place. Raises a UserError if they contradict each other."""
    in_two_views = [name for name in args.dataset if name.endswith(TWO_VIEWS)]
    if in_two_views and args.method not in (None, "blindnet"):
        raise UserError(
            f"--dataset {in_two_views[0]}: means the method blindnet, not {args.method}; drop {TWO_VIEWS}"
        )
    if in_two_views:
        args.dataset = [name.removesuffix(TWO_VIEWS) for name in args.dataset]
        args.jit_only = True
    if args.fp16 and args.amp == "bf16":
        raise UserError("--fp16 and --amp bf16: give one of them")
    if args.fp16:
        args.amp = "fp16"
    if args.adam and args.sgd:
        raise UserError("--sgd and --adam: give one of them")
    if args.amsgrad and not args.adam:
        raise UserError("--amsgrad: is a variant of Adam; add --adam")
    if args.test_mode:
        args.max_iter = min(args.max_iter, TEST_MODE_STEPS)
    if args.restore_optimizer:
        if not args.snapshot or args.resume:
            needs = "needs --snapshot FILE, the run to go on with, and no --resume"
            raise UserError(f"--restore_optimizer: {needs}")
        args.resume, args.snapshot = args.snapshot, None


def family_notices(args: argparse.Namespace) -> list[str]:
    """One line for each given flag that the family's code ignored, or that has no effect here."""
    given, one_source = vars(args), len(args.dataset) == 1
    ignored = {name: instead for name, instead in IGNORED.items() if given[name] is not None}
    lines = [f"--{name}: did nothing in the family, ignored{instead}" for name, instead in ignored.items()]
    effective = {name: meaning for name, meaning in EFFECTIVE.items() if given[name]}
    lines += [f"--{name}: did nothing in the family; here: {meaning}" for name, meaning in effective.items()]
    if args.weight_decay != PUBLISHED_WEIGHT_DECAY:
        used = f"--weight_decay {args.weight_decay}: used here"
        lines.append(f"{used}; the family always trained with {PUBLISHED_WEIGHT_DECAY}")
    weighted, no_weights = args.img_wt_loss or args.jointwtborder, "without --img_wt_loss or --jointwtborder"
    whitened, no_site = {1, 2} & set(args.wt_layer or ()), "without a site of code 1 or 2 in --wt_layer"
    maxsquare = args.augmentation == "maxsquare"
    oracle, unseen = args.selection == "oracle", set(args.val_dataset) - set(args.dataset)
    for_several_sources = ("step_per_domain", "image_uniform_sampling")
    for_robustnet = ("gblur", "bblur", "rrotate", "crop_nopad", "pre_size", "color_jitter")
    idle = [
        ("wt_bound", args.wt_bound != 1.0 and not weighted, no_weights),
        ("batch_weighting", args.batch_weighting and not weighted, no_weights),
        ("rlx_off_iter", args.rlx_off_iter >= 0 and not args.jointwtborder, "without --jointwtborder"),
        ("visualize_feature", args.visualize_feature and not whitened, no_site),
        ("selection oracle", oracle and not unseen, "without an unseen domain in --val_dataset"),
        *((name, given[name] and maxsquare, "with --augmentation maxsquare") for name in for_robustnet),
        ("target_crop_size", args.target_crop_size and not args.target_dataset, "without --target_dataset"),
        *((name, given[name] and one_source, "with one source domain") for name in for_several_sources),
    ]
    return lines + [f"--{name}: has no effect {why}" for name, is_idle, why in idle if is_idle]
