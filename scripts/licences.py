"""A markdown table of the licences of all packages that the programs need at run time.

    python -m scripts.licences [REQUIREMENTS]

It includes the packages that these packages need. The licences come from the metadata of the installed
packages. "not stated" means that a package names no licence.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from utils.errors import Parser, UserError, run_program

REQUIREMENT = re.compile(r"\s*([\w.-]+)\s*(?:\[([^\]]*)\])?[^;#]*(?:;([^#]*))?")
OLD_PYTHON = re.compile(r"""python_version\s*<\s*["']3\.(\d+)""")
EXTRA = re.compile(r"""extra\s*==\s*["']([\w.-]+)["']""")


def canonical(name: str) -> str:
    """A package's name in the form in which the package index compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements_of(file: Path) -> list[str]:
    """The names in a requirements file, without those for an older Python than this one.

    Raises a UserError if the file cannot be read.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: cannot be read ({error}); name a requirements file") from None
    minor = sys.version_info[1]
    old = [line for line in lines if (found := OLD_PYTHON.search(line)) and minor >= int(found[1])]
    return [match[1] for line in lines if (match := REQUIREMENT.match(line)) and line not in old]


def installed(names: Sequence[str]) -> dict[str, Distribution]:
    """The packages with these names, and all that they need, by canonical name.

    Raises a UserError if one of ``names`` is not installed.
    """
    found: dict[str, Distribution] = {}
    waiting = [(name, frozenset[str]()) for name in names]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        request = name, extras = waiting.pop()
        if request in seen:
            continue
        seen.add(request)
        try:
            found[canonical(name)] = package = distribution(name)
        except PackageNotFoundError:
            if name in names:
                raise UserError(f"{name}: not installed; pip install -r requirements.txt") from None
            continue  # It is needed only on another system, or with another version of Python.
        for line in package.requires or []:
            needed, its_extras, marker = REQUIREMENT.match(line).groups(default="")
            wanted = EXTRA.search(marker)
            if wanted is None or wanted[1] in extras:
                waiting.append((needed, frozenset(filter(None, map(str.strip, its_extras.split(","))))))
    return found


def licence(package: Distribution) -> str:
    """A package's licence, from its licence expression, its classifiers, or its free text."""
    metadata = package.metadata
    classifiers = [each for each in metadata.get_all("Classifier", []) if each.startswith("License :: ")]
    named = ", ".join(each.rpartition(" :: ")[2] for each in classifiers)
    # Some packages put the whole text of their licence here instead of its name.
    words = next(iter(metadata.get("License", "").strip().splitlines()), "")
    return metadata.get("License-Expression") or named or words[:60] or "not stated"


def main(arguments: Sequence[str] | None = None) -> int:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="python -m scripts.licences", description=__doc__, formatter_class=formatter)
    default = Path(__file__).resolve().parent.parent / "requirements.txt"
    parser.add_argument("requirements", nargs="?", type=Path, default=default, help="file of requirements")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args(arguments)
    packages = installed(requirements_of(args.requirements))
    print("| package | version | licence |\n|---|---|---|")
    for _, package in sorted(packages.items()):
        print(f"| {package.metadata['Name']} | {package.version} | {licence(package)} |")
    return 0


if __name__ == "__main__":
    run_program(main)
