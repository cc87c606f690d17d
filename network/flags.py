"""Flags about the network that the programs share."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from functools import partial
from typing import Any

from network.backbone.transformer import POSITIONS, RESAMPLINGS
from network.head import HEADS
from network.head.deeplabv2 import BRANCHES
from network.tuning import FULL, TUNINGS
from utils.declare import Flag
from utils.errors import UserError

# Flag -> the setting of a tuning that it gives.
TUNING_FLAGS = {
    "rank": "rank",
    "lora_alpha": "alpha",
    "lora_dropout": "dropout",
    "lora_targets": "targets",
    "tune_blocks": "blocks",
    "rein_tokens": "tokens",
}


def add_network_arguments(parser: argparse.ArgumentParser, class_counts: Iterable[int]) -> None:
    """Which network; ``class_counts`` are the numbers of classes that labels exist for."""
    add = partial(Flag, parser.add_argument_group("network"))
    rivals = ("backbone", "output_stride")
    add("--arch", str, toy="network.deepv3.DeepR18V3PlusD", everyday=True, replaces=rivals).means(
        "Build this network; the default is network.deepv3.DeepR50V3PlusD, or the checkpoint's own. A wrong "
        "name lists all."
    )
    add("--backbone", str, replaces=("arch",)).means(
        "Build on this backbone: resnet50, mobilenet_v2, timm:convnext_tiny."
    )
    add("--head", str, choices=sorted(HEADS)).means(
        "Segment the backbone's features with this. The default is that of --arch or of the method, or else "
        "deeplabv3plus."
    )
    add("--deeplabv2_head", str, choices=BRANCHES).means(
        "Sum all four atrous branches of the heads deeplabv2 and deeplabv2_fc, which is the default, or two, "
        "as the code released with AdaptSegNet, MaxSquare and SNR does."
    )
    add("--no_auxiliary", None, action="store_false", dest="auxiliary").means(
        "Build no auxiliary head. The default is as --arch has it."
    )
    add("--output_stride", int, choices=(4, 8, 16, 32)).means("Use this stride with --backbone, not 16.")
    add("--taps", int, nargs=4, metavar="BLOCK").means(
        "Take these blocks' outputs from a plain transformer (timm:vit_...), counted from 0. The default is "
        "the last of each quarter, or 7 11 15 23 of 24, as published."
    )
    add("--positions", str, choices=POSITIONS).means(
        "Resample a transformer's positions for every size of pictures (dynamic, the default), or let it see "
        "only windows of the crop's size."
    )
    add("--patch_size", int, above=0).means("Use this patch in a transformer, not the model's own.")
    add("--patch_resample", str, choices=RESAMPLINGS).means(
        "Resample weights to another --patch_size by pseudo-inverse (pinv, the default) or as pictures, as "
        "the code of Rein and SoMA does."
    )
    add("--drop_path", float, at_least=0, below=1).means("timm: leave out blocks with up to this chance.")
    add("--wt_layer", int, nargs=7, metavar="CODE", everyday=True).means(
        "Normalise at the seven sites (three in the stem, then layer1 to 4) with 0 BN only, 1 IW or IRW, 2 "
        "ISW, 3 instance norm, 4 instance norm with affine (IBN), 5 switchable whitening."
    )
    add("--snr_stages", int, nargs="*", choices=(1, 2, 3, 4), metavar="STAGE").means(
        "Normalise and restitute style (SNR) after these of layer1 to 4. Published: 1 2 3."
    )
    add("--image_in", False).means("Normalise each picture by its own mean and deviation.")
    add("--num_classes", int, choices=tuple(class_counts)).means(
        "Tell this many classes apart, not 19. 16 are those of SYNTHIA, 13 those of NTHU's cities. A "
        "checkpoint knows its own."
    )
    add("--partial_load", False, free=True).means("Take from --snapshot what fits.")


def add_network_training_arguments(group: argparse._ActionsContainer) -> None:
    """How the parts of a network are trained."""
    Flag(group, "--backbone_lr_mult", float, above=0).means(
        "Multiply the learning rate of the backbone by this. 3.0 is close to the released code of MaxSquare "
        "and SNR. The default is 1, or 0.5 with --tune soma."
    )
    Flag(group, "--checkpoint_activations", False, free=True).means(
        "Compute activations again in the backward pass: less memory, more time. Not with BatchNorm."
    )
    Flag(group, "--no_train_snr", True, action="store_false", dest="train_snr").means(
        "Leave the SNR modules as they start, as the released code did."
    )


def add_tuning_arguments(group: argparse._ActionsContainer) -> None:
    """What of a loaded backbone is trained, and with which added layers; the defaults are published ones."""
    add = partial(Flag, group)
    add("--tune", str, choices=(FULL, *TUNINGS)).means(
        "Train all of the backbone (full, the default), nothing of it (frozen; head lets BatchNorm's "
        "statistics go on), or layers added to a frozen transformer (lora, soma, rein)."
    )
    add("--rank", int, above=0).means("Use this rank. The default is 32 for lora, 16 for soma and rein.")
    add("--lora_alpha", float, above=0).means("lora: scale by this / rank. The default is 32.")
    add("--lora_dropout", float, at_least=0, at_most=1).means("lora: drop this share. The default is 0.1.")
    add("--lora_targets", str, nargs="+").means(
        "lora, soma: adapt the linear layers of these names. The default is query, key and value (qkv), for "
        "soma also proj, fc1 and fc2."
    )
    add("--tune_blocks", int, nargs="+").means(
        "lora, soma, rein: tune these blocks, from 0 on. The default is all; soma leaves out the first third."
    )
    add("--rein_tokens", int, above=1).means("rein: use this many tokens. The default is 100.")


def tuning_of(flags: argparse.Namespace) -> dict[str, Any] | None:
    """The settings for ``network.tuning.tune`` that a command line gives; ``None`` if all is trained.

    Raises a UserError for a flag that does not go with ``--tune``.
    """
    name = flags.tune or FULL
    if flags.freeze_trunk:
        if flags.tune not in (None, "head"):
            raise UserError(f"--freeze_trunk: is --tune head, not --tune {flags.tune}; drop one of them")
        name = "head"
    taken = TUNINGS[name].defaults if name in TUNINGS else {}
    given = {flag: value for flag in TUNING_FLAGS if (value := getattr(flags, flag)) is not None}
    if wrong := [flag for flag in given if TUNING_FLAGS[flag] not in taken]:
        fitting = [other for other, each in TUNINGS.items() if TUNING_FLAGS[wrong[0]] in each.defaults]
        raise UserError(f"--{wrong[0]}: goes with --tune {' or '.join(fitting)}, not {name}; drop it")
    settings = {TUNING_FLAGS[flag]: value for flag, value in given.items()}
    return None if name == FULL else {"name": name, **settings}


def backbone_factor(flags: argparse.Namespace) -> float:
    """The factor of the backbone's learning rate: the given one, or the published one of ``--tune``."""
    if flags.backbone_lr_mult is not None:
        return flags.backbone_lr_mult
    return TUNINGS[flags.tune].backbone_factor if flags.tune in TUNINGS else 1.0
