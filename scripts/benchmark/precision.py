"""The cost of bf16 compared with float32 on the same device: a step, inference, validation."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch

from scripts.benchmark.evaluation import TimedNetwork, labelled_noise, sliding_windows, validation
from scripts.benchmark.step import batches, iteration, training_step
from scripts.benchmark.timing import Row, seconds_in_turns


def rows(args: argparse.Namespace, device: torch.device) -> list[Row]:
    """Measure a step of the baseline, sliding windows and validation in bf16 and in float32, in turns."""
    measured = []
    for name, build in {"step, baseline": a_step, "inference": an_inference, "validation": a_score}.items():
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
