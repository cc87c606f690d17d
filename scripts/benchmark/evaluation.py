"""The cost of inference and of scoring beside the network's, which times itself in the same run."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

import numpy as np
import torch
from torch import Tensor

from network import create_network
from scripts.benchmark.inputs import street
from scripts.benchmark.timing import Row, medians, one_core, synchronise
from utils.device import memory_format, pins_memory
from utils.precision import autocast
from utils.scoring.classes import CITYSCAPES
from utils.scoring.evaluation import evaluate
from utils.scoring.metrics import ConfusionMatrix
from utils.scoring.reliability import Reliability
from utils.scoring.sliding_window import Inference, predict_picture

SCALES = (0.5, 1.0, 2.0)


class TimedNetwork:
    """A network with random weights that adds up the time of its calls.

    It maps uint8 B x 3 x H x W on the device to logits B x classes x H x W. Each call waits for the device
    before and after. So no other work counts as the network's time, and work that could overlap with the
    network counts as other work. ``seconds`` is the time of all calls since it was set to 0.
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


def inference_rows(args: argparse.Namespace, device: torch.device) -> list[Row]:
    """Measure sliding windows beside the network: cutting, mirroring, merging, choosing classes."""
    network = TimedNetwork(args, device)
    inside, outside = network.seconds_beside(sliding_windows(args, network), args.repeats)
    height, width = args.evaluation_size
    name = f"inference: sliding window, {height}x{width}, {len(SCALES)} scales, flip"
    return [Row(name, inside + outside, "bare network on the same tiles", inside, 1.15)]


def sliding_windows(args: argparse.Namespace, network: TimedNetwork) -> Callable[[], object]:
    """What segments one picture in the published setting: tiles as high as it, overlapping by a third.

    It begins with the resized 8-bit pictures on the host and ends with the class numbers on the host.
    """
    height, width = args.evaluation_size
    settings = Inference("sliding", height, scales=SCALES, flip=True)
    rng = torch.Generator().manual_seed(0)
    sizes = [(int(height * scale), int(width * scale)) for scale in SCALES]
    pictures = [torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=rng) for size in sizes]
    return partial(predict_picture, network, pictures, (height, width), settings, network.device)


def validation_rows(args: argparse.Namespace, device: torch.device) -> list[Row]:
    """Measure transfer, choice of the classes and confusion matrix for decoded pictures, one by one."""
    network, batches = TimedNetwork(args, device), labelled_noise(args, device)
    score = validation(args, network, batches, device)
    inside, outside = network.seconds_beside(score, args.repeats)
    name = "validation: everything but the network (metric, transfer; decode excluded)"
    count = len(batches)
    return [Row(name, outside / count, "the network's forward", inside / count, 0.03)]


def reliability_rows(args: argparse.Namespace, device: torch.device) -> list[Row]:
    """Measure what ``--reliability`` adds to the scoring of a batch, alone and with ``--calibrate``.

    With the latter, confidences are measured at two temperatures. Fitting the second one is not included. On
    a CPU it is the processor time of one core, because other programs slow down small steps more than large
    ones.
    """
    network, size = TimedNetwork(args, device), args.evaluation_size
    streets = [street(tuple(size), number) for number in range(args.pictures)]
    images, labels = (torch.from_numpy(np.stack(each)).to(device) for each in zip(*streets, strict=True))
    images, labels = images.permute(0, 3, 1, 2).contiguous(), labels.long()
    temperatures = {"--reliability": (1.0,), "--calibrate": (1.0, 1.5)}
    with torch.inference_mode(), one_core() if device.type == "cpu" else nullcontext():
        logits = network(images)
        measures = [Reliability(len(CITYSCAPES), device, each) for each in temperatures.values()]
        updates = [partial(each.update, logits.max(1).indices, labels, logits) for each in measures]
        clock = time.process_time if device.type == "cpu" else time.perf_counter
        calls = [partial(network, images), *updates]
        medians(calls, 1, clock)  # The first call of each does not count.
        forward, *costs = medians(calls, args.repeats, clock)
    what = f"{len(images)} pictures of {size[0]}x{size[1]}"
    return [
        Row(f"validation: {flag}, {what}", cost, "the network's forward", forward, 0.1)
        for flag, cost in zip(temperatures, costs, strict=True)
    ]


def validation(
    args: argparse.Namespace, network: TimedNetwork, batches: list[dict[str, Tensor]], device: torch.device
) -> Callable[[], None]:
    """A function that scores ``network`` on ``batches``."""
    measures = {"": [ConfusionMatrix(len(CITYSCAPES), device)]}
    return partial(evaluate, network, batches, measures, device, args.amp)


def labelled_noise(args: argparse.Namespace, device: torch.device) -> list[dict[str, Tensor]]:
    """Batches of one labelled picture on the host, in the form in which a loader gives them."""
    rng, size = torch.Generator().manual_seed(0), args.evaluation_size
    batches, pins = [], pins_memory(device.type)
    for _ in range(args.pictures):
        picture = torch.randint(0, 256, (1, 3, *size), dtype=torch.uint8, generator=rng)
        label = torch.randint(0, len(CITYSCAPES), (1, *size), dtype=torch.uint8, generator=rng)
        batch = {"image": picture, "label": label}
        batches.append({name: value.pin_memory() if pins else value for name, value in batch.items()})
    return batches
