"""Scores of a checkpoint on several domains: tables for people, ``results.json`` for programs."""

from __future__ import annotations

import functools
import math
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from utils.scoring.metrics import ClassScores, mean_present


@dataclass(frozen=True)
class DomainScore:
    """What one network scored on one domain.

    ``subset_miou`` is number of classes -> mean over the smaller class set with this number. The field
    reports such means for some domains (SYNTHIA: 16 and 13).
    """

    scores: ClassScores
    pictures: int
    subset_miou: Mapping[int, float] = field(default_factory=dict)

    @property
    def miou(self) -> float:
        """Mean IoU over the domain's scored classes that are present, in [0, 1]."""
        return self.scores.miou


def subset_means(scores: ClassScores, subsets: Mapping[int, Sequence[int]]) -> dict[int, float]:
    """Mean IoU over each of ``subsets`` (number of classes -> class ids)."""
    return {count: mean_present(scores.iou[list(classes)]) for count, classes in subsets.items()}


def percent(value: float) -> str:
    """``0.41234`` -> ``41.23``; absent (NaN) -> ``-``."""
    return "-" if math.isnan(value) else f"{100 * value:.2f}"


def text_table(rows: Sequence[Sequence[str]]) -> str:
    """The rows, of which the first is the header, as aligned text: first column left, others right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.ljust(w) if i == 0 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    header, *body = rows
    return "\n".join([line(header), "  ".join("-" * w for w in widths), *map(line, body)])


def class_table(score: DomainScore, names: Sequence[str]) -> str:
    """Per-class IoU, precision and recall of one domain, in percent."""
    s = score.scores
    rows = [["class", "IoU", "precision", "recall"]]
    rows += [[name, *map(percent, (s.iou[i], s.precision[i], s.recall[i]))] for i, name in enumerate(names)]
    rows.append(
        ["mean", percent(score.miou), percent(mean_present(s.precision)), percent(mean_present(s.recall))]
    )
    return text_table(rows)


COLUMNS: dict[str, Callable[[DomainScore], str]] = {
    "mIoU": lambda score: percent(score.miou),
    "pixel accuracy": lambda score: percent(score.scores.pixel_accuracy),
    "pictures": lambda score: str(score.pictures),
}
"""What :func:`domain_table` shows of a domain."""


def domain_table(domains: Mapping[str, DomainScore], weights: Mapping[str, str] | None = None) -> str:
    """One row per domain: mIoU (and the means over smaller class sets), pixel accuracy, pictures.

    ``weights`` (domain -> the weights that were scored), if given, becomes the last column.
    """
    rows = [["domain", *COLUMNS]]
    for name, score in domains.items():
        rows.append([name, *(column(score) for column in COLUMNS.values())])
        blank = [""] * (len(COLUMNS) - 1)
        rows += [[f"{name} ({n} classes)", percent(m), *blank] for n, m in score.subset_miou.items()]
    if weights:
        rows = [[*row, weights.get(row[0], "")] for row in rows]
        rows[0][-1] = "weights"
    return text_table(rows)


def _json_number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _per_class(values: np.ndarray, names: Sequence[str]) -> dict[str, float | None]:
    return {name: _json_number(value) for name, value in zip(names, values, strict=True)}


def results(
    domains: Mapping[str, DomainScore], names: Sequence[str], protocol: str, checkpoint: str, **extra: Any
) -> dict[str, Any]:
    """The content of ``results.json``: fractions in [0, 1], null where a class is absent."""
    return {
        "protocol": protocol,
        "checkpoint": checkpoint,
        "commit": commit(),
        **extra,
        "domains": {
            name: {
                "miou": _json_number(score.miou),
                **{f"miou{n}": _json_number(m) for n, m in score.subset_miou.items()},
                "iou": _per_class(score.scores.iou, names),
                "precision": _per_class(score.scores.precision, names),
                "recall": _per_class(score.scores.recall, names),
                "pixel_accuracy": _json_number(score.scores.pixel_accuracy),
                "images": score.pictures,
            }
            for name, score in domains.items()
        },
    }


@functools.cache
def commit() -> str:
    """The code's git commit when this was first called, with ``+changes`` if the work tree differs.

    It is ``unknown`` outside a checkout.
    """
    folder = Path(__file__).resolve().parent

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=folder, capture_output=True, encoding="utf-8", check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + (
            "+changes" if git("status", "--porcelain", "-uno") else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
