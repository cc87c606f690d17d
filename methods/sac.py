"""DA-SAC: self-supervised augmentation consistency (Araslanov and Roth, CVPR 2021).

A teacher, which is the running average of the network, predicts several clean crops of a target picture. Its
predictions are fused on the picture's canvas, and the fused prediction is cut out for every crop as pseudo
labels. The network learns them from a distorted view of the crop.

Training starts from a network trained with ``--method abn`` (``--resume_from`` or ``--snapshot``). From then
on all running statistics stay as they are; the weights and biases of BatchNorm are trained.

The released code and the paper differ in two points. The released code averages the confidence over the batch
by mistake, and the published numbers were made so (``--sac_confidence batch_mean``); the default is as in the
paper. The paper has no lower bound of the thresholds (``--confidence_lower 0``).
"""

from __future__ import annotations

import argparse
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from loss.crop_fusion import FUSIONS, refine
from loss.precision import at_least_float32
from loss.self_supervision import CONFIDENCES, PseudoLabels, focal_confidence_loss, pseudo_labels
from methods.common.base import Progress
from methods.common.class_prior import StepPrior
from methods.common.dasac import DaSacTraining
from methods.common.sac_pictures import group_picture
from methods.common.teacher import distance, follow, teacher_of
from network import SegmentationNet
from utils.declare import Flag
from utils.distributed import Neighbours, is_main, world_size
from utils.errors import UserError


