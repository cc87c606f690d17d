"""What the statistics behind ISW's masks cost."""

from __future__ import annotations

import argparse

import torch

import config
from methods.isw import InstanceSelectiveWhitening
from network import create_network
from scripts.benchmark.timing import Row, seconds_in_turns

CODES = (0, 0, 2, 2, 2, 0, 0)


def rows(args: argparse.Namespace, device: torch.device) -> list[Row]:
    """The pass over pairs (picture, jittered picture) beside the whole network's forward of the pair."""
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


def build(args: argparse.Namespace, device: torch.device) -> InstanceSelectiveWhitening:
    """The method at its published sites, with random weights, in evaluation mode."""
    flags = ["--dataset", "gtav", "--method", "isw", "--wt_layer", *map(str, CODES)]
    settings = config.parse_training_arguments(config.training_parser(), flags)
    torch.manual_seed(0)
    method = InstanceSelectiveWhitening(create_network(args.backbone, wt_layer=CODES), settings)
    layout = torch.channels_last if args.channels_last else torch.contiguous_format
    return method.to(device, memory_format=layout).eval()
