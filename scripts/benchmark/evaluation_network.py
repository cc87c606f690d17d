"""The network for the figures about evaluation. It times itself, so the same run yields the reference."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from network import create_network
from scripts.benchmark.timing import synchronise
from utils.device import memory_format
from utils.scoring.evaluation import autocast


class TimedNetwork:
    """A network with random weights that adds up the time of its calls.

    It maps uint8 B x 3 x H x W on the device to logits B x classes x H x W. Each call waits for the device
    before and after. So no other work counts as the network's time, and work that could overlap with the
    network counts as other work.

    Attributes:
        seconds: time of all calls since this was set to 0.
    """

    def __init__(self, args: argparse.Namespace, device: torch.device) -> None:
        torch.manual_seed(0)
        self.amp, self.device = args.amp, device
        self.layout = memory_format(args.channels_last, device)
        self.network = create_network(args.backbone).to(device, memory_format=self.layout).eval()
        self.seconds = 0.0

    def __call__(self, pictures: Tensor) -> Tensor:
        synchronise()
        started = time.perf_counter()
        with autocast(self.amp, self.device):
            logits = self.network.predict(pictures.contiguous(memory_format=self.layout))
        synchronise()
        self.seconds += time.perf_counter() - started
        return logits

    def seconds_beside(self, function: Callable[[], object], repeats: int) -> tuple[float, float]:
        """Median times of the network and of all else in a call of ``function``, without the first call."""
        inside, outside = [], []
        for _ in range(repeats + 1):
            self.seconds = 0.0
            synchronise()
            started = time.perf_counter()
            function()
            synchronise()
            inside.append(self.seconds)
            outside.append(time.perf_counter() - started - self.seconds)
        return statistics.median(inside[1:]), statistics.median(outside[1:])
