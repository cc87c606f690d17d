"""Which runs a file of experiments means, and the command line of each.

    [flags]              # of every run: flags of train.py without dashes
    [matrix]             # flag = the values that it takes; every combination is a run
    seed = [304, 305, 306]
    [runs.isw]           # one row of the table: its own flags
    wt_layer = [0, 0, 2, 2, 2, 0, 0]

docs/experiments.md describes all keys.
"""

from __future__ import annotations

import argparse
import itertools
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import config
from utils.errors import UserError, closest
from utils.files import read_toml
from utils.flags.parser import words_of

SECTIONS = {"about": str, "processes": int, "flags": dict, "matrix": dict, "runs": dict}
"""The keys of a file, and their types."""
OF_ROW = {"script": str, "folder": str, "processes": int}
"""The keys of a row that are no flags."""
SET_BY_RUNNER = ("ckpt", "date", "exp", "tb_path", "resume", "overwrite", "test_mode", "restore_optimizer")
NAME = re.compile(r"[\w+-][\w.+-]*")
KINDS = {str: "a text", int: "a whole number", dict: "a table"}
# A word such as @source/last.pth: a file of another row's run.
OTHER_RUN = re.compile(r"@([\w.+-]+)/(.+)")
NOTES = ".runner"
PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Plan:
    """One run.

    Attributes:
        name: of the run, unique in its file: the row, and the values of the matrix.
        row: the name of its row.
        folder: where train.py puts the run.
        notes: the folder of what the runner keeps of it: its lock, what it printed, how it ended.
        program: train.py, or a script of ``scripts/`` with its own arguments.
        words: the flags of the run.
        processes: how many it was declared with.
        divides: its script itself divides its batches among the processes that there are.
        needs: names of the runs of which it uses files.
    """

    name: str
    row: str
    folder: Path
    notes: Path
    program: tuple[str, ...]
    words: tuple[str, ...]
    processes: int = 1
    divides: bool = False
    needs: tuple[str, ...] = ()

    def command(self, processes: int) -> list[str]:
        """The words that start it, beginning with a file of ``scripts/``; with fewer processes than declared
        it accumulates gradients, so that a step has as many pictures.
        """
        started = ["launch.sh", "train.py"] if self.program[0] == "train.py" else [*self.program]
        words = [*started, *self.words]
        if self.divides or processes == self.processes:
            return words
        if self.processes % processes:
            raise UserError(
                f"--gpus_per_run {processes}: does not divide the {self.processes} processes of {self.name}; "
                "give one of their divisors"
            )
        (given,) = [word for word in words if word.startswith("--accumulate=")][-1:] or ["=1"]
        factor = int(given.partition("=")[2]) * self.processes // processes
        return [*words, "--accumulate", str(factor)]


