"""How far a run is: whether it is finished, and with which settings; how it ended; who works on it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import config
from scripts.experiments.matrix import Plan
from utils.declare import free_on_resume
from utils.errors import UserError
from utils.files import write_json, writing
from utils.lock import lock_folder
from utils.run.run_folder import RunFolder

REMEDY = "free space or choose another --ckpt"


def is_finished(plan: Plan) -> bool:
    """Whether the run has its scores."""
    return (plan.folder / "results.json").is_file()


def claim(plan: Plan) -> TextIO | None:
    """The run's lock, which the processes of the run inherit; None if another process has it.

    So a run is still claimed if the runner that started it was killed and its processes live on.
    """
    with writing(plan.notes, REMEDY):
        plan.notes.mkdir(parents=True, exist_ok=True)
    with suppress(UserError):
        return lock_folder(plan.notes, "another runner has it")
    return None


def refuse_other_settings(plans: Iterable[Plan]) -> None:
    """Raise a UserError if a finished run was made with other settings than it would be made with now."""
    parser = config.training_parser()
    free = free_on_resume(parser)
    for plan in plans:
        if not is_finished(plan) or not (then := settings_of(plan.folder)):
            continue
        now = given_settings(parser, plan.words)
        changed = [name for name in sorted(now.keys() & then.keys() - free) if now[name] != then[name]]
        if changed:
            words = ", ".join(f"{name} was {then[name]}, is {now[name]}" for name in changed)
            remedy = "repeat it with --overwrite, or choose another --date"
            raise UserError(f"{plan.folder}: is finished, with other settings ({words}); {remedy}")


def settings_of(folder: Path) -> dict[str, Any]:
    """The settings that a run was made with, as :func:`given_settings` has them; none if unreadable."""
    try:
        settings = json.loads((folder / "args.json").read_text(encoding="utf-8"))
        return {name: _comparable(value) for name, value in settings.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def given_settings(parser: argparse.ArgumentParser, words: Sequence[str]) -> dict[str, Any]:
    """The settings that a command line of train.py states."""
    actions = parser._option_string_actions
    named = [actions[name].dest for word in words if (name := word.partition("=")[0]) in actions]
    settings = RunFolder.plain(vars(parser.parse_args(words)))
    return {name: _comparable(settings[name]) for name in named if name in settings}


def _comparable(value: Any) -> Any:
    return [str(each) for each in value] if isinstance(value, list) else value


def write_outcome(plan: Plan, outcome: Mapping[str, Any]) -> None:
    """Keep how a run ended, for other runners."""
    write_json(plan.notes / "outcome.json", outcome, REMEDY)


def read_outcome(plan: Plan) -> dict[str, Any]:
    """How a run ended the last time; empty if it never did."""
    try:
        content = json.loads((plan.notes / "outcome.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def error_of(output: Path) -> str:
    """The last error that a run has printed into ``output``, or its last line; empty if there is none."""
    try:
        lines = output.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (errors or [line for line in lines if line.strip()] or [""])[-1]
