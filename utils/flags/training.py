"""The flags of train.py alone, in the family's spelling."""

from __future__ import annotations

from argparse import Action, ArgumentParser, Namespace
from functools import partial

from utils.declare import SEEDS, Flag
from utils.errors import UserError
from utils.flags.family import PUBLISHED_WEIGHT_DECAY, dataset_name
from utils.run.loggers import DEFAULT, LOGGERS
from utils.scoring.selection import RULES


class PictureSize(Action):
    """A size in pixels: ``768`` is kept as it is, ``1280,720`` or ``1280 720`` as [height, width]."""

    def __call__(
        self, parser: ArgumentParser, namespace: Namespace, values: list[str], option: str | None = None
    ) -> None:
        words = ",".join(values).split(",")
        if len(words) > 2 or not all(word.isdecimal() and int(word) > 0 for word in words):
            raise UserError(f"{option} {' '.join(values)}: give a side, or width and height, in whole pixels")
        numbers = [int(word) for word in words]
        setattr(namespace, self.dest, numbers[0] if len(numbers) == 1 else numbers[::-1])

    @staticmethod
    def as_words(value: list[int]) -> list[int]:
        """The words on the command line for a size as it is kept."""
        return value[::-1]


def add_training_arguments(parser: ArgumentParser) -> None:
    """The data, the optimisation, the start and the results of a run."""
    _add_data_arguments(parser)
    _add_crop_arguments(parser)
    _add_optimisation_arguments(parser)
    _add_loss_arguments(parser)
    _add_run_arguments(parser)


def _add_data_arguments(parser: ArgumentParser) -> None:
    """Which labelled and unlabelled pictures a run learns from, and which unseen ones it is scored on."""
    add = partial(Flag, parser.add_argument_group("training data"))
    add("--dataset", dataset_name, nargs="+", toy=["gtav"], everyday=True).means("Train on these data sets.")
    unseen = ["cityscapes", "bdd100k", "synthia", "mapillary"]
    add("--val_dataset", dataset_name, nargs="*", default=[], free=True, toy=unseen, everyday=True).means(
        "Score these unseen data sets at the end."
    )
    add("--image_uniform_sampling", False).means("Draw every picture of all sources with the same chance.")
    add("--step_per_domain", False).means("Make one step per source in turn, as published.")
    add("--covstat_val_dataset", str, nargs="+").means("Take ISW's statistics from these, not --dataset.")
    add("--covstat_images", 500, above=0).means("Use this many pictures in each round of ISW's statistics.")
    splits = ("train", "val", "trainval")
    add("--city_mode", "train", choices=splits).means("Train on this split; trainval is both together.")
    add("--class_uniform_pct", 0.5, at_least=0, at_most=1).means("Draw this share of the crops by class.")
    add("--class_uniform_tile", 1024, above=0, toy=128).means("Use tiles of this side to find the classes.")
    add("--coarse_boost_classes", str, nargs="+", default=[], metavar="CLASS").means(
        "Draw these train ids (14 15 16) by class from Cityscapes' coarsely labelled train_extra, too."
    )
    add("--maxSkip", 0, at_least=0).means(
        "Train also on the two frames N before and N after each picture of Cityscapes, where they have a "
        "label. They are in $CITYSCAPES_AUG_DIR or the data set's folder."
    )
    add("--max_cu_epoch", 10000, at_least=0).means("Use --coarse_boost_classes, --maxSkip up to this epoch.")
    add("--max_bad_samples", 10, at_least=0, free=True).means(
        "Replace up to N unreadable training pictures by other draws. The log names them."
    )
    add = partial(Flag, parser.add_argument_group("target domain, for methods that adapt to one"))
    add("--target_dataset", dataset_name, nargs="+", everyday=True).means("Adapt to these, unlabelled.")
    add("--target_split", "train").means("Use this split of the target.")
    add("--target_crop_size", None, action=PictureSize, nargs="+", metavar="N").means(
        "Cut target crops of this size; the default is --crop_size. Such crops are never padded or rotated, "
        "since nothing marks pixels that have no picture."
    )
    add("--target_bs_mult", int, above=0, free=True).means(
        "Use this many target pictures (sac: groups of crops) per step and process. The default is --bs_mult."
    )
    add("--importance_weights", str, metavar="FILE", free=True).means(
        "Draw target pictures by class, with this file of python -m scripts.importance."
    )
    add("--importance_uniform_prior", 0.25, at_least=0, at_most=1).means(
        "Draw this share of the target pictures with the same chance."
    )
    add("--renormalise", str, choices=("published", "measured", "off")).means(
        "Give source pictures the target's mean and deviation of each colour, as published or as measured on "
        "200 pictures. The default is the method's."
    )