@dataclass
class Experiment:
    """The content of one file.

    ``rows`` is name -> settings, ``axes`` flag -> the values of the matrix, ``naming`` the flags of the
    matrix, whose values are in the names of the runs. Settings are flag -> value.
    """

    file: Path
    about: str = ""
    processes: int = 1
    flags: dict[str, Any] = field(default_factory=dict)
    axes: dict[str, list[Any]] = field(default_factory=dict)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    naming: tuple[str, ...] = ()

    def restrict(self, only: Sequence[str] | None, seeds: Sequence[int] | None) -> None:
        """Keep the rows of these names, and those that they start from; use these seeds."""
        for name in only or ():
            if name not in self.rows:
                known = f"{closest(name, self.rows)}; rows are {', '.join(self.rows)}"
                raise UserError(f"--only {name}: {self.file} has no such row{known}")
        if seeds:
            self.axes["seed"] = list(seeds)
        if only:
            wanted = list(only)
            for name in wanted:  # It grows meanwhile.
                wanted += [needed for needed in needed_rows(self.rows[name]) if needed not in wanted]
            self.rows = {name: row for name, row in self.rows.items() if name in wanted}

    def plans(self, ckpt: Path, date: str, further: Sequence[str] = ()) -> list[Plan]:
        """All runs, in folders below ``ckpt``/``date``. ``further`` words are added to each command line.

        Raises a UserError that names this file and the key, or the flag of ``further``, that is wrong.
        """
        parser = config.training_parser()
        parser.prog = "train.py"
        self._check_further(parser, further)
        plans: dict[str, Plan] = {}
        combinations = [
            dict(zip(self.axes, each, strict=True)) for each in itertools.product(*self.axes.values())
        ]
        for row, axis_values in itertools.product(self.rows, combinations):
            plan = self._plan(parser, row, axis_values, ckpt / date, further)
            if plan.name in plans:
                raise UserError(f"{self.file}: two runs are called {plan.name}; rename a row")
            plans[plan.name] = plan
        return ordered(plans, self.file)

    def _check_further(self, parser: argparse.ArgumentParser, further: Sequence[str]) -> None:
        for word in further:
            name = word.partition("=")[0].removeprefix("--")
            if word.startswith("--") and name in (*self.naming, *SET_BY_RUNNER):
                instead = "use --seeds" if name == "seed" else "change the file"
                raise UserError(f"--{name}: {self.file} says this for each run; {instead}")
        parser.parse_args(list(further))

    def _plan(
        self,
        parser: argparse.ArgumentParser,
        row: str,
        axis_values: Mapping[str, Any],
        parent: Path,
        further: Sequence[str],
    ) -> Plan:
        settings = {**self.flags, **self.rows[row], **axis_values}
        script, inner, processes = (settings.pop(key, None) for key in OF_ROW)
        suffix = "".join(f"-{in_name(flag, value)}" for flag, value in axis_values.items())
        name, place = f"{row}{suffix}", f"{self.file}: runs.{row}"
        words = words_of(settings, place, [parser])
        program = tuple(shlex.split(script)) if script else ("train.py",)
        if script and not (PROJECT / "scripts" / program[0]).is_file():
            raise UserError(f"{place}: script: scripts/{program[0]} does not exist; name a file of scripts/")
        needs = [match[1] for word in (*program, *words) if (match := _of_other(word))]
        for needed in needs:
            if needed not in self.rows or needed == row:
                raise UserError(
                    f"{place}: @{needed}: the file has no such other row{closest(needed, self.rows)}"
                )
        if inner:
            where, folder = ["--ckpt", str(parent / name)], parent / name / inner
        else:
            where = ["--ckpt", str(parent.parent), "--date", parent.name, "--exp", name]
            folder = parent / name

        def placed(word: str) -> str:
            """The word, with the path of another run's file if it names one."""
            match = _of_other(word)
            if match is None:
                return word
            other = self.rows[match[1]].get("folder", "")
            return f"{word[: match.start()]}{parent / (match[1] + suffix) / other / match[2]}"

        return Plan(
            name,
            row,
            folder,
            parent / NOTES / name,
            tuple(map(placed, program)),
            (*map(placed, words), *further, *where),
            processes or self.processes,
            divides=bool(inner),
            needs=tuple(dict.fromkeys(needed + suffix for needed in needs)),
        )


def _of_other(word: str) -> re.Match[str] | None:
    """What a word says of another row: @ROW/FILE, or --flag=@ROW/FILE."""
    return re.search(rf"(?:(?<==)|^){OTHER_RUN.pattern}$", word)


def needed_rows(row: Mapping[str, Any]) -> Iterator[str]:
    """The names of the rows whose files a row uses."""
    for value in row.values():
        for word in shlex.split(value) if isinstance(value, str) else ():
            if match := _of_other(word):
                yield match[1]


def in_name(flag: str, value: Any) -> str:
    """How the value of an axis shows in the name of a run: seed304, lr0.01, resnet50, no_gblur."""
    if isinstance(value, bool):
        return flag if value else f"no_{flag}"
    word = "+".join(map(str, value)) if isinstance(value, list) else str(value)
    word = re.sub(r"[^\w.+-]", "_", word)
    return word if re.match(r"[^\W\d]", word) else f"{flag}{word}"


