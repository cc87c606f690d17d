"""Finding the folder of a data set on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from datasets.definitions.spec import DatasetSpec
from utils.errors import UserError


def resolve_root(spec: DatasetSpec, data_root: str | None, configured: Mapping[str, str]) -> Path:
    """The folder of a data set.

    With ``data_root`` it is the subfolder with a name of the data set (capitals do not matter). Otherwise it
    is what the environment variable says, else what ``configured`` (config.py) or the declaration says. A
    declared folder also counts where ``data_root`` has no such subfolder. Raises
    :class:`UserError` with the setting that names no folder, or with all three if none is given.
    """
    variable = spec.environment_variable
    settings = {
        f"environment variable {variable}": os.environ.get(variable, ""),
        f'DATASET_ROOTS["{spec.root_name}"] of config.py': configured.get(spec.root_name, ""),
    }
    if spec.root is not None:
        settings[f'"root" of {spec.name} in {spec.declared["file"]}'] = str(spec.root)
    given = {setting: value for setting, value in settings.items() if value}
    if data_root:
        return _in_data_root(spec, Path(data_root), given)
    for setting, value in given.items():
        root = Path(value).expanduser()
        if not root.is_dir():
            raise UserError(f"{setting} is {value}: no such folder; set it to the folder of {spec.name}")
        return root
    declared = f'write root = "..." into {spec.declared["file"]}, ' if spec.declared else ""
    raise UserError(
        f"{spec.name}: pass --data_root DIR with the data in DIR/{spec.root_name}, {declared}"
        f'set environment variable {variable}, or edit DATASET_ROOTS["{spec.root_name}"] in config.py'
    )


def _in_data_root(spec: DatasetSpec, data_root: Path, given: Mapping[str, str]) -> Path:
    """The folder of ``spec`` in ``data_root``.

    Errors also name the other ``given`` settings. They are never used instead: nobody would notice it.
    """
    if not data_root.is_dir():
        raise UserError(f"--data_root {data_root}: no such folder")
    names = (spec.root_name, *spec.further_root_names)
    for name in names:
        if found := _subfolder(data_root, name):
            return found
    if spec.root is not None and spec.root.is_dir():
        return spec.root
    missing = f"{spec.name}: --data_root {data_root} has no folder {' or '.join(names)}"
    layouts = [layout for split in spec.splits.values() for layout in split.every_layout]
    if any((data_root / layout.pictures).is_dir() for layout in layouts):
        raise UserError(f"{missing}, but seems to be that folder itself; give the folder that it is in")
    unused = "".join(
        f"; {setting} is {value}, which is not used because --data_root is given"
        for setting, value in given.items()
    )
    raise UserError(
        f"{missing}{unused}; put the data or a link to it there, or leave out --data_root and set "
        f"{spec.environment_variable} and the variables of the other data sets"
    )


def _subfolder(parent: Path, name: str) -> Path | None:
    if (parent / name).is_dir():
        return parent / name
    matches = (entry for entry in sorted(parent.iterdir()) if entry.name.lower() == name.lower())
    return next((entry for entry in matches if entry.is_dir()), None)
