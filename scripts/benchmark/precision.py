"""The cost of bf16 compared with float32 on the same device: a step, inference, validation, convolutions."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from scripts.benchmark.evaluation import TimedNetwork, labelled_noise, sliding_windows, validation
from scripts.benchmark.step import batches, iteration, training_step
from scripts.benchmark.timing import Row, seconds_in_turns
from utils.device import memory_format
from utils.precision import autocast

CONVOLUTIONS = {"3x3": (256, 3, 1), "1x1": (512, 1, 1), "depthwise 3x3": (256, 3, 256)}
"""Kind of convolution -> its channels, the side of its kernel, and its groups."""


def rows(args: argparse.Namespace, device: torch.device) -> list[Row]:
    """Measure whole programs' work and single convolutions in bf16 and in float32, in turns."""
    measured = []
    programs = {"step, baseline": a_step, "inference": an_inference, "validation": a_score}
    layers = {f"convolution {kind}": partial(a_convolution, kind) for kind in CONVOLUTIONS}
    for name, build in {**programs, **layers}.items():
        calls = [build(argparse.Namespace(**{**vars(args), "amp": amp}), device) for amp in ("off", "bf16")]
        reference, cost = seconds_in_turns(calls, args.repeats)
        measured.append(Row(f"{name}, bf16", cost, "the same in float32", reference))
    return measured


def a_step(args: argparse.Namespace, device: torch.device) -> Callable[[], object]:
    """A step of the baseline in the precision ``args.amp``."""
    layout = ("--channels_last" if args.channels_last else "--no-channels_last",)
    step = training_step("baseline", args, device, *layout, "--amp", args.amp)
    return iteration(step, batches(args, device))


def an_inference(args: argparse.Namespace, device: torch.device) -> Callable[[], object]:
    """Sliding windows over one picture."""
    return sliding_windows(args, TimedNetwork(args, device))


def a_score(args: argparse.Namespace, device: torch.device) -> Callable[[], object]:
    """Validation of ``args.pictures`` pictures, one by one."""
    network = TimedNetwork(args, device)
    return validation(args, network, labelled_noise(args, device), device)


def a_convolution(kind: str, args: argparse.Namespace, device: torch.device) -> Callable[[], object]:
    """Forward and backward of a convolution of ``CONVOLUTIONS``, on maps as at output stride 16."""
    channels, side, groups = CONVOLUTIONS[kind]
    layer = nn.Conv2d(channels, channels, side, padding="same", groups=groups, bias=False)
    layer.to(device, memory_format=(layout := memory_format(args.channels_last, device)))
    size = -(-args.crop_size // 16)
    maps = torch.rand(args.pictures, channels, size, size, device=device).to(memory_format=layout)
    maps.requires_grad_()

    def call() -> None:
        with autocast(args.amp, device):
            result = layer(maps)
        result.backward(torch.ones_like(result))

    return call