def ordered(plans: Mapping[str, Plan], file: Path) -> list[Plan]:
    """The runs, those that others start from first; all rows with one seed before the next seed."""
    done: dict[str, Plan] = {}
    waiting = dict(sorted(plans.items(), key=lambda each: each[0].removeprefix(each[1].row)))
    while waiting:
        ready = {name: plan for name, plan in waiting.items() if done.keys() >= {*plan.needs}}
        if not ready:
            rows = ", ".join(dict.fromkeys(plan.row for plan in waiting.values()))
            raise UserError(f"{file}: the rows {rows} start from one another; let one of them start alone")
        done |= ready
        waiting = {name: plan for name, plan in waiting.items() if name not in ready}
    return list(done.values())


def read_experiment(file: Path) -> Experiment:
    """Read a file of experiments. Raises a UserError that names the file and the key that is wrong."""
    try:
        content = read_toml(file)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{file}: cannot be read ({reason}); name a TOML file, as in experiments/") from None
    for key, value in content.items():
        if key not in SECTIONS:
            known = f"{closest(key, SECTIONS)}; keys are {', '.join(SECTIONS)}"
            raise UserError(f"{file}: {key}: is unknown here{known}")
        _check_kind(value, SECTIONS[key], f"{file}: {key}")
    flags, axes, rows = (content.get(key, {}) for key in ("flags", "matrix", "runs"))
    for section, keys in {
        "flags": flags,
        "matrix": axes,
        **{f"runs.{name}": row for name, row in rows.items()},
    }.items():
        for key in SET_BY_RUNNER if isinstance(keys, dict) else ():
            if key in keys:
                raise UserError(f"{file}: {section}.{key}: is set for each run by the program; drop it")
    for flag, values in axes.items():
        if not isinstance(values, list) or not values:
            raise UserError(f"{file}: matrix.{flag}: give a list of values, one for each run")
        if repeated := [value for value in values if values.count(value) > 1]:
            raise UserError(f"{file}: matrix.{flag}: has {repeated[0]} twice; drop one of them")
    for name, row in rows.items():
        _check_row(name, row, axes, file)
    if not rows and not axes:
        raise UserError(f"{file}: names no run; add [runs.NAME], or [matrix] with flags and their values")
    about, processes = content.get("about", ""), content.get("processes", 1)
    experiment = Experiment(file, about, processes, flags, axes, rows, tuple(axes))
    return experiment if rows else _rows_of_first_axis(experiment)


def _check_row(name: str, row: Any, axes: Mapping[str, Any], file: Path) -> None:
    place = f"{file}: runs.{name}"
    _check_kind(row, dict, place)
    if not NAME.fullmatch(name):
        raise UserError(f"{place}: is also the name of a folder; use letters, digits, - + . and _")
    for key, kind in OF_ROW.items():
        if key in row:
            _check_kind(row[key], kind, f"{place}.{key}")
    for key in row.keys() & axes.keys():
        raise UserError(f"{place}.{key}: is in matrix, too; give it in one of the two")


def _rows_of_first_axis(experiment: Experiment) -> Experiment:
    """Without rows in the file: a row for each value of the first flag of the matrix."""
    flag, *others = experiment.axes
    rows = {in_name(flag, value): {flag: value} for value in experiment.axes[flag]}
    return replace(experiment, rows=rows, axes={name: experiment.axes[name] for name in others})


def _check_kind(value: Any, kind: type, place: str) -> None:
    wrong_number = kind is int and (isinstance(value, bool) or (isinstance(value, int) and value < 1))
    if not isinstance(value, kind) or wrong_number:
        raise UserError(f"{place}: must be {KINDS[kind]}{' of at least 1' if kind is int else ''}")
