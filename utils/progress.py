"""The progress bar: on a terminal, on one process; elsewhere silent, so that logs hold lines and not bars."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm

from utils.distributed import is_main


class progress_bar(tqdm):
    """``tqdm`` that shows itself only on a terminal and only on the main process of a run."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"disable": None if is_main() else True, "dynamic_ncols": True, **kwargs})
