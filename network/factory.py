"""Networks by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from network.backbone import BACKBONES, create_backbone
from network.backbone.base import Backbone
from network.head import build_heads
from network.head.deeplabv2 import BRANCHES, DILATIONS
from network.segmentor import SegmentationNet
from network.sites import NO_SITES
from network.tuning import FULL, tune
from utils.errors import UserError
from utils.scoring.classes import CITYSCAPES, ClassSet, classes_of_number, described_classes

FAMILY_PREFIX = "network.deepv3."

SHUFFLENET: dict[str, Any] = {"backbone": "shufflenet_v2_x1_0"}
# The factory functions of the RobustNet family, which users type as --arch network.deepv3.NAME.
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
    "DeepShuffleNetV3PlusD": {**SHUFFLENET, "output_stride": 16, "partial_dilation": True},
    "DeepShuffleNetV3PlusD_OS8": {**SHUFFLENET, "output_stride": 8, "partial_dilation": True},
    "DeepShuffleNetV3PlusD_OS32": {**SHUFFLENET, "output_stride": 32},
    "DeepMNASNet05V3PlusD": {"backbone": "mnasnet0_5", "output_stride": 16},
    "DeepMNASNet10V3PlusD": {"backbone": "mnasnet1_0", "output_stride": 16},
}

# Names that users of AdaptSegNet, MaxSquare and SNR type after --backbone.
DEEPLABV2: dict[str, Any] = {"backbone": "resnet101_caffe", "head": "deeplabv2", "output_stride": 8}
DEEPLABV2_ARCHITECTURES: dict[str, dict[str, Any]] = {
    "deeplabv2_multi": DEEPLABV2,
    "deeplabv2_multi_snr": {**DEEPLABV2, "snr_stages": [1, 2, 3]},
}

# Names of DA-SAC, as in MODEL.ARCH of its configuration.
DASAC: dict[str, Any] = {"output_stride": 8, "auxiliary": False}
DASAC_ARCHITECTURES: dict[str, dict[str, Any]] = {
    "deeplabv2_resnet101": {**DASAC, "backbone": "resnet101_caffe_rgb", "head": "deeplabv2"},
    "deeplabv2_vgg16_bn": {**DASAC, "backbone": "vgg16_bn", "head": "deeplabv2_fc"},
    "fcn_vgg16_bn": {**DASAC, "backbone": "vgg16_bn", "head": "fcn8s", "output_stride": 32},
}

# The arguments of ``create_network`` that a published architecture has if it does not name them.
PLAIN: dict[str, Any] = {
    "wt_layer": list(NO_SITES),
    "partial_dilation": False,
    "per_image_input": False,
    "snr_stages": [],
    "atrous_branches": len(DILATIONS),
    "auxiliary": True,
    "timm": None,
    "tuning": None,
}

# The flags that are settings of a backbone of timm.
TIMM_FLAGS = ("taps", "positions", "patch_size", "patch_resample", "drop_path")


def published_name(config: Mapping[str, Any], architectures: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The name in ``architectures`` of a network with ``config``, or ``None``; any number of classes fits."""
    config = {**PLAIN, **config}
    # An architecture fits if its own arguments, and PLAIN for those it does not name, change nothing.
    found = (name for name, arch in architectures.items() if {**config, **PLAIN, **arch} == config)
    return next(found, None)


def list_backbones() -> list[str]:
    """The names for ``backbone`` of ``create_network``, sorted, without those of timm."""
    return sorted(BACKBONES)


def architecture_from_arch(arch: str) -> dict[str, Any]:
    """Arguments of :func:`create_network` for a published name, e.g. ``network.deepv3.DeepR50V3PlusD``.

    A UserError is raised if there is no such name.
    """
    bare = DEEPLABV2_ARCHITECTURES | DASAC_ARCHITECTURES
    known = ARCHITECTURES | bare
    name = arch.removeprefix(FAMILY_PREFIX)
    if name not in known:
        raise UserError(
            f"--arch {arch}: unknown; use {', '.join(bare)}, or {FAMILY_PREFIX}NAME with "
            f"NAME one of {', '.join(ARCHITECTURES)}, or --backbone"
        )
    return dict(known[name])


def stated_architecture(
    flags: Mapping[str, Any], image_size: tuple[int, int] | None = None
) -> dict[str, Any]:
    """The arguments of :func:`create_network` that a command line gives, and only those.

    ``image_size`` is the (height, width) of the pictures that a new network is built for.

    ``flags`` is flag -> value, ``None`` or absent if not given. Read are ``arch``, ``backbone`` (also a name
    of ``DEEPLABV2_ARCHITECTURES``), ``output_stride``, ``wt_layer``, ``snr_stages``, ``head``, ``auxiliary``,
    ``deeplabv2_head``, ``image_in``, ``num_classes`` and ``TIMM_FLAGS``. Flags beside ``arch`` win over it.
    """
    arch, backbone = flags.get("arch"), flags.get("backbone")
    if backbone in DEEPLABV2_ARCHITECTURES:
        arch, backbone = backbone, None
    same_name = ("head", "auxiliary", "num_classes", "output_stride", "wt_layer", "snr_stages")
    stated = {
        "backbone": backbone,
        "atrous_branches": BRANCHES.get(flags.get("deeplabv2_head")),
        "per_image_input": flags.get("image_in") or None,
        **{name: flags.get(name) for name in same_name},
    }
    timm = {name: flags.get(name) for name in TIMM_FLAGS} | {"image_size": image_size and [*image_size]}
    stated["timm"] = {name: value for name, value in timm.items() if value is not None} or None
    given = {name: value for name, value in stated.items() if value is not None}
    if "snr_stages" in given:
        given["snr_stages"] = sorted(given["snr_stages"])
    return {**(architecture_from_arch(arch) if arch else {}), **given}


