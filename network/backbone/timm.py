"""Backbones of the timm library (Wightman, PyTorch Image Models) whose maps shrink from stage to stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import load_state_dict
from torch import Tensor, nn

from network.backbone.base import Backbone
from network.input_spec import InputSpec
from network.sites import SITE_OF_STAGE, STAGES
from utils.errors import UserError

PREFIX = "timm:"
# Height and width of the picture on which the feature maps are checked.
_PROBE = (96, 128)
# What some models need to take pictures of any size; others do not know the argument.
_ANY_SIZE = {"strict_img_size": False}


class TimmModel(Backbone):
    """What all backbones of timm share: a model of timm, kept as ``model``, and its weights.

    A subclass says with :meth:`create` how the model is made.
    """

    model: nn.Module

    @property
    def model_name(self) -> str:
        """The name in ``timm.list_models()``, possibly with the name of weights after a dot."""
        return self.name.removeprefix(PREFIX)

    drop_path: float

    @property
    def settings_of_timm(self) -> dict[str, Any] | None:
        return {"drop_path": self.drop_path} if self.drop_path else None

    def create(self, **more: Any) -> nn.Module:
        """The timm model with random weights; ``more`` are further arguments of ``timm.create_model``."""
        raise NotImplementedError

    def set_input(self) -> None:
        """Take mean and deviation of the pictures from the settings of the model's weights."""
        settings = self.model.pretrained_cfg
        self.input_spec = InputSpec(mean=tuple(settings["mean"]), std=tuple(settings["std"]))

    def pretrained_weights(self, file: Path | None = None) -> dict[str, Tensor]:
        """State dict with pretrained weights, from ``file`` or downloaded; a UserError if there are none."""
        try:
            model = self.create(**pretrained(file))
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
        with torch.device("meta"):
            model = timm.create_model(self.model_name)
        named = model.pretrained_cfg.get("classifier") or ()
        classifiers = tuple(f"{name}." for name in ([named] if isinstance(named, str) else named))
        present, expected = _translated(load_state_dict(str(file)), model), model.state_dict()
        absent = [key for key in expected if key not in present and not key.startswith(classifiers)]
        return absent, [key for key in present if key not in expected and not key.startswith(classifiers)]


