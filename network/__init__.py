"""Segmentation networks. ``create_network`` builds one by its names."""

from network.factory import architecture_from_arch, create_network, list_backbones, stated_architecture
from network.pretrained import load_imagenet_weights
from network.segmentor import SegmentationNet, SegmentationOutput

__all__ = [
    "SegmentationNet",
    "SegmentationOutput",
    "architecture_from_arch",
    "create_network",
    "list_backbones",
    "load_imagenet_weights",
    "stated_architecture",
]
