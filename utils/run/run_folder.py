"""The folder of one run: ``<ckpt>/<date>/<exp>/`` with its checkpoints, log, arguments and results."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from PIL import Image

from utils.distributed import barrier, is_main
from utils.errors import UserError
from utils.files import HALF_WRITTEN, check_inside, check_writable, write_json, writing
from utils.lock import lock_folder
from utils.progress import progress_bar
from utils.run.board import EVENTS
from utils.run.checkpoint import FREE_SPACE, keep
from utils.run.loggers import DEFAULT, METRICS, Loggers, Origin
from utils.run.sealed import is_whole


class RunFolder(ExitStack):
    """Paths, log and loggers of a run; as a context, it unlocks the folder at its end.

    Only the main process writes. In the other processes every write does nothing.
    """

    def __init__(self, ckpt: str, date: str, exp: str, tb_path: str | None = None) -> None:
        super().__init__()
        check_inside(date, "--date")
        check_inside(exp, "--exp")
        self.path = Path(ckpt) / date / exp
        self.last, self.previous = self.weights("last"), self.weights("previous")
        self.damaged = self.weights("damaged")
        self.log_file = self.path / "log.txt"
        self.results_file = self.path / "results.json"
        self.sessions_file = self.path / "sessions.json"
        self._board_path = Path(tb_path or ckpt) / date / exp
        self._loggers: Loggers | None = None
        self._found: list[tuple[str, int]] = []
        self._sessions: list[dict[str, Any]] = []

    def weights(self, name: str) -> Path:
        """Path of the checkpoint called ``name`` (see ``utils.scoring.selection``)."""
        return self.path / f"{name}.pth"

    def resume_files(self, resume: str | None) -> list[Path]:
        """The checkpoints that ``--resume`` may mean, newest first; with ``auto`` the run's last two."""
        if resume == "auto":
            return [path for path in (self.last, self.previous) if path.exists()]
        return [Path(resume)] if resume else []

    def holds(self, file: Path) -> bool:
        """Whether ``file`` lies in this run's folder."""
        return file.resolve().parent == self.path.resolve()

    def is_previous(self, file: Path) -> bool:
        """Whether ``file`` is this run's second newest checkpoint."""
        return self.holds(file) and file.name == self.previous.name

    def protect_results(self, resume_files: Sequence[Path], overwrite: bool) -> None:
        """Raise a UserError if the folder cannot be written. Without ``overwrite``, also raise one if
        another run than the one to resume, or a checkpoint newer than the one to resume, would be lost.
        """
        resumes_here = any(map(self.holds, resume_files))
        self._found = self._checkpoints()
        check_writable(self.last, "--ckpt")
        check_writable(self._board_path / "events", "--tb_path")
        results = (self.damaged, self.results_file)
        if not (resumes_here or overwrite) and (self._found or any(path.exists() for path in results)):
            going_on = "go on with --resume auto, " if self.resume_files("auto") else ""
            remedy = f"{going_on}replace it with --overwrite, or name another --exp"
            raise UserError(f"{self.path}: holds a run already; {remedy}")
        goes_back = len(resume_files) == 1 and self.is_previous(resume_files[0])
        if goes_back and self.last.exists() and not overwrite:
            raise UserError(
                f"--resume {resume_files[0]}: would replace {self.last}, which is newer; use --resume auto, "
                "which takes the newer one unless it is damaged, or add --overwrite to go back"
            )
        barrier()  # The main process changes the folder only after all processes have looked at it.

    def open(
        self, arguments: Mapping[str, Any], file: Path | None = None, resume: Mapping[str, Any] | None = None
    ) -> None:
        """Create and lock the folder, and write ``args.json``.

        ``resume`` is the content of the checkpoint ``file`` that the run resumes from. If ``file`` is in this
        folder, log lines after it are removed; otherwise all files of an older run. Raises a UserError if the
        folder cannot be written, or another process is training in it.
        """
        if not is_main():
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            locked = "another process is training here; wait for it, or name another --exp"
            self.enter_context(lock_folder(self.path, f"{self.path}: {locked}"))
            if self._checkpoints() != self._found:
                changed = "another process trained here since this one started; start again"
                raise UserError(f"{self.path}: {changed}")
            # Processes that were killed while they wrote have left these. Nothing else removes them.
            for half in self.path.glob(f"{HALF_WRITTEN}.pth"):
                half.unlink()
            if resume is None or file is None or not self.holds(file):
                texts = (self.log_file, self.results_file, self.sessions_file, self.path / METRICS)
                files = (self.last, self.previous, self.damaged, *texts)
                for old in (*files, *self.path.glob("best*.pth"), *self._board_path.glob(EVENTS)):
                    old.unlink(missing_ok=True)
            else:
                if self.log_bytes > resume["log_bytes"]:
                    os.truncate(self.log_file, resume["log_bytes"])
                if self.is_previous(file):
                    # It becomes the last one. Otherwise the next save would keep the newer one as previous.
                    if self.last.exists() and not is_whole(self.last):
                        self.last.replace(self.damaged)
                    keep(self.previous, self.last)
            write_json(self.path / "args.json", self.plain(arguments), FREE_SPACE)
            first = None if resume is None else resume["iteration"] + 1
            origin = Origin(self.path, self._board_path, self.plain(arguments), first)
            self._loggers = Loggers(arguments.get("logger", DEFAULT), origin)
            self.callback(self._loggers.close)
        except OSError as error:
            remedy = "choose another --ckpt"
            raise UserError(f"{self.path}: cannot write the run folder ({error}); {remedy}") from None

    def _checkpoints(self) -> list[tuple[str, int]]:
        """Name and time of writing, in nanoseconds, of each of the run's checkpoints that exist."""
        files = [self.last, self.previous, *self.path.glob("best*.pth")]
        return sorted((file.name, file.stat().st_mtime_ns) for file in files if file.exists())

    def begin_session(self, machine: Mapping[str, Any]) -> None:
        """Begin to count the time of this process in ``sessions.json``; ``machine`` says what it runs on.

        Sessions of the same run before it, which a resume continues, stay in the file.
        """
        if not is_main():
            return
        with suppress(OSError, ValueError):
            self._sessions = json.loads(self.sessions_file.read_text(encoding="utf-8"))
        began = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self._sessions.append({"began": began, "seconds": 0.0, **machine})
        self._began = time.monotonic()
        self.note_time()
        self.callback(self._end_session)

    def note_time(self) -> None:
        """Write how long this session has taken so far."""
        if self._sessions:
            self._sessions[-1]["seconds"] = round(time.monotonic() - self._began, 1)
            write_json(self.sessions_file, self._sessions, FREE_SPACE)

    def _end_session(self) -> None:
        # A run that ends with an error shall show that one, and not that its time could not be written.
        with suppress(UserError):
            self.note_time()

    @property
    def log_bytes(self) -> int:
        """Length of the log."""
        return self.log_file.stat().st_size if self.log_file.exists() else 0

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
            self.note_time()
            write_json(self.results_file, content, FREE_SPACE)

    def written_results(self) -> dict[str, Any]:
        """What ``results.json`` holds; empty in other processes than the main one."""
        return json.loads(self.results_file.read_text(encoding="utf-8")) if is_main() else {}

    def pictures(self, name: str, images: Mapping[Any, Image.Image]) -> None:
        """Write each picture to ``<name><key>.png``, a path within the folder."""
        for key, image in images.items() if is_main() else ():
            path = self.path / f"{name}{key}.png"
            with writing(path, FREE_SPACE):
                path.parent.mkdir(exist_ok=True)
                image.save(path)

    def board_pictures(self, pictures: Mapping[str, Image.Image], iteration: int) -> None:
        """Add one RGB picture per name to the loggers."""
        if self._loggers is not None:
            self._loggers.pictures(pictures, iteration)

    def scalars(self, values: Mapping[str, float], iteration: int) -> None:
        """Add one point per name to the loggers. Values that are not finite are left out."""
        if self._loggers is not None:
            self._loggers.scalars(values, iteration)

    @staticmethod
    def plain(arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Argument values as plain JSON values (paths become strings)."""
        return json.loads(json.dumps(dict(arguments), default=str))
