"""The cost of the statistics for ISW's masks."""

from __future__ import annotations

import argparse

import torch

from methods import Method
from scripts.benchmark.inputs import random_method, training_flags
from scripts.benchmark.timing import Row, seconds_in_turns

CODES = (0, 0, 2, 2, 2, 0, 0)


def rows(args: argparse.Namespace, device: torch.device) -> list[Row]:
    """Compare the pass over pairs (picture, jittered picture) with the whole network's forward pass."""
    method = build(args, device)
    rng = torch.Generator().manual_seed(0)
    shape = (args.pictures, 3, args.crop_size, args.crop_size)
    views = {
        name: torch.randint(0, 256, shape, dtype=torch.uint8, generator=rng)
        for name in ("image", "image_jittered")
    }
    pairs = torch.stack(list(views.values()), dim=1)
    sites = list(method.sites)

    @torch.no_grad()
    def forward() -> None:
        for pair in pairs:
            method.network(method.network.input_spec.prepare(pair.to(device)))

    cost, reference = seconds_in_turns(
        [lambda: method.mean_pair_variance([views], sites), forward], args.repeats
    )
    name = "isw: statistics pass per picture pair"
    return [Row(name, cost / len(pairs), "the network's forward of the pair", reference / len(pairs), 0.5)]


def build(args: argparse.Namespace, device: torch.device) -> Method:
    """The method at its published sites, with random weights, in evaluation mode."""
    method = random_method(training_flags(args.crop_size, "--method", "isw"), args.backbone, wt_layer=CODES)
    layout = torch.channels_last if args.channels_last else torch.contiguous_format
    return method.to(device, memory_format=layout).eval()
