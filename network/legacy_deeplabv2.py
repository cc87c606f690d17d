"""The checkpoints of AdaptSegNet, MaxSquare and SNR, which share one network: theirs to ours, and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from network.backbone import BACKBONES
from network.backbone.caffe_resnet import INFIX
from network.factory import DEEPLABV2, DEEPLABV2_ARCHITECTURES, published_name
from network.sites import NO_SITES
from utils import distributed
from utils.errors import UserError
from utils.legacy_deeplabv2 import CLASSIFIER_KEY, from_deeplabv2, to_deeplabv2
from utils.run.checkpoint import NETWORK_PREFIX
from utils.run.tensor_file import DISTRIBUTED_PREFIX

RELEASED_BRANCHES = 2


def deeplabv2_checkpoint(
    entries: Mapping[str, Tensor], path: Path | str, stated: Mapping[str, Any]
) -> dict[str, Any]:
    """The ``entries`` of such a file at ``path`` as a checkpoint of ours: network, model, arguments.

    What the entries do not tell comes from ``stated`` (arguments of ``create_network``), or is as in the
    released code: output stride 8, two of four branches. One line is printed.

    Raises:
        UserError: its entries are of no backbone known here.
    """
    state = from_deeplabv2(entries)
    told = {name: stated[name] for name in ("output_stride", "per_image_input") if name in stated}
    config = {
        **DEEPLABV2,
        "backbone": _backbone(state, path),
        "num_classes": entries[CLASSIFIER_KEY].shape[0],
        "snr_stages": sorted({int(key.split(".")[2]) for key in state if "restitutions." in key}),
        "atrous_branches": stated.get("atrous_branches", RELEASED_BRANCHES),
        **told,
    }
    if distributed.is_main():
        stages = " ".join(map(str, config["snr_stages"])) or "none"
        origin = "as stated" if "atrous_branches" in stated else "as released, or state --deeplabv2_head"
        print(
            f"{path}: DeepLabV2 checkpoint, {config['backbone']}, output stride {config['output_stride']}, "
            f"SNR stages {stages}, {config['atrous_branches']} of 4 atrous branches ({origin})",
            flush=True,
        )
    model = {f"{NETWORK_PREFIX}{key}": value for key, value in state.items()}
    return {"network": config, "model": model, "arguments": {"dataset": []}}


def _backbone(state: Mapping[str, Tensor], path: Path | str) -> str:
    """The Caffe ResNet that has all these convolutions and no other."""
    found = {key: tuple(value.shape) for key, value in state.items() if _is_convolution(key, value)}
    names = [name for name in BACKBONES if name.endswith(INFIX)]
    for name in names:
        with torch.device("meta"):
            own = BACKBONES[name](name, 8, NO_SITES, False).state_dict()
        own = {f"backbone.{key}": value for key, value in own.items()}
        if found == {key: tuple(value.shape) for key, value in own.items() if _is_convolution(key, value)}:
            return name
    raise UserError(f"{path}: its entries are of no backbone known here; they are {', '.join(names)}")


def _is_convolution(key: str, value: Tensor) -> bool:
    return key.startswith("backbone.") and "restitutions." not in key and value.dim() == 4


def released_content(
    state: Mapping[str, Tensor], config: Mapping[str, Any], path: Path | str
) -> dict[str, Any]:
    """A file of theirs with the entries ``state`` of our network of ``config``, which is that of ``path``.

    Raises:
        UserError: they have no network that computes the same.
    """
    released = {
        name: {**architecture, "atrous_branches": RELEASED_BRANCHES}
        for name, architecture in DEEPLABV2_ARCHITECTURES.items()
    }
    if published_name(config, released) is None:
        raise UserError(
            f"{path}: AdaptSegNet, MaxSquare and SNR have one deeplabv2, with two atrous branches on "
            f"{DEEPLABV2['backbone']} at output stride {DEEPLABV2['output_stride']}, with SNR after stages "
            "1 2 3 or without; this is another"
        )
    return {
        "state_dict": {f"{DISTRIBUTED_PREFIX}{key}": value for key, value in to_deeplabv2(state).items()},
        "epoch": 0,
        "iteration": 0,
        "best_MIou": 0.0,
    }
