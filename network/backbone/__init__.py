"""Backbones: torchvision's classification networks with normalisation sites and dilation, and timm's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from network.backbone.base import Backbone
from network.backbone.resnet import CaffeResNetBackbone, ResNetBackbone, build_resnet101_3x3stem
from network.backbone.sequential import MNASNetBackbone, MobileNetV2Backbone, VGG16Backbone
from network.backbone.shufflenet import ShuffleNetV2Backbone
from network.backbone.timm import PREFIX, TimmBackbone
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
    name: str, output_stride: int = 32, wt_layer: Sequence[int] = NO_SITES, partial_dilation: bool = False
) -> Backbone:
    """The backbone ``name`` with random weights; arguments and errors are those of ``create_network``."""
    if name.startswith(PREFIX):
        return TimmBackbone(name, output_stride, wt_layer)
    if name not in BACKBONES:
        known = ", ".join([*sorted(BACKBONES), f"{PREFIX}NAME"])
        raise UserError(f"--backbone {name}: unknown; the backbones are {known}")
    backbone = BACKBONES[name](name)
    backbone.limit_stride(output_stride, partial_dilation)
    backbone.add_sites(wt_layer)
    return backbone
