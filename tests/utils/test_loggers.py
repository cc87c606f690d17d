"""The loggers: what they get, how they go on after a resume, and that none ends a run."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from utils.run.board import EVENTS
from utils.run.loggers import Loggers, Origin

CROP = Image.new("RGB", (6, 4), "red")


def origin(tmp_path: Path, first: int | None = None) -> Origin:
    folder = tmp_path / "0101" / "mine"
    folder.mkdir(parents=True, exist_ok=True)
    return Origin(folder, folder, {"lr": 0.1, "dataset": ["gtav"]}, first)


def numbers(tmp_path: Path) -> list[tuple[str, str, str]]:
    with (tmp_path / "0101" / "mine" / "metrics.csv").open() as file:
        return [(row["iteration"], row["name"], row["value"]) for row in csv.DictReader(file)]


class Calls:
    """A library of which every call succeeds, and is written down as (name, arguments)."""

    def __init__(self) -> None:
        self.made: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        def call(*words: Any, **keywords: Any) -> Any:
            self.made.append((name, words, keywords))
            return (
                SimpleNamespace(experiment_id="1", info=SimpleNamespace(run_id="r"))
                if "run" in name
                else self
            )

        return call

    def of(self, name: str) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        return [(words, keywords) for called, words, keywords in self.made if called == name]


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Stands in for wandb and mlflow."""
    calls = Calls()
    for name in ("wandb", "mlflow"):
        module = ModuleType(name)
        for function in ("init", "Image", "set_tracking_uri", "MlflowClient"):
            setattr(module, function, getattr(calls, function))
        monkeypatch.setitem(sys.modules, name, module)
    for variable in ("WANDB_MODE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(variable, raising=False)
    return calls


def test_numbers_go_to_a_table_and_to_tensorboard(tmp_path: Path) -> None:
    loggers = Loggers(["tensorboard", "csv"], origin(tmp_path))
    loggers.scalars({"loss/main": 0.5, "loss/aux": float("nan"), "images/s": 1234567.0}, 7)
    loggers.pictures({"crop": CROP}, 7)
    loggers.close()
    assert numbers(tmp_path) == [("7", "loss/main", "0.5"), ("7", "images/s", "1.23457e+06")]
    assert len(list((tmp_path / "0101" / "mine").glob(EVENTS))) == 1


def test_a_resumed_run_drops_what_it_makes_again(tmp_path: Path) -> None:
    first = Loggers(["csv"], origin(tmp_path))
    for iteration in (2, 4, 6):
        first.scalars({"loss": iteration}, iteration)
    with (tmp_path / "0101" / "mine" / "metrics.csv").open("a") as file:
        file.write("8,lo")  # The process was killed.
    resumed = Loggers(["csv"], origin(tmp_path, first=5))
    resumed.scalars({"loss": 60}, 6)
    assert numbers(tmp_path) == [("2", "loss", "2"), ("4", "loss", "4"), ("6", "loss", "60")]


def test_a_new_run_begins_a_new_table(tmp_path: Path) -> None:
    Loggers(["csv"], origin(tmp_path)).scalars({"loss": 1}, 1)
    Loggers(["csv"], origin(tmp_path))
    assert numbers(tmp_path) == []


def test_wandb_stays_offline(tmp_path: Path, library: Calls) -> None:
    loggers = Loggers(["wandb"], origin(tmp_path, first=5))
    loggers.scalars({"loss": 0.5}, 7)
    loggers.pictures({"crop": CROP}, 7)
    loggers.close()
    ((_, begun),) = library.of("init")
    assert (begun["mode"], begun["name"], begun["id"], begun["resume"]) == (
        "offline",
        "0101-mine",
        "0101-mine",
        "allow",
    )
    assert library.of("log")[0] == (({"loss": 0.5},), {"step": 7})
    assert len(library.of("Image")) == len(library.of("finish")) == 1


def test_mlflow_keeps_a_database_beside_the_runs(tmp_path: Path, library: Calls) -> None:
    loggers = Loggers(["mlflow"], origin(tmp_path))
    loggers.scalars({"loss": 0.5}, 7)
    loggers.pictures({"crop": CROP}, 7)
    loggers.close()
    (((address,), _),) = library.of("set_tracking_uri")
    assert address == f"sqlite:///{tmp_path / '0101' / 'mlflow.db'}"
    assert library.of("log_metric") == [(("r", "loss", 0.5), {"step": 7})]
    assert library.of("log_image")[0][0][2] == "crop_7.png"
    assert library.of("set_terminated") == [(("r",), {})]


def test_a_library_that_is_not_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    loggers = Loggers(["wandb", "csv"], origin(tmp_path))
    loggers.scalars({"loss": 1}, 1)
    (warning,) = capsys.readouterr().out.splitlines()
    assert warning.startswith("warning: --logger wandb: ")
    assert warning.endswith("; the run goes on without it")
    assert numbers(tmp_path) == [("1", "loss", "1")]


@pytest.mark.parametrize("method", ["scalars", "pictures", "close"])
def test_a_logger_that_fails_is_left_out(
    method: str,
    tmp_path: Path,
    library: Calls,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loggers = Loggers(["wandb", "csv"], origin(tmp_path))

    def fail(*_: object) -> None:
        raise RuntimeError("the server\nis gone")

    monkeypatch.setattr(f"utils.run.loggers.WandbLogger.{method}", fail)
    for iteration in (1, 2):
        loggers.scalars({"loss": 1}, iteration)
        loggers.pictures({"crop": CROP}, iteration)
    loggers.close()
    (warning,) = capsys.readouterr().out.splitlines()
    assert warning == "warning: --logger wandb: the server; the run goes on without it"
    assert len(numbers(tmp_path)) == 2


def test_no_logger_writes_nothing(tmp_path: Path) -> None:
    loggers = Loggers([], origin(tmp_path))
    loggers.scalars({"loss": 1}, 1)
    loggers.close()
    assert list((tmp_path / "0101" / "mine").iterdir()) == []
