"""The checkpoints of DA-SAC: theirs to ours, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from network.factory import DASAC_ARCHITECTURES, published_name
from network.legacy.foreign import ForeignFile, prefixed, to_ours, to_theirs
from utils.run.checkpoint import NETWORK_PREFIX, TEACHER_PREFIX, network_state
from utils.run.tensor_file import DISTRIBUTED_PREFIX, state_of

THEIR_STUDENT_PREFIX = "backbone."
THEIR_TEACHER_PREFIX = "slow_net."
# Whether the teacher was ever copied from the student, and the running share of each class.
TEACHER_READY_KEY = "slow_init"
PRIOR_KEY = "running_conf"

# Our stages of torchvision's list of the modules of VGG-16 with BatchNorm: where each begins, and its length.
VGG_STAGES = {"stem": (0, 7), "layer1": (7, 7), "layer2": (14, 10), "layer3": (24, 10), "layer4": (34, 10)}
VGG_MODULES = {
    start + place: f"backbone.{stage}.{place}."
    for stage, (start, length) in VGG_STAGES.items()
    for place in range(length)
}
BLOCK_OF_STAGE = {"stem": 1, "layer1": 1, "layer2": 1, "layer3": 2, "layer4": 3}
# The two poolings that DeepLabV2 leaves out of the list, and so moves up what follows them.
FOURTH_POOLING, FIFTH_POOLING = 33, 43
CLASSIFIER_PREFIX = "head.classifier.branches."


class Naming(NamedTuple):
    """``classifier``: an entry that only this network has; ``prefixes``: theirs, ours; the first counts."""

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
            *(
                (f"features.{index - (index > FOURTH_POOLING)}.", ours)
                for index, ours in VGG_MODULES.items()
                if index not in (FOURTH_POOLING, FIFTH_POOLING)
            ),
            ("features.42.", "head.hidden.0."),
            ("features.44.", "head.hidden.2."),
            ("classifier.conv2d_list.", CLASSIFIER_PREFIX),
        ),
    ),
    "fcn_vgg16_bn": Naming(
        "vgg_head.8.weight",
        (
            *(
                (f"block{BLOCK_OF_STAGE[ours.split('.')[1]]}.{index}.", ours)
                for index, ours in VGG_MODULES.items()
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
        student: its entries under our names.
        teacher: those of the moving average of it; none in a file of the first of DA-SAC's three steps.
        prior: the running share of each class, beside a teacher.
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
        """As the base class says. The entries tell everything."""
        parts = "student and teacher" if self.teacher else "no teacher"
        self.announce(f"DA-SAC checkpoint, {self.arch}, {self.num_classes} classes, {parts}")
        return {**DASAC_ARCHITECTURES[self.arch], "num_classes": self.num_classes}

    def model(self, wt_layer: Sequence[int]) -> dict[str, Tensor]:
        """The entries by the names of our SAC: ``network.*``, of a teacher ``teacher.*`` and buffers."""
        model = prefixed(NETWORK_PREFIX, self.student) | prefixed(TEACHER_PREFIX, self.teacher)
        if self.prior is not None:
            # Their files do not tell the iteration. Any but a negative one says that there is a teacher.
            model |= {"prior": self.prior, "teacher_iteration": torch.tensor(0)}
        return model

    @classmethod
    def content_of(cls, checkpoint: Mapping[str, Any], path: Path | str) -> dict[str, Any] | None:
        """As the base class says: a file as after the first of their steps.

        It has no optimiser's state, which theirs need to go on training but not to segment.
        """
        arch = published_name(checkpoint["network"], DASAC_ARCHITECTURES)
        if arch is None:
            return None
        entries = to_theirs(network_state(checkpoint), NAMINGS[arch].prefixes)
        model = prefixed(DISTRIBUTED_PREFIX + THEIR_STUDENT_PREFIX, entries)
        return {"model": model, "opt": {}, "score": 0.0, "epoch": 0}
