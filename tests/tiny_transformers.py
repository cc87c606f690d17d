"""Transformers so small that tests train them in a second: timm's blocks, in three ways they are built."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import timm
import torch
from torch import Tensor, nn

from network import SegmentationNet, create_network
from network.backbone import BACKBONES
from network.backbone.base import Backbone
from network.sites import STAGES

DEPTH, WIDTH, PATCH = 3, 32, 8
_SIZE: dict[str, Any] = {
    "img_size": 32,
    "patch_size": PATCH,
    "embed_dim": WIDTH,
    "depth": DEPTH,
    "num_heads": 2,
    "num_classes": 0,
    "dynamic_img_size": True,
}
MODELS: Mapping[str, Callable[[], nn.Module]] = {
    "tiny_vit": lambda: timm.models.vision_transformer.VisionTransformer(**_SIZE, drop_path_rate=0.3),
    # Its attention never calls the layer of query, key and value, unless it is told to.
    "tiny_eva": lambda: timm.models.eva.Eva(**_SIZE, num_reg_tokens=2),
    "tiny_eva_split": lambda: timm.models.eva.Eva(**_SIZE, qkv_fused=False, swiglu_mlp=True, scale_mlp=True),
}


class TinyTransformer(Backbone):
    """The outputs of the first, second and last block of a transformer as layer1..layer4, all at stride 8."""

    native_strides = dict.fromkeys(STAGES, PATCH)

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.model = MODELS[name]()
        self.model.norm = nn.Identity()  # It is not used, so it would get no gradient.
        self.channels = dict.fromkeys(STAGES, WIDTH)

    def blocks(self, stage: str) -> list[nn.Module]:
        return []

    def forward(self, x: Tensor, until: str = "layer4") -> dict[str, Tensor]:
        x = nn.functional.pad(x, (0, -x.shape[-1] % PATCH, 0, -x.shape[-2] % PATCH))
        taps = {"indices": [0, 1, 2], "norm": False, "intermediates_only": True}
        first, second, last = self.model.forward_intermediates(x, **taps)
        return {"stem": first, "layer1": first, "layer2": first, "layer3": second, "layer4": last}


@contextmanager
def registered() -> Iterator[None]:
    """A block in which ``create_network`` knows ``MODELS``; tests of all backbones must not find them."""
    BACKBONES.update(dict.fromkeys(MODELS, TinyTransformer))
    yield
    for name in MODELS:
        del BACKBONES[name]


def tiny_network(name: str = "tiny_vit", **arguments: Any) -> SegmentationNet:
    """A network on one of ``MODELS`` with random weights; also biases and tokens are random, and not 0."""
    network = create_network(name, **{"head": "linear", **arguments})
    for parameter in network.backbone.parameters():
        if parameter.dim() == 1 or not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return network


def changed(network: nn.Module) -> None:
    """Change everything that is trained, in place."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter += 0.05 * torch.randn_like(parameter)


def large_network(tuning: str) -> SegmentationNet:
    """DINOv2-L as published for crops of 512, with patches of 16 and the linear head, for the meta device."""
    size = {"image_size": (512, 512), "patch_size": 16}
    name = "timm:vit_large_patch14_dinov2"
    return create_network(name, head="linear", timm=size, tuning={"name": tuning})
