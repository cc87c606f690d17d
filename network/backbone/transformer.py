"""Plain vision transformers of timm, whose maps all have one stride: ViT, DINOv2, DINOv3, EVA02 ..."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
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
            ``None``: dynamic, or crop for the few models of timm that cannot resample.
        patch_size: side of a patch in pixels; ``None``: the model's own.
        patch_resample: how the embedding of patches is resampled to another ``patch_size`` when weights are
            loaded: ``pinv`` (FlexiViT, Beyer et al., CVPR 2023, section 3.4) or ``bicubic`` (the kernels as
            pictures, as in the code of Rein and SoMA).
    """

    image_size: Sequence[int] | None = None
    taps: Sequence[int] | None = None
    positions: str | None = None
    patch_size: int | None = None
    patch_resample: str = "pinv"


def default_taps(depth: int) -> list[int]:
    """The last block of each quarter of ``depth`` blocks; but 7, 11, 15, 23 of 24, as published."""
    return [7, 11, 15, 23] if depth == 24 else [(quarter + 1) * depth // TAPS - 1 for quarter in range(TAPS)]


@lru_cache
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
    is_plain_transformer = True

    def __init__(self, name: str, settings: Mapping[str, Any], drop_path: float = 0.0) -> None:
        """``settings``: those of :class:`TransformerSettings`; ``drop_path``: the stochastic depth.

        A UserError is raised if the model lacks what is asked.
        """
        super().__init__(name)
        self.settings, self.drop_path = TransformerSettings(**settings), drop_path
        self.positions = self.settings.positions
        self.model = self.create()
        self.set_input()
        depth = len(self.model.blocks)
        self.taps = list(self.settings.taps or default_taps(depth))
        if len(self.taps) != TAPS or self.taps != sorted(set(self.taps)) or not 0 <= self.taps[-1] < depth:
            words = " ".join(map(str, self.taps))
            raise UserError(f"--taps {words}: give {TAPS} rising numbers of the blocks 0 to {depth - 1}")
        self.model.prune_intermediate_layers(self.taps, prune_norm=True, prune_head=True)
        information = self.model.feature_info[0]
        self.multiple = information["reduction"]
        if self.positions == "crop":
            size = self.settings.image_size or self.model.pretrained_cfg["input_size"][1:]
            self.fixed_size = in_whole_patches(size, self.multiple)
        self.channels = dict.fromkeys(self.stages, information["num_chs"])
        self.strides = dict.fromkeys(self.stages, self.multiple)

    @property
    def settings_of_timm(self) -> dict[str, Any]:
        own = {"taps": self.taps, "positions": self.positions}
        return {**asdict(self.settings), **own, **(super().settings_of_timm or {})}

    def create(self, **more: Any) -> nn.Module:
        more |= {"drop_path_rate": self.drop_path} if self.drop_path else {}
        size, patch = self.settings.image_size, self.settings.patch_size
        if patch:
            more["patch_size"] = patch
        if size:
            more["img_size"] = in_whole_patches(size, patch or native_patch(self.name))
        if self.positions != "crop":
            try:
                model = create_model(self.name, num_classes=0, dynamic_img_size=True, **more)
                self.positions = "dynamic"
                return model
            except TypeError:
                if self.positions == "dynamic":
                    message = f"--positions dynamic: timm cannot resample those of {self.name}; use crop"
                    raise UserError(message) from None
                self.positions = "crop"
        try:
            return create_model(self.name, num_classes=0, **more)
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
        self.model.set_grad_checkpointing()

    def forward(self, x: Tensor, until: str = "layer4") -> dict[str, Tensor]:
        stages = self.stages[: self.stages.index(until) + 1]
        indices = self.taps[: len(stages)]
        maps = self.model.forward_intermediates(x, indices, stop_early=True, intermediates_only=True)
        return dict(zip(stages, maps, strict=True))


def in_whole_patches(size: Sequence[int], patch: int) -> tuple[int, ...]:
    """``size`` with sides rounded up to multiples of ``patch``."""
    return tuple(patch * math.ceil(side / patch) for side in size)


@lru_cache
def native_patch(name: str) -> int:
    """The side of a patch of the timm model as it is."""
    with torch.device("meta"):
        return create_model(name, num_classes=0).feature_info[0]["reduction"]
