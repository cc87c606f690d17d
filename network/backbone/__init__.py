"""Backbones: torchvision's classification networks with normalisation sites and dilation.

A builder takes (name, output_stride, wt_layer, partial_dilation) and returns a :class:`Backbone`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from network.backbone.base import Backbone
from network.backbone.caffe_resnet import CaffeResNetBackbone
from network.backbone.linear_bottleneck import build_mnasnet, build_mobilenet_v2
from network.backbone.resnet import build_resnet, build_resnet101_3x3stem
from network.backbone.shufflenet import ShuffleNetV2Backbone
from network.backbone.vgg import VGG16Backbone
from network.input_spec import IMAGENET

# The backbone of DA-SAC (Araslanov and Roth, CVPR 2021): Caffe's strides with torchvision's weights.
build_caffe_rgb = partial(CaffeResNetBackbone, input_spec=IMAGENET, trained_stem_norm=True)

BACKBONES: dict[str, Callable[..., Backbone]] = {
    "resnet18": build_resnet,
    "resnet34": build_resnet,
    "resnet50": build_resnet,
    "resnet101": build_resnet,
    "resnet152": build_resnet,
    "resnet101_3x3stem": build_resnet101_3x3stem,
    "resnet50_caffe": CaffeResNetBackbone,
    "resnet101_caffe": CaffeResNetBackbone,
    "resnet50_caffe_rgb": build_caffe_rgb,
    "resnet101_caffe_rgb": build_caffe_rgb,
    "resnext50_32x4d": build_resnet,
    "resnext101_32x8d": build_resnet,
    "wide_resnet50_2": build_resnet,
    "wide_resnet101_2": build_resnet,
    "mobilenet_v2": build_mobilenet_v2,
    "mnasnet0_5": build_mnasnet,
    "mnasnet1_0": build_mnasnet,
    "shufflenet_v2_x1_0": ShuffleNetV2Backbone,
    "vgg16_bn": VGG16Backbone,
}
