"""Write the network of a tuned checkpoint as one file of plain weights, which needs no other file.

    python -m scripts.merge tuned.pth --output plain.pth
    python -m scripts.merge tuned.pth --output plain.safetensors --backbone_weights dinov2.safetensors

What LoRA and SoMA added is folded into the weights. The tokens of Rein cannot be folded: they are kept.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from network.restore import load_network
from network.tuning import merge
from utils.errors import Parser, UserError, run_program
from utils.files import atomic_write, check_writable
from utils.run.checkpoint import FORMAT, FREE_SPACE, NETWORK_PREFIX, save_checkpoint
from utils.run.safetensors_file import SUFFIX, write_safetensors

KEPT = ("method", "iteration", "arguments", "commit", "selection")
"""The entries of a checkpoint, besides its network, that the result has, too."""


def main(arguments: Sequence[str] | None = None) -> int:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="python -m scripts.merge", description=__doc__, formatter_class=formatter)
    parser.add_argument("snapshot", type=Path, help="checkpoint of a tuned network")
    parser.add_argument("--output", type=Path, required=True, help=f"file to write, .pth or {SUFFIX}")
    parser.add_argument("--backbone_weights", help="the weights it was trained on, if they were of a file")
    parser.add_argument("--teacher", action="store_true", help="take the teacher of --method sac")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args(arguments)
    check_writable(args.output, "--output")
    if args.output.exists() and args.output.samefile(args.snapshot):
        raise UserError(f"--output {args.output}: is the checkpoint itself; name another file")
    network, checkpoint = load_network(
        args.snapshot, teacher=args.teacher, backbone_weights=args.backbone_weights
    )
    tuning = network.config["tuning"]
    if tuning is None:
        print(f"{args.snapshot}: is not tuned; its weights are written as they are")
    elif tuning["name"] == "rein":
        print(f"{args.snapshot}: tokens of Rein cannot be folded into weights; they are kept")
    else:
        merge(network)
    content = {
        "network": network.config,
        "model": {f"{NETWORK_PREFIX}{name}": value for name, value in network.state_dict().items()},
        **{name: checkpoint[name] for name in KEPT if name in checkpoint},
    }
    if args.output.suffix == SUFFIX:
        with atomic_write(args.output, FREE_SPACE) as temporary:
            write_safetensors(temporary, {"format": FORMAT, **content})
    else:
        save_checkpoint(args.output, content)
    size = args.output.stat().st_size / 1e6
    print(f"{args.output}: {len(content['model'])} entries, {size:.1f} MB")
    return 0


if __name__ == "__main__":
    run_program(main)