def flag_of(name: str, value: Any) -> str:
    """What messages call argument ``name`` of :func:`create_network` with ``value``: its flag, or words."""
    if name == "per_image_input":
        return "--image_in" if value else "no --image_in"
    if name == "auxiliary":
        return "an auxiliary head" if value else "--no_auxiliary"
    if name == "partial_dilation":
        return f"{name} {value} (see --arch)"
    if name == "atrous_branches":
        names = {number: name for name, number in BRANCHES.items()}
        return f"--deeplabv2_head {names.get(value, value)}"
    if name == "tuning":
        return f"--tune {value['name'] if value else FULL}"
    if name == "timm":
        flags = {each: setting for each, setting in (value or {}).items() if setting is not None}
        return " ".join(flag_of(each, setting) for each, setting in flags.items()) or "no settings of timm"
    if name == "image_size":
        return f"--crop_size {value[0]},{value[1]}"
    if name == "classes":
        return f"the classes of {described_classes(value).of.in_words}"
    words = " ".join(map(str, value)) or "none" if isinstance(value, (list, tuple)) else value
    return f"--{name} {words}"


def create_network(
    backbone: str = "resnet50",
    head: str = "deeplabv3plus",
    num_classes: int | None = None,
    output_stride: int | None = None,
    wt_layer: Sequence[int] = NO_SITES,
    partial_dilation: bool = False,
    per_image_input: bool = False,
    snr_stages: Sequence[int] = (),
    atrous_branches: int = 4,
    auxiliary: bool | None = None,
    classes: Mapping[str, Any] | None = None,
    timm: Mapping[str, Any] | None = None,
    tuning: Mapping[str, Any] | None = None,
) -> SegmentationNet:
    """A segmentation network with random weights; a UserError if it cannot be as the arguments say.

    Args:
        backbone: one of :func:`list_backbones`, or ``timm:NAME`` (``network.backbone.timm``).
        head: one of ``network.head.HEADS``.
        num_classes: channels of the logits, by default those of ``classes``, or 19.
        output_stride: input pixels per pixel of layer4: 8, 16 (the default) or 32; residual networks also
            have 4. A plain transformer has the side of its patch, and no other.
        wt_layer: the seven codes of ``network.sites``.
        partial_dilation: see :meth:`Backbone.dilate`; the family dilates its mobile backbones so.
        per_image_input: normalise each picture by its own mean and deviation (``network.input_spec``).
        snr_stages: stages with an SNR module behind them (``network.norm.snr``), 1 to 4 for layer1 to layer4.
        atrous_branches: how many of the branches of the heads deeplabv2 and deeplabv2_fc are summed, 4 or 2.
        auxiliary: whether there is an auxiliary head; by default where one was published with the head.
        classes: those that it tells apart (``utils.scoring.classes``); by default by their number.
        timm: ``drop_path`` and the ``TransformerSettings`` of a backbone of timm.
        tuning: settings of ``network.tuning``, for a network whose state dict is loaded afterwards.
    """
    known = _class_set(classes, num_classes)
    codes, stages = list(map(int, wt_layer)), sorted(map(int, snr_stages))
    trunk = _trunk(backbone, output_stride, codes, partial_dilation, timm)
    trunk.add_restitution(stages)
    heads = build_heads(head, trunk, len(known.train_ids), atrous_branches, auxiliary)
    network = SegmentationNet(
        trunk,
        *heads,
        config={
            "backbone": backbone,
            "head": head,
            "num_classes": len(known.train_ids),
            "output_stride": trunk.strides["layer4"],
            "wt_layer": codes,
            "partial_dilation": partial_dilation,
            "per_image_input": per_image_input,
            "snr_stages": stages,
            "atrous_branches": atrous_branches,
            "auxiliary": heads[1] is not None,
            "classes": known.description,
            "timm": trunk.settings_of_timm,
            "tuning": None,
        },
        input_spec=dataclasses.replace(trunk.input_spec, per_image=per_image_input),
    )
    tune(network, tuning, initialise=False)
    return network


def _trunk(
    name: str,
    output_stride: int | None,
    codes: Sequence[int],
    partial_dilation: bool,
    timm: Mapping[str, Any] | None,
) -> Backbone:
    """The backbone; a UserError if an output stride is given that it does not have."""
    backbone = create_backbone(name, output_stride or 16, codes, partial_dilation, timm)
    if output_stride not in (None, stride := backbone.strides["layer4"]):
        raise UserError(f"--output_stride {output_stride}: {name} has its patch's, {stride}; drop the flag")
    return backbone


def _class_set(classes: Mapping[str, Any] | None, number: int | None) -> ClassSet:
    """The classes of a network; a UserError if their ``number`` is given, too, and differs."""
    known = described_classes(classes) if classes else classes_of_number(number or len(CITYSCAPES))
    if number not in (None, count := len(known.train_ids)):
        raise UserError(f"--num_classes {number}: {known.name} are {count}; drop the flag")
    return known
