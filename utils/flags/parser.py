"""A command line with many flags: its help starts with the most used, and ``--config`` reads some from files.

Such a file is a TOML file whose keys are flags without dashes, or the ``args.json`` of a run.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from argparse import SUPPRESS, Action, ArgumentParser, Namespace
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from utils.declare import Flag, check_ranges, facts
from utils.errors import Parser, UserError, closest
from utils.files import read_toml

# Only the command line may give these.
COMMAND_LINE_ONLY = {"config", "debug", SUPPRESS}
CONFIG = """A file for --config has flags without dashes as keys, and tables only to group them:

  lr = 0.02
  wt_layer = [0, 0, 2, 2, 2, 0, 0]
  no_pretrained = true

It may also be the args.json of a run, without"""


class FlagParser(Parser):
    """A command line that also takes flags from files.

    ``topics``: NAME -> what ``--help NAME`` says. ``training``: makes the parser of train.py, for a program
    that accepts train.py's flags without effect.
    """

    def __init__(
        self,
        description: str | None = None,
        topics: Mapping[str, Callable[[FlagParser], str]] | None = None,
        training: Callable[[], ArgumentParser] | None = None,
        **keywords: Any,
    ) -> None:
        # Other programs than train.py share some of its flags, but not their defaults with the toy city.
        formatter = partial(_Formatter, toy=training is None)
        super().__init__(description=description, formatter_class=formatter, add_help=False, **keywords)
        self.topics, self.training = topics or {}, training
        of_help = {"nargs": "?", "metavar": "METHOD"} if topics else {"nargs": 0}
        # Help is no setting: nothing of it is kept among the arguments.
        of_help |= {"dest": SUPPRESS, "default": SUPPRESS}
        of_method = f", or only those of a method ({', '.join(topics)})" if topics else ""
        Flag(self, "-h --help", SUPPRESS, action=_Help, everyday=True, **of_help).means(
            f"Show all flags{of_method}."
        )
        Flag(self, "--config", str, metavar="FILE", once=True, everyday=True).means(
            "Read flags from FILE; the command line wins."
        )

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def, override]
        """As argparse's, with the flags of the files that ``--config`` names."""
        words = list(sys.argv[1:] if args is None else args)
        if not {"-h", "--help"}.intersection(words):
            words = _with_files(self, self.training and self.training(), words)
        return super().parse_known_args(words, namespace)

    def format_help(self) -> str:
        """First the flags that people use most, then the groups of all others."""
        groups = {"most used": [action for action in self._actions if facts(action).everyday]}
        for group in self._action_groups:
            groups[str(group.title)] = [each for each in group._group_actions if not facts(each).everyday]
        once = [action.option_strings[-1] for action in self._actions if facts(action).once]
        without_effect = "\nKeys that only train.py has are without effect here." if self.training else ""
        return self.text(self.description, groups, f"{CONFIG} {', '.join(once)}.{without_effect}")

    def text(self, text: str | None, groups: Mapping[str, Sequence[Action]], notes: str | None) -> str:
        """Groups of flags by title, between two texts."""
        formatter = self._get_formatter()
        formatter.add_usage("%(prog)s [FLAG ...]", [], [])
        formatter.add_text(text)
        for title, actions in groups.items():
            formatter.start_section(title)
            formatter.add_arguments(actions)
            formatter.end_section()
        formatter.add_text(notes)
        return formatter.format_help()


class _Help(Action):
    """``--help`` of everything, or of a topic."""

    def __call__(  # type: ignore[override]
        self, parser: FlagParser, namespace: Namespace, name: str | None, option: str | None = None
    ) -> None:
        if not name or name == "all":
            parser.print_help()
        elif name in parser.topics:
            print(parser.topics[name](parser), end="")
        else:
            raise UserError(f"{option} {name}: unknown; known are {', '.join(['all', *parser.topics])}")
        parser.exit()


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Shows a list of values as "X ...", and the default after the help, with ``toy`` the toy city's too."""

    def __init__(self, prog: str, toy: bool) -> None:
        super().__init__(prog, max_help_position=28)
        self._toy = toy

    def _format_args(self, action: Action, default_metavar: str) -> str:
        if action.nargs in (None, 0, "?") or isinstance(action.metavar, tuple):
            return super()._format_args(action, default_metavar)
        return f"{self._metavar_formatter(action, default_metavar)(1)[0]} ..."

    def _get_help_string(self, action: Action) -> str:
        defaults = {} if action.nargs == 0 else {"default": action.default}
        if self._toy:
            defaults["toy city"] = facts(action).toy
        unsaid = (None, [], "", SUPPRESS)
        shown = [f"{name} {in_words(value)}" for name, value in defaults.items() if value not in unsaid]
        words = ", ".join(["required"] * action.required + shown)
        return f"{action.help} ({words})" if words else str(action.help)


