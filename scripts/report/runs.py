"""The runs of a report: what their folders hold, and which of them differ in nothing but the seed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import config
from methods import METHODS
from network import stated_architecture
from utils.declare import free_on_resume
from utils.errors import UserError
from utils.run.run_log import RunLog, read_log
from utils.scoring.published import Kind, kind_of

# Results of valid.py that add to a run's own: what it was not scored with at its end.
FURTHER = ("reliability", "corruptions", "conditions", "mean_of_conditions")


@dataclass(frozen=True)
class Run:
    """A finished run.

    ``settings`` are those of ``args.json``, empty if there is none; ``results`` is the content of
    ``results.json``, completed by files of valid.py in the same folder.
    """

    folder: Path
    settings: Mapping[str, Any]
    results: Mapping[str, Any]
    sessions: Sequence[Mapping[str, Any]] = ()

    @property
    def name(self) -> str:
        return str(self.settings.get("exp") or self.folder.name)

    @property
    def seed(self) -> int | None:
        return self.settings.get("seed")

    @property
    def domains(self) -> Mapping[str, Mapping[str, Any]]:
        return self.results["domains"]

    @property
    def scores(self) -> dict[str, float]:
        """Domain -> mIoU in percent, of the domains that have one."""
        each = self.domains.items()
        return {name: 100 * of["miou"] for name, of in each if of.get("miou") is not None}

    @property
    def sources(self) -> list[str]:
        """The domains that it was trained on, by the name under which they are scored."""
        return list(self.settings.get("dataset") or [next(iter(self.domains))])

    @property
    def targets(self) -> list[str]:
        return list(self.settings.get("target_dataset") or [])

    @property
    def kind(self) -> Kind | None:
        """What the run is, to find published rows; None without settings."""
        if not self.settings.get("dataset"):
            return None
        method = METHODS.get(self.settings.get("method") or "baseline")
        stated = stated_architecture(self.settings)
        return kind_of(self.settings, {**(method.architecture if method else {}), **stated})

    @property
    def is_toy(self) -> bool:
        """Whether its pictures are of the toy city."""
        return config.made_by_toycity(self.results.get("folders", {}).values())

    @cached_property
    def log(self) -> RunLog:
        return read_log(self.folder / "log.txt")

    @property
    def weights(self) -> Path:
        """The checkpoint that was scored, in the run's folder, wherever that is now."""
        return self.folder / Path(self.results["checkpoint"]).name

    @property
    def seconds(self) -> float | None:
        """How long it took, over all its sessions."""
        return sum(each["seconds"] for each in self.sessions) if self.sessions else None

    @property
    def gpu_hours(self) -> float | None:
        if not self.sessions:
            return None
        spent = (each["seconds"] * each["processes"] for each in self.sessions if each.get("accelerated"))
        return sum(spent) / 3600

    @property
    def hardware(self) -> str:
        """What it ran on, each kind once."""
        words = [
            f"{each['processes']} x {each['device']}"
            + ("" if each.get("accelerated") else f", {each.get('processor', '')}")
            for each in self.sessions
        ]
        return "; ".join(dict.fromkeys(words))


@dataclass
class Group:
    """Runs that differ in their seed alone: one row of the table."""

    name: str
    runs: list[Run] = field(default_factory=list)

    def by_seed(self, domain: str) -> dict[int | None, float]:
        """Seed -> mIoU in percent on ``domain``, of the runs that have it."""
        return {run.seed: run.scores[domain] for run in self.runs if domain in run.scores}


def find_runs(paths: Sequence[Path]) -> tuple[list[Run], list[Path]]:
    """The finished runs in or below ``paths``, and the folders of runs that have no scores.

    Raises a UserError for a path with no finished run, and for results that train.py has not written.
    """
    runs: dict[Path, Run] = {}
    unfinished: list[Path] = []
    for path in paths:
        found = sorted(path.rglob("results.json"))
        if not found:
            message = f"{path}: holds no results.json of train.py; name the folder of a finished run"
            raise UserError(message)
        for file in found:
            runs.setdefault(file.parent.resolve(), read_run(file.parent))
        with_settings = (file.parent for file in sorted(path.rglob("args.json")))
        unfinished += [folder for folder in with_settings if not (folder / "results.json").exists()]
    return list(runs.values()), list(dict.fromkeys(unfinished))


