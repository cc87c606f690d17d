"""Where a data set lies on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from datasets.catalog import DatasetSpec
from utils.errors import UserError


def resolve_root(spec: DatasetSpec, data_root: str | None, configured: Mapping[str, str]) -> Path:
    """The folder of ``spec``: ``data_root``/<a name of it, in any case>, else its environment variable, else
    config.

    Raises :class:`UserError` naming all three settings when none is set, or the one that points nowhere.
    """
    if data_root:
        if not Path(data_root).is_dir():
            raise UserError(f"--data_root {data_root}: no such folder")
        for name in (spec.root_name, *spec.further_root_names):
            if found := _subfolder(Path(data_root), name):
                return found
    variable = spec.environment_variable
    for setting, value in (
        (f"environment variable {variable}", os.environ.get(variable, "")),
        (f'DATASET_ROOTS["{spec.root_name}"] of config.py', configured.get(spec.root_name, "")),
    ):
        if value:
            root = Path(value).expanduser()
            if not root.is_dir():
                raise UserError(f"{setting} is {value}: no such folder; set it to the folder of {spec.name}")
            return root
    missing = f"{data_root} has no folder {spec.root_name}; " if data_root else ""
    raise UserError(
        f"{spec.name}: {missing}pass --data_root DIR with the data in DIR/{spec.root_name}, "
        f'set environment variable {variable}, or edit DATASET_ROOTS["{spec.root_name}"] in config.py'
    )


def _subfolder(parent: Path, name: str) -> Path | None:
    exact = parent / name
    if exact.is_dir():
        return exact
    matches = (entry for entry in sorted(parent.iterdir()) if entry.name.lower() == name.lower())
    return next((entry for entry in matches if entry.is_dir()), None)
