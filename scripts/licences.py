"""A markdown table of the licences of all packages that the programs need at run time.

    python -m scripts.licences [REQUIREMENTS]

It includes the packages that these packages need. The licences come from the metadata of the installed
packages. "not stated" means that a package names no licence.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from utils.errors import Parser, UserError, run_program

REQUIREMENT = re.compile(r"\s*([\w.-]+)\s*(?:\[([^\]]*)\])?[^;#]*(?:;([^#]*))?")
OLD_PYTHON = re.compile(r"""python_version\s*<\s*["']3\.(\d+)""")
EXTRA = re.compile(r"""extra\s*==\s*["']([\w.-]+)["']""")
CLASSIFIER = "License :: "
LONGEST_NAME = 60


def canonical(name: str) -> str:
    """A package's name in the form in which the package index compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements_of(file: Path) -> list[str]:
    """The names in a requirements file, without those for an older Python than this one.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: cannot be read ({error}); name a requirements file") from None
    old = [
        line for line in lines if (found := OLD_PYTHON.search(line)) and sys.version_info[1] >= int(found[1])
    ]
    return [match[1] for line in lines if (match := REQUIREMENT.match(line)) and line not in old]


def installed(names: Sequence[str]) -> dict[str, Distribution]:
    """The packages with these names and all packages that they need, by canonical name.

    Raises:
        UserError: one of ``names`` is not installed.
    """
    found: dict[str, Distribution] = {}
    waiting = [(name, frozenset[str]()) for name in names]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        request = waiting.pop()
        if request in seen:
            continue
        seen.add(request)
        name, extras = request
        try:
            found[canonical(name)] = package = distribution(name)
        except PackageNotFoundError:
            if name in names:
                raise UserError(f"{name}: not installed; pip install -r requirements.txt") from None
            continue  # It is needed only on another system, or with another version of Python.
        waiting += needed(package, extras)
    return found


def needed(package: Distribution, extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    """The packages that a package with these extras needs, each with the extras that are asked of it."""
    for line in package.requires or []:
        match = REQUIREMENT.match(line)
        name, its_extras, marker = match.groups(default="")
        wanted = EXTRA.search(marker)
        if wanted is None or wanted[1] in extras:
            yield name, frozenset(filter(None, map(str.strip, its_extras.split(","))))


def licence(package: Distribution) -> str:
    """A package's licence, from its licence expression, its classifiers, or its free text."""
    metadata = package.metadata
    classifiers = [each for each in metadata.get_all("Classifier", []) if each.startswith(CLASSIFIER)]
    named = ", ".join(each.rpartition(" :: ")[2] for each in classifiers)
    # Some packages put the whole text of their licence here instead of its name.
    words = next(iter(metadata.get("License", "").strip().splitlines()), "")
    return metadata.get("License-Expression") or named or words[:LONGEST_NAME] or "not stated"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).resolve().parent.parent / "requirements.txt"
    parser.add_argument("requirements", nargs="?", type=Path, default=default, help="file of requirements")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args(arguments)
    packages = installed(requirements_of(args.requirements))
    print("| package | version | licence |\n|---|---|---|")
    for name in sorted(packages):
        package = packages[name]
        print(f"| {package.metadata['Name']} | {package.version} | {licence(package)} |")
    return 0


if __name__ == "__main__":
    run_program(main)
