"""A look at what whitening does."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from loss.whitening import covariance
from network import SegmentationNet
from utils.scoring.visualize import covariance_picture


@torch.no_grad()
def covariance_pictures(network: SegmentationNet, image: Tensor) -> dict[int, Image.Image]:
    """The covariance at each whitened site as a picture; ``image`` is one uint8 picture, 3 x H x W.

    The network has to be in evaluation mode.
    """
    features = network.whitening_features(network.input_spec.prepare(image[None]))
    return {
        site: covariance_picture(covariance(feature)[0].cpu().numpy()) for site, feature in features.items()
    }
