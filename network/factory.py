"""Names to networks."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from network.backbone import BACKBONES
from network.backbone.timm import PREFIX as TIMM_PREFIX
from network.backbone.timm import TimmBackbone
from network.head import HEADS
from network.head.auxiliary import auxiliary_head
from network.segmentor import SegmentationNet
from network.sites import NO_SITES
from utils.errors import UserError

NUM_CLASSES = 19
FAMILY_PREFIX = "network.deepv3."

# The RobustNet family's factory functions, as typed after --arch network.deepv3.
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "DeepR18V3PlusD": {"backbone": "resnet18", "output_stride": 32},
    "DeepR50V3PlusD": {"backbone": "resnet50", "output_stride": 16},
    "DeepR50V3PlusD_OS8": {"backbone": "resnet50", "output_stride": 8},
    "DeepR101V3PlusD": {"backbone": "resnet101_3x3stem", "output_stride": 16},
    "DeepR101V3PlusD_OS8": {"backbone": "resnet101_3x3stem", "output_stride": 8},
    "DeepR152V3PlusD_OS8": {"backbone": "resnet152", "output_stride": 8},
    "DeepResNext50V3PlusD": {"backbone": "resnext50_32x4d", "output_stride": 16},
    "DeepResNext101V3PlusD": {"backbone": "resnext101_32x8d", "output_stride": 16},
    "DeepResNext101V3PlusD_OS8": {"backbone": "resnext101_32x8d", "output_stride": 8},
    "DeepResNext101V3PlusD_OS4": {"backbone": "resnext101_32x8d", "output_stride": 4},
    "DeepWideResNet50V3PlusD": {"backbone": "wide_resnet50_2", "output_stride": 16},
    "DeepWideResNet50V3PlusD_OS8": {"backbone": "wide_resnet50_2", "output_stride": 8},
    "DeepWideResNet101V3PlusD": {"backbone": "wide_resnet101_2", "output_stride": 16},
    "DeepWideResNet101V3PlusD_OS8": {"backbone": "wide_resnet101_2", "output_stride": 8},
    "DeepMobileNetV3PlusD": {"backbone": "mobilenet_v2", "output_stride": 16, "partial_dilation": True},
    "DeepMobileNetV3PlusD_OS8": {"backbone": "mobilenet_v2", "output_stride": 8, "partial_dilation": True},
    "DeepShuffleNetV3PlusD": {
        "backbone": "shufflenet_v2_x1_0",
        "output_stride": 16,
        "partial_dilation": True,
    },
    "DeepShuffleNetV3PlusD_OS8": {
        "backbone": "shufflenet_v2_x1_0",
        "output_stride": 8,
        "partial_dilation": True,
    },
    "DeepShuffleNetV3PlusD_OS32": {"backbone": "shufflenet_v2_x1_0", "output_stride": 32},
    "DeepMNASNet05V3PlusD": {"backbone": "mnasnet0_5", "output_stride": 16},
    "DeepMNASNet10V3PlusD": {"backbone": "mnasnet1_0", "output_stride": 16},
}


def list_backbones() -> list[str]:
    """Names that ``create_network`` takes for ``backbone``, sorted, beside timm's."""
    return sorted(BACKBONES)


def architecture_from_arch(arch: str) -> dict[str, Any]:
    """Arguments of :func:`create_network` for a RobustNet name, e.g. ``network.deepv3.DeepR50V3PlusD``.

    Raises:
        UserError: no such name.
    """
    name = arch.removeprefix(FAMILY_PREFIX)
    if name not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise UserError(
            f"--arch {arch}: unknown; use {FAMILY_PREFIX}NAME with NAME one of {known}, or --backbone"
        )
    return dict(ARCHITECTURES[name])


def stated_architecture(
    arch: str | None,
    backbone: str | None,
    output_stride: int | None,
    wt_layer: Sequence[int] | None,
    image_in: bool = False,
    num_classes: int | None = None,
) -> dict[str, Any]:
    """The arguments of :func:`create_network` that the flags of the same names state; the others are
    absent.
    """
    stated = architecture_from_arch(arch) if arch else {}
    flags = {
        "backbone": backbone,
        "output_stride": output_stride,
        "wt_layer": wt_layer and list(wt_layer),
        "per_image_input": image_in or None,
        "num_classes": num_classes,
    }
    return {**stated, **{name: value for name, value in flags.items() if value is not None}}


def create_network(
    backbone: str = "resnet50",
    head: str = "deeplabv3plus",
    num_classes: int = NUM_CLASSES,
    output_stride: int = 16,
    wt_layer: Sequence[int] = NO_SITES,
    partial_dilation: bool = False,
    per_image_input: bool = False,
) -> SegmentationNet:
    """A segmentation network with random weights.

    Args:
        backbone: one of :func:`list_backbones`, or ``timm:NAME`` (``network.backbone.timm``).
        head: one of ``network.head.HEADS``.
        num_classes: channels of the logits.
        output_stride: input pixels per pixel of layer4: 8, 16 or 32 (and 4 for residual networks).
        wt_layer: the seven codes of ``network.sites``.
        partial_dilation: see ``network.backbone.dilation``; how the family dilates its mobile backbones.
        per_image_input: normalise each picture by its own mean and deviation, see ``network.input_spec``.

    Raises:
        UserError: an unknown name, an output stride or site that the backbone does not have.
    """
    if backbone not in BACKBONES and not backbone.startswith(TIMM_PREFIX):
        known = ", ".join([*list_backbones(), f"{TIMM_PREFIX}NAME"])
        raise UserError(f"--backbone {backbone}: unknown; the backbones are {known}")
    if head not in HEADS:
        raise UserError(f"head {head}: unknown; the heads are {', '.join(sorted(HEADS))}")
    codes = [int(code) for code in wt_layer]
    trunk = BACKBONES.get(backbone, TimmBackbone)(backbone, output_stride, codes, partial_dilation)
    return SegmentationNet(
        trunk,
        HEADS[head](trunk, num_classes),
        auxiliary_head(trunk.channels["layer3"], num_classes),
        config={
            "backbone": backbone,
            "head": head,
            "num_classes": num_classes,
            "output_stride": output_stride,
            "wt_layer": codes,
            "partial_dilation": partial_dilation,
            "per_image_input": per_image_input,
        },
        input_spec=dataclasses.replace(trunk.input_spec, per_image=per_image_input),
    )
