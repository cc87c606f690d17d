"""The table of bad inputs."""

from __future__ import annotations

from tests.faults import checkpoints, files, flags, odd_pictures, places

ROWS = [*files.ROWS, *odd_pictures.ROWS, *places.ROWS, *flags.ROWS, *checkpoints.ROWS]
