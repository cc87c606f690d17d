"""The cost of scoring pictures, without the network's."""

from __future__ import annotations

import argparse

import torch
from torch import Tensor

from scripts.benchmark.evaluation_network import TimedNetwork
from scripts.benchmark.timing import Row
from utils.device import pins_memory
from utils.scoring.classes import NUM_CLASSES
from utils.scoring.evaluation import evaluate


def rows(args: argparse.Namespace, device: torch.device) -> list[Row]:
    """Measure transfer, choice of the classes and confusion matrix for decoded pictures, one by one."""
    network, batches = TimedNetwork(args, device), noise(args, device)
    inside, outside = network.seconds_beside(
        lambda: evaluate(network, batches, NUM_CLASSES, device, args.amp), args.repeats
    )
    name = "validation: everything but the network (metric, transfer; decode excluded)"
    count = len(batches)
    return [Row(name, outside / count, "the network's forward", inside / count, 0.03)]


def noise(args: argparse.Namespace, device: torch.device) -> list[dict[str, Tensor]]:
    """Batches of one labelled picture on the host, in the form in which a loader gives them."""
    rng = torch.Generator().manual_seed(0)
    batches, pins = [], pins_memory(device.type)
    for _ in range(args.pictures):
        picture = torch.randint(0, 256, (1, 3, *args.evaluation_size), dtype=torch.uint8, generator=rng)
        label = torch.randint(0, NUM_CLASSES, (1, *args.evaluation_size), dtype=torch.uint8, generator=rng)
        batch = {"image": picture, "label": label}
        pinned = {name: value.pin_memory() for name, value in batch.items()} if pins else {}
        batches.append({**batch, **pinned})
    return batches
