"""A command line with many flags: its help starts with what people use, and ``--config`` reads files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from utils.declare import Flag, facts
from utils.errors import Parser, UserError
from utils.flags.config_file import with_files

CONFIG = """A file for --config has flags without dashes as keys, and tables only to group them:

  lr = 0.02
  wt_layer = [0, 0, 2, 2, 2, 0, 0]
  no_pretrained = true

It may also be the args.json of a run, without"""


class FlagParser(Parser):
    """A command line that also takes flags from files.

    ``topics``: NAME -> what ``--help NAME`` says. ``training``: makes the command line of train.py, for a
    program that takes its flags without effect.
    """

    def __init__(
        self,
        description: str | None = None,
        topics: Mapping[str, Callable[[FlagParser], str]] | None = None,
        training: Callable[[], argparse.ArgumentParser] | None = None,
        **keywords: Any,
    ) -> None:
        # Other programs than train.py share some of its flags, but not their defaults with the toy city.
        formatter = partial(_Formatter, toy=training is None)
        super().__init__(description=description, formatter_class=formatter, add_help=False, **keywords)
        self.topics, self.training = topics or {}, training
        keywords = {"nargs": "?", "metavar": "METHOD"} if topics else {"nargs": 0}
        # Help is no setting: nothing of it is kept among the arguments.
        keywords |= {"dest": argparse.SUPPRESS, "default": argparse.SUPPRESS}
        of_method = f", or only those of a method ({', '.join(topics)})" if topics else ""
        Flag(self, "-h --help", argparse.SUPPRESS, action=_Help, everyday=True, **keywords).means(
            f"Show all flags{of_method}."
        )
        Flag(self, "--config", str, metavar="FILE", once=True, everyday=True).means(
            "Read flags from FILE; the command line wins."
        )

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def, override]
        """As argparse's, with the flags of the files that ``--config`` names."""
        words = list(sys.argv[1:] if args is None else args)
        if not {"-h", "--help"}.intersection(words):
            words = with_files(self, self.training and self.training(), words)
        return super().parse_known_args(words, namespace)

    def format_help(self) -> str:
        """First the flags that people use most, then the groups of all others."""
        groups = {"most used": [action for action in self._actions if facts(action).everyday]}
        for group in self._action_groups:
            groups[str(group.title)] = [each for each in group._group_actions if not facts(each).everyday]
        once = [action.option_strings[-1] for action in self._actions if facts(action).once]
        without_effect = "\nKeys that only train.py has are without effect here." if self.training else ""
        return self.text(self.description, groups, f"{CONFIG} {', '.join(once)}.{without_effect}")

    def text(
        self, text: str | None, groups: Mapping[str, Sequence[argparse.Action]], notes: str | None
    ) -> str:
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


class _Help(argparse.Action):
    """``--help`` of everything, or of a topic."""

    def __call__(  # type: ignore[override]
        self, parser: FlagParser, namespace: argparse.Namespace, name: str | None, option: str | None = None
    ) -> None:
        if not name or name == "all":
            parser.print_help()
        elif name in parser.topics:
            print(parser.topics[name](parser), end="")
        else:
            raise UserError(f"{option} {name}: unknown; known are {', '.join(['all', *parser.topics])}")
        parser.exit()


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Short flags, and their defaults, also those with the ``toy`` city."""

    def __init__(self, prog: str, toy: bool) -> None:
        super().__init__(prog, max_help_position=28)
        self._toy = toy

    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:
        if action.nargs in (None, 0, "?") or isinstance(action.metavar, tuple):
            return super()._format_args(action, default_metavar)
        return f"{self._metavar_formatter(action, default_metavar)(1)[0]} ..."

    def _get_help_string(self, action: argparse.Action) -> str:
        defaults = {} if action.nargs == 0 else {"default": action.default}
        if self._toy:
            defaults["toy city"] = facts(action).toy
        unsaid = (None, [], "", argparse.SUPPRESS)
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
