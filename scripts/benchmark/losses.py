"""What the losses of a method cost beside the network's pass."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

import config
from methods import METHODS, Method, Progress
from network import create_network
from network.head.coarse_layout import coarse_layout
from scripts.benchmark.timing import Row, seconds_in_turns

START = Progress(iteration=0, max_iteration=1, epoch=0)
BLOCK = 32


def rows(args: argparse.Namespace, device: torch.device) -> list[Row]:
    """BlindNet's four terms and DIIA's coarse layout, forward and backward."""
    return [*blindnet_rows(args, device), *diia_rows(args, device)]


def build(name: str, args: argparse.Namespace, device: torch.device) -> Method:
    """A method with its published flags and random weights, in training mode."""
    flags = ["--dataset", "gtav", "--method", name, "--crop_size", str(args.crop_size)]
    settings = config.parse_training_arguments(config.training_parser(), flags)
    torch.manual_seed(0)
    network = create_network(args.backbone, **METHODS[name].architecture)
    method = METHODS[name](network, settings).to(device).train()
    return method.to(memory_format=torch.channels_last) if args.channels_last else method


def random_batch(args: argparse.Namespace, device: torch.device) -> dict[str, Tensor]:
    """Pictures of noise in every view, labels of square areas of all classes."""
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
    """Every term by itself on fixed features, gradients down to the features, and all four together."""
    method, batch = build("blindnet", args, device), random_batch(args, device)
    weights = method.weights
    prepare = method.network.input_spec.prepare
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
    """The coarse layout of full-size logits beside a whole training step's forward and backward."""
    method, batch = build("diia", args, device), random_batch(args, device)
    with torch.no_grad():
        prepared = method.network.input_spec.prepare(batch["image"])
        logits = method.network(prepared).features["coarse_logits"]
    functions = [lambda: step(method, batch), lambda: coarse_layout(logits)]
    reference, cost = seconds_in_turns(functions, args.repeats)
    return [Row("DIIA, coarse layout", cost, "training pass", reference, 0.02)]