def read_run(folder: Path) -> Run:
    """The run of one folder. Raises a UserError if its ``results.json`` is not train.py's."""
    try:
        results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        if not _are_scores(results) or {type(results[name]) for name in ("checkpoint", "protocol")} != {str}:
            raise ValueError("scores nothing")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        message = f"{folder}: holds no results.json of train.py; name the folder of a finished run"
        raise UserError(message) from None
    for further in _further_results(folder, Path(results["checkpoint"]).name):
        _complete(results["domains"], further)
    settings, sessions = _json(folder / "args.json", {}), _json(folder / "sessions.json", [])
    return Run(folder, settings, results, sessions)


def _are_scores(content: Any) -> bool:
    """Whether ``content`` has the form of results: domains with numbers."""
    domains = content["domains"]
    return bool(domains) and all(
        isinstance(of, dict) and isinstance(of.get("miou"), float | int | None) for of in domains.values()
    )


def _further_results(folder: Path, weights: str) -> Iterator[dict[str, Any]]:
    """What other files in a run's folder say of the same weights, as valid.py writes it on val splits."""
    for file in sorted(folder.glob("*.json")):
        content = _json(file, None)
        for each in content if isinstance(content, list) else [content]:
            try:
                same = Path(each["checkpoint"]).name == weights and each.get("split") == "val"
                if file.name != "results.json" and same and _are_scores(each):
                    yield each
            except (TypeError, KeyError, AttributeError):
                continue


def _complete(domains: dict[str, Any], further: Mapping[str, Any]) -> None:
    """Add, in place, domains that are not there, and of others what they were not scored with."""
    for name, of in further["domains"].items():
        own = domains.setdefault(name, of)
        for key in FURTHER:
            if key in of:
                own.setdefault(key, of[key])


def _json(file: Path, otherwise: Any) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return otherwise


def grouped(runs: Sequence[Run]) -> list[Group]:
    """The runs by what they are called without their seed; those with other settings get names of their own.

    Raises a UserError if two runs of a group have the same seed.
    """
    free = free_on_resume(config.training_parser()) | {"seed", "val_dataset"}
    groups: dict[str, Group] = {}
    for run in runs:
        groups.setdefault(name_without_seed(run), Group("")).runs.append(run)
    named = [each for name, group in groups.items() for each in _divided(name, group.runs, free)]
    for group in named:
        seeds = [run.seed for run in group.runs]
        for run in group.runs:
            if seeds.count(run.seed) > 1:
                raise UserError(
                    f"{run.folder}: {group.name} has seed {run.seed} twice; name only one of the two runs"
                )
    return named


def name_without_seed(run: Run) -> str:
    """``isw-seed304``, ``isw_304`` and ``isw304`` of seed 304 are ``isw``."""
    return re.sub(rf"([-_.]?seed[-_.]?|[-_.]|(?<=[^\W\d])){run.seed}$", "", run.name) or run.name


def _divided(name: str, runs: Sequence[Run], free: set[str]) -> list[Group]:
    """The runs of one name, in groups of the same settings, each called after what it has of its own."""
    settings = [{key: value for key, value in run.settings.items() if key not in free} for run in runs]
    keys = {
        key for each in settings for key in each if any(each.get(key) != other.get(key) for other in settings)
    }
    groups: dict[str, Group] = {}
    for run, each in zip(runs, settings, strict=True):
        words = ", ".join(f"{key} {_in_words(each.get(key))}" for key in sorted(keys))
        title = f"{name} ({words})" if words else name
        groups.setdefault(title, Group(title)).runs.append(run)
    return list(groups.values())


def _in_words(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
