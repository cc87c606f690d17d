"""Which numbers make sense on the command lines."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

from utils.errors import UserError

POSITIVE = {
    *"max_iter iter_stop bs_mult bs_mult_val target_bs_mult accumulate class_uniform_tile".split(),
    *"pre_size scale_min scale_max save_every log_every covstat_images evaluation_height".split(),
    *"backbone_lr_mult bias_lr_mult nce_T contrast_max_classes contrast_max_views num_patch".split(),
    *"threads processes pictures max_bad_steps processes_per_group".split(),
}
NOT_NEGATIVE = {
    *"lr poly_exp momentum weight_decay bias_weight_decay rrotate color_aug seed cv maxSkip".split(),
    *"eval_every max_cu_epoch num_workers cov_stat_epoch wt_bound rescale repoly w1 w2 w3 w4".split(),
    *"diia_layout_switch lambda_target max_bad_samples".split(),
}

# torch takes no greater ones.
_SEEDS = 2**63


def check_ranges(args: argparse.Namespace) -> None:
    """Raise a UserError for a number that makes no sense, whichever of the programs it was given to."""
    for name, value in vars(args).items():
        if any(isinstance(each, float) and math.isnan(each) for each in _listed(value)):
            raise UserError(f"--{name} {' '.join(map(str, _listed(value)))}: must be a number")
    # A switch is no number, though Python counts it among them.
    values = {name: value for name, value in vars(args).items() if type(value) in (int, float)}
    for name in values.keys() & POSITIVE:
        if not 0 < values[name] < math.inf:
            raise UserError(f"--{name} {values[name]}: must be greater than 0")
    for name in values.keys() & (NOT_NEGATIVE | {name for name in values if name.endswith("_weight")}):
        if not 0 <= values[name] < math.inf:
            raise UserError(f"--{name} {values[name]}: must be 0 or a positive number")
    if vars(args).get("seed", 0) >= _SEEDS:
        raise UserError(f"--seed {args.seed}: must be below {_SEEDS}")


def _listed(value: object) -> Sequence[object]:
    return value if isinstance(value, (list, tuple)) else [value]
