"""Where a run's numbers and pictures go during training: the loggers of ``--logger``.

A logger is for looking at. So if one fails, a warning says so, and the run goes on without it.
"""

from __future__ import annotations

import csv
import math
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from utils.errors import optional_library, printable
from utils.machine import reason
from utils.progress import progress_bar
from utils.run.board import Board

PROJECT = "urbandg"
METRICS = "metrics.csv"
COLUMNS = ("iteration", "name", "value", "seconds")


@dataclass(frozen=True)
class Origin:
    """What a logger may say of its run.

    ``folder`` is the run's, ``board`` that of TensorBoard. ``settings`` are those of ``args.json``. ``first``
    is the first iteration to come of a resumed run, and None for a new one.
    """

    folder: Path
    board: Path
    settings: Mapping[str, Any]
    first: int | None = None

    @property
    def name(self) -> str:
        """The run's, with its date."""
        return "-".join(self.folder.parts[-2:])


class Logger(Protocol):
    """What all loggers do. They may raise anything."""

    def scalars(self, values: Mapping[str, float], iteration: int) -> None:
        """Add one point per name."""

    def pictures(self, pictures: Mapping[str, Image.Image], iteration: int) -> None:
        """Add one RGB picture per name."""

    def close(self) -> None:
        """Finish."""


class CsvLogger:
    """``metrics.csv`` in the run's folder: a line per number, with the seconds since 1970. No pictures."""

    def __init__(self, origin: Origin) -> None:
        self.path = origin.folder / METRICS
        if origin.first is None or not self.path.exists():
            self.path.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
        else:
            self._forget(origin.first)

    def _forget(self, first: int) -> None:
        """Drop the lines of iterations that a resumed run makes again, and one that was cut."""
        with self.path.open(encoding="utf-8", newline="") as file:
            header, *lines = csv.reader(file)
        whole = (line for line in lines if len(line) == len(COLUMNS) and line[0].isdecimal())
        self._write("w", [header, *(line for line in whole if int(line[0]) < first)])

    def _write(self, mode: str, lines: Sequence[Sequence[Any]]) -> None:
        with self.path.open(mode, encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(lines)

    def scalars(self, values: Mapping[str, float], iteration: int) -> None:
        now = f"{time.time():.1f}"
        finite = [(name, value) for name, value in values.items() if math.isfinite(value)]
        self._write("a", [(iteration, name, f"{value:.6g}", now) for name, value in finite])

    def pictures(self, pictures: Mapping[str, Image.Image], iteration: int) -> None:
        pass

    def close(self) -> None:
        pass


class WandbLogger:
    """Weights & Biases, with its files in the run's folder; ``wandb sync`` uploads them.

    It is offline unless the variable WANDB_MODE says otherwise.
    """

    def __init__(self, origin: Origin) -> None:
        self._library = optional_library("wandb", "--logger wandb")
        self._run = self._library.init(
            project=PROJECT,
            name=origin.name,
            id=re.sub(r"[^\w-]", "-", origin.name),
            resume="allow" if origin.first is not None else None,
            dir=str(origin.folder),
            config=dict(origin.settings),
            mode=os.environ.get("WANDB_MODE", "offline"),
        )

    def scalars(self, values: Mapping[str, float], iteration: int) -> None:
        self._run.log(dict(values), step=iteration)

    def pictures(self, pictures: Mapping[str, Image.Image], iteration: int) -> None:
        shown = {name: self._library.Image(picture) for name, picture in pictures.items()}
        self._run.log(shown, step=iteration)

    def close(self) -> None:
        self._run.finish()


class MlflowLogger:
    """MLflow, with a database ``mlflow.db`` beside the runs.

    It takes what the variable MLFLOW_TRACKING_URI names instead, if it is set.
    """

    def __init__(self, origin: Origin) -> None:
        self._library = optional_library("mlflow", "--logger mlflow")
        parent, pictures = origin.folder.absolute().parent, None
        if "MLFLOW_TRACKING_URI" not in os.environ:
            self._library.set_tracking_uri(f"sqlite:///{(parent / 'mlflow.db').as_posix()}")
            # MLflow would put them into the folder in which the program was started.
            pictures = (parent / "mlflow_pictures").as_uri()
        self._client = self._library.MlflowClient()
        found = self._client.get_experiment_by_name(PROJECT)
        experiment = found.experiment_id if found else self._client.create_experiment(PROJECT, pictures)
        self._run = self._client.create_run(experiment, run_name=origin.name).info.run_id
        for name, value in origin.settings.items():
            self._client.log_param(self._run, name, value)

    def scalars(self, values: Mapping[str, float], iteration: int) -> None:
        for name, value in values.items():
            self._client.log_metric(self._run, name, value, step=iteration)

    def pictures(self, pictures: Mapping[str, Image.Image], iteration: int) -> None:
        for name, picture in pictures.items():
            self._client.log_image(self._run, picture, f"{name}_{iteration}.png")

    def close(self) -> None:
        self._client.set_terminated(self._run)


LOGGERS: dict[str, Callable[[Origin], Logger]] = {
    "tensorboard": lambda origin: Board(origin.board, origin.first),
    "csv": CsvLogger,
    "wandb": WandbLogger,
    "mlflow": MlflowLogger,
}
"""The values of ``--logger``."""
DEFAULT = ("tensorboard", "csv")


class Loggers:
    """The loggers of a run. One that fails is left out from then on, and a warning names it."""

    def __init__(self, names: Sequence[str], origin: Origin) -> None:
        self._open: dict[str, Logger] = {}
        for name in dict.fromkeys(names):
            try:
                self._open[name] = LOGGERS[name](origin)
            except Exception as error:  # Libraries of others may raise anything.
                self._give_up(name, error)

    def scalars(self, values: Mapping[str, float], iteration: int) -> None:
        """Add one point per name. Values that are not finite are left out."""
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        self._each(lambda logger: logger.scalars(finite, iteration))

    def pictures(self, pictures: Mapping[str, Image.Image], iteration: int) -> None:
        """Add one RGB picture per name."""
        self._each(lambda logger: logger.pictures(pictures, iteration))

    def close(self) -> None:
        """Finish all of them."""
        self._each(lambda logger: logger.close())

    def _each(self, action: Callable[[Logger], None]) -> None:
        for name, logger in [*self._open.items()]:
            try:
                action(logger)
            except Exception as error:
                del self._open[name]
                with suppress(Exception):
                    logger.close()
                self._give_up(name, error)

    @staticmethod
    def _give_up(name: str, error: Exception) -> None:
        words = printable(reason(error)).removeprefix(f"--logger {name}: ")
        progress_bar.write(f"warning: --logger {name}: {words}; the run goes on without it")
