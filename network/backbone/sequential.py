"""The base class of backbones whose torchvision model is one list of modules."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from network.backbone.base import Backbone, last_norm
from network.sites import STAGES


class SequentialBackbone(Backbone):
    """A list of torchvision's modules in five stages. A stage has the channels of its last BatchNorm."""

    def __init__(
        self, name: str, modules: nn.Sequential, torchvision_prefix: str, starts: Sequence[int]
    ) -> None:
        """``modules`` are used as they are, and their names in torchvision start with ``torchvision_prefix``.

        ``starts``: the index in ``modules`` at which each stage starts, and the end of the last stage.
        """
        super().__init__(name)
        self.torchvision_prefix = torchvision_prefix
        self.first_module = dict(zip(STAGES, starts, strict=False))
        for stage, start, end in zip(STAGES, starts, starts[1:], strict=False):
            self.add_module(stage, nn.Sequential(*modules[start:end]))
            self.channels[stage] = last_norm(getattr(self, stage)).num_features

    def imagenet_key(self, key: str) -> str:
        stage, index, rest = key.split(".", 2)
        if stage not in self.first_module:
            return key
        return f"{self.torchvision_prefix}.{self.first_module[stage] + int(index)}.{rest}"
