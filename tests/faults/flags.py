"""Rows: flags that make no sense, and flags that contradict each other."""

from __future__ import annotations

from collections.abc import Iterator

from tests.faults.table import Place, Row, as_it_is

RANGE, CONTRADICTION, USAGE = "flags out of range", "contradicting flags", "mistyped flags"


_TRAIN_RANGES = """
    --lr nan|--lr -0.1|--lr inf|--weight_decay nan|--momentum nan|--poly_exp -1|--max_iter 0|--max_iter -5
    --iter_stop -1|--bs_mult 0|--bs_mult -2|--bs_mult_val 0|--accumulate 0|--accumulate 100|--crop_size 0
    --crop_size -32|--crop_size 1.5|--crop_size 64,|--scale_min 0|--scale_min nan|--scale_max inf|--pre_size 0
    --rrotate -1|--rrotate nan|--color_aug 2|--color_aug nan|--class_uniform_pct -0.1|--class_uniform_pct nan
    --class_uniform_tile 0|--num_workers -1|--seed -1|--save_every 0|--log_every 0|--eval_every -1|--cv -1
    --cv 9|--evaluation_height 0|--max_bad_samples -1|--maxSkip -1|--max_cu_epoch -1|--backbone_lr_mult 0
    --bias_lr_mult nan|--bias_weight_decay -1|--aux_weight nan|--wt_bound -1|--clusters 0|--relax_denom 0.5
    --cov_stat_epoch -1|--covstat_images 0|--coarse_boost_classes 19|--strict_bdr_cls -1
    --trials 0|--trials -1|--wt_reg_weight nan|--nce_T 0|--w1 nan|--rescale nan|--importance_uniform_prior 2
    --color_jitter 1 1 1 1|--seed 99999999999999999999999|--rlx_off_iter -7|--wt_layer 0 0 9 0 0 0 0
    --wt_layer 1 0 0 0 0 0 0|--threshold nan|--IW_ratio nan|--lambda_target nan|--group_size 0
    --processes_per_group 0|--teacher_momentum 2|--teacher_every 0|--confidence_lower nan
    --prior_momentum -1|--focal_power -1|--threshold_beta nan|--diia_layout_switch -1|--target_weight nan
""".replace("\n", "|")
# Those of a method that a run without it does not heed.
_METHOD_OF = {
    "isw": "--clusters --cov_stat_epoch --covstat_images --trials --wt_reg_weight --relax_denom",
    "blindnet": "--nce_T --w1",
    "diia": "--diia_layout_switch",
    "maxsquare": "--threshold --IW_ratio --lambda_target",
    "sac": "--group_size --processes_per_group --teacher_momentum --teacher_every --confidence_lower "
    "--prior_momentum --focal_power --threshold_beta --target_weight",
}
_OF_METHOD = {
    "isw": "--wt_layer 0 0 2 2 2 0 0",
    "blindnet": "--method blindnet",
    "diia": "--method diia",
    "maxsquare": "--method maxsquare --target_dataset gtav",
    "sac": "--method sac --target_dataset gtav",
}

