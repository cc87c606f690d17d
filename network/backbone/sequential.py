"""What the backbones share whose library model is one list of modules."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from network.backbone.base import Backbone


class SequentialBackbone(Backbone):
    """A library's list of modules, cut into five stages; a stage has the channels of its last BatchNorm."""

    def __init__(
        self,
        name: str,
        modules: nn.Sequential,
        torchvision_prefix: str,
        stages: Mapping[str, tuple[int, int]],
    ) -> None:
        """``modules`` are taken over; the library's names of them start with ``torchvision_prefix``.

        ``stages``: stage -> [start, end) in ``modules``.
        """
        super().__init__(name)
        self.torchvision_prefix = torchvision_prefix
        self.first_module = {stage: start for stage, (start, _) in stages.items()}
        for stage, (start, end) in stages.items():
            self.add_module(stage, nn.Sequential(*modules[start:end]))
            norms = [m for m in getattr(self, stage).modules() if isinstance(m, nn.BatchNorm2d)]
            self.channels[stage] = norms[-1].num_features

    def imagenet_key(self, key: str) -> str:
        stage, index, rest = key.split(".", 2)
        if stage not in self.first_module:
            return key
        return f"{self.torchvision_prefix}.{self.first_module[stage] + int(index)}.{rest}"
