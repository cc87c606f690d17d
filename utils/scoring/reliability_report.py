"""Reliability for people: a table, and a diagram of each domain."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

from utils.files import atomic_write
from utils.scoring.boundary import BoundaryScores
from utils.scoring.reliability import ConfidenceScores, ReliabilityScores
from utils.scoring.reliability_diagram import reliability_diagram
from utils.scoring.scores import TOGETHER, DomainScore, percent, text_table

COLUMNS: dict[str, Callable[[ConfidenceScores], str]] = {
    "ECE": lambda scores: percent(scores.ece),
    "AUROC": lambda scores: percent(scores.auroc),
    "FPR95": lambda scores: percent(scores.fpr95),
    "AUPR-error": lambda scores: percent(scores.aupr_error),
    "Brier": lambda scores: "-" if math.isnan(scores.brier) else f"{scores.brier:.4f}",
}
BOUNDARY_COLUMNS: dict[str, Callable[[BoundaryScores], str]] = {
    "boundary IoU": lambda scores: percent(scores.mean_iou),
    "boundary F": lambda scores: percent(scores.mean_f),
}


def reliability_table(domains: Mapping[str, DomainScore]) -> str:
    """One row per domain and group of its pictures, and one below with the temperature, if one was fitted.

    All but Brier's score is in percent.
    """
    rows = [["domain", *COLUMNS, *BOUNDARY_COLUMNS]]
    for name, score in domains.items():
        named = {f"{name} ({group})": of_group for group, of_group in score.groups.items()}
        named[name + TOGETHER * bool(named)] = score
        for title, each in named.items():
            rows += _rows(title, each.reliability) if each.reliability else []
    return text_table(rows)


def _rows(title: str, scores: ReliabilityScores) -> list[list[str]]:
    first, *calibrated = [[column(each) for column in COLUMNS.values()] for each in scores.confidences]
    boundary = [column(scores.boundary) for column in BOUNDARY_COLUMNS.values()]
    below = [[f"{title}, calibrated", *cells, *[""] * len(boundary)] for cells in calibrated]
    return [[title, *first, *boundary], *below]


def write_diagrams(output: Path, domains: Mapping[str, DomainScore], number: int | None = None) -> None:
    """Draw each domain's reliability beside ``output`` as ``<its stem>_<domain>_reliability.png``.

    With ``number``, that of a checkpoint among several, it is ``<its stem>_<number>_<domain>_...``. A domain
    whose reliability was not measured gets no picture. Raises a UserError if a file cannot be written.
    """
    stem = output.stem if number is None else f"{output.stem}_{number}"
    for name, score in domains.items():
        if score.reliability:
            path = output.with_name(f"{stem}_{name}_reliability.png")
            with atomic_write(path, "free space or choose another --output") as temporary:
                reliability_diagram(name, score.reliability.confidences).save(temporary)
