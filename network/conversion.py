"""Files of the RobustNet family, of AdaptSegNet, MaxSquare and SNR, and of DA-SAC, to ours, and back."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from network.factory import (
    ARCHITECTURES,
    DASAC_ARCHITECTURES,
    FAMILY_PREFIX,
    published_name,
    stated_architecture,
)
from network.head.deeplabv2 import BRANCHES
from network.legacy import family_lacks
from network.legacy_dasac import dasac_content
from network.legacy_deeplabv2 import released_content
from network.restore import load_network
from utils.errors import Parser, UserError
from utils.files import atomic_write
from utils.legacy import to_family
from utils.run.checkpoint import NETWORK_PREFIX, load_checkpoint, network_state, save_checkpoint
from utils.run.tensor_file import DISTRIBUTED_PREFIX

# Head -> the family's names of the networks that have it: RobustNet's, and those that DIIA trains rightly.
FAMILY_HEADS = {
    "deeplabv3plus": tuple(ARCHITECTURES),
    "aggregation": ("DeepR50V3PlusD", "DeepR101V3PlusD"),
}


def export(ours: Path, theirs: Path) -> None:
    """Write the network of our checkpoint ``ours`` as a file that the programs it was published with load.

    Raises:
        UserError: not a checkpoint of ours, or no published program has such a network.
    """
    checkpoint = load_checkpoint(ours)
    config, state = checkpoint["network"], network_state(checkpoint)
    if (dasac := published_name(config, DASAC_ARCHITECTURES)) is not None:
        content = dasac_content(state, dasac)
    elif config["head"] == "deeplabv2":
        content = released_content(state, config, ours)
    else:
        content = _family_content(state, config, checkpoint, ours)
    try:
        with atomic_write(theirs) as temporary:
            torch.save(content, temporary)
    except RuntimeError as error:  # PyTorch's own word for a write that failed.
        raise UserError(f"{theirs}: cannot be written ({error}); choose another place") from None
    left = (key.partition(".")[0] for key in checkpoint["model"] if not key.startswith(NETWORK_PREFIX))
    without = ", ".join([*dict.fromkeys(left), "the run"])
    print(f"{theirs}: {len(state)} entries of the network; left out: {without}")


def _family_content(
    state: Mapping[str, Tensor], config: Mapping[str, Any], checkpoint: Mapping[str, Any], path: Path
) -> dict[str, Any]:
    """What RobustNet's programs would have written."""
    words = ["train.py", "--arch", _family_arch(config, path), "--wt_layer", *map(str, config["wt_layer"])]
    if sources := checkpoint.get("arguments", {}).get("dataset"):
        words += ["--dataset", *sources]
    if config.get("per_image_input"):
        words.append("--image_in")
    # The family's loader demands an epoch and a score.
    return {
        "state_dict": {f"{DISTRIBUTED_PREFIX}{key}": value for key, value in to_family(state).items()},
        "epoch": 0,
        "mean_iu": 0,
        "command": shlex.join(words),
    }


def _family_arch(config: Mapping[str, Any], path: Path) -> str:
    """The family's name of the network; a UserError if it has none that computes the same."""
    backbone, output_stride = config["backbone"], config["output_stride"]
    if config.get("snr_stages"):
        raise UserError(f"{path}: has SNR, which the family has only with the head deeplabv2")
    if not config.get("auxiliary", True):
        raise UserError(f"{path}: has no auxiliary head, and all of the family's networks have one")
    lacking = [site for site, code in enumerate(config["wt_layer"]) if family_lacks(backbone, site, code)]
    if lacking:
        code = config["wt_layer"][lacking[0]]
        raise UserError(f"{path}: the family's {backbone} does nothing for code {code} at site {lacking[0]}")
    dilation = config.get("partial_dilation", False)
    for name, architecture in ARCHITECTURES.items():
        same = (architecture["backbone"], architecture["output_stride"]) == (backbone, output_stride)
        # At output stride 32 nothing is dilated.
        if same and output_stride < 32 and architecture.get("partial_dilation", False) != dilation:
            raise UserError(
                f"{path}: the family's {backbone} is dilated in part, this one wholly: not the same network"
            )
        if same and name in FAMILY_HEADS.get(config["head"], ()):
            return f"{FAMILY_PREFIX}{name}"
    raise UserError(
        f"{path}: the family has no {config['head']} on {backbone} at output stride {output_stride}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """``python -m utils.legacy``: a file of the family to one of ours, or back."""
    parser = Parser(prog="python -m utils.legacy", description=__doc__.splitlines()[0])
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    directions = parser.add_subparsers(dest="direction", required=True)
    exporting = directions.add_parser("export", help="a checkpoint of ours to one of the family")
    importing = directions.add_parser("import", help="a checkpoint of the family to one of ours")
    importing.add_argument("--arch", help="the family's name of its network, if its file does not tell")
    importing.add_argument("--backbone", help="or its backbone, with --output_stride")
    importing.add_argument("--output_stride", type=int, help="input pixels per pixel of its last stage")
    importing.add_argument("--deeplabv2_head", choices=BRANCHES, help="if it was not trained as released")
    importing.add_argument("--wt_layer", type=int, nargs=7, help="its codes, if its file does not tell")
    for direction, (source, target) in ((exporting, ("ours", "theirs")), (importing, ("theirs", "ours"))):
        direction.add_argument("source", type=Path, metavar=source)
        direction.add_argument("target", type=Path, metavar=target)
    args = parser.parse_args(arguments)
    if args.direction == "export":
        export(args.source, args.target)
        return 0
    stated = stated_architecture(vars(args))
    network, checkpoint = load_network(args.source, stated)
    if "format" in checkpoint:
        raise UserError(f"{args.source}: is an UrbanDG checkpoint already")
    # What is not the network's, BlindNet's projection heads, goes along: a run may start from it.
    model = checkpoint["model"] | {f"{NETWORK_PREFIX}{k}": v for k, v in network.state_dict().items()}
    save_checkpoint(args.target, {**checkpoint, "network": network.config, "model": model})
    print(f"{args.target}: {len(model)} entries")
    return 0
