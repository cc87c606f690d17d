"""``python -m datasets.toycity``: make the toy data sets, or a contact sheet of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from datasets.definitions.catalog import TOYCITY_ROOT
from datasets.toycity.contact_sheet import write_contact_sheet
from datasets.toycity.domains import ALL_DOMAINS, DOMAINS
from datasets.toycity.generation import generate
from datasets.toycity.layouts import LAYOUTS
from utils.declare import SEEDS, Flag, check_ranges
from utils.errors import Parser, UserError, run_program


def parse_size(text: str) -> tuple[int, int]:
    """``"256x512"`` -> (256, 512), height x width in pixels."""
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise UserError(f"--size {text}: give height x width in pixels, such as 256x512")
    return int(parts[0]), int(parts[1])


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and do what it says."""
    parser = Parser(prog="python -m datasets.toycity", description=__doc__)
    parser.add_argument("--root", type=Path, default=TOYCITY_ROOT, help="where to make one folder per domain")
    parser.add_argument(
        "--train", type=int, default=48, help="training pictures per domain; a twelfth of it per weather"
    )
    parser.add_argument(
        "--val", type=int, default=12, help="validation pictures per domain; a third per weather"
    )
    parser.add_argument(
        "--size", default="256x512", help="height x width in pixels (sizes in mapillary vary around it)"
    )
    Flag(parser, "--seed", 0, at_least=0, below=SEEDS).means("Draw the scenes with this seed.")
    parser.add_argument(
        "--domains",
        nargs="+",
        default=list(DOMAINS),
        metavar="NAME",
        help=f"some of {', '.join(ALL_DOMAINS)} (default: the first {len(DOMAINS)})",
    )
    Flag(parser, "--processes", int, above=0).means("Use this many processes; the files stay the same.")
    parser.add_argument(
        "--contact_sheet", type=Path, metavar="FILE", help="only write one picture that shows all domains"
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args(arguments)
    check_ranges(parser, options)
    size = parse_size(options.size)
    if options.contact_sheet:
        write_contact_sheet(options.contact_sheet, options.domains, size, options.seed)
        print(f"wrote {options.contact_sheet}")
        return
    generate(options.root, options.domains, options.train, options.val, size, options.seed, options.processes)
    for domain in options.domains:
        pictures = sum(part.count(options.train, options.val) for part in LAYOUTS[domain].parts)
        print(f"{domain}: {pictures} pictures are in {options.root / LAYOUTS[domain].root}")


if __name__ == "__main__":
    run_program(main)
