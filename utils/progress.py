"""What the main process shows: lines, and a progress bar that is silent where it would go to a log file."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm

from utils.distributed import is_main


def print_notices(*lines: str) -> None:
    """Print each of ``lines``, in the main process only."""
    if is_main():
        for line in lines:
            print(line, flush=True)


class progress_bar(tqdm):
    """``tqdm`` that is shown only on a terminal, and only by the main process of a run."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"disable": None if is_main() else True, "dynamic_ncols": True, **kwargs})