# Flags of a program -> words of its one line, beside the name of the first flag.
_CONTRADICTIONS = {
    ("train.py", "--scale_min 3"): "--scale_max",
    ("train.py", "--snapshot a.pth --resume_from b.pth"): "give one of them",
    ("train.py", "--backbone resnet50"): "--arch and --backbone",
    ("train.py", "--output_stride 8"): "--backbone",
    ("train.py", "--backbone_weights a.pth"): "--pretrained",
    ("train.py", "--fp16 --amp bf16"): "give one of them",
    ("train.py", "--sgd --adam"): "give one of them",
    ("train.py", "--amsgrad"): "add --adam",
    ("train.py", "--restore_optimizer"): "needs --snapshot",
    ("train.py", "--img_wt_loss --jointwtborder"): "give one of them",
    ("train.py", "--lr_schedule scl-poly"): "needs --jointwtborder",
    ("train.py", "--num_classes 16 --cls_wt_loss"): "goes with neither",
    ("train.py", "--step_per_domain --accumulate 2"): "goes with neither",
    ("train.py", "--dataset gtav gtav"): "more than once",
    ("train.py", "--target_dataset cityscapes"): "no target domain",
    ("train.py", "--method maxsquare"): "name them with --target_dataset",
    ("train.py", "--method isw"): "--wt_layer",
    ("train.py", "--method magic"): "isw",
    ("train.py", "--method diia --head deeplabv3plus"): "aggregation",
    ("train.py", "--freeze_trunk --wt_layer 0 0 2 2 2 0 0"): "--wt_layer",
    ("train.py", "--class_uniform_pct 0 --coarse_boost_classes 1"): "--class_uniform_pct",
    ("train.py", "--renormalise measured"): "target",
    ("train.py", "--bs_mult 1"): "BatchNorm",
    ("train.py", "--arch network.deepv3.Nothing"): "DeepR50V3PlusD",
    ("train.py", "--target_split nothing --method maxsquare --target_dataset gtav"): "has no split",
    ("train.py", "--city_mode test"): "invalid choice",
    ("valid.py", "--num_classes 16"): "was trained with --num_classes 19",
    ("valid.py", "--backbone resnet50"): "was trained with --backbone mobilenet_v2",
    ("valid.py", "--teacher"): "drop --teacher",
    ("valid.py", "--split test"): "gtav",
    ("infer.py", "--val_dataset gtav"): "not allowed with",
    ("infer.py", "--arch network.deepv3.DeepR50V3PlusD"): "was trained with",
    ("infer.py", "--wt_layer 0 0 2 2 2 0 0"): "was trained with --wt_layer",
    ("scripts.importance", "--predictions {root}/in"): "not allowed with",
    ("scripts.check", "--split train_extra"): "gtav has no split",
    ("scripts.prepare", "--dataset synthia --cv 1"): "--cv",
    ("scripts.prepare", "--dataset gtav gtav --quality 0"): "--quality",
}
_RANGES = {
    "valid.py": "--scales 0|--scales nan|--scales -1,1|--bs_mult_val 0|--num_workers -1|--evaluation_height 0"
    "|--cv -1|--cv 7",
    "infer.py": "--scales 0|--scales inf|--crop_size 0|--crop_size -8|--sliding_overlap 1|--tile_batch 0"
    "|--sliding_overlap -0.1|--sliding_overlap nan|--cv -1",
    "scripts.check": "--threads 0|--threads -1|--cv -1",
    "scripts.importance": "--num_workers -1|--cv 9",
    "scripts.prepare": "--quality 0|--quality 101|--quality -1|--height 0|--height -1|--processes 0"
    "|--processes -1|--cv -1|--cv 9",
    "datasets.toycity": "--train 0|--val -1|--size 10x10|--size 64|--size ax64|--seed -1|--processes -1"
    "|--domains atlantis",
    "scripts.experiments": "--seeds -1|--gpus_per_run 0|--side_by_side 0|--at_once 0",
    "scripts.report": "--hardest -1|--search 0|--pictures -1|--evaluation_height 0|--num_workers -1",
    "scripts.benchmark": "--repeats 0|--pictures 1|--crop_size 0|--crop_size -4|--backbone nothing",
}
_MISTYPED = {
    "train.py": "--learning_rate 1|--lr abc|--lr|--dataset|--wt_layer 0 0|--wt_layer a b c d e f g|stray",
    "valid.py": "--learning_rate 1|--scales abc|--protocol mine|--split nothing",
    "infer.py": "--save nothing|--inference_mode half|--crop_size abc|--learning_rate 1",
    "scripts.check": "--split nothing|--learning_rate 1",
    "scripts.importance": "--coding mine|--learning_rate 1",
    "scripts.prepare": "--quality many|--split nothing|--learning_rate 1",
    "datasets.toycity": "--train many|--learning_rate 1",
    "scripts.experiments": "--learning_rate 1|--seeds many",
    "scripts.report": "--learning_rate 1",
    "scripts.benchmark": "--repeats many|--learning_rate 1",
}


def _with_mapillary(place: Place) -> None:
    as_it_is(place)
    place.dataset("mapillary")


def _named(flags: str) -> tuple[str, ...]:
    """The flag, and its value if it has one."""
    return tuple(flags.split()[:1])


def _rows() -> Iterator[Row]:
    for flags in filter(None, map(str.strip, _TRAIN_RANGES.split("|"))):
        method = next((name for name, own in _METHOD_OF.items() if flags.split()[0] in own.split()), None)
        needed = f"{_OF_METHOD[method]} " if method else ""
        yield Row(RANGE, flags, "train.py", f"{needed}{flags}", _named(flags))
    for program, every in _RANGES.items():
        for flags in every.split("|"):
            yield Row(RANGE, flags, program, flags, _named(flags), as_it_is)
    for (program, flags), words in _CONTRADICTIONS.items():
        yield Row(CONTRADICTION, flags, program, flags, (words,), _with_mapillary)
    for program, every in _MISTYPED.items():
        for flags in every.split("|"):
            yield Row(USAGE, flags, program, flags, (*_named(flags), "--help"))
    for program in (
        "train.py",
        "valid.py",
        "infer.py",
        "scripts.check",
        "scripts.importance",
        "scripts.prepare",
    ):
        yield Row(USAGE, "nothing but a stray word", program, "stray", ("--help",), alone=True)
    yield Row(USAGE, "no direction", "network.legacy", "", ("direction", "--help"))
    yield Row(USAGE, "an unknown direction", "network.legacy", "sideways a b", ("sideways", "--help"))


ROWS = [*_rows()]
