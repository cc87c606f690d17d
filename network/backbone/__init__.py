"""Backbones: torchvision's classification networks with normalisation sites and dilation, and timm's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from network.backbone.base import Backbone
from network.backbone.resnet import CaffeResNetBackbone, ResNetBackbone, build_resnet101_3x3stem
from network.backbone.sequential import MNASNetBackbone, MobileNetV2Backbone, VGG16Backbone
from network.backbone.shufflenet import ShuffleNetV2Backbone
from network.backbone.timm import PREFIX, TimmBackbone
from network.backbone.transformer import TransformerBackbone, is_transformer
from network.input_spec import IMAGENET
from network.sites import NO_SITES
from utils.errors import UserError

# The backbone of DA-SAC (Araslanov and Roth, CVPR 2021): Caffe's strides with torchvision's weights.
build_caffe_rgb = partial(CaffeResNetBackbone, input_spec=IMAGENET, trained_stem_norm=True)

# Name -> what builds the backbone from its name.
BACKBONES: dict[str, Callable[[str], Backbone]] = {
    "resnet18": ResNetBackbone,
    "resnet34": ResNetBackbone,
    "resnet50": ResNetBackbone,
    "resnet101": ResNetBackbone,
    "resnet152": ResNetBackbone,
    "resnet101_3x3stem": build_resnet101_3x3stem,
    "resnet50_caffe": CaffeResNetBackbone,
    "resnet101_caffe": CaffeResNetBackbone,
    "resnet50_caffe_rgb": build_caffe_rgb,
    "resnet101_caffe_rgb": build_caffe_rgb,
    "resnext50_32x4d": ResNetBackbone,
    "resnext101_32x8d": ResNetBackbone,
    "wide_resnet50_2": ResNetBackbone,
    "wide_resnet101_2": ResNetBackbone,
    "mobilenet_v2": MobileNetV2Backbone,
    "mnasnet0_5": MNASNetBackbone,
    "mnasnet1_0": MNASNetBackbone,
    "shufflenet_v2_x1_0": ShuffleNetV2Backbone,
    "vgg16_bn": VGG16Backbone,
}


def create_backbone(
    name: str,
    output_stride: int = 32,
    wt_layer: Sequence[int] = NO_SITES,
    partial_dilation: bool = False,
    timm: Mapping[str, Any] | None = None,
) -> Backbone:
    """The backbone ``name`` with random weights; arguments and errors are those of ``create_network``."""
    if name.startswith(PREFIX):
        backbone = _of_timm(name, output_stride, dict(timm or {}))
    elif name in BACKBONES:
        _refuse_settings(name, timm or {})
        backbone = BACKBONES[name](name)
        backbone.limit_stride(output_stride, partial_dilation)
    else:
        known = ", ".join([*sorted(BACKBONES), f"{PREFIX}NAME"])
        raise UserError(f"--backbone {name}: unknown; the backbones are {known}")
    backbone.add_sites(wt_layer)
    return backbone


def _of_timm(name: str, output_stride: int, settings: dict[str, Any]) -> Backbone:
    """A plain transformer, which takes all ``settings``, or a model that takes ``drop_path`` alone."""
    drop_path = settings.pop("drop_path", 0.0)
    if is_transformer(name):
        return TransformerBackbone(name, settings, drop_path)
    _refuse_settings(name, settings)
    return TimmBackbone(name, output_stride, drop_path)


def _refuse_settings(name: str, settings: Mapping[str, Any]) -> None:
    """Raise a UserError for settings that ``name`` does not take; the size of pictures may be given."""
    if given := [flag for flag in settings if flag != "image_size"]:
        words = "no plain transformer" if given[0] != "drop_path" else "not of timm"
        raise UserError(f"--{given[0]}: the backbone {name} is {words}; drop the flag")