class AugmentationConsistency(DaSacTraining):
    """Segmentation loss of the source, and ``--target_weight`` x loss of the target's pseudo labels.

    A target batch contains G groups of T crops (``transforms.multi_crop``): ``image`` (distorted) and
    ``image_clean``, uint8 G x T x 3 x H x W; ``padding``, bool G x T x H x W, true where there is no picture;
    ``affine`` and ``affine_inverse``, float G x T x 2 x 3 (``loss.crop_fusion``). Processes that share a
    group (``--processes_per_group``) all get the whole group, and each trains on its part of the crops.

    Attributes:
        teacher: the running average of the network, always in evaluation mode.
        teacher_iteration: int64, the iteration of the teacher's last update, in this or an earlier run. It is
            -1 until a step is taken; until then the teacher is a copy of the network.
        prior: float, one per class, the running class prior.
    """

    name = "sac"
    target_transform = "multi_crop"

    teacher_iteration: Tensor
    prior: Tensor

    def __init__(self, network: SegmentationNet, arguments: argparse.Namespace) -> None:
        super().__init__(network, arguments)
        check_group_sizes(arguments)
        self.weight: float = arguments.target_weight
        self.momentum: float = arguments.teacher_momentum
        self.period: int = arguments.teacher_every
        self.prior_momentum: float = arguments.prior_momentum
        self.certainty = {
            "upper": arguments.confidence_upper,
            "lower": arguments.confidence_lower,
            "beta": arguments.threshold_beta,
            "discount": not arguments.no_confidence_discount,
        }
        self.power: float = arguments.focal_power
        self.confidence: str = arguments.sac_confidence
        self.fusion: str = arguments.sac_fusion
        self.neighbours = Neighbours(arguments.processes_per_group)
        share = arguments.group_size // arguments.processes_per_group
        self.own_crops = slice(self.neighbours.place * share, (self.neighbours.place + 1) * share)
        self.teacher = teacher_of(network)
        self.register_buffer("teacher_iteration", torch.tensor(-1))
        classes = network.config["num_classes"]
        self.register_buffer("prior", torch.full((classes,), arguments.threshold_beta))
        # These two are only used within a step.
        self.step: int | None = None
        self.step_prior: StepPrior
        self.train()

    @staticmethod
    def add_arguments(parser: argparse._ArgumentGroup) -> None:
        add = partial(Flag, parser)
        add("--group_size", 4, at_least=1).means("Cut this many crops out of a target picture.")
        add("--processes_per_group", 1, at_least=1, free=True).means(
            "Share the crops of a group between this many processes; it has to divide --group_size."
        )
        add("--target_weight", 5.0, at_least=0).means(
            "Weight the target's loss by this. Published: 5 for ResNet-101, 2 for VGG-16."
        )
        share = {"at_least": 0, "at_most": 1}
        add("--teacher_momentum", 0.99, **share).means("Keep this share of the teacher in an update.")
        add("--teacher_every", 100, at_least=1).means("Update the teacher every this many steps.")
        add("--sac_fusion", "mean", choices=FUSIONS).means(
            "Fuse the teacher's answers of a group: take the mean over the crops that cover a place, the "
            "most certain one there, or for each crop its own."
        )
        add("--prior_momentum", 0.99, **share).means("Keep this share of the running class prior in a step.")
        add("--confidence_upper", 0.75, **share).means(
            "Give a label from this share of the class's highest confidence in the crop."
        )
        add("--confidence_lower", 0.2, **share).means(
            "Never give one below this. Published: 0.2 for ResNet-101, 0.1 for VGG-16; 0 is no bound, as in "
            "the paper."
        )
        add("--threshold_beta", 0.001, above=0).means("Label classes with a prior near this more readily.")
        add("--no_confidence_discount", False).means("Label all classes alike, whatever their prior.")
        add("--focal_power", 3.0, at_least=0).means("Weight a class by (1 - prior) to this power.")
        add("--sac_confidence", "per_image", choices=CONFIDENCES).means(
            "Multiply the loss by the teacher's confidence in the same pixel, as the paper says (per_image), "
            "by its means over the process's crops, as the released code does (batch_mean), or not (none)."
        )

    def before_training(self, epochs: float) -> None:
        """Make the teacher a copy of the network, unless it has been updated already.

        This also warns if the network was not trained for segmentation before, because its running statistics
        will never be trained.
        """
        begun = self.teacher_iteration >= 0
        if not begun:
            follow(self.teacher, self.network, torch.ones(()))
        if not (begun or self.arguments.snapshot or self.arguments.resume_from) and is_main():
            print(
                "warning: --method sac does not train the running statistics of BatchNorm, and those of this "
                "network are not of street scenes; start with --resume_from the last.pth of --method abn",
                flush=True,
            )

    def train(self, mode: bool = True) -> AugmentationConsistency:
        """Set training mode, except for the teacher and for layers with running statistics."""
        super().train(mode)
        self.teacher.eval()
        for layer in self.network.modules():
            if getattr(layer, "running_mean", None) is not None:
                layer.eval()
        return self

    def target_losses(self, batch: dict[str, Tensor], progress: Progress) -> dict[str, Tensor]:
        """The weighted loss term of a target batch."""
        if progress.iteration != self.step:
            self.begin_step(progress.iteration)
        own = {name: batch[name][:, self.own_crops] for name in ("image", "image_clean", "padding")}
        with torch.no_grad():
            maps = self.teacher_probability(own)
            self.prior.copy_(self.step_prior.after(maps, own["padding"]))
            maps = torch.cat(self.neighbours.gather(maps), dim=1)
            labels = self.labelled(
                refine(maps, batch["affine"], batch["affine_inverse"], self.fusion, self.own_crops)
            )
        logits = self.network(self.crop_input(own, "image"), auxiliary=False).logits
        loss = focal_confidence_loss(logits, labels, self.prior, self.power, self.confidence)
        return {"target": self.weight * loss}

    def begin_step(self, iteration: int) -> None:
        """What happens once in a step, before its first batch."""
        self.step = iteration
        self.step_prior = StepPrior(self.prior, self.teacher_iteration < 0, self.prior_momentum)
        if iteration % self.period == 0:
            self.update_teacher(iteration)
        else:
            # All steps before this one were left out if the number is still -1. The teacher is a copy then.
            self.teacher_iteration.masked_fill_(self.teacher_iteration < 0, iteration)

    def crop_input(self, batch: dict[str, Tensor], view: str) -> Tensor:
        """A view of crops, G x T x 3 x H x W, as the network's input GT x 3 x H x W (``network_input``)."""
        return self.network_input({name: batch[name].flatten(0, 1) for name in (view, "padding")}, view)

    def teacher_probability(self, batch: dict[str, Tensor]) -> Tensor:
        """The teacher's probabilities of every crop, float32 G x T x C x H x W; 0 where it is padded."""
        padding = batch["padding"]
        logits = self.teacher(self.crop_input(batch, "image_clean")).logits
        probability = at_least_float32(logits).softmax(1).unflatten(0, padding.shape[:2])
        return probability.masked_fill(padding.unsqueeze(2), 0)

    def labelled(self, probability: Tensor) -> PseudoLabels:
        """Pseudo labels from probabilities G x T x C x H x W, as a batch of GT crops."""
        return pseudo_labels(probability.flatten(0, 1), self.prior, **self.certainty)

    def update_teacher(self, iteration: int) -> None:
        """Copy the network the first time, then move the teacher towards it.

        The device chooses between the two, because the step would wait if the host asked which it is. If the
        step is left out, the teacher's weights keep this update: the network's weights that they follow are
        those from before the step.
        """
        share = torch.where(self.teacher_iteration < 0, 1.0, 1 - self.momentum)
        follow(self.teacher, self.network, share)
        self.teacher_iteration.fill_(iteration)

    def scalars(self) -> dict[str, Tensor]:
        """The running prior of every class, and the distance between the network and its teacher."""
        priors = {f"class_prior/{number:02d}": prior for number, prior in enumerate(self.prior)}
        return {**priors, "teacher_distance": distance(self.teacher, self.network)}

    @torch.no_grad()
    def pictures(self, batch: dict[str, Tensor], palette: np.ndarray) -> dict[str, Image.Image]:
        """The steps from the first group of a target batch to its labels (``group_picture``).

        This changes nothing and needs no other process. ``palette``: uint8 classes x 3. The caller sets
        evaluation mode.
        """
        group = {name: value[:1] for name, value in batch.items() if isinstance(value, Tensor)}
        single = self.teacher_probability(group)
        refined = refine(single, group["affine"], group["affine_inverse"], self.fusion)
        prediction = self.network(self.crop_input(group, "image")).logits
        views = {"image": group["image_clean"][0], "noisy": group["image"][0]}
        maps = {"teacher": single[0], "fused": refined[0], "prediction": prediction}
        return {"self_supervision": group_picture(views, maps, self.labelled(refined), palette)}


def check_group_sizes(arguments: argparse.Namespace) -> None:
    """Raise a UserError for a group that cannot be shared out."""
    processes, crops = arguments.processes_per_group, arguments.group_size
    if crops % processes:
        raise UserError(f"--processes_per_group {processes}: must divide --group_size {crops}")
    if world_size() % processes:
        raise UserError(
            f"--processes_per_group {processes}: must divide the number of processes, {world_size()}"
        )
