"""Plain vision transformers of timm, whose maps all have one stride: ViT, DINOv2, DINOv3, EVA02 ..."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from network.backbone.timm import TimmModel, create_model, pretrained
from network.sites import STAGES
from utils.errors import UserError

POSITIONS = ("dynamic", "crop")
RESAMPLINGS = ("pinv", "bicubic")
TAPS = len(STAGES) - 1
PATCH_WEIGHT = "patch_embed.proj.weight"


@dataclass(frozen=True)
class TransformerSettings:
    """What a plain transformer of timm is built with, beside its name.

    Attributes:
        image_size: (height, width) of the pictures that its positions are stored for, usually the crop. They
            are rounded up to whole patches. ``None``: the model's own.
        taps: the blocks, from 0 on, whose outputs are layer1..layer4. ``None``: :func:`default_taps`.
        positions: ``dynamic``: the stored positions are resampled for every other size of pictures; ``crop``:
            pictures have ``image_size`` and no other. Both are resampled once when weights are loaded.
        patch_size: side of a patch in pixels; ``None``: the model's own.
        patch_resample: how the embedding of patches is resampled to another ``patch_size`` when weights are
            loaded: ``pinv`` (FlexiViT, Beyer et al., CVPR 2023, section 3.4) or ``bicubic`` (the kernels as
            pictures, as in the code of Rein and SoMA).
    """

    image_size: Sequence[int] | None = None
    taps: Sequence[int] | None = None
    positions: str = "dynamic"
    patch_size: int | None = None
    patch_resample: str = "pinv"


def default_taps(depth: int) -> list[int]:
    """The last block of each quarter of ``depth`` blocks; but 7, 11, 15, 23 of 24, as published."""
    return [7, 11, 15, 23] if depth == 24 else [(quarter + 1) * depth // TAPS - 1 for quarter in range(TAPS)]


def is_transformer(name: str) -> bool:
    """Whether the timm model of the backbone ``name`` is a plain transformer, whose maps have one stride."""
    try:
        with torch.device("meta"):
            model = create_model(name)
        return hasattr(model, "blocks") and len({each["reduction"] for each in model.feature_info}) == 1
    except (TypeError, AttributeError, KeyError):  # Not all models describe their maps.
        return False


class TransformerBackbone(TimmModel):
    """Four taps of a plain transformer: maps of one stride, the patch, without class and register tokens.

    The taps are outputs of blocks as they are, without the final normalisation. Blocks after the last tap are
    not built. There are no sites and no SNR: a transformer has no place between stages.
    """

    stages = STAGES[1:]

    def __init__(self, name: str, settings: Mapping[str, Any], drop_path: float = 0.0) -> None:
        """``settings``: those of :class:`TransformerSettings`; ``drop_path``: the stochastic depth.

        A UserError is raised if the model lacks what is asked.
        """
        super().__init__(name)
        self.settings, self.drop_path = TransformerSettings(**settings), drop_path
        self.model = self.create()
        self.set_input()
        depth = len(self.model.blocks)
        self.taps = list(self.settings.taps or default_taps(depth))
        if len(self.taps) != TAPS or self.taps != sorted(set(self.taps)) or not 0 <= self.taps[-1] < depth:
            words = " ".join(map(str, self.taps))
            raise UserError(f"--taps {words}: give {TAPS} rising numbers of the blocks 0 to {depth - 1}")
        self.model.prune_intermediate_layers(self.taps, prune_norm=True, prune_head=True)
        self.multiple = self.model.patch_embed.patch_size[0]
        if self.settings.positions == "crop":
            self.fixed_size = tuple(self.model.patch_embed.img_size)
        self.channels = dict.fromkeys(self.stages, self.model.embed_dim)
        self.strides = dict.fromkeys(self.stages, self.multiple)

    @property
    def settings_of_timm(self) -> dict[str, Any]:
        return {**asdict(self.settings), "taps": self.taps, **(super().settings_of_timm or {})}

    def create(self, **more: Any) -> nn.Module:
        more |= {"drop_path_rate": self.drop_path} if self.drop_path else {}
        settings, patch = self.settings, self.settings.patch_size
        if patch:
            more["patch_size"] = patch
        if settings.image_size:
            patch = patch or native_patch(self.name)
            more["img_size"] = tuple(patch * math.ceil(side / patch) for side in settings.image_size)
        dynamic = settings.positions == "dynamic"
        try:
            return create_model(self.name, num_classes=0, dynamic_img_size=dynamic, **more)
        except TypeError as error:
            raise UserError(f"--backbone {self.name}: does not fit ({error}); use another model") from None

    def pretrained_weights(self, file: Path | None = None) -> dict[str, Tensor]:
        weights = super().pretrained_weights(file)
        # timm resamples the patches by pseudo-inverse.
        if self.settings.patch_resample == "bicubic" and self.settings.patch_size:
            native = create_model(self.name, num_classes=0, **pretrained(file)).state_dict()[PATCH_WEIGHT]
            size = (self.multiple, self.multiple)
            resampled = F.interpolate(native.float(), size, mode="bicubic", align_corners=False)
            weights[f"model.{PATCH_WEIGHT}"] = resampled
        kept = self.state_dict()
        return {key: value for key, value in weights.items() if key in kept}

    def add_sites(self, wt_layer: Sequence[int]) -> None:
        if any(wt_layer):
            raise UserError(
                f"--wt_layer {' '.join(map(str, wt_layer))} (given, or of the method): {self.name} is a "
                "plain transformer, without normalisation sites; give 0 0 0 0 0 0 0"
            )

    def add_restitution(self, stages: Sequence[int]) -> None:
        if stages:
            words = " ".join(map(str, stages))
            raise UserError(f"--snr_stages {words}: {self.name} is a plain transformer, without SNR; drop it")

    def checkpoint_activations(self) -> None:
        super().checkpoint_activations()
        self.model.set_grad_checkpointing()

    def forward(self, x: Tensor, until: str = "layer4") -> dict[str, Tensor]:
        maps = self.model.forward_intermediates(x, self.taps, intermediates_only=True)
        return dict(zip(self.stages, maps, strict=True))


def native_patch(name: str) -> int:
    """The side of a patch of the timm model as it is."""
    with torch.device("meta"):
        return create_model(name, num_classes=0).patch_embed.patch_size[0]
