"""Libraries that only some flags need."""

from __future__ import annotations

import importlib
from types import ModuleType

from utils.errors import UserError
from utils.machine import reason


class MissingLibrary(UserError):
    """A library that a flag needs is not installed, or cannot be loaded."""


def optional_library(name: str, flag: str) -> ModuleType:
    """The module ``name`` of a library that ``flag`` needs; raises :class:`MissingLibrary`."""
    library = name.partition(".")[0]
    try:
        return importlib.import_module(name)
    except Exception as error:  # A library that does not fit its own dependencies may raise anything.
        if isinstance(error, ModuleNotFoundError) and error.name == library:
            raise MissingLibrary(f"{flag}: needs the library {library}; pip install {library}") from None
        raise MissingLibrary(
            f"{flag}: the library {library} is installed but cannot be loaded ({type(error).__name__}: "
            f"{reason(error)}); pip install --force-reinstall {library}, or do without the flag"
        ) from error