def _add_crop_arguments(parser: ArgumentParser) -> None:
    """How a training crop is cut out of a picture and changed."""
    add = partial(Flag, parser.add_argument_group("training crops"))
    add("--augmentation", "robustnet", choices=("robustnet", "maxsquare")).means(
        "robustnet scales, crops, mirrors, colours and blurs at random. maxsquare resizes the whole picture "
        "to --crop_size, mirrors and blurs, and ignores the flags for cropping, scaling and colours."
    )
    add("--crop_size", 768, action=PictureSize, nargs="+", metavar="N", toy=192, everyday=True).means(
        "Cut crops of this side, or of this width and height."
    )
    add("--crop_nopad", False).means("If a picture is smaller than the crop, make the crop smaller.")
    add("--crop_padding", str, choices=("black", "mean")).means(
        "Fill labelled crops beyond their picture with black or with the mean colour, which the network sees "
        "as 0. The default is the method's."
    )
    add("--scale_min", 0.5, above=0).means("Scale pictures at random, at least by this.")
    add("--scale_max", 2.0, above=0, toy=1.25).means("Scale pictures at random, at most by this.")
    add("--pre_size", int, above=0).means("Scale pictures to this short side before the random scale.")
    add("--rrotate", 0.0, at_least=0).means("Rotate pictures at random by up to this many degrees.")
    add("--color_aug", 0.5, at_least=0, at_most=1).means("Jitter the colours of this share of the crops.")
    add("--color_jitter", float, nargs=4, metavar=("BRIGHTNESS", "CONTRAST", "SATURATION", "HUE")).means(
        "Jitter the colours this much. The default is the method's, 0.4 0.4 0.4 0.1 for most."
    )
    add("--gblur", None, action="store_true").means(
        "Blur crops with a Gaussian. The default is the method's."
    )
    add("--no_gblur", None, action="store_false", dest="gblur").means("Do not blur crops with a Gaussian.")
    add("--bblur", False).means("Blur every crop with a bilateral filter, in place of --gblur.")
    add("--dump_augmentation_images", False, free=True).means("Write the first batch to the run folder.")


def _add_optimisation_arguments(parser: ArgumentParser) -> None:
    """What a step is, and how many there are."""
    add = partial(Flag, parser.add_argument_group("optimisation"))
    add("--method", str, everyday=True).means(
        "Train with this method, see --help METHOD. The default follows from --wt_layer."
    )
    add("--max_iter", 40000, above=0, toy=500, everyday=True).means("Train for this many steps.")
    add("--iter_stop", int, above=0, free=True).means("End at this step; --lr still follows --max_iter.")
    add("--bs_mult", 4, above=0, free=True, everyday=True).means("Use N pictures per step and process.")
    add("--accumulate", 1, above=0, free=True).means("Add the gradients of this many batches for one step.")
    add("--lr", 0.01, at_least=0, toy=0.03, everyday=True).means("Start with this learning rate.")
    add("--lr_schedule", "poly", choices=("poly", "scl-poly")).means(
        "poly is lr x (1 - step / max_iter) ^ poly_exp. scl-poly is poly that restarts at --rlx_off_iter."
    )
    add("--poly_exp", 0.9, at_least=0).means("Use this exponent in the poly schedule.")
    add("--momentum", 0.9, at_least=0).means("Use this momentum in SGD.")
    add("--weight_decay", PUBLISHED_WEIGHT_DECAY, at_least=0).means("Decay all parameters by this.")
    add("--bias_lr_mult", float, above=0).means(
        "Multiply biases' learning rate. The default is the method's."
    )
    add("--bias_weight_decay", float, at_least=0).means("Decay biases by this. The default is the method's.")
    add("--max_bad_steps", 10, above=0, free=True).means(
        "Leave out steps whose loss or gradients are not finite; end the run after N of them in a row."
    )
    add("--seed", 304, at_least=0, below=SEEDS).means("Use this seed for all random draws.")
    add("--deterministic", False, free=True).means(
        "Use only algorithms that give the same bits again on the same device; some are slower."
    )


