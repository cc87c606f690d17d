"""Convert checkpoints of RobustNet, AdaptSegNet, MaxSquare, SNR and DA-SAC to ours, and back.

python -m network.legacy import theirs.pth ours.pth [--arch NAME] [--wt_layer 0 0 2 2 2 0 0]
python -m network.legacy export ours.pth theirs.pth
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from network.factory import stated_architecture
from network.head.deeplabv2 import BRANCHES
from network.legacy import foreign_content
from network.legacy.foreign import prefixed
from network.restore import load_network
from utils.errors import Parser, UserError, run_program
from utils.files import atomic_write
from utils.run.checkpoint import NETWORK_PREFIX, is_own, load_checkpoint, save_checkpoint


def export(ours: Path, theirs: Path) -> None:
    """Write the network of our checkpoint ``ours`` as a file that the programs it was published with load."""
    checkpoint = load_checkpoint(ours)
    content = foreign_content(checkpoint, ours)
    try:
        with atomic_write(theirs) as temporary:
            torch.save(content, temporary)
    except RuntimeError as error:  # PyTorch raises this if a write fails.
        raise UserError(f"{theirs}: cannot be written ({error}); choose another place") from None
    others = [key for key in checkpoint["model"] if not key.startswith(NETWORK_PREFIX)]
    without = ", ".join([*dict.fromkeys(key.partition(".")[0] for key in others), "the run"])
    print(f"{theirs}: {len(checkpoint['model']) - len(others)} entries of the network; left out: {without}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert one file."""
    parser = Parser(prog="python -m network.legacy", description=__doc__.splitlines()[0])
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    directions = parser.add_subparsers(dest="direction", required=True)
    exporting = directions.add_parser("export", help="write a checkpoint of ours in the published format")
    importing = directions.add_parser("import", help="write a published checkpoint in our format")
    importing.add_argument("--arch", help="published name of its network, if the file does not tell it")
    importing.add_argument("--backbone", help="its backbone, instead of --arch")
    stride_help = "its input pixels per pixel of the last stage, with --backbone"
    importing.add_argument("--output_stride", type=int, help=stride_help)
    head_help = "its head, if it was not trained as released"
    importing.add_argument("--deeplabv2_head", choices=BRANCHES, help=head_help)
    importing.add_argument("--wt_layer", type=int, nargs=7, help="its codes, if the file does not tell them")
    for direction, (source, target) in ((exporting, ("ours", "theirs")), (importing, ("theirs", "ours"))):
        direction.add_argument("source", type=Path, metavar=source)
        direction.add_argument("target", type=Path, metavar=target)
    args = parser.parse_args(arguments)
    if args.direction == "export":
        export(args.source, args.target)
        return 0
    stated = stated_architecture(vars(args))
    network, checkpoint = load_network(args.source, stated)
    if is_own(checkpoint):
        raise UserError(f"{args.source}: is an UrbanDG checkpoint already")
    # What is not of the network goes along (BlindNet's projection heads, the teacher of DA-SAC), because a
    # run may start from it. The network's entries are written as float32.
    model = checkpoint["model"] | prefixed(NETWORK_PREFIX, network.state_dict())
    save_checkpoint(args.target, {**checkpoint, "network": network.config, "model": model})
    print(f"{args.target}: {len(model)} entries")
    return 0


if __name__ == "__main__":
    run_program(main)
