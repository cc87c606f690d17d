"""DA-SAC: self-supervised augmentation consistency (Araslanov and Roth, CVPR 2021).

A teacher, which is the running average of the network, predicts several clean crops of a target picture. Its
predictions are fused on the picture's canvas, and the fused prediction is cut out for every crop as pseudo
labels. The network learns them from a distorted view of the crop.

Training starts from a network trained with ``--method abn`` (``--resume_from`` or ``--snapshot``). From then
on all running statistics stay as they are; the weights and biases of BatchNorm are trained.

The released code and the paper differ in two points. The released code averages the confidence over the batch
by mistake, and the published numbers come from it (``--sac_confidence batch_mean``); the default is as in the
paper. The paper has no lower bound for the thresholds (``--confidence_lower 0``).
"""

from __future__ import annotations

import argparse
import copy
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from loss.precision import at_least_float32
from loss.segmentation import IGNORE_LABEL
from loss.self_supervision import (
    CONFIDENCES,
    FUSIONS,
    PseudoLabels,
    focal_confidence_loss,
    pseudo_labels,
    refine,
    updated_prior,
)
from methods.abn import AdaptiveBatchNormalisation
from methods.common.base import Progress
from network import SegmentationNet
from utils.declare import Flag
from utils.distributed import Neighbours, all_reduce_sum, is_main, world_size
from utils.errors import UserError
from utils.scoring.visualize import colour_picture, confidence_picture, grid_picture


class AugmentationConsistency(AdaptiveBatchNormalisation):
    """Segmentation loss of the source, and ``--target_weight`` x loss of the target's pseudo labels.

    A target batch contains G groups of T crops (``transforms.multi_crop``): ``image`` (distorted) and
    ``image_clean``, uint8 G x T x 3 x H x W; ``padding``, bool G x T x H x W, true where there is no picture;
    ``affine`` and ``affine_inverse``, float G x T x 2 x 3 (``loss.self_supervision``). Processes that share a
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
        processes, crops = arguments.processes_per_group, arguments.group_size
        if crops % processes:
            raise UserError(f"--processes_per_group {processes}: must divide --group_size {crops}")
        if world_size() % processes:
            raise UserError(
                f"--processes_per_group {processes}: must divide the number of processes, {world_size()}"
            )
        self.neighbours = Neighbours(processes)
        share = crops // processes
        self.own_crops = slice(self.neighbours.place * share, (self.neighbours.place + 1) * share)
        self.teacher = teacher_of(network)
        self.register_buffer("teacher_iteration", torch.tensor(-1))
        classes = network.config["num_classes"]
        self.register_buffer("prior", torch.full((classes,), arguments.threshold_beta))
        # These are only used within a step.
        self.step: int | None = None
        self.is_first_step: Tensor
        self.prior_before: Tensor
        self.class_sums: Tensor
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
            "Fuse the teacher's predictions of a group: take the mean over the crops that cover a place, the "
            "most certain one there, or for each crop its own."
        )
        add("--prior_momentum", 0.99, **share).means("Keep this share of the running class prior in a step.")
        add("--confidence_upper", 0.75, **share).means(
            "Label a pixel if its confidence exceeds this share of the class's highest in the crop."
        )
        add("--confidence_lower", 0.2, **share).means(
            "Label no pixel below this confidence. Published: 0.2 for ResNet-101, 0.1 for VGG-16; 0 is no "
            "bound, as in the paper."
        )
        add("--threshold_beta", 0.001, above=0).means("Lower the threshold of classes with a prior this low.")
        add("--no_confidence_discount", False).means("Label all classes alike, whatever their prior.")
        add("--focal_power", 3.0, at_least=0).means("Weight a class by (1 - prior) to this power.")
        add("--sac_confidence", "per_image", choices=CONFIDENCES).means(
            "Multiply the loss by the teacher's confidence in the same pixel, as the paper says (per_image), "
            "by its means over the process's crops, as the released code does (batch_mean), or not (none)."
        )

    def before_training(self, epochs: float) -> None:
        """Make the teacher a copy of the network, unless it has been updated already.

        Also warn if the network was not trained before: its running statistics will never be trained.
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
        arguments = self.arguments
        if progress.iteration != self.step:
            self.begin_step(progress.iteration)
        own = {name: batch[name][:, self.own_crops] for name in ("image", "image_clean", "padding")}
        with torch.no_grad():
            probability = self.teacher_probability(own)
            self.prior.copy_(self.prior_after(probability, own["padding"]))
            probability = torch.cat(self.neighbours.gather(probability), dim=1)
            affines = batch["affine"], batch["affine_inverse"]
            labels = self.labelled(refine(probability, *affines, arguments.sac_fusion, self.own_crops))
        logits = self.network(self.crop_input(own, "image"), auxiliary=False).logits
        weighting = arguments.focal_power, arguments.sac_confidence
        loss = focal_confidence_loss(logits, labels, self.prior, *weighting)
        return {"target": arguments.target_weight * loss}

    def begin_step(self, iteration: int) -> None:
        """Prepare a step, before its first batch: note the prior, and update the teacher if it is due."""
        self.step, self.is_first_step = iteration, self.teacher_iteration < 0
        self.prior_before = self.prior.clone()
        self.class_sums = self.prior.new_zeros(len(self.prior) + 1, dtype=torch.float32)
        if iteration % self.arguments.teacher_every == 0:
            # The first update copies the network, later ones move towards it. The device chooses between the
            # two, because the host would have to wait for the answer. This update stays even if the step is
            # left out, because the teacher follows the weights from before the step.
            share = torch.where(self.is_first_step, 1.0, 1 - self.arguments.teacher_momentum)
            follow(self.teacher, self.network, share)
            self.teacher_iteration.fill_(iteration)
        else:
            # If the number is still -1, all steps so far were left out, and the teacher is still a copy.
            self.teacher_iteration.masked_fill_(self.is_first_step, iteration)

    def prior_after(self, probability: Tensor, padding: Tensor) -> Tensor:
        """The class prior, float C, after one more batch of the step, over all processes.

        The published code has one batch per step. It first updates the prior with the batch, then labels the
        batch by it. Here a batch is labelled by the prior updated with all batches of the step so far. After
        the last batch the prior has moved once, by the mean over all batches.

        ``probability`` is G x T x C x H x W and 0 where ``padding`` (bool G x T x H x W) is true.
        """
        sums = torch.cat([probability.sum((0, 1, 3, 4)), (~padding).sum().view(1)])
        self.class_sums += all_reduce_sum(sums)
        share = self.class_sums[:-1] / self.class_sums[-1].clamp(min=1)
        return updated_prior(self.prior_before, share, self.arguments.prior_momentum, self.is_first_step)

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
        return pseudo_labels(
            probability.flatten(0, 1),
            self.prior,
            self.arguments.confidence_upper,
            self.arguments.threshold_beta,
            self.arguments.confidence_lower,
            discount=not self.arguments.no_confidence_discount,
        )

    def scalars(self) -> dict[str, Tensor]:
        """The running prior of every class, and the distance between the network and its teacher."""
        priors = {f"class_prior/{number:02d}": prior for number, prior in enumerate(self.prior)}
        return {**priors, "teacher_distance": distance(self.teacher, self.network)}

    @torch.no_grad()
    def pictures(self, batch: dict[str, Tensor], palette: np.ndarray) -> dict[str, Image.Image]:
        """The steps from the first group of a target batch to its labels, one row for each crop.

        A row shows from left to right: the clean crop, the distorted crop, the teacher's prediction, its
        prediction fused over all crops, the pseudo labels, their confidence, and the network's prediction.
        Pixels without a label are black. This changes nothing and needs no other process.
        """
        group = {name: value[:1] for name, value in batch.items() if isinstance(value, Tensor)}
        single = self.teacher_probability(group)
        fused = refine(single, group["affine"], group["affine_inverse"], self.arguments.sac_fusion)
        labels = self.labelled(fused)
        prediction = self.network(self.crop_input(group, "image")).logits
        photographs = (group[view][0].movedim(1, 3).cpu().numpy() for view in ("image_clean", "image"))
        clean, distorted = ([Image.fromarray(crop) for crop in crops] for crops in photographs)
        classes = (best_class(single[0]), best_class(fused[0]), labels.label, best_class(prediction))
        of_teacher, of_fusion, of_labels, of_network = (
            [colour_picture(crop, palette) for crop in crops.byte().cpu().numpy()] for crops in classes
        )
        certain = [confidence_picture(crop) for crop in labels.confidence.float().cpu().numpy()]
        columns = (clean, distorted, of_teacher, of_fusion, of_labels, certain, of_network)
        return {"self_supervision": grid_picture([*zip(*columns, strict=True)])}


