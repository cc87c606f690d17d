"""The flags of train.py alone, in the family's spelling; what several programs share is in ``config.py``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from utils.errors import UserError
from utils.flags.family import PUBLISHED_WEIGHT_DECAY, dataset_name
from utils.scoring.selection import RULES


class PictureSize(argparse.Action):
    """A size in pixels: ``768`` is kept as it is, ``1280,720`` or ``1280 720`` as [height, width].

    Raises:
        UserError: anything else.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Sequence[str],
        option: str | None = None,
    ) -> None:
        words = ",".join(values).split(",")
        if len(words) > 2 or not all(word.isdecimal() and int(word) > 0 for word in words):
            raise UserError(f"{option} {' '.join(values)}: give a side, or width and height, in whole pixels")
        numbers = [int(word) for word in words]
        setattr(namespace, self.dest, numbers[0] if len(numbers) == 1 else numbers[::-1])


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything else that train.py takes, in the family's spelling."""
    data = parser.add_argument_group("training data")
    data.add_argument(
        "--dataset", nargs="+", type=dataset_name, help="source domains (default: the toy city's gtav)"
    )
    data.add_argument(
        "--image_uniform_sampling",
        action="store_true",
        help="several sources: draw from all their pictures alike; default: a picture of each per item",
    )
    data.add_argument(
        "--step_per_domain",
        action="store_true",
        help="several sources: an optimiser step for each in turn, as published; default: one joint step",
    )
    data.add_argument(
        "--val_dataset",
        nargs="*",
        type=dataset_name,
        default=[],
        help="domains that are scored at the end, never trained on",
    )
    data.add_argument(
        "--covstat_val_dataset", nargs="+", help="data sets of the ISW statistics (default: --dataset)"
    )
    data.add_argument("--covstat_images", type=int, default=500, help="ISW: pictures per round of statistics")
    data.add_argument(
        "--city_mode",
        choices=("train", "val", "trainval"),
        default="train",
        help="split that is trained on; trainval = train and val together",
    )
    data.add_argument(
        "--class_uniform_pct", type=float, default=0.5, help="share of crops drawn by class, 0 = none"
    )
    data.add_argument(
        "--class_uniform_tile", type=int, default=1024, help="tile side in pixels for class centroids"
    )
    data.add_argument(
        "--coarse_boost_classes",
        nargs="+",
        default=[],
        metavar="CLASS",
        help="cityscapes: these train ids (14,15,16 or 14 15 16) are drawn by class from train_extra, "
        "with its coarse labels, too",
    )
    data.add_argument(
        "--maxSkip",
        type=int,
        default=0,
        metavar="N",
        help="cityscapes: train also on the frames N before and behind each one in its sequence, where "
        "picture and label are below $CITYSCAPES_AUG_DIR (default: the data set's folder)",
    )
    data.add_argument(
        "--max_cu_epoch",
        type=int,
        default=10000,
        help="last epoch that draws the pictures of --coarse_boost_classes and --maxSkip",
    )
    data.add_argument(
        "--max_bad_samples",
        type=int,
        default=10,
        metavar="N",
        help="so many training pictures or labels may turn unreadable: another draw takes their place, the "
        "log names them; 0 = none (default 10)",
    )
    data.add_argument(
        "--augmentation",
        choices=("robustnet", "maxsquare"),
        default="robustnet",
        help="robustnet = random scale, crop, mirroring, colours and blur; maxsquare = mirroring, the whole "
        "picture resized to --crop_size, and blur, without the flags for the others",
    )
    data.add_argument(
        "--crop_size",
        nargs="+",
        action=PictureSize,
        default=768,
        metavar="PIXELS",
        help="training crop in pixels: the side of a square, or width and height, 1280,720 or 1280 720",
    )
    data.add_argument(
        "--crop_nopad", action="store_true", help="shrink the crop to small pictures instead of padding"
    )
    data.add_argument(
        "--crop_padding",
        choices=("black", "mean"),
        help="what fills labelled crops beyond their picture: black, or the mean colour, 0 for the network "
        "(default: as the method; abn and sac: mean)",
    )
    data.add_argument("--scale_min", type=float, default=0.5, help="smallest random scale")
    data.add_argument("--scale_max", type=float, default=2.0, help="largest random scale")
    data.add_argument(
        "--pre_size", type=int, default=None, help="scale pictures to this short side before the random scale"
    )
    data.add_argument("--rrotate", type=float, default=0, help="largest random rotation in degrees, 0 = none")
    data.add_argument(
        "--color_aug", type=float, default=0.5, help="share of crops whose colours are jittered"
    )
    data.add_argument(
        "--color_jitter",
        type=float,
        nargs=4,
        metavar=("BRIGHTNESS", "CONTRAST", "SATURATION", "HUE"),
        help="how much (default: as the method was published, 0.4 0.4 0.4 0.1 for most)",
    )
    data.add_argument(
        "--gblur",
        action="store_true",
        default=None,
        help="Gaussian blur on every crop (default: as the method, blindnet and diia do)",
    )
    data.add_argument("--no_gblur", dest="gblur", action="store_false", help="do not")
    data.add_argument("--bblur", action="store_true", help="bilateral blur on every crop, instead of --gblur")
    data.add_argument(
        "--dump_augmentation_images",
        action="store_true",
        help="write the first batch of crops and labels to the run folder",
    )

    target = parser.add_argument_group("target domain, for methods that adapt to one")
    target.add_argument(
        "--target_dataset",
        nargs="+",
        type=dataset_name,
        help="data sets of unlabelled training pictures, drawn from all of them alike, bs_mult per step and "
        "process; their labels are never read (default with the toy city: its cityscapes)",
    )
    target.add_argument(
        "--target_split", default="train", metavar="SPLIT", help="which of their pictures (default train)"
    )
    target.add_argument(
        "--target_crop_size",
        nargs="+",
        action=PictureSize,
        metavar="PIXELS",
        help="as --crop_size, which is the default; such crops are never padded nor rotated, since nothing "
        "marks pixels without a picture",
    )

    target.add_argument(
        "--target_bs_mult",
        type=int,
        metavar="N",
        help="target pictures per step and process; --method sac: groups of crops (default: --bs_mult)",
    )
    target.add_argument(
        "--importance_weights",
        metavar="FILE",
        help="draw target pictures by class, from a file of python -m scripts.importance",
    )
    target.add_argument(
        "--importance_uniform_prior",
        type=float,
        default=0.25,
        help="share of those draws that is uniform",
    )
    target.add_argument(
        "--renormalise",
        choices=("published", "measured", "off"),
        help="give source pictures the target's mean and deviation of each colour: the published ones, or "
        "measured on 200 pictures (default: off; methods abn and sac: published where there are any)",
    )

    steps = parser.add_argument_group("optimisation")
    steps.add_argument("--method", help="default: what the --wt_layer codes ask for")
    steps.add_argument("--max_iter", type=int, default=40000, help="optimiser steps")
    steps.add_argument(
        "--iter_stop",
        type=int,
        metavar="STEP",
        help="end there; the learning rate goes on to be scheduled for --max_iter",
    )
    steps.add_argument("--bs_mult", type=int, default=4, help="pictures per step and process")
    steps.add_argument(
        "--accumulate", type=int, default=1, help="batches of bs_mult whose gradients make one step"
    )
    steps.add_argument("--lr", type=float, default=0.01, help="learning rate")
    steps.add_argument(
        "--lr_schedule",
        choices=("poly", "scl-poly"),
        default="poly",
        help="poly = lr x (1 - step / max_iter) ^ poly_exp; scl-poly = poly that restarts at --rlx_off_iter",
    )
    steps.add_argument("--poly_exp", type=float, default=0.9, help="exponent of the poly schedule")
    steps.add_argument("--momentum", type=float, default=0.9, help="SGD momentum")
    steps.add_argument(
        "--weight_decay",
        type=float,
        default=PUBLISHED_WEIGHT_DECAY,
        help="SGD weight decay, on every parameter",
    )
    steps.add_argument(
        "--bias_lr_mult",
        type=float,
        metavar="FACTOR",
        help="learning rate of biases relative to that of weights (default 1; methods abn and sac: 2)",
    )
    steps.add_argument(
        "--bias_weight_decay",
        type=float,
        metavar="DECAY",
        help="weight decay of biases (default --weight_decay; methods abn and sac: 0)",
    )
    steps.add_argument(
        "--sgd", action="store_true", help="the optimiser is SGD with or without this family flag"
    )
    steps.add_argument(
        "--syncbn", action="store_true", help="BN is synchronised whenever there are several GPUs"
    )
    steps.add_argument(
        "--max_bad_steps",
        type=int,
        default=10,
        metavar="N",
        help="steps with a loss or gradients that are not finite are left out; end the run after N in a row",
    )
    steps.add_argument("--seed", type=int, default=304, help="seed of every random draw")
    steps.add_argument(
        "--deterministic",
        action="store_true",
        help="deterministic algorithms wherever PyTorch has them, slower",
    )

    start = parser.add_argument_group("start and results")
    start.add_argument(
        "--pretrained", action="store_true", default=True, help="start from ImageNet weights (default)"
    )
    start.add_argument(
        "--no_pretrained", dest="pretrained", action="store_false", help="start from random weights"
    )
    start.add_argument("--backbone_weights", help="ImageNet weights from this file instead of a download")
    start.add_argument("--snapshot", help="start from a checkpoint's weights, at step 0")
    start.add_argument(
        "--resume_from",
        metavar="FILE",
        help="start at step 0 from another method's run: its weights and its optimiser's state",
    )
    start.add_argument(
        "--resume", help="'auto' = go on from the run folder's last.pth if there is one, or a file"
    )
    start.add_argument(
        "--overwrite",
        action="store_true",
        help="replace a run that is in the run folder; with its previous.pth for --resume, only its last.pth",
    )
    start.add_argument(
        "--eval_every",
        type=int,
        default=5000,
        help="steps between evaluations on source val, 0 = only at the end",
    )
    start.add_argument(
        "--selection",
        choices=RULES,
        default="source",
        help="weights that are scored at the end: best on source val, of the last step, or oracle = for "
        "every --val_dataset those that score best on its own val split, as some published tables",
    )
    start.add_argument(
        "--visualize_feature",
        action="store_true",
        help="whitened sites: write their covariance as pictures to the run folder at every evaluation",
    )
    start.add_argument("--save_every", type=int, default=1000, help="steps between writes of last.pth")
    start.add_argument("--log_every", type=int, default=10, help="steps between log lines")
    start.add_argument("--ckpt", default="./logs/", help="folder of all runs")
    start.add_argument("--tb_path", help="folder of TensorBoard logs (default: --ckpt)")
    start.add_argument("--date", default="default", help="first part of the run folder's name")
    start.add_argument("--exp", help="second part (default: method and backbone)")


