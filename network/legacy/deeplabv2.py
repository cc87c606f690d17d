"""The checkpoints of AdaptSegNet, MaxSquare and SNR, which share one network: theirs to ours, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from network.backbone import BACKBONES
from network.backbone.resnet import CAFFE_ENTRY_PREFIX, CAFFE_INFIX
from network.factory import DEEPLABV2, DEEPLABV2_ARCHITECTURES, published_name
from network.legacy.foreign import ForeignFile, prefixed, to_ours, to_theirs
from utils.errors import UserError
from utils.run.checkpoint import NETWORK_PREFIX, network_state
from utils.run.tensor_file import DISTRIBUTED_PREFIX, state_of

CLASSIFIER_KEY = "layer6.conv2d_list.0.weight"
# Their prefix, our prefix; the first that fits counts. "laye" without its r is their spelling.
PREFIXES = (
    ("layer5.conv2d_list.", "auxiliary.branches."),
    ("layer6.conv2d_list.", "head.classifier.branches."),
    *((f"IN{stage}.", f"backbone.restitutions.{stage}.norm.") for stage in range(1, 5)),
    *((f"style_reid_laye{stage}.", f"backbone.restitutions.{stage}.gate.") for stage in range(1, 5)),
    ("", "backbone."),
)
RELEASED_BRANCHES = 2
CAFFE_BACKBONES = [name for name in BACKBONES if name.endswith(CAFFE_INFIX)]


@dataclass(frozen=True)
class DeepLabV2File(ForeignFile):
    """A checkpoint of AdaptSegNet, MaxSquare or SNR.

    Attributes:
        state: the entries of the network under our names.
    """

    state: dict[str, Tensor]

    @classmethod
    def recognised(cls, content: object, path: Path | str) -> DeepLabV2File | None:
        state = state_of(content) or {}
        bare = {key.removeprefix(CAFFE_ENTRY_PREFIX): value for key, value in state.items()}
        if CLASSIFIER_KEY not in bare:
            return None
        # Files older than torch 0.4.1 do not count batches.
        norms = [key.removesuffix("running_mean") for key in bare if key.endswith("running_mean")]
        counts = {f"{norm}num_batches_tracked": torch.tensor(0) for norm in norms}
        return cls(path, to_ours(counts | bare, PREFIXES))

    def network(self, stated: Mapping[str, Any]) -> dict[str, Any]:
        """As the base class says. Unless stated, output stride and branches are as in the released code."""
        completing = ("atrous_branches", "output_stride", "per_image_input")
        config = {
            **DEEPLABV2,
            **self.told(),
            "atrous_branches": RELEASED_BRANCHES,
            **{name: stated[name] for name in completing if name in stated},
        }
        stages = " ".join(map(str, config["snr_stages"])) or "none"
        origin = "as stated" if "atrous_branches" in stated else "as released, or state --deeplabv2_head"
        self.announce(
            f"DeepLabV2 checkpoint, {config['backbone']}, output stride {config['output_stride']}, "
            f"SNR stages {stages}, {config['atrous_branches']} of 4 atrous branches ({origin})"
        )
        return config

    def told(self) -> dict[str, Any]:
        """As the base class says; no entry tells the output stride and the number of summed branches."""
        return {
            "backbone": self.nearest_backbone(self.state, CAFFE_BACKBONES, least_overlap=1.0),
            "head": DEEPLABV2["head"],
            "num_classes": self.state["head.classifier.branches.0.weight"].shape[0],
            "snr_stages": sorted({int(key.split(".")[2]) for key in self.state if "restitutions." in key}),
        }

    def model(self, wt_layer: Sequence[int]) -> dict[str, Tensor]:
        return prefixed(NETWORK_PREFIX, self.state)

    @classmethod
    def content_of(cls, checkpoint: Mapping[str, Any], path: Path | str) -> dict[str, Any] | None:
        config = checkpoint["network"]
        if config["head"] != "deeplabv2":
            return None
        released = {
            name: {**architecture, "atrous_branches": RELEASED_BRANCHES}
            for name, architecture in DEEPLABV2_ARCHITECTURES.items()
        }
        if published_name(config, released) is None:
            raise UserError(
                f"{path}: AdaptSegNet, MaxSquare and SNR have one deeplabv2, with two atrous branches on "
                f"{DEEPLABV2['backbone']} at output stride {DEEPLABV2['output_stride']}, with SNR after "
                "stages 1 2 3 or without; this is another"
            )
        entries = to_theirs(network_state(checkpoint), PREFIXES)
        score = {"epoch": 0, "iteration": 0, "best_MIou": 0.0}
        return {"state_dict": prefixed(DISTRIBUTED_PREFIX, entries), **score}
