"""The cost of a method's losses, and of the statistics for ISW's masks, compared with the network's pass."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from methods import Method, Progress
from network.head.coarse_layout import coarse_layout
from scripts.benchmark.inputs import random_method
from scripts.benchmark.timing import Row, seconds_in_turns
from utils.device import memory_format

START = Progress(iteration=0, max_iteration=1, epoch=0)
BLOCK = 32
CODES = (0, 0, 2, 2, 2, 0, 0)
"""ISW's published sites."""


def loss_rows(args: argparse.Namespace, device: torch.device) -> list[Row]:
    """Measure BlindNet's four terms, forward and backward, and DIIA's coarse layout."""
    return [*blindnet_rows(args, device), *diia_rows(args, device)]


def build(name: str, args: argparse.Namespace, device: torch.device, **architecture: Any) -> Method:
    """A random method on ``device``."""
    method = random_method(name, args, **architecture)
    return method.to(device, memory_format=memory_format(args.channels_last, device))


def random_batch(args: argparse.Namespace, device: torch.device) -> dict[str, Tensor]:
    """Noise pictures in every view, and labels of square areas of random classes."""
    rng, side = torch.Generator().manual_seed(0), args.crop_size
    blocks = torch.randint(0, 19, (args.pictures, 1, side // BLOCK, side // BLOCK), generator=rng)
    batch = {"label": F.interpolate(blocks.float(), (side, side)).squeeze(1).long()}
    for view in ("image", "image_jittered", "image_plain"):
        shape = (args.pictures, 3, side, side)
        batch[view] = torch.randint(0, 256, shape, dtype=torch.uint8, generator=rng)
    return {name: value.to(device) for name, value in batch.items()}


def step(method: Method, batch: dict[str, Tensor]) -> None:
    """Forward and backward."""
    sum(method(batch, "source", START).values()).backward()
    method.zero_grad(set_to_none=True)


def blindnet_rows(args: argparse.Namespace, device: torch.device) -> list[Row]:
    """Measure each term, and all four together, on fixed features, with gradients down to the features."""
    method, batch = build("blindnet", args, device), random_batch(args, device)
    weights, prepare = method.weights, method.network.input_spec.prepare
    with torch.no_grad():
        key, query = (method.network(prepare(batch[view])).features for view in ("image", "image_jittered"))
    query = {name: value.requires_grad_(value.is_floating_point()) for name, value in query.items()}

    def two_views() -> None:
        method.weights = {}
        step(method, batch)

    def cost(kept: Sequence[str]) -> None:
        method.weights = {weight: weights[weight] for weight in kept}
        losses = {**method.alignment(key, query), **method.contrast(key, query, batch["label"])}
        sum(losses.values()).backward()
        for value in query.values():
            value.grad = None

    terms = {
        "covariance alignment": ("w1", "w2"),
        "CWCL": ("w3",),
        "SDCL": ("w4",),
        "all four": tuple(weights),
    }
    functions = [two_views, *(partial(cost, kept) for kept in terms.values())]
    reference, *costs = seconds_in_turns(functions, args.repeats)
    return [
        Row(f"BlindNet, {name}", each, "two-view pass", reference, 0.25 if name == "all four" else None)
        for name, each in zip(terms, costs, strict=True)
    ]


def diia_rows(args: argparse.Namespace, device: torch.device) -> list[Row]:
    """Compare the coarse layout of full-size logits with a training step's forward and backward pass."""
    method, batch = build("diia", args, device), random_batch(args, device)
    with torch.no_grad():
        prepared = method.network.input_spec.prepare(batch["image"])
        logits = method.network(prepared).features["coarse_logits"]
    functions = [lambda: step(method, batch), lambda: coarse_layout(logits)]
    reference, cost = seconds_in_turns(functions, args.repeats)
    return [Row("DIIA, coarse layout", cost, "training pass", reference, 0.02)]


def isw_rows(args: argparse.Namespace, device: torch.device) -> list[Row]:
    """Compare the pass over pairs (picture, jittered picture) with the whole network's forward pass."""
    method = build("isw", args, device, wt_layer=CODES).eval()
    views = random_batch(args, torch.device("cpu"))
    pairs = torch.stack([views["image"], views["image_jittered"]], dim=1)

    @torch.no_grad()
    def forward() -> None:
        for pair in pairs:
            method.network(method.network.input_spec.prepare(pair.to(device)))

    functions = [lambda: method.mean_pair_variance([views], list(method.sites)), forward]
    cost, reference = seconds_in_turns(functions, args.repeats)
    name = "isw: statistics pass per picture pair"
    return [Row(name, cost / len(pairs), "the network's forward of the pair", reference / len(pairs), 0.5)]
