"""What DA-SAC's checkpoints hold, and their names of a network's entries and ours, both ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

from torch import Tensor

from utils.legacy import renamed
from utils.run.tensor_file import state_of

Value = TypeVar("Value")

STUDENT_PREFIX = "backbone."
TEACHER_PREFIX = "slow_net."
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


class DasacWeights(NamedTuple):
    """What a file of DA-SAC holds, under our names.

    Attributes:
        arch: theirs of the network (MODEL.ARCH).
        num_classes: channels of its logits.
        student: its entries.
        teacher: those of the moving average of it; none in a file of the first of DA-SAC's three steps.
        prior: the running share of each class, beside a teacher.
    """

    arch: str
    num_classes: int
    student: dict[str, Tensor]
    teacher: dict[str, Tensor]
    prior: Tensor | None


def dasac_weights(content: object) -> DasacWeights | None:
    """The weights in the ``content`` of a file of DA-SAC; ``None`` of another's.

    A bare state dict of one of its networks is such a file, too.
    """
    bare = state_of(content) or {}
    student, teacher = {}, {}
    for key, value in bare.items():
        if key.startswith(TEACHER_PREFIX):
            teacher[key.removeprefix(TEACHER_PREFIX)] = value
        elif key not in (TEACHER_READY_KEY, PRIOR_KEY):
            student[key.removeprefix(STUDENT_PREFIX)] = value
    if TEACHER_READY_KEY in bare and not bare[TEACHER_READY_KEY].any():
        teacher = {}
    for arch, (classifier, _) in NAMINGS.items():
        if classifier in student:
            states = [from_dasac(state, arch) for state in (student, teacher)]
            prior = bare.get(PRIOR_KEY) if teacher else None
            return DasacWeights(arch, student[classifier].shape[0], *states, prior)
    return None


def from_dasac(state: Mapping[str, Value], arch: str) -> dict[str, Value]:
    """Bare entries of their network ``arch`` under our names."""
    return {renamed(key, NAMINGS[arch].prefixes): value for key, value in state.items()}


def to_dasac(state: Mapping[str, Value], arch: str) -> dict[str, Value]:
    """The state dict of our network ``arch`` under their names, bare."""
    reverse = tuple((ours, theirs) for theirs, ours in NAMINGS[arch].prefixes)
    return {renamed(key, reverse): value for key, value in state.items()}
