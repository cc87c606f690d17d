"""The folder of one run: ``<ckpt>/<date>/<exp>/`` with its checkpoints, log, arguments and results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tensorboardX import SummaryWriter

from utils.distributed import barrier, is_main
from utils.errors import UserError
from utils.files import check_writable
from utils.progress import progress_bar
from utils.scores import write_json


class RunFolder:
    """Paths, log and TensorBoard of a run.

    Only the main process writes; on the others every write is a no-op.
    """

    def __init__(self, ckpt: str, date: str, exp: str, tb_path: str | None = None) -> None:
        self.path = Path(ckpt) / date / exp
        self.last = self.weights("last")
        self.log_file = self.path / "log.txt"
        self.results_file = self.path / "results.json"
        self._board_path = Path(tb_path or ckpt) / date / exp
        self._board: SummaryWriter | None = None

    def weights(self, name: str) -> Path:
        """The checkpoint called ``name`` (see ``utils.selection``)."""
        return self.path / f"{name}.pth"

    def resume_file(self, resume: str | None) -> Path | None:
        """The checkpoint that ``--resume`` means: a file, or with ``auto`` this run's last one if there is
        any.
        """
        if resume == "auto":
            return self.last if self.last.exists() else None
        return Path(resume) if resume else None

    def refuse_another_run(self, resume_file: Path | None, overwrite: bool) -> None:
        """Raise a UserError if the folder cannot be written, or holds another run than the one to resume."""
        own = resume_file is not None and resume_file.resolve().parent == self.path.resolve()
        check_writable(self.last, "--ckpt")
        check_writable(self._board_path / "events", "--tb_path")
        if self.last.exists() and not (own or overwrite):
            raise UserError(
                f"{self.path}: holds a run already; go on with --resume auto, replace it with --overwrite, "
                "or name another --exp"
            )
        barrier()

    def open(self, arguments: Mapping[str, Any], resume: bool) -> None:
        """Make the folder, empty of an older run unless ``resume``, and write ``args.json``.

        Raises:
            UserError: the folder cannot be written.
        """
        if not is_main():
            return
        try:
            if not resume:
                events = self._board_path.glob("events.out.tfevents.*")
                selected = self.path.glob("best*.pth")
                for old in (self.last, *selected, self.log_file, self.results_file, *events):
                    old.unlink(missing_ok=True)
            write_json(self.path / "args.json", self.plain(arguments))
            self._board = SummaryWriter(str(self._board_path))
        except OSError as error:
            raise UserError(
                f"{self.path}: cannot write the run folder ({error}); choose another --ckpt"
            ) from None

    def close(self) -> None:
        """Flush TensorBoard."""
        if self._board is not None:
            self._board.close()

    def log(self, line: str, echo: bool = True) -> None:
        """Append a line to ``log.txt`` and, with ``echo``, print it."""
        if not is_main():
            return
        if echo:
            progress_bar.write(line)
        with self.log_file.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def picture(self, name: str, image: Image.Image) -> None:
        """Write a picture to ``name``, a path within the folder."""
        if is_main():
            path = self.path / name
            path.parent.mkdir(exist_ok=True)
            image.save(path)

    def board_pictures(self, pictures: Mapping[str, Image.Image], iteration: int) -> None:
        """Add one RGB picture per name to TensorBoard."""
        if self._board is not None:
            for name, picture in pictures.items():
                self._board.add_image(name, np.asarray(picture), iteration, dataformats="HWC")

    def scalars(self, values: Mapping[str, float], iteration: int) -> None:
        """Add one point per name to TensorBoard."""
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, iteration)

    @staticmethod
    def plain(arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Argument values as plain JSON values (paths become strings)."""
        return json.loads(json.dumps(dict(arguments), default=str))