class TimmBackbone(TimmModel):
    """A model of timm that runs stage by stage. Its last four maps are layer1..layer4; one more is the stem.

    Sites and SNR are at the ends of the stages, so site 2 exists if there is a stem. The model must take
    pictures of any size. Maps that have their channels last are turned for what comes between the stages.
    A few models do not say where a stage ends. They run as a whole, without sites and SNR.
    """

    def __init__(self, name: str, output_stride: int, drop_path: float = 0.0) -> None:
        """``name``: ``timm:`` and a name of ``timm.list_models()``. ``drop_path``: the stochastic depth.

        A UserError is raised if the model is unknown or lacks what is asked or needed.
        """
        super().__init__(name)
        self.output_stride, self.drop_path = output_stride, drop_path
        self.model = self.create()
        self.set_input()
        information = self.model.feature_info
        self.stages = STAGES[-len(information.channels()) :]
        self.channels = dict(zip(reversed(STAGES), reversed(information.channels()), strict=False))
        self.strides = dict(zip(reversed(STAGES), reversed(information.reduction()), strict=False))
        self.channels_last = str(getattr(self.model, "output_fmt", "")).endswith("NHWC")
        self.steps = _steps(self.model, self.stages)
        if self.channels_last and hasattr(self.model, "patch_embed"):
            self.multiple = self.model.patch_embed.patch_size[0]  # Swin refuses a part of a patch.
        self.check_features()

    def create(self, **more: Any) -> nn.Module:
        more |= {"drop_path_rate": self.drop_path} if self.drop_path else {}
        if self.output_stride != 32:
            more["output_stride"] = self.output_stride
        try:
            try:
                return create_model(self.name, features_only=True, **_ANY_SIZE, **more)
            except TypeError:
                return create_model(self.name, features_only=True, **more)
        except (TypeError, AssertionError, NotImplementedError, AttributeError) as error:
            message = f"--backbone {self.name}: gives no feature maps ({error}); use another model"
            if "drop_path_rate" in str(error):
                message = f"--drop_path {self.drop_path}: {self.name} has none; drop the flag"
            elif self.output_stride != 32:
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
        features = [self.turned(feature) for feature in features[-len(self.stages) :]]
        shapes = [tuple(feature.shape[1:]) for feature in features]
        expected = [(self.channels[s], *(side // self.strides[s] for side in _PROBE)) for s in self.stages]
        if shapes != expected:
            raise UserError(f"{unfit}: its feature maps are {shapes}, expected {expected}")

    def add_sites(self, wt_layer: Sequence[int]) -> None:
        if any(wt_layer) and not self.steps:
            raise UserError(
                f"--wt_layer {' '.join(map(str, wt_layer))} (given, or of the method): {self.name} runs as a "
                "whole, without a place between stages; give 0 0 0 0 0 0 0"
            )
        super().add_sites(wt_layer)

    def add_restitution(self, stages: Sequence[int]) -> None:
        if stages and not self.steps:
            words = " ".join(map(str, stages))
            raise UserError(
                f"--snr_stages {words}: {self.name} runs as a whole, without a place between stages; drop it"
            )
        super().add_restitution(stages)

    def checkpoint_activations(self) -> None:
        if not self.steps:
            raise UserError(
                f"--checkpoint_activations: {self.name} runs as a whole, without stages of its own; drop it"
            )
        super().checkpoint_activations()

    def turned(self, x: Tensor) -> Tensor:
        """``x`` as the model has it between stages -> B x channels x height x width."""
        return x.permute(0, 3, 1, 2) if self.channels_last else x

    def run_stage(self, stage: str, x: Tensor, features: dict[str, Tensor]) -> Tensor:
        if self.channels_last and stage != self.stages[0]:
            x = x.permute(0, 2, 3, 1)
        for step in self.steps[stage]:
            x = step(x)
        return self.apply_site(SITE_OF_STAGE[stage], self.turned(x), features)

    def forward(self, x: Tensor, until: str = "layer4") -> dict[str, Tensor]:
        if self.steps:
            return super().forward(x, until)
        features = self.model(x)
        return dict(zip(self.stages, features[-len(self.stages) :], strict=True))


def create_model(name: str, **settings: Any) -> nn.Module:
    """The timm model of the backbone ``name``; a UserError if timm has no such model."""
    model_name = name.removeprefix(PREFIX)
    if not timm.is_model(model_name):
        raise UserError(
            f"--backbone {name}: timm {timm.__version__} has no model {model_name}; use a name of "
            "timm.list_models()"
        )
    return timm.create_model(model_name, **settings)


def pretrained(file: Path | None) -> dict[str, Any]:
    """The arguments of ``timm.create_model`` for pretrained weights, from ``file`` or downloaded."""
    return {"pretrained": True, "pretrained_cfg_overlay": {"file": str(file)} if file else None}


def _translated(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """The entries of a file with the names that ``model`` has for them; timm knows several kinds of files."""
    translate = getattr(import_module(type(model).__module__), "checkpoint_filter_fn", None)
    return translate(state, model) if translate else state


def _steps(model: nn.Module, stages: Sequence[str]) -> Mapping[str, list[nn.Module]]:
    """Stage -> the modules of ``model`` that it runs, one after the other; empty if they cannot be told."""
    found: list[list[nn.Module]] = [[]]
    if isinstance(model, timm.models._features.FeatureListNet):
        for name, module in model.items():
            found[-1].append(module)
            if name in model.return_layers:
                found.append([])
    elif getattr(model, "feature_hooks", 0) is None:  # EfficientNets and MobileNetV3s.
        stem = [module for name, module in model.named_children() if name != "blocks"]
        for place, module in enumerate([nn.Sequential(*stem), *model.blocks]):
            found[-1].append(module)
            if place in model._stage_out_idx:
                found.append([])
    *found, _ = found
    while len(found) > len(stages):
        found[:2] = [[*found[0], *found[1]]]
    return dict(zip(stages, found, strict=True)) if len(found) == len(stages) else {}
