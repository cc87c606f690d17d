"""Backbones of the timm library (Wightman, PyTorch Image Models), which is an optional dependency."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from network.backbone.base import Backbone
from network.input_spec import InputSpec
from network.sites import STAGES
from utils.errors import UserError, optional_library

PREFIX = "timm:"
# Height and width of the picture on which the feature maps are checked.
_PROBE = (96, 128)


class TimmBackbone(Backbone):
    """A timm model. Its last four feature maps are layer1..layer4; a map before these, if any, is the stem.

    It has no normalisation sites and no SNR. The feature maps must be channels first, and the model must take
    pictures of any size. Convolutional and most hierarchical models do; plain vision transformers do not.
    """

    def __init__(self, name: str, output_stride: int, wt_layer: Sequence[int]) -> None:
        """``name``: ``timm:`` and a name of ``timm.list_models()``.

        A UserError is raised if timm is missing, or the model is unknown or lacks what is asked or needed.
        """
        super().__init__(name)
        if any(wt_layer):
            codes = " ".join(map(str, wt_layer))
            raise UserError(
                f"--wt_layer {codes} (given, or of the method): {name} has no sites; give 0 0 0 0 0 0 0"
            )
        self.output_stride = output_stride
        self.model = self.create()
        settings = self.model.pretrained_cfg
        self.input_spec = InputSpec(mean=tuple(settings["mean"]), std=tuple(settings["std"]))
        information = self.model.feature_info
        self.stages = STAGES[-len(information.channels()) :]
        self.channels = dict(zip(reversed(STAGES), reversed(information.channels()), strict=False))
        self.strides = dict(zip(reversed(STAGES), reversed(information.reduction()), strict=False))
        self.check_features()

    def add_restitution(self, stages: Sequence[int]) -> None:
        if stages:
            words = " ".join(map(str, stages))
            raise UserError(
                f"--snr_stages {words}: {self.name} runs as a whole, without a place between stages; drop it"
            )

    def create(self, **more: Any) -> nn.Module:
        """The timm model; ``more`` are further arguments of ``timm.create_model``."""
        timm = optional_library("timm", "--backbone timm:...")
        model_name = self.name.removeprefix(PREFIX)
        if not timm.is_model(model_name):
            raise UserError(
                f"--backbone {self.name}: timm {timm.__version__} has no model {model_name}; use a name of "
                "timm.list_models()"
            )
        if self.output_stride != 32:
            more["output_stride"] = self.output_stride
        try:
            return timm.create_model(model_name, features_only=True, **more)
        except (TypeError, AssertionError, NotImplementedError, AttributeError) as error:
            message = f"--backbone {self.name}: gives no feature maps ({error}); use another model"
            if self.output_stride != 32:
                stride = f"--output_stride {self.output_stride}"
                message = f"{stride}: {self.name} does not have it; try --output_stride 32"
            raise UserError(message) from None

    def check_features(self) -> None:
        """Raise a UserError unless heads can take the features. This is computed on the meta device."""
        unfit = f"--backbone {self.name}: does not fit"
        if len(self.strides) < len(STAGES) - 1:
            raise UserError(f"{unfit}: it has {len(self.strides)} feature maps, a head needs four")
        if self.strides["layer4"] != self.output_stride:
            raise UserError(
                f"--output_stride {self.output_stride}: {self.name} has {self.strides['layer4']}; use that"
            )
        with torch.device("meta"):
            model = self.create().eval()
            try:
                features = model(torch.empty(1, 3, *_PROBE))
            except (AssertionError, RuntimeError) as error:
                reason = str(error).splitlines()[0] if str(error) else "it fails"
                raise UserError(f"{unfit}: on a picture of {_PROBE[0]} x {_PROBE[1]}: {reason}") from None
        shapes = [tuple(feature.shape[1:]) for feature in features[-len(self.stages) :]]
        expected = [(self.channels[s], *(side // self.strides[s] for side in _PROBE)) for s in self.stages]
        if shapes != expected:
            raise UserError(f"{unfit}: its feature maps are {shapes}, expected {expected}")

    def pretrained_weights(self, file: Path | None = None) -> dict[str, Tensor]:
        """State dict with pretrained weights, from ``file`` or downloaded; a UserError if there are none."""
        overlay = {"file": str(file)} if file else None
        try:
            model = self.create(pretrained=True, pretrained_cfg_overlay=overlay)
            absent, further = self.differences(file) if file else ([], [])
        except Exception as error:  # timm and its hub client raise many kinds of errors.
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UserError(
                f"{self.name}: could not get its pretrained weights ({reason[:200]}); pass "
                "--backbone_weights FILE with timm's own weights of this model, or --no_pretrained"
            ) from None
        for keys, where in ((absent, "are absent"), (further, "are not of this model")):
            if keys:
                raise UserError(
                    f"--backbone_weights {file}: {len(keys)} entries {where} (first: {keys[0]}); pass a file "
                    f"of {self.name}"
                )
        return {f"model.{key}": value for key, value in model.state_dict().items()}

    def differences(self, file: Path) -> tuple[list[str], list[str]]:
        """Entries that ``file`` lacks, and that the model lacks, without a classifier's; timm tells none."""
        timm = optional_library("timm", "--backbone timm:...")
        with torch.device("meta"):
            model = timm.create_model(self.name.removeprefix(PREFIX))
        named = model.pretrained_cfg.get("classifier") or ()
        classifiers = tuple(f"{name}." for name in ([named] if isinstance(named, str) else named))
        present, expected = timm.models.load_state_dict(str(file)), model.state_dict()
        absent = [key for key in expected if key not in present and not key.startswith(classifiers)]
        return absent, [key for key in present if key not in expected and not key.startswith(classifiers)]

    def forward(self, x: Tensor, until: str = "layer4") -> dict[str, Tensor]:
        features = self.model(x)
        return dict(zip(self.stages, features[-len(self.stages) :], strict=True))
