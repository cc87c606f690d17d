"""The folder of one run: ``<ckpt>/<date>/<exp>/`` with its checkpoints, log, arguments and results."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from PIL import Image

from utils.distributed import barrier, is_main
from utils.errors import UserError
from utils.files import HALF_WRITTEN, check_inside, check_writable, write_json, writing
from utils.lock import lock_folder
from utils.progress import progress_bar
from utils.run.board import EVENTS, Board
from utils.run.checkpoint import FREE_SPACE, keep
from utils.run.sealed import is_whole


class RunFolder:
    """Paths, log and TensorBoard of a run.

    Only the main process writes; on the others every write is a no-op.
    """

    def __init__(self, ckpt: str, date: str, exp: str, tb_path: str | None = None) -> None:
        check_inside(date, "--date")
        check_inside(exp, "--exp")
        self.path = Path(ckpt) / date / exp
        self.last, self.previous = self.weights("last"), self.weights("previous")
        self.damaged = self.weights("damaged")
        self.log_file = self.path / "log.txt"
        self.results_file = self.path / "results.json"
        self._board_path = Path(tb_path or ckpt) / date / exp
        self._board: Board | None = None
        self._lock: TextIO | None = None
        self._found: list[tuple[str, int]] = []

    def weights(self, name: str) -> Path:
        """The checkpoint called ``name`` (see ``utils.scoring.selection``)."""
        return self.path / f"{name}.pth"

    def resume_files(self, resume: str | None) -> list[Path]:
        """The checkpoints that ``--resume`` may mean, the newest first: a file, or with ``auto`` this run's
        last two, as far as there are any.
        """
        if resume == "auto":
            return [path for path in (self.last, self.previous) if path.exists()]
        return [Path(resume)] if resume else []

    def holds(self, file: Path) -> bool:
        """Whether ``file`` is of the run in this folder."""
        return file.resolve().parent == self.path.resolve()

    def is_previous(self, file: Path) -> bool:
        """Whether ``file`` is this run's checkpoint before the last."""
        return self.holds(file) and file.name == self.previous.name

    def refuse_another_run(self, resume_files: Sequence[Path], overwrite: bool) -> None:
        """Raise a UserError if the folder cannot be written, or without ``overwrite`` where something of an
        older run would be lost: the run is another than the one to resume, or later steps were saved.
        """
        own = any(map(self.holds, resume_files))
        self._found = self._checkpoints()
        check_writable(self.last, "--ckpt")
        check_writable(self._board_path / "events", "--tb_path")
        results = (self.damaged, self.results_file)
        if not (own or overwrite) and (self._found or any(path.exists() for path in results)):
            going_on = "go on with --resume auto, " if self.resume_files("auto") else ""
            raise UserError(
                f"{self.path}: holds a run already; {going_on}replace it with --overwrite, or name another "
                "--exp"
            )
        back = len(resume_files) == 1 and self.is_previous(resume_files[0])
        if back and self.last.exists() and not overwrite:
            raise UserError(
                f"--resume {resume_files[0]}: would replace {self.last}, which is newer; --resume auto goes "
                "on from that one unless it is damaged; go back all the same with --overwrite"
            )
        barrier()

    def open(
        self, arguments: Mapping[str, Any], file: Path | None = None, resume: Mapping[str, Any] | None = None
    ) -> None:
        """Make the folder and write ``args.json``.

        ``resume`` is what the checkpoint ``file`` holds that the run goes on from. If it is of this folder,
        what was logged after it is removed, for those steps are done again; else all that an older run left.

        Raises:
            UserError: the folder cannot be written, or another process is training in it.
        """
        if not is_main():
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            another = "another process is training here; wait for it, or name another --exp"
            self._lock = lock_folder(self.path, f"{self.path}: {another}")
            if self._checkpoints() != self._found:
                raise UserError(
                    f"{self.path}: another process trained here since this one started; start again"
                )
            # Left by processes that were killed as they wrote; nobody else would ever remove them.
            for half in self.path.glob(f"{HALF_WRITTEN}.pth"):
                half.unlink()
            if resume is None or file is None or not self.holds(file):
                self._remove_run()
            else:
                if self.log_file.exists() and self.log_file.stat().st_size > resume["log_bytes"]:
                    os.truncate(self.log_file, resume["log_bytes"])
                if self.is_previous(file):
                    # In the place of the last one, which must not become the one before the next.
                    if self.last.exists() and not is_whole(self.last):
                        self.last.replace(self.damaged)
                    keep(self.previous, self.last)
            write_json(self.path / "args.json", self.plain(arguments), FREE_SPACE)
            self._board = Board(self._board_path, None if resume is None else resume["iteration"] + 1)
        except OSError as error:
            raise UserError(
                f"{self.path}: cannot write the run folder ({error}); choose another --ckpt"
            ) from None

    def _remove_run(self) -> None:
        events = self._board_path.glob(EVENTS)
        selected = self.path.glob("best*.pth")
        for old in (
            self.last,
            self.previous,
            self.damaged,
            *selected,
            self.log_file,
            self.results_file,
            *events,
        ):
            old.unlink(missing_ok=True)

    def _checkpoints(self) -> list[tuple[str, int]]:
        """The run's checkpoints that are there, and when each was written, in nanoseconds."""
        files = [self.last, self.previous, *self.path.glob("best*.pth")]
        return sorted((file.name, file.stat().st_mtime_ns) for file in files if file.exists())

    @property
    def log_bytes(self) -> int:
        """How long the log is."""
        return self.log_file.stat().st_size if self.log_file.exists() else 0

    def close(self) -> None:
        """End TensorBoard's file and let others use the folder."""
        try:
            if self._board is not None:
                self._board.close()
        finally:
            if self._lock is not None:
                self._lock.close()

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def log(self, line: str, echo: bool = True) -> None:
        """Append a line to ``log.txt`` and, with ``echo``, print it."""
        if not is_main():
            return
        if echo:
            progress_bar.write(line)
        with writing(self.log_file, FREE_SPACE), self.log_file.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def results(self, content: Mapping[str, Any]) -> None:
        """Write ``results.json``."""
        if is_main():
            write_json(self.results_file, content, FREE_SPACE)

    def pictures(self, name: str, images: Mapping[Any, Image.Image]) -> None:
        """Write each picture to ``<name><key>.png``, a path within the folder."""
        for key, image in images.items() if is_main() else ():
            path = self.path / f"{name}{key}.png"
            with writing(path, FREE_SPACE):
                path.parent.mkdir(exist_ok=True)
                image.save(path)

    def board_pictures(self, pictures: Mapping[str, Image.Image], iteration: int) -> None:
        """Add one RGB picture per name to TensorBoard."""
        if self._board is not None:
            self._board.pictures(pictures, iteration)

    def scalars(self, values: Mapping[str, float], iteration: int) -> None:
        """Add one point per name to TensorBoard, but for values that are not finite."""
        if self._board is not None:
            self._board.scalars(values, iteration)

    @staticmethod
    def plain(arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Argument values as plain JSON values (paths become strings)."""
        return json.loads(json.dumps(dict(arguments), default=str))
