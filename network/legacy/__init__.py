"""Checkpoints of other systems, by families. The rest of the project asks here and knows no family.

``python -m network.legacy`` converts files.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from network.legacy.dasac import DasacFile
from network.legacy.deeplabv2 import DeepLabV2File
from network.legacy.foreign import ForeignFile
from network.legacy.robustnet import RobustNetFile
from utils.errors import UserError

# RobustNet's family is last, because its ``content_of`` never returns ``None``: it raises an error instead.
FAMILIES: tuple[type[ForeignFile], ...] = (DasacFile, DeepLabV2File, RobustNetFile)


def foreign_file(content: object, path: Path | str) -> ForeignFile:
    """The file at ``path``, which holds ``content``, as one of its family; a UserError if none wrote it."""
    for family in FAMILIES:
        if (file := family.recognised(content, path)) is not None:
            return file
    raise UserError(
        f"{path}: not an UrbanDG checkpoint, nor one of RobustNet, AdaptSegNet, MaxSquare, SNR, DA-SAC "
        "or their kin; train one with train.py (weights of a backbone alone: --backbone_weights)"
    )


def foreign_content(checkpoint: Mapping[str, Any], path: Path | str) -> dict[str, Any]:
    """``checkpoint`` (ours, from ``path``) in the format of the family that has this network.

    A UserError is raised if none has.
    """
    contents = (family.content_of(checkpoint, path) for family in FAMILIES)
    return next(content for content in contents if content is not None)