def _add_loss_arguments(parser: ArgumentParser) -> None:
    """What a labelled pixel costs, and the schedule that goes with boundary label relaxation."""
    add = partial(Flag, parser.add_argument_group("segmentation loss"))
    add("--aux_weight --lambda_seg", float, at_least=0).means(
        "Weight the loss of the auxiliary output by this; 0 does not train it. The default is as published: "
        "0.4, or 0.1 with deeplabv2."
    )
    add("--cls_wt_loss", False).means("Use fixed class weights in the plain and the auxiliary cross entropy.")
    add("--img_wt_loss", False).means("Use class weights computed per picture in the main loss.")
    add("--img_wt_reduction", "mean", choices=("mean", "sum")).means(
        "Reduce --img_wt_loss over the pictures of a batch like this; the published code sums."
    )
    add("--batch_weighting", False).means("Use class weights of the batch, not of each picture.")
    add("--wt_bound", 1.0, at_least=0).means("Limit these class weights to 1 + this.")
    add("--jointwtborder", False).means("Relax labels at boundaries in the main loss, with class weights.")
    add("--strict_bdr_cls", str, nargs="+", default=[], metavar="CLASS").means(
        "Do not relax these train ids (5 6 7)."
    )
    add("--rlx_off_iter", -1).means(
        "Stop relaxing after this step; from then on pixels at a boundary count twice. -1 relaxes always."
    )
    add("--rescale", 1.0, at_least=0).means("scl-poly: restart at this share of --lr.")
    add("--repoly", 1.5, at_least=0).means("scl-poly: use this exponent after the restart.")


def _add_run_arguments(parser: ArgumentParser) -> None:
    """Which weights a run starts from, or which run it goes on with; what it writes, when, and where to."""
    add = partial(Flag, parser.add_argument_group("start of a run"))
    add("--pretrained", True, action="store_true", free=True, toy=False).means("Start from ImageNet weights.")
    add("--no_pretrained", True, action="store_false", dest="pretrained").means("Start from random weights.")
    add("--backbone_weights", str, metavar="FILE", free=True).means("Read ImageNet weights from this file.")
    add("--snapshot", str, metavar="FILE", free=True, everyday=True, replaces=("resume_from",)).means(
        "Start at step 0 with the weights of this checkpoint."
    )
    add("--resume_from", str, metavar="FILE", free=True, replaces=("snapshot",)).means(
        "Start at step 0 with the weights and the optimiser of another method's run."
    )
    add("--resume", str, metavar="FILE", once=True, everyday=True).means(
        "Go on from this file, or with auto from the run's last.pth."
    )
    add("--overwrite", False, once=True).means(
        "Delete the run that is in the run folder. With --resume previous.pth, replace only last.pth."
    )
    add = partial(Flag, parser.add_argument_group("results of a run"))
    add("--exp", str, free=True, everyday=True).means("Call the run this; the default is METHOD-BACKBONE.")
    add("--date", "default", free=True).means("Keep the run in CKPT/DATE/EXP; DATE may be any word.")
    add("--ckpt", "./logs/", metavar="DIR", free=True, everyday=True).means("Keep all runs in this folder.")
    add("--tb_path", str, metavar="DIR", free=True).means("Write TensorBoard's logs here, not in --ckpt.")
    every = {"free": True, "metavar": "STEPS"}
    add("--eval_every", 5000, at_least=0, toy=250, **every).means("Evaluate this often; 0: at the end.")
    add("--save_every", 1000, above=0, **every).means("Write last.pth this often.")
    add("--save", str, choices=("trained", "full"), free=True).means(
        "Write all weights to checkpoints (full), or with --tune only what is trained (trained): small files "
        "that need the weights that the run started from. The default is trained where it can be."
    )
    add("--log_every", 10, above=0, **every).means("Write a line to the log this often.")
    add("--selection", "source", choices=RULES, free=True).means(
        "Score the best weights on the source's val split, the last ones, or (oracle) for each --val_dataset "
        "those that are best on its own val split, as some published tables do."
    )
    add("--logger", [*DEFAULT], type=str, nargs="*", choices=LOGGERS, free=True).means(
        "Send numbers and pictures there, or nowhere. wandb and mlflow are optional libraries, which stay "
        "offline unless their own variables say otherwise. A logger that fails ends no run."
    )
    add("--visualize_feature", False, free=True).means(
        "Write the covariances of the whitened sites as pictures at each evaluation."
    )
