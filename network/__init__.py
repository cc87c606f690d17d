"""Segmentation networks: ``create_network`` builds one by its names, ``load`` reads a checkpoint."""

from network.factory import architecture_from_arch, create_network, list_backbones, stated_architecture
from network.inference import Segmentation, Segmenter, load
from network.pretrained import load_imagenet_weights
from network.segmentor import SegmentationNet, SegmentationOutput

__all__ = [
    "Segmentation",
    "SegmentationNet",
    "SegmentationOutput",
    "Segmenter",
    "architecture_from_arch",
    "create_network",
    "list_backbones",
    "load",
    "load_imagenet_weights",
    "stated_architecture",
]
