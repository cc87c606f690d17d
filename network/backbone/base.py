"""The base class of all backbones: five stages, their features, normalisation sites, and restitution."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from network.backbone.recomputation import recomputed
from network.input_spec import IMAGENET, InputSpec
from network.norm.snr import Restitution, StyleRestitution
from network.sites import SITE_LAYERS, SITE_OF_STAGE, STAGES, WHITENED_CODES, active_sites
from utils.errors import UserError


def last_norm(module: nn.Module) -> nn.BatchNorm2d:
    """The last BatchNorm of ``module``, which tells the channels of its output."""
    return [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)][-1]


class Backbone(nn.Module):
    """A classification network without its classifier, in five stages: stem, layer1, layer2, layer3, layer4.

    A subclass keeps the modules of a stage under the stage's name, and fills in ``channels``. Then
    ``network.backbone.create_backbone`` calls :meth:`limit_stride` and :meth:`add_sites`. Sites 2..6 are at
    the end of their stages, unless the subclass overrides :meth:`run_stage`.

    Attributes:
        name: the name in the registry.
        torchvision_name: torchvision's name of the network whose pretrained weights fit.
        channels: stage -> channels of its output.
        strides: stage -> input pixels per output pixel.
        sites: site -> code of the active sites, in order of execution.
        all_site_channels: site -> channels, for all sites of this backbone, active or not.
        restitutions: stage number as a string -> the SNR module after that stage.
        following: names of the modules that follow training mode, while all others stay in evaluation mode
            (``network.tuning``); ``None``: all follow.
        input_spec: the pictures that its pretrained weights expect.
        native_strides: stage -> stride of the network without dilation.
        output_strides: the output strides that it can have.
        stages: the stages that it has, in order: all five, or all but the stem.
        multiple: height and width of its input must be multiples of this.
        fixed_size: (height, width) of its input, if it takes no other.
        is_plain_transformer: whether its four maps have one stride, that of a patch.
        checkpoints_activations: whether it computes activations again in the backward pass.
        activation: the activation function after a site, where one follows.
    """

    input_spec: InputSpec = IMAGENET
    native_strides: Mapping[str, int]
    output_strides: tuple[int, ...] = (8, 16, 32)
    stages: Sequence[str] = STAGES
    multiple: int = 1
    fixed_size: tuple[int, int] | None = None
    is_plain_transformer: bool = False
    checkpoints_activations: bool = False
    activation: Callable[..., Tensor] = staticmethod(F.relu)

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = self.torchvision_name = name
        self.channels: dict[str, int] = {}
        self.strides: dict[str, int] = {}
        self.all_site_channels: dict[int, int] = {}
        self.sites: dict[int, int] = {}
        self.site_norms = nn.ModuleDict()
        self.restitutions = nn.ModuleDict()
        self.following: tuple[str, ...] | None = None

    def train(self, mode: bool = True) -> Backbone:
        """Set training mode, or if tuning has fixed the backbone, that of the modules ``following``."""
        super().train(mode and self.following is None)
        for name in self.following or ():
            self.get_submodule(name).train(mode)
        return self

    @property
    def settings_of_timm(self) -> dict[str, Any] | None:
        """The argument ``timm`` of ``network.create_network`` that builds this backbone again."""
        return None

    def blocks(self, stage: str) -> Sequence[nn.Module]:
        """The blocks of one of layer1..layer4, in order of execution."""
        return list(getattr(self, stage))

    def limit_stride(self, output_stride: int, partial_dilation: bool) -> None:
        """Dilate the stages whose stride would exceed ``output_stride``, if that is possible."""
        if output_stride not in self.output_strides:
            strides = ", ".join(map(str, self.output_strides))
            raise UserError(f"--output_stride {output_stride}: {self.name} has {strides}; use one of them")
        self.strides = {stage: min(self.native_strides[stage], output_stride) for stage in STAGES}
        dilation = 1
        for stage in STAGES[1:]:
            if self.native_strides[stage] > output_stride:
                dilation = self.dilate(stage, dilation, partial_dilation)

    def dilate(self, stage: str, dilation: int, partial: bool) -> int:
        """Change ``stage`` in place so that it does not reduce the resolution.

        From its first strided block on (with that block), every convolution larger than 1x1 is dilated, so
        that it sees the same part of the picture as with the stride (DeepLabV3, Chen et al. 2017, section
        3.1, without multi-grid). A block has at most one stride on any path. With ``partial`` only the
        convolutions that had the stride are dilated, and none after them: the published MobileNetV2 and
        ShuffleNetV2 of RobustNet were trained like this.

        ``dilation`` is that of the stage before. Returns the one that the next stage starts with.
        """
        for block in self.blocks(stage):
            convs = [m for m in block.modules() if isinstance(m, nn.Conv2d)]
            strided = [conv for conv in convs if conv.stride != (1, 1)]
            if strided:
                dilation *= strided[0].stride[0]
            for conv in strided if partial else convs:
                size = conv.kernel_size[0]
                conv.stride = (1, 1)
                if size > 1:
                    conv.dilation = (dilation, dilation)
                    conv.padding = (dilation * (size // 2),) * 2
        return dilation

    def add_sites(self, wt_layer: Sequence[int]) -> None:
        """Build the layers of the active sites; :meth:`place_site` puts each where the backbone uses it."""
        self.all_site_channels |= {SITE_OF_STAGE[stage]: self.channels[stage] for stage in self.stages}
        self.sites = active_sites(wt_layer, self.all_site_channels, self.name)
        for site, code in self.sites.items():
            self.place_site(site, SITE_LAYERS[code](self.all_site_channels[site]))

    def place_site(self, site: int, layer: nn.Module) -> None:
        """Keep ``layer`` for :meth:`apply_site`. If it replaces a BatchNorm, that is removed here."""
        self.site_norms[str(site)] = layer

    def apply_site(self, site: int, x: Tensor, features: dict[str, Tensor]) -> Tensor:
        """Normalise ``x`` if ``site`` is active, and add the map of a whitened site to ``features``."""
        if site not in self.sites:
            return x
        return self.tap_site(site, self.site_norms[str(site)](x), features)

    def is_whitened(self, site: int) -> bool:
        """Whether ``site`` is whitened: its map is an output, so no activation may overwrite it in place."""
        return self.sites.get(site) in WHITENED_CODES

    def activate_site(self, site: int, x: Tensor, features: dict[str, Tensor]) -> Tensor:
        """:meth:`apply_site`, and the activation that follows."""
        return self.activation(self.apply_site(site, x, features), inplace=not self.is_whitened(site))

    def tap_site(self, site: int, normalised: Tensor, features: dict[str, Tensor]) -> Tensor:
        """Return ``normalised``; add it to ``features`` if the site is whitened."""
        if self.is_whitened(site):
            features[f"site{site}"] = normalised
        return normalised

    def add_restitution(self, stages: Sequence[int]) -> None:
        """Put an SNR module behind each of ``stages``; a UserError unless each is 1 to 4 and given once."""
        for stage in stages:
            if stage not in range(1, len(STAGES)) or str(stage) in self.restitutions:
                words = " ".join(map(str, stages))
                raise UserError(
                    f"--snr_stages {words}: give each of 1, 2, 3, 4 (layer1..layer4) at most once"
                )
            self.restitutions[str(stage)] = StyleRestitution(self.channels[STAGES[stage]])

    def restitute(self, stage: str, x: Tensor, features: dict[str, Tensor]) -> Tensor:
        """Apply the SNR module of ``stage``, if there is one, to ``x``; its maps are features in training."""
        number = str(STAGES.index(stage))
        if number not in self.restitutions:
            return x
        maps = self.restitutions[number](x)
        if self.restitutions.training:
            # PyTorch 2.6 compiles neither ``maps._asdict()`` nor ``maps._fields``.
            named = zip(Restitution._fields, maps, strict=True)
            features.update({f"snr{number}_{name}": map_ for name, map_ in named})
        return maps.restituted

    def is_site_key(self, key: str) -> bool:
        """Whether a state dict key belongs to a site or an SNR module. ImageNet weights may lack these."""
        return key.startswith(("site_norms.", "restitutions."))

    def imagenet_key(self, key: str) -> str:
        """The name that ``key`` of this backbone's state dict has in the library's ImageNet checkpoint."""
        return key

    def fit_to_input(self, weights: dict[str, Tensor], made_for: InputSpec) -> dict[str, Tensor]:
        """``weights`` (the library's names), converted from inputs ``made_for`` to this backbone's inputs."""
        return weights

    def checkpoint_activations(self) -> None:
        """From now on compute a stage's activations again in the backward pass, which saves memory."""
        self.checkpoints_activations = True

    def run_stage(self, stage: str, x: Tensor, features: dict[str, Tensor]) -> Tensor:
        """The output of ``stage`` for its input ``x``; whitened maps are added to ``features``."""
        return self.apply_site(SITE_OF_STAGE[stage], getattr(self, stage)(x), features)

    def forward(self, x: Tensor, until: str = "layer4") -> dict[str, Tensor]:
        """Features of B x 3 x H x W pictures, name -> map; the stages after ``until`` are not run.

        The names are those of ``network.segmentor.SegmentationOutput``. With SNR a stage's map is restituted.
        """
        features: dict[str, Tensor] = {}
        for stage in self.stages:
            if self.checkpoints_activations and torch.is_grad_enabled():
                more = recomputed(self, self.whole_stage, stage, x)
            else:
                more = self.whole_stage(stage, x)
            # PyTorch 2.6 cannot compile ``|=``.
            features.update(more)
            x = features[stage]
            if stage == until:
                break
        return features

    def whole_stage(self, stage: str, x: Tensor) -> dict[str, Tensor]:
        """The features of ``stage``, with those of its sites and its SNR module, for its input ``x``."""
        features: dict[str, Tensor] = {}
        features[stage] = self.restitute(stage, self.run_stage(stage, x, features), features)
        return features
