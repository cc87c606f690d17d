"""Flags from a file: a TOML file whose keys are flags without dashes, or the ``args.json`` of a run."""

from __future__ import annotations

import argparse
import copy
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from utils.declare import check_ranges, facts
from utils.errors import Parser, UserError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Only the command line may give these.
COMMAND_LINE_ONLY = {"config", "debug", argparse.SUPPRESS}


def with_files(
    parser: argparse.ArgumentParser, training: argparse.ArgumentParser | None, words: Sequence[str]
) -> list[str]:
    """The words of a command line, with the flags of the ``--config`` files put before them.

    A later word wins over an earlier one. Flags that only ``training`` knows stay among the words; those of
    an ``args.json`` only if they differ from their default. Raises a UserError if a file is broken, or has a
    key or a value that no flag takes.
    """
    scan = Parser(prog=parser.prog, add_help=False, allow_abbrev=False)
    scan.add_argument("--config", action="append", default=[])
    given = {word.partition("=")[0] for word in words}
    typed = [action for action in parser._actions if given.intersection(action.option_strings)]
    replaced = {name for action in typed for name in facts(action).replaces}
    from_files: list[str] = []
    for file in scan.parse_known_args(words)[0].config:
        # --config at the end, so that no stray word becomes a value of the last flag.
        from_files += [*_words_of(file, [parser, training or parser], replaced), "--config", file]
    return [*from_files, *words]


def _words_of(file: str, parsers: Sequence[argparse.ArgumentParser], replaced: set[str]) -> list[str]:
    """The words that a file stands for, without the flags that are ``replaced``."""
    of_run, words, program = Path(file).suffix == ".json", [], parsers[0].prog
    for key, value in _read(file).items():
        # The digests that a run added to its settings are no flags.
        if of_run and (value is None or key.endswith("_content")):
            continue
        found = [(parser, action) for parser in parsers if (action := _named(parser, key, of_run))]
        if not found:
            raise UserError(f"{file}: {key}: is no flag that a file can set; see {program} --help")
        parser, action = found[0]
        unread = facts(action).once or (parser is not parsers[0] and value == action.default)
        if action.dest in replaced or (of_run and unread):
            continue
        try:
            new = _as_words(parser, action, key, value, of_run)
            alone = Parser(prog=program, add_help=False)
            alone._add_action(copy.copy(action))
            check_ranges(alone, alone.parse_known_args(new)[0])
        except UserError as error:
            raise UserError(f"{file}: {error}") from None
        words += new
    return words


def _read(file: str) -> dict[str, Any]:
    """Key -> value; tables of a TOML file only group the keys."""
    expected = "name a TOML file, or the args.json of a run"
    try:
        text = Path(file).read_text(encoding="utf-8")
        content = json.loads(text) if Path(file).suffix == ".json" else _flat(tomllib.loads(text))
    except (OSError, ValueError) as error:
        raise UserError(f"--config {file}: cannot be read ({error}); {expected}") from None
    if not isinstance(content, dict):
        raise UserError(f"--config {file}: holds no flags; {expected}")
    return content


def _flat(content: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        inner = _flat(value) if isinstance(value, dict) else {key: value}
        if twice := flat.keys() & inner.keys():
            raise ValueError(f"{min(twice)} is there twice")
        flat |= inner
    return flat


def _named(parser: argparse.ArgumentParser, key: str, of_run: bool) -> argparse.Action | None:
    """The flag that a key names; in an ``args.json`` keys are names of settings (``train_snr``)."""
    named = [action for action in parser._actions if f"--{key}" in action.option_strings]
    named += [action for action in parser._actions if of_run and action.dest == key]
    return next((action for action in named if of_run or action.dest not in COMMAND_LINE_ONLY), None)


def _as_words(
    parser: argparse.ArgumentParser, action: argparse.Action, key: str, value: Any, of_run: bool
) -> list[str]:
    """The words of a command line that give a flag this value."""
    name = f"--{key}" if f"--{key}" in action.option_strings else action.option_strings[0]
    if action.nargs == 0:
        return _switched(parser, action, key, value)
    if action.nargs == "?" and value is True:
        return [name]
    values = value if isinstance(value, list) else [value]
    if any(isinstance(each, (bool, list, dict)) for each in values):
        raise UserError(f"{key}: takes numbers or words, not {json.dumps(value, default=str)}")
    if action.nargs in (None, "?"):
        if isinstance(value, list):
            raise UserError(f"{key}: takes one value, not a list")
        return [f"{name}={value}"]
    # A flag with nargs="+" cannot be given an empty list, so [] was its default.
    if of_run and not values and action.nargs == "+":
        return []
    if of_run and isinstance(value, list):
        values = getattr(action, "as_words", list)(values)
    return [name, *map(str, values)]


def _switched(parser: argparse.ArgumentParser, action: argparse.Action, key: str, value: Any) -> list[str]:
    """The word that turns a switch on or off; none where only its default does."""
    if not isinstance(value, bool):
        raise UserError(f"{key}: is a switch; give true or false")
    named = f"--{key}" in action.option_strings
    if value and named:
        return [f"--{key}"]
    if isinstance(action, argparse.BooleanOptionalAction):
        on, off = action.option_strings[:2]
        return [off if f"--{key}" == on else on]
    # A switch that is off, or a setting of another name than its switch (--no_train_snr).
    wanted = not action.const if named else value
    switches = [each for each in parser._actions if each.dest == action.dest and each.const is wanted]
    return [switches[0].option_strings[0]] if switches else []
