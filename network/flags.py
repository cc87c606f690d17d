"""Flags about the network that the programs share."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from network.head import HEADS
from network.head.deeplabv2 import BRANCHES


def add_network_arguments(parser: argparse.ArgumentParser, class_counts: Iterable[int]) -> None:
    """Which network; ``class_counts`` are the numbers of classes that labels exist for."""
    group = parser.add_argument_group("network")
    group.add_argument(
        "--arch",
        help="a published name, e.g. network.deepv3.DeepR50V3PlusD (default), deeplabv2_multi, "
        "deeplabv2_multi_snr, deeplabv2_resnet101, deeplabv2_vgg16_bn, fcn_vgg16_bn, or --backbone",
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
        help="heads deeplabv2 and deeplabv2_fc: sum all four atrous branches (default), or two, as the code "
        "released with AdaptSegNet, MaxSquare and SNR does",
    )
    group.add_argument(
        "--no_auxiliary",
        dest="auxiliary",
        action="store_false",
        default=None,
        help="build no auxiliary head (default: as --arch)",
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
        choices=tuple(class_counts),
        help="classes the network tells apart (default 19): 16 = SYNTHIA's, 13 = those of NTHU's cities",
    )
    group.add_argument("--partial_load", action="store_true", help="take from --snapshot what fits")


def add_network_training_arguments(group: argparse._ActionsContainer) -> None:
    """How the parts of a network are trained."""
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