def in_words(value: Any) -> str:
    """A flag's value as it is typed; a switch is on or off."""
    if isinstance(value, (list, tuple)):
        return " ".join(map(in_words, value))
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _with_files(parser: ArgumentParser, training: ArgumentParser | None, words: Sequence[str]) -> list[str]:
    """The words of a command line. The flags of its ``--config`` files come before them, so the words win.

    Flags that only ``training`` knows stay among the words; those of an ``args.json`` only if they differ
    from their default. Raises a UserError if a file is broken, or has a key or a value that no flag takes.
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


def _words_of(file: str, parsers: Sequence[ArgumentParser], replaced: set[str]) -> list[str]:
    """The words that a file stands for, without the flags that are ``replaced``."""
    return words_of(_read(file), file, parsers, Path(file).suffix == ".json", replaced)


def words_of(
    settings: Mapping[str, Any],
    place: str,
    parsers: Sequence[ArgumentParser],
    of_run: bool = False,
    replaced: Collection[str] = (),
) -> list[str]:
    """The words of a command line for ``settings``, flag without dashes -> value.

    A flag belongs to the first of ``parsers`` that has it. ``of_run``: the settings are those of an
    ``args.json``. Flags that are ``replaced`` are left out. Raises a UserError that begins with ``place`` if
    a key is no flag or its flag does not take the value.
    """
    words: list[str] = []
    program = parsers[0].prog
    for key, value in settings.items():
        # The digests that a run added to its settings are no flags.
        if of_run and (value is None or key.endswith("_content")):
            continue
        found = [(parser, action) for parser in parsers if (action := _named(parser, key, of_run))]
        if not found:
            known = [word.removeprefix("--") for word in parsers[-1]._option_string_actions]
            raise UserError(
                f"{place}: {key}: is no flag that a file can set{closest(key, known)}; see {program} --help"
            )
        parser, action = found[0]
        unread = facts(action).once or (parser is not parsers[0] and value == action.default)
        if action.dest in replaced or (of_run and unread):
            continue
        try:
            # The flag is parsed on its own, so that an error in its value can name the file.
            new = _as_words(parser, action, key, value, of_run)
            alone = Parser(prog=program, add_help=False)
            alone._add_action(copy.copy(action))
            check_ranges(alone, alone.parse_known_args(new)[0])
        except UserError as error:
            raise UserError(f"{place}: {error}") from None
        words += new
    return words


def _read(file: str) -> dict[str, Any]:
    """Key -> value; tables of a TOML file only group the keys."""
    expected = "name a TOML file, or the args.json of a run"
    try:
        if Path(file).suffix == ".json":
            content = json.loads(Path(file).read_text(encoding="utf-8"))
        else:
            content = _flat(read_toml(Path(file)))
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


def _named(parser: ArgumentParser, key: str, of_run: bool) -> Action | None:
    """The flag that a key names; in an ``args.json`` keys are names of settings (``train_snr``)."""
    named = [action for action in parser._actions if f"--{key}" in action.option_strings]
    named += [action for action in parser._actions if of_run and action.dest == key]
    return next((action for action in named if of_run or action.dest not in COMMAND_LINE_ONLY), None)


def _as_words(parser: ArgumentParser, action: Action, key: str, value: Any, of_run: bool) -> list[str]:
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


def _switched(parser: ArgumentParser, action: Action, key: str, value: Any) -> list[str]:
    """The word that turns a switch on or off; none if no word does, because the value is the default."""
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
