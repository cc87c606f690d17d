"""Flags about the network that the programs share."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from functools import partial

from network.backbone.transformer import POSITIONS, RESAMPLINGS
from network.head import HEADS
from network.head.deeplabv2 import BRANCHES
from utils.declare import Flag


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
    Flag(group, "--backbone_lr_mult", 1.0, above=0).means(
        "Multiply the learning rate of the backbone by this. 3.0 is close to the released code of MaxSquare "
        "and SNR."
    )
    Flag(group, "--checkpoint_activations", False, free=True).means(
        "Compute activations again in the backward pass: less memory, more time. Not with BatchNorm."
    )
    Flag(group, "--no_train_snr", True, action="store_false", dest="train_snr").means(
        "Leave the SNR modules as they start, as the released code did."
    )