def best_class(maps: Tensor) -> Tensor:
    """The most probable class, or 255 where all are equal: T x C x H x W -> int64 T x H x W."""
    return maps.argmax(1).where(maps.amax(1) > maps.amin(1), IGNORE_LABEL)


def teacher_of(student: SegmentationNet) -> SegmentationNet:
    """A copy of ``student`` that no optimiser trains; its owner has to keep it in evaluation mode."""
    return copy.deepcopy(student).requires_grad_(False).eval()


@torch.no_grad()
def follow(teacher: SegmentationNet, student: SegmentationNet, share: Tensor) -> None:
    """Move every entry of the teacher's state dict towards the student's, in place.

    Weights, biases and running statistics move by ``share`` of the way. Whole numbers, such as the count of
    batches of a BatchNorm, are copied. ``share`` is a float without dimensions, 0 to 1, on the device of the
    networks: with 1 the teacher becomes exactly equal to the student, with 0 it stays as it is.
    """
    entries = student.state_dict()
    for name, value in teacher.state_dict().items():
        if value.is_floating_point():
            value.lerp_(entries[name], share.to(value))
        else:
            value.copy_(entries[name])


@torch.no_grad()
def distance(teacher: SegmentationNet, student: SegmentationNet) -> Tensor:
    """The sum of the L2 distances of all floating point entries; a float without dimensions."""
    entries = student.state_dict()
    differences = [
        torch.linalg.vector_norm(value - entries[name])
        for name, value in teacher.state_dict().items()
        if value.is_floating_point()
    ]
    return torch.stack(differences).sum()
