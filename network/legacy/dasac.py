"""The checkpoints of DA-SAC: theirs to ours, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from network.backbone.sequential import VGG16_STARTS
from network.factory import DASAC_ARCHITECTURES, published_name
from network.legacy.foreign import ForeignFile, prefixed, to_ours, to_theirs
from network.sites import STAGES
from utils.run.checkpoint import NETWORK_PREFIX, TEACHER_PREFIX, network_state
from utils.run.tensor_file import DISTRIBUTED_PREFIX, state_of

THEIR_STUDENT_PREFIX = "backbone."
THEIR_TEACHER_PREFIX = "slow_net."
# Entries: whether the teacher was ever copied from the student, and the running share of each class.
TEACHER_READY_KEY = "slow_init"
PRIOR_KEY = "running_conf"

# Index in torchvision's list of the modules of VGG-16 with BatchNorm -> our prefix.
VGG_MODULES = [
    f"backbone.{stage}.{place}."
    for stage, start, end in zip(STAGES, VGG16_STARTS, VGG16_STARTS[1:], strict=False)
    for place in range(end - start)
]
# DeepLabV2 leaves the last two poolings out of the list, so the modules after them have lower numbers.
VGG_MODULES_OF_DEEPLABV2 = [*VGG_MODULES[:33], *VGG_MODULES[34:43]]
# FCN's blocks -> the indices of their modules.
FCN_BLOCKS = {1: range(24), 2: range(24, 34), 3: range(34, 44)}
CLASSIFIER_PREFIX = "head.classifier.branches."


class Naming(NamedTuple):
    """``classifier``: an entry of this network alone; ``prefixes``: (theirs, ours), the first fit counts."""

    classifier: str
    prefixes: tuple[tuple[str, str], ...]


NAMINGS: dict[str, Naming] = {
    "deeplabv2_resnet101": Naming(
        "model.layer5.conv2d_list.0.weight",
        (("model.layer5.conv2d_list.", CLASSIFIER_PREFIX), ("model.", "backbone.")),
    ),
    "deeplabv2_vgg16_bn": Naming(
        "classifier.conv2d_list.0.weight",
        (
            *((f"features.{index}.", ours) for index, ours in enumerate(VGG_MODULES_OF_DEEPLABV2)),
            ("features.42.", "head.hidden.0."),
            ("features.44.", "head.hidden.2."),
            ("classifier.conv2d_list.", CLASSIFIER_PREFIX),
        ),
    ),
    "fcn_vgg16_bn": Naming(
        "vgg_head.8.weight",
        (
            *(
                (f"block{block}.{index}.", VGG_MODULES[index])
                for block, indices in FCN_BLOCKS.items()
                for index in indices
            ),
            ("vgg_head.", "head.classifier."),
            ("score_pool4.", "head.skip16."),
            ("score_pool3.", "head.skip8."),
        ),
    ),
}


@dataclass(frozen=True)
class DasacFile(ForeignFile):
    """A checkpoint of DA-SAC, or a bare state dict of one of its networks.

    Attributes:
        arch: their name of the network (MODEL.ARCH).
        num_classes: channels of its logits.
        student: the entries of the trained network under our names.
        teacher: those of its moving average; empty in a file of the first of DA-SAC's three steps.
        prior: the running share of each class; ``None`` without a teacher.
    """

    arch: str
    num_classes: int
    student: dict[str, Tensor]
    teacher: dict[str, Tensor]
    prior: Tensor | None

    @classmethod
    def recognised(cls, content: object, path: Path | str) -> DasacFile | None:
        bare = state_of(content) or {}
        student, teacher = {}, {}
        for key, value in bare.items():
            if key.startswith(THEIR_TEACHER_PREFIX):
                teacher[key.removeprefix(THEIR_TEACHER_PREFIX)] = value
            elif key not in (TEACHER_READY_KEY, PRIOR_KEY):
                student[key.removeprefix(THEIR_STUDENT_PREFIX)] = value
        if TEACHER_READY_KEY in bare and not bare[TEACHER_READY_KEY].any():
            teacher = {}
        for arch, (classifier, prefixes) in NAMINGS.items():
            if classifier in student:
                states = [to_ours(state, prefixes) for state in (student, teacher)]
                prior = bare.get(PRIOR_KEY) if teacher else None
                return cls(path, arch, student[classifier].shape[0], *states, prior)
        return None

    def network(self, stated: Mapping[str, Any]) -> dict[str, Any]:
        """As the base class says; the entries tell everything."""
        parts = "student and teacher" if self.teacher else "no teacher"
        self.announce(f"DA-SAC checkpoint, {self.arch}, {self.num_classes} classes, {parts}")
        return {**DASAC_ARCHITECTURES[self.arch], "num_classes": self.num_classes}

    def model(self, wt_layer: Sequence[int]) -> dict[str, Tensor]:
        """The entries by our SAC's names: ``network.*``, and with a teacher ``teacher.*`` and buffers."""
        model = prefixed(NETWORK_PREFIX, self.student) | prefixed(TEACHER_PREFIX, self.teacher)
        if self.prior is not None:
            # Their files do not tell the iteration. Any but a negative one says that there is a teacher.
            model |= {"prior": self.prior, "teacher_iteration": torch.tensor(0)}
        return model

    @classmethod
    def content_of(cls, checkpoint: Mapping[str, Any], path: Path | str) -> dict[str, Any] | None:
        """A file as their first step writes it, but without the optimiser, which only training needs."""
        arch = published_name(checkpoint["network"], DASAC_ARCHITECTURES)
        if arch is None:
            return None
        entries = to_theirs(network_state(checkpoint), NAMINGS[arch].prefixes)
        model = prefixed(DISTRIBUTED_PREFIX + THEIR_STUDENT_PREFIX, entries)
        return {"model": model, "opt": {}, "score": 0.0, "epoch": 0}
