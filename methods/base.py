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

import torch
from torch import Tensor, nn

from loss.criterion import SegmentationCriterion
from network import SegmentationNet, SegmentationOutput
from transforms.pipeline import WEAK_JITTER


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
    """

    name: ClassVar[str]
    views: ClassVar[tuple[str, ...]] = ("image",)
    domains: ClassVar[tuple[str, ...]] = ("source",)
    architecture: ClassVar[Mapping[str, Any]] = {}
    own_flags: ClassVar[tuple[str, ...]] = ()
    gaussian_blur: ClassVar[bool] = False
    color_jitter: ClassVar[tuple[float, ...]] = WEAK_JITTER

    def __init__(self, network: SegmentationNet, arguments: argparse.Namespace) -> None:
        super().__init__()
        self.network = network
        self.criterion = SegmentationCriterion(arguments)
        stated = arguments.aux_weight
        self.auxiliary_weight: float = network.head.auxiliary_weight if stated is None else stated
        if self.auxiliary_weight == 0:
            network.auxiliary.requires_grad_(False)
        self.backbone_lr_mult: float = arguments.backbone_lr_mult

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
        """Named, weighted scalar loss terms of one batch; the step minimises their sum.

        ``batch`` is on the device: ``image`` uint8 B x 3 x H x W, ``label`` int64 B x H x W.
        """

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """Parameter groups for the optimiser, one for each learning rate, which the schedule scales.

        The network says how fast its parts learn; all else that is trained does so at ``learning_rate``.
        """
        parts = self.network.parameter_groups(self.backbone_lr_mult)
        factors = {parameter: factor for parameters, factor in parts for parameter in parameters}
        groups: dict[float, list[nn.Parameter]] = {}
        for parameter in self.parameters():
            if parameter.requires_grad:
                groups.setdefault(factors.get(parameter, 1.0), []).append(parameter)
        return [{"params": group, "lr": factor * learning_rate} for factor, group in groups.items()]

    def before_training(self, epochs: float) -> None:
        """Called once on every process before the first step; the run will last ``epochs`` epochs."""

    def after_step(self, progress: Progress) -> None:
        """Called after every optimiser step."""

    def after_epoch(self, progress: Progress, loaders: Loaders) -> None:
        """Called on every process after the last step of epoch ``progress.epoch``."""

    @torch.no_grad()
    def predict(self, image: Tensor) -> Tensor:
        """Logits B x classes x H x W for uint8 pictures B x 3 x H x W (evaluation mode is the caller's)."""
        return self.network.predict(image)

    def supervised(
        self, batch: dict[str, Tensor], progress: Progress
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Forward a labelled batch: the segmentation loss terms every method shares, and the network's
        features.
        """
        prepared = self.network.input_spec.prepare(batch["image"])
        output = self.network(prepared, auxiliary=self.auxiliary_weight > 0)
        losses = {"main": self.criterion(output.logits, batch["label"], progress.iteration)}
        return {**losses, **self.auxiliary_loss(output, batch["label"])}, output.features

    def auxiliary_loss(self, output: SegmentationOutput, label: Tensor) -> dict[str, Tensor]:
        """The weighted loss term of the auxiliary output; none of a network without."""
        if output.aux_logits is None:
            return {}
        return {"aux": self.auxiliary_weight * self.criterion.auxiliary(output.aux_logits, label)}
