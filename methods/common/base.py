"""The contract between the training loop and a published method.

A method owns its network and says what one step costs. Everything it must remember between steps is a
registered buffer or a sub-module: it is then saved, restored, moved and synchronised with no further code.
"""

from __future__ import annotations

import argparse
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from loss.criterion import SegmentationCriterion
from network import SegmentationNet, SegmentationOutput
from transforms.pipeline import WEAK_JITTER
from utils.errors import UserError


@dataclass(frozen=True)
class Progress:
    """Where a run stands: ``iteration`` optimiser steps of ``max_iteration`` are done, in ``epoch`` (from
    0).
    """

    iteration: int
    max_iteration: int
    epoch: int


class Loaders(Protocol):
    """What a method may ask of the data between epochs."""

    def covariance_pairs(self, trial: int) -> Iterable[Iterable[dict[str, Any]]]:
        """Per statistics data set, this process's share of training pictures: views ``image``,
        ``image_jittered``.
        """


class Method(nn.Module, ABC):
    """A published training recipe. Subclasses set the class attributes and override what they change.

    Attributes:
        name: what ``--method`` calls it.
        views: which views of a sample the method needs (see ``transforms.pipeline``).
        domains: ``("source",)``, or ``("source", "target")`` for adaptation; one forward and backward for
            each.
        architecture: the arguments of ``network.create_network`` it was published with; flags replace them.
        own_flags: switches that mean this method and no other.
        gaussian_blur: whether "image" is blurred; ``--gblur`` and ``--no_gblur`` replace it.
        color_jitter: its strength of ``transforms.pipeline.TrainTransform``; ``--color_jitter`` replaces it.
        target_transform: what becomes of a target picture if not the same as of the source's: ``multi_crop``
            (``transforms.multi_crop``).
        crop_padding: what fills labelled crops beyond their picture, ``black`` or ``mean``, 0 for the
            network; ``--crop_padding`` replaces it.
        renormalise: whose colour statistics source pictures get, of ``datasets.sampling.statistics``;
            ``--renormalise`` replaces it.
        restitutes: whether it has the dual restitution loss on a network with SNR.
        bias_lr_mult: how many times faster than weights biases learn; ``--bias_lr_mult`` replaces it.
        bias_weight_decay: weight decay of biases, ``None`` for that of all; ``--bias_weight_decay`` replaces
            it.
    """

    name: ClassVar[str]
    views: ClassVar[tuple[str, ...]] = ("image",)
    domains: ClassVar[tuple[str, ...]] = ("source",)
    architecture: ClassVar[Mapping[str, Any]] = {}
    own_flags: ClassVar[tuple[str, ...]] = ()
    gaussian_blur: ClassVar[bool] = False
    color_jitter: ClassVar[tuple[float, ...]] = WEAK_JITTER
    target_transform: ClassVar[str | None] = None
    crop_padding: ClassVar[str] = "black"
    renormalise: ClassVar[str] = "off"
    restitutes: ClassVar[bool] = False
    bias_lr_mult: ClassVar[float] = 1.0
    bias_weight_decay: ClassVar[float | None] = None

    def __init__(self, network: SegmentationNet, arguments: argparse.Namespace) -> None:
        super().__init__()
        self.network = network
        self.criterion = SegmentationCriterion(arguments)
        self.auxiliary_weight = self._weight_of_auxiliary(network, arguments.aux_weight)
        self.arguments = arguments

    @staticmethod
    def _weight_of_auxiliary(network: SegmentationNet, stated: float | None) -> float:
        if network.auxiliary is None:
            if stated:
                raise UserError(f"--aux_weight {stated}: this network has no auxiliary output; drop the flag")
            return 0.0
        weight = network.head.auxiliary_weight if stated is None else stated
        if weight == 0:
            network.auxiliary.requires_grad_(False)
        return weight

    @staticmethod
    def add_arguments(parser: argparse._ArgumentGroup) -> None:
        """Declare the method's own flags with their published defaults."""

    @classmethod
    def is_meant_by(cls, arguments: argparse.Namespace) -> bool:
        """Whether a command line without ``--method`` means this method."""
        return bool(cls.given_flags(arguments))

    @classmethod
    def given_flags(cls, arguments: argparse.Namespace) -> list[str]:
        """Which of the method's ``own_flags`` a command line has."""
        return [flag for flag in cls.own_flags if getattr(arguments, flag)]

    @abstractmethod
    def forward(self, batch: dict[str, Tensor], domain: str, progress: Progress) -> dict[str, Tensor]:
        """Named, weighted scalar loss terms of one batch; the step minimises their sum. No terms: nothing is
        learnt from this domain's batch.

        ``batch`` is on the device: ``image`` uint8 B x 3 x H x W, ``label`` int64 B x H x W.
        """

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """Parameter groups for the optimiser, one for each learning rate and weight decay; the schedule
        scales the former. ``names`` of a group are those of its parameters.

        The network says how fast its parts learn; all else that is trained does so at ``learning_rate``.
        """
        arguments = self.arguments
        parts = self.network.parameter_groups(arguments.backbone_lr_mult)
        factors = {parameter: factor for parameters, factor in parts for parameter in parameters}
        groups: dict[tuple[float, float], dict[str, Any]] = {}
        for name, parameter in self.named_parameters():
            if not parameter.requires_grad:
                continue
            factor, decay = factors.get(parameter, 1.0), arguments.weight_decay
            if name.endswith("bias"):
                factor *= self._stated_or_own("bias_lr_mult")
                own = self._stated_or_own("bias_weight_decay")
                decay = decay if own is None else own
            group = {"params": [], "names": [], "lr": factor * learning_rate, "weight_decay": decay}
            group = groups.setdefault((factor, decay), group)
            group["params"].append(parameter)
            group["names"].append(name)
        return list(groups.values())

    def _stated_or_own(self, flag: str) -> Any:
        stated = getattr(self.arguments, flag)
        return getattr(type(self), flag) if stated is None else stated

    def before_training(self, epochs: float) -> None:
        """Called once on every process before the first step; the run will last ``epochs`` epochs."""

    def after_step(self, progress: Progress) -> None:
        """Called after every optimiser step."""

    def after_epoch(self, progress: Progress, loaders: Loaders) -> None:
        """Called on every process after the last step of epoch ``progress.epoch``."""

    def scalars(self) -> dict[str, Tensor]:
        """What of the method's state to show beside the scores, by name: scalars."""
        return {}

    def pictures(self, batch: dict[str, Tensor], palette: np.ndarray) -> dict[str, Image.Image]:
        """What the method makes of a training batch of its last domain, by name.

        ``palette``: uint8 classes x 3.
        """
        return {}

    @torch.no_grad()
    def predict(self, image: Tensor) -> Tensor:
        """Logits B x classes x H x W for uint8 pictures B x 3 x H x W (evaluation mode is the caller's)."""
        return self.network.predict(image)

    def network_input(self, batch: dict[str, Tensor], view: str = "image") -> Tensor:
        """A view of a labelled batch as the network's input, float32 B x 3 x H x W.

        ``batch`` may have ``renormalisation`` (``network.input_spec``) and ``padding``, bool B x H x W, true
        where crops show no part of their picture: the input is 0 there.
        """
        prepared = self.network.input_spec.prepare(batch[view], batch.get("renormalisation"))
        padding = batch.get("padding")
        return prepared if padding is None else prepared.masked_fill(padding.unsqueeze(1), 0)

    def supervised(
        self, batch: dict[str, Tensor], progress: Progress
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Forward a labelled batch: the segmentation loss terms every method shares, and the network's
        features.
        """
        output = self.network(self.network_input(batch), auxiliary=self.auxiliary_weight > 0)
        losses = {"main": self.criterion(output.logits, batch["label"], progress.iteration)}
        return {**losses, **self.auxiliary_loss(output, batch["label"])}, output.features

    def auxiliary_loss(self, output: SegmentationOutput, label: Tensor) -> dict[str, Tensor]:
        """The weighted loss term of the auxiliary output; none of a network without."""
        if output.aux_logits is None:
            return {}
        return {"aux": self.auxiliary_weight * self.criterion.auxiliary(output.aux_logits, label)}
