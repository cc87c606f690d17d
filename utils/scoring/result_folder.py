"""The folder of the results, ``<root>/<kind>/<name>.png``. Nothing is ever written outside it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

from PIL import Image

from utils.errors import UserError
from utils.files import atomic_write
from utils.scoring.pictures import Source


class ResultFolder:
    """One PNG for each of ``kinds`` and every picture. Each is written completely or not at all."""

    def __init__(self, root: Path, kinds: Sequence[str]) -> None:
        self.root = root
        self.kinds = tuple(kinds)

    def path(self, kind: str, name: PurePath) -> Path:
        """Path of the result of ``kind`` for the picture ``name`` (without suffix)."""
        return self.root / kind / name.parent / f"{name.name}.png"

    def check(self, sources: Sequence[Source]) -> None:
        """Raise a UserError if the folder is a file, a symbolic link in it leads elsewhere, or a result would
        replace a source.
        """
        if self.root.exists() and not self.root.is_dir():
            raise UserError(f"--output {self.root}: is a file; name a folder")
        # Not Path.resolve, which raises an error for a symbolic link that leads to itself.
        root = Path(os.path.realpath(self.root))
        inputs = {os.path.realpath(source.path) for source in sources}
        for kind in self.kinds:
            for name in {source.name if source.is_video else source.name.parent for source in sources}:
                folder = self.root / kind / name
                # Windows gives the real path in the case that the folder was made with.
                if os.path.normcase(os.path.realpath(folder)) != os.path.normcase(root / kind / name):
                    remedy = "remove it or choose another --output"
                    raise UserError(f"{folder}: leads through a symbolic link; {remedy}")
            for source in sources:
                if os.path.realpath(self.path(kind, source.name)) in inputs:
                    remedy = "choose another --output"
                    raise UserError(f"{source.path}: a result would replace this input; {remedy}")

    def has(self, name: PurePath) -> bool:
        """Whether all results of the picture ``name`` exist."""
        return all(self.path(kind, name).is_file() for kind in self.kinds)

    def write(self, name: PurePath, pictures: Mapping[str, Image.Image]) -> None:
        """Write the results of one picture, kind -> result; raises a UserError if one cannot be written."""
        for kind, picture in pictures.items():
            path = self.path(kind, name)
            with atomic_write(path, "free space or choose another --output") as temporary:
                # Stronger compression takes longer than the network on a GPU and saves little.
                picture.save(temporary, format="PNG", compress_level=1)
