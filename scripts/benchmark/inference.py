"""The cost of sliding-window inference beside the network: cutting, mirroring, merging, choosing classes."""

from __future__ import annotations

import argparse

import torch

from scripts.benchmark.evaluation_network import TimedNetwork
from scripts.benchmark.timing import Row
from utils.scoring.sliding_window import Inference, predict_picture

SCALES = (0.5, 1.0, 2.0)


def rows(args: argparse.Namespace, device: torch.device) -> list[Row]:
    """Measure one picture in the published setting: tiles as high as the picture, overlapping by a third.

    The time begins with the resized 8-bit pictures on the host and ends with the class numbers on the host.
    """
    height, width = args.evaluation_size
    network = TimedNetwork(args, device)
    settings = Inference("sliding", height, scales=SCALES, flip=True)
    rng = torch.Generator().manual_seed(0)
    sizes = [(int(height * scale), int(width * scale)) for scale in SCALES]
    pictures = [torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=rng) for size in sizes]
    inside, outside = network.seconds_beside(
        lambda: predict_picture(network, pictures, (height, width), settings, device), args.repeats
    )
    name = f"inference: sliding window, {height}x{width}, {len(SCALES)} scales, flip"
    return [Row(name, inside + outside, "bare network on the same tiles", inside, 1.15)]
