"""Pictures that show what whitening does."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from loss.whitening import covariance
from network import SegmentationNet
from utils.scoring.visualize import covariance_picture


@torch.no_grad()
def covariance_pictures(network: SegmentationNet, image: Tensor) -> dict[int, Image.Image]:
    """Whitened site -> its covariance for one picture, uint8 3 x H x W, as a picture.

    The network has to be in evaluation mode.
    """
    features = network.whitening_features(network.input_spec.prepare(image[None]))
    return {
        site: covariance_picture(covariance(feature)[0].cpu().numpy()) for site, feature in features.items()
    }
