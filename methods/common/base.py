"""The contract between the training loop and a published method.

A method owns its network and computes the losses of a step. Everything that it must remember between steps is
a registered buffer or a sub-module, so that it is saved, restored, moved and synchronised with no further
code.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from PIL import Image
from torch import Tensor, nn

from loss.criterion import SegmentationCriterion
from loss.segmentation import MeanOver
from methods.common.restitution import RestitutionLoss
from network import SegmentationNet, SegmentationOutput
from transforms.pipeline import WEAK_JITTER
from utils.errors import UserError


@dataclass(frozen=True)
class Progress:
    """How far a run is: ``iteration`` of ``max_iteration`` iterations are done; ``epoch`` counts from 0."""

    iteration: int
    max_iteration: int
    epoch: int


class Loaders(Protocol):
    """The data that a method may ask for between epochs (``datasets.training.TrainingLoaders``)."""

    def covariance_pairs(self, trial: int) -> Iterable[Iterable[dict[str, Any]]]:
        """For each data set: this process's batches of ``image``, ``image_jittered`` in round ``trial``."""


class Method(nn.Module):
    """A published training recipe. Subclasses set the class attributes and override what they change.

    Attributes:
        name: its name for ``--method``.
        views: the views of a sample that it needs (see ``transforms.pipeline``).
        domains: ``("source",)``, or ``("source", "target")`` for adaptation. Each domain has its own forward
            and backward pass.
        own_flags: switches of this method alone. They select it if ``--method`` is not given, and are refused
            with another ``--method``.
        target_transform: ``multi_crop`` (``transforms.multi_crop``), or ``None``: target pictures are
            transformed like source pictures.
        mean_over: the pixels that the cross entropy of labelled pictures is averaged over.
        restitutes: whether it adds the dual restitution loss on a network with SNR.
        architecture: its defaults of the flags that choose the network (``network.create_network``).
        gaussian_blur: its default of ``--gblur``.
        color_jitter, crop_padding, renormalise, bias_lr_mult: its defaults of the flags of these names.
        bias_weight_decay: the same; ``None`` is the weight decay of all other parameters.
    """

    name: ClassVar[str]
    views: ClassVar[tuple[str, ...]] = ("image",)
    domains: ClassVar[tuple[str, ...]] = ("source",)
    own_flags: ClassVar[tuple[str, ...]] = ()
    target_transform: ClassVar[str | None] = None
    mean_over: ClassVar[MeanOver] = "labelled"
    restitutes: ClassVar[bool] = False
    architecture: ClassVar[Mapping[str, Any]] = {}
    gaussian_blur: ClassVar[bool] = False
    color_jitter: ClassVar[tuple[float, ...]] = WEAK_JITTER
    crop_padding: ClassVar[str] = "black"
    renormalise: ClassVar[str] = "off"
    bias_lr_mult: ClassVar[float] = 1.0
    bias_weight_decay: ClassVar[float | None] = None

    def __init__(self, network: SegmentationNet, arguments: argparse.Namespace) -> None:
        super().__init__()
        self.network, self.arguments = network, arguments
        self.criterion = SegmentationCriterion(arguments, self.mean_over)
        given, has_auxiliary = arguments.aux_weight, network.auxiliary is not None
        if given and not has_auxiliary:
            raise UserError(f"--aux_weight {given}: this network has no auxiliary output; drop the flag")
        published = network.head.auxiliary_weight if has_auxiliary else 0.0
        self.auxiliary_weight: float = published if given is None else given
        if has_auxiliary and self.auxiliary_weight == 0:
            network.auxiliary.requires_grad_(False)
        restitutes = self.restitutes and network.config["snr_stages"] and not arguments.no_snr_dual_loss
        self.restitution = RestitutionLoss(network, arguments) if restitutes else None

    @staticmethod
    def add_arguments(parser: argparse._ArgumentGroup) -> None:
        """Declare the method's own flags with their published defaults."""

    @classmethod
    def is_meant_by(cls, arguments: argparse.Namespace) -> bool:
        """Whether a command line without ``--method`` selects this method."""
        return bool(cls.given_flags(arguments))

    @classmethod
    def given_flags(cls, arguments: argparse.Namespace) -> list[str]:
        """The ``own_flags`` that the command line gives."""
        return [flag for flag in cls.own_flags if getattr(arguments, flag)]

    def forward(self, batch: dict[str, Tensor], domain: str, progress: Progress) -> dict[str, Tensor]:
        """Loss terms of one batch: name -> weighted scalar. The step minimises their sum.

        If there are no terms, nothing is learnt from this batch. ``batch`` is on the device: ``image`` uint8
        B x 3 x H x W, ``label`` int64 B x H x W, and whatever the method's views and domains add.
        """
        if domain == "target":
            return self.target_losses(batch, progress)
        return self.supervised(batch, progress)[0]

    def target_losses(self, batch: dict[str, Tensor], progress: Progress) -> dict[str, Tensor]:
        """Loss terms of a batch without labels; methods with the domain "target" override this."""
        raise NotImplementedError

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """Parameter groups for the optimiser, one for each pair of learning rate and weight decay.

        The network sets the learning rates of its parts; everything else that is trained has
        ``learning_rate``. ``names`` of a group are the names of its parameters.
        """
        arguments = self.arguments
        decays = arguments.bias_weight_decay, self.bias_weight_decay, arguments.weight_decay
        bias_decay = next(decay for decay in decays if decay is not None)
        bias_factor = self.bias_lr_mult if arguments.bias_lr_mult is None else arguments.bias_lr_mult
        parts = self.network.parameter_groups(arguments.backbone_lr_mult)
        factors = {parameter: factor for parameters, factor in parts for parameter in parameters}
        groups: dict[tuple[float, float], dict[str, Any]] = {}
        for name, parameter in self.named_parameters():
            if not parameter.requires_grad:
                continue
            factor, decay = factors.get(parameter, 1.0), arguments.weight_decay
            if name.endswith("bias"):
                factor, decay = factor * bias_factor, bias_decay
            empty = {"params": [], "names": [], "lr": factor * learning_rate, "weight_decay": decay}
            group = groups.setdefault((factor, decay), empty)
            group["params"].append(parameter)
            group["names"].append(name)
        return list(groups.values())

    def before_training(self, epochs: float) -> None:
        """Called once on every process, before the first step of a run of ``epochs`` epochs."""

    def after_epoch(self, progress: Progress, loaders: Loaders) -> None:
        """Called on every process after the last step of epoch ``progress.epoch``."""

    def scalars(self) -> dict[str, Tensor]:
        """Name -> scalar of the method's state, to be shown beside the scores."""
        return {}

    def pictures(self, batch: dict[str, Tensor], palette: np.ndarray) -> dict[str, Image.Image]:
        """Name -> picture of what the method computes from a training batch of its last domain.

        ``palette``: uint8 classes x 3. The caller sets evaluation mode.
        """
        return {}

    def network_input(self, batch: dict[str, Tensor], view: str = "image") -> Tensor:
        """A view of a batch as the network's input, float32 B x 3 x H x W.

        ``batch`` may have ``renormalisation`` (``network.input_spec``) and ``padding``, bool B x H x W. Where
        ``padding`` is true, the crop shows no part of its picture and the input is 0.
        """
        prepared = self.network.input_spec.prepare(batch[view], batch.get("renormalisation"))
        padding = batch.get("padding")
        return prepared if padding is None else prepared.masked_fill(padding.unsqueeze(1), 0)

    def supervised(
        self, batch: dict[str, Tensor], progress: Progress
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Pass a labelled batch through the network.

        Returns:
            The loss terms of segmentation (and of SNR, if the method ``restitutes``), and the features.
        """
        output = self.network(self.network_input(batch), auxiliary=self.auxiliary_weight > 0)
        losses = {"main": self.criterion(output.logits, batch["label"], progress.iteration)}
        losses |= self.auxiliary_loss(output, batch["label"])
        if self.restitution is not None:
            losses |= self.restitution(output.features, batch["label"])
        return losses, output.features

    def auxiliary_loss(self, output: SegmentationOutput, label: Tensor) -> dict[str, Tensor]:
        """The weighted loss term of the auxiliary output, or no term if there is no such output."""
        if output.aux_logits is None:
            return {}
        return {"aux": self.auxiliary_weight * self.criterion.auxiliary(output.aux_logits, label)}