def add_loss_arguments(parser: argparse.ArgumentParser) -> None:
    """What a labelled pixel costs, and the schedule that goes with boundary label relaxation."""
    group = parser.add_argument_group("segmentation loss")
    group.add_argument(
        "--aux_weight",
        "--lambda_seg",
        type=float,
        help="weight of the auxiliary output's loss (default: as published, 0.4, or 0.1 with deeplabv2); 0 = "
        "leave that output alone",
    )
    group.add_argument(
        "--cls_wt_loss", action="store_true", help="fixed class weights on plain and auxiliary cross entropy"
    )
    group.add_argument(
        "--img_wt_loss", action="store_true", help="main loss: class weights of every picture's own"
    )
    group.add_argument(
        "--img_wt_reduction",
        choices=("mean", "sum"),
        default="mean",
        help="--img_wt_loss over the pictures of a batch; the published code sums",
    )
    group.add_argument(
        "--batch_weighting", action="store_true", help="class weights of the batch instead of every picture's"
    )
    group.add_argument("--wt_bound", type=float, default=1.0, help="such a class weight is at most 1 + this")
    group.add_argument(
        "--jointwtborder", action="store_true", help="main loss: boundary label relaxation, class-weighted"
    )
    group.add_argument(
        "--strict_bdr_cls", nargs="+", default=[], help="train ids that are not relaxed: 5,6,7 or 5 6 7"
    )
    group.add_argument(
        "--rlx_off_iter",
        type=int,
        default=-1,
        help="no relaxation after this step, pixels at a boundary count twice instead; -1 = relax always",
    )
    group.add_argument(
        "--rescale", type=float, default=1.0, help="scl-poly: learning rate at the restart / --lr"
    )
    group.add_argument("--repoly", type=float, default=1.5, help="scl-poly: exponent after the restart")
