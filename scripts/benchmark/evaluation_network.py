"""The bare network of the rows about evaluation, timed where it is called: the figure holds its reference."""

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
    """A network with random weights as a function of 8-bit pictures that adds up its own time.

    uint8 B x 3 x H x W on the device -> logits B x classes x H x W. The device is waited for before and
    after, so nothing else counts as the network's, and what could overlap with it counts as else.

    Attributes:
        seconds: of all calls since it was set to 0.
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
        """Median times in a call of ``function``: of the network, of all else. The first call is left out."""
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
