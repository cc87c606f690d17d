"""Edge targets against OpenCV, which the published code used."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from loss.edges import edge_map


def pictures(height: int, width: int) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 3, height, width), generator=rng, dtype=torch.uint8)


@pytest.mark.parametrize("size", [(7, 9), (32, 48)])
def test_released_target_is_opencv_on_swapped_channels(size: tuple[int, int]) -> None:
    images = pictures(*size)
    for image, edges in zip(images, edge_map(images), strict=True):
        grey = cv2.cvtColor(image.permute(1, 2, 0).numpy().astype(np.float32), cv2.COLOR_BGR2GRAY)
        expected = cv2.convertScaleAbs(cv2.Sobel(grey, cv2.CV_16S, 1, 0)).astype(np.float32)
        assert np.abs(edges[0].numpy() - expected).max() <= 1  # Half a level may round either way.
        assert (edges[0].numpy() == expected).mean() > 0.99


def test_gradient_sees_edges_of_any_direction() -> None:
    upright = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    upright[..., 4:] = 40
    lying = upright.transpose(2, 3)
    assert edge_map(lying).max() == 0
    assert torch.equal(edge_map(lying, "gradient").transpose(2, 3), edge_map(upright, "gradient"))
    assert edge_map(upright, "gradient").max() == 160


def test_edges_stay_in_the_range_of_grey_levels() -> None:
    images = torch.zeros(1, 3, 4, 8, dtype=torch.uint8)
    images[..., 4:] = 255
    for target in ("released", "gradient"):
        edges = edge_map(images, target)
        assert edges.shape == (1, 1, 4, 8)
        assert edges.max() == 255
