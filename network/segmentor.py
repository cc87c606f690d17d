"""The segmentation network: a backbone, a head and an auxiliary head."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import Parameter
from torch.nn import functional as F

from network.backbone.base import Backbone
from network.head.layers import scores_between_centres
from network.input_spec import InputSpec
from network.sites import STAGE_OF_SITE, WHITENED_CODES
from utils.errors import UserError
from utils.scoring.classes import ClassSet, described_classes
from utils.scoring.sliding_window import tile_starts

# The share of a window's side that the next one covers again (VFMNet: 512 pixels, a stride of 320).
WINDOW_OVERLAP = 3 / 8


class SegmentationOutput(NamedTuple):
    """The output of a network for a batch of B x 3 x H x W pictures.

    Attributes:
        logits: B x classes x H x W, at picture size.
        aux_logits: B x classes x h x w, at the resolution of layer3 or, with DeepLabV2, at picture size.
            ``None`` in evaluation, if not asked for, and without auxiliary head.
        features: name -> map. The names are ``stem``, ``layer1`` .. ``layer4``, ``site<n>`` (the normalised
            map of a whitened site, before its activation), and those of the head, such as ``decoder`` and
            ``decoder_logits``. In training also ``snr<n>_normalised``, ``snr<n>_restituted`` and
            ``snr<n>_contaminated`` (of the SNR module after layer n).
    """

    logits: Tensor
    aux_logits: Tensor | None
    features: dict[str, Tensor]

    def cut(self, padded: tuple[int, int], size: tuple[int, int]) -> SegmentationOutput:
        """The output for pictures of ``size``, which were ``padded`` on the right and below.

        All logits are those of the pictures alone. Smaller maps are cut where only padding is seen.
        """
        aux_logits = self.aux_logits
        if aux_logits is not None:
            aux_logits = cut_map(scores_between_centres(aux_logits, padded), padded, size)
        features = {name: cut_map(map_, padded, size) for name, map_ in self.features.items()}
        return SegmentationOutput(cut_map(self.logits, padded, size), aux_logits, features)


class SegmentationNet(nn.Module):
    """A backbone and its heads.

    Attributes:
        auxiliary: the auxiliary head, or ``None``.
        config: keyword arguments of ``network.create_network`` that rebuild this network.
        input_spec: describes the input of :meth:`forward`; ``input_spec.prepare`` makes it from 8-bit
            pictures.
        sites: site -> code of the active sites, in order of execution.
        site_channels: site -> channels of the active sites.
        base: what checkpoints say about the weights that the network was loaded with before it was tuned
            (``network.base_weights``); ``None`` if nobody could load them again.
    """

    base: dict[str, Any] | None = None

    def __init__(
        self,
        backbone: Backbone,
        head: nn.Module,
        auxiliary: nn.Module | None,
        config: Mapping[str, Any],
        input_spec: InputSpec,
    ) -> None:
        super().__init__()
        self.backbone, self.head, self.auxiliary = backbone, head, auxiliary
        self.config = dict(config)
        self.input_spec = input_spec

    @property
    def classes(self) -> ClassSet:
        """The classes that the network tells apart."""
        return described_classes(self.config["classes"])

    @property
    def sites(self) -> dict[int, int]:
        return dict(self.backbone.sites)

    @property
    def site_channels(self) -> dict[int, int]:
        return {site: self.backbone.all_site_channels[site] for site in self.backbone.sites}

    def forward(self, x: Tensor, auxiliary: bool = True) -> SegmentationOutput:
        """Segment normalised float pictures, B x 3 x H x W.

        Without ``auxiliary`` the auxiliary head is not run in training: its running statistics do not change.
        A UserError is raised if ``x`` has another shape or type, or too few pictures for BatchNorm.
        """
        check_pictures(x)
        own_size = (x.shape[-2], x.shape[-1])
        x = self.padded(x)
        features, size = self.backbone(x), (x.shape[-2], x.shape[-1])
        logits, head_features = self.head(features, size)
        aux_logits = None
        if self.auxiliary is not None and self.training and auxiliary:
            aux_logits = self.auxiliary(features["layer3"], size)
        output = SegmentationOutput(logits, aux_logits, {**features, **head_features})
        return output if own_size == size else output.cut(size, own_size)

    def padded(self, x: Tensor) -> Tensor:
        """``x`` with zeros, the mean colour, on the right and below, in a size that the backbone takes.

        A UserError is raised if ``x`` is larger than the only size that it takes.
        """
        height, width = x.shape[-2], x.shape[-1]
        multiple, fixed = self.backbone.multiple, self.backbone.fixed_size
        below, right = (
            (fixed[0] - height, fixed[1] - width) if fixed else (-height % multiple, -width % multiple)
        )
        if below < 0 or right < 0:
            raise UserError(
                f"a picture of {height} x {width}: with --positions crop the network takes {fixed[0]} x "
                f"{fixed[1]}; use --crop_size {min(fixed)}, or --positions dynamic in training"
            )
        return F.pad(x, (0, right, 0, below)) if below or right else x

    def parameter_groups(self, backbone_factor: float = 1.0) -> list[tuple[list[Parameter], float]]:
        """All parameters that are trained, each once, with their factor of the base learning rate.

        The factor is ``backbone_factor`` for the backbone with its SNR modules, and the head's published
        factor for both heads.
        """
        backbone, heads = self.backbone.parameters(), list(self.head.parameters())
        if self.auxiliary is not None:
            heads += self.auxiliary.parameters()
        groups = ((backbone, backbone_factor), (heads, self.head.learning_rate_factor))
        return [([each for each in part if each.requires_grad], factor) for part, factor in groups]

    def compile_for_any_size(self) -> None:
        """Compile the network for inference on pictures of any size, when it gets the first.

        It is compiled again for the first batch of several pictures and, after square ones, for the first
        that are not. On CPUs it may be more often, because PyTorch computes small maps in other ways there.
        """
        # PyTorch's limit is 8, for all networks of a process together. Beyond it nothing would be compiled.
        torch._dynamo.config.cache_size_limit = 64
        self.compile(dynamic=True)

    def predict(self, images: Tensor) -> Tensor:
        """Logits B x classes x H x W of RGB pictures, uint8 B x 3 x H x W.

        If the backbone takes one size of pictures only (``--positions crop``), larger ones are seen in
        windows of this size, at every 5/8 of a side: 512 pixels at every 320. Their logits are averaged.
        """
        x = self.input_spec.prepare(images)
        fixed = self.backbone.fixed_size
        if fixed is None or (x.shape[-2] <= fixed[0] and x.shape[-1] <= fixed[1]):
            return self(x).logits
        rows, columns = (
            [slice(start, start + side) for start in tile_starts(length, side, WINDOW_OVERLAP)]
            for length, side in zip(x.shape[-2:], fixed, strict=True)
        )
        total = x.new_zeros(x.shape[0], self.config["num_classes"], *x.shape[-2:])
        windows = torch.zeros_like(total[:1, :1])
        for row, column in itertools.product(rows, columns):
            total[..., row, column] += self(x[..., row, column]).logits
            windows[..., row, column] += 1
        return total / windows

    def whitening_features(self, x: Tensor, codes: Sequence[int] = WHITENED_CODES) -> dict[int, Tensor]:
        """Site -> normalised map of the whitened sites with one of ``codes``; later stages are not run."""
        check_pictures(x)
        sites = [site for site, code in self.sites.items() if code in codes and code in WHITENED_CODES]
        if not sites:
            return {}
        features = self.backbone(self.padded(x), until=STAGE_OF_SITE[sites[-1]])
        return {site: features[f"site{site}"] for site in sites}


def cut_map(x: Tensor, padded: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """The part of ``x``, a map of ``padded`` pictures in any resolution, that sees pictures of ``size``."""
    height, width = (
        -(-own * side // whole) for own, side, whole in zip(size, x.shape[-2:], padded, strict=True)
    )
    return x[..., :height, :width]


def check_pictures(x: Tensor) -> None:
    """Raise a UserError unless ``x`` is a batch of float RGB pictures."""
    if x.dim() != 4 or x.shape[1] != 3 or not x.is_floating_point():
        raise UserError(
            f"{x.dtype} {tuple(x.shape)}: the network takes float pictures, batch x 3 x height x width; "
            "network.input_spec.prepare makes them from uint8 pictures of that shape"
        )
