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
from utils.scoring.reliability import ReliabilityScores


@dataclass(frozen=True)
class DomainScore:
    """What one network scored on one domain.

    ``subset_miou`` is number of classes -> mean over the smaller class set with this number, as the field
    reports for some domains (SYNTHIA: 16 and 13). ``groups`` are the scores of the groups of its
    pictures, such as ACDC's weathers. The score itself is that of all pictures together. ``reliability`` is
    there if it was measured. ``corruptions`` is corruption -> severity -> mIoU of the same pictures
    corrupted, if they were scored like that, too.
    """

    scores: ClassScores
    pictures: int
    subset_miou: Mapping[int, float] = field(default_factory=dict)
    groups: Mapping[str, DomainScore] = field(default_factory=dict)
    reliability: ReliabilityScores | None = None
    corruptions: Mapping[str, Mapping[int, float]] = field(default_factory=dict)

    @property
    def miou(self) -> float:
        """Mean IoU over the domain's scored classes that are present, in [0, 1]."""
        return self.scores.miou

    @property
    def mean_of_groups(self) -> float:
        """The mean of the groups' mean IoUs, in [0, 1]; it is not that of all pictures together."""
        return mean_present(np.array([group.miou for group in self.groups.values()]))

    @property
    def means_of_corruptions(self) -> dict[str, float]:
        """Corruption -> the mean of the mIoUs at its severities, in [0, 1]."""
        each = self.corruptions.items()
        return {name: mean_present(np.array(list(mious.values()))) for name, mious in each}

    @property
    def mean_of_corruptions(self) -> float:
        """The mean of :attr:`means_of_corruptions` (Hendrycks and Dietterich, ICLR 2019), in [0, 1]."""
        return mean_present(np.array(list(self.means_of_corruptions.values())))


def subset_means(scores: ClassScores, subsets: Mapping[int, Sequence[int]]) -> dict[int, float]:
    """Mean IoU over each of ``subsets`` (number of classes -> class ids)."""
    return {count: mean_present(scores.iou[list(classes)]) for count, classes in subsets.items()}


def percent(value: float) -> str:
    """``0.41234`` -> ``41.23``; absent (NaN) -> ``-``."""
    return "-" if math.isnan(value) else f"{100 * value:.2f}"


def text_table(rows: Sequence[Sequence[str]]) -> str:
    """The rows, of which the first is the header, as aligned text: first column left, others right."""
    first, *others = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rules = ["-" * width for width in (first, *others)]

    def line(row: Sequence[str]) -> str:
        right = [cell.rjust(width) for cell, width in zip(row[1:], others, strict=True)]
        return "  ".join([row[0].ljust(first), *right]).rstrip()

    return "\n".join(map(line, [rows[0], rules, *rows[1:]]))


def class_table(score: DomainScore, names: Sequence[str]) -> str:
    """Per-class IoU, precision and recall of one domain, in percent."""
    columns = {name: getattr(score.scores, name.lower()) for name in ("IoU", "precision", "recall")}
    rows = [["class", *columns]]
    rows += [[name, *map(percent, values)] for name, *values in zip(names, *columns.values(), strict=True)]
    return text_table([*rows, ["mean", *map(percent, map(mean_present, columns.values()))]])


TOGETHER = " (all together)"
"""The end of the name of the row of all pictures, where groups of them have rows of their own."""

COLUMNS: dict[str, Callable[[DomainScore], str]] = {
    "mIoU": lambda score: percent(score.miou),
    "pixel accuracy": lambda score: percent(score.scores.pixel_accuracy),
    "pictures": lambda score: str(score.pictures),
}
"""What :func:`domain_table` shows of a domain."""


def domain_table(domains: Mapping[str, DomainScore], weights: Mapping[str, str] | None = None) -> str:
    """One row per domain: mIoU (and the means over smaller class sets), pixel accuracy, pictures.

    A domain whose pictures have groups also has a row per group, and one of the groups' mean.
    ``weights`` (domain -> the weights that were scored), if given, becomes the last column.
    """
    rows = [["domain", *COLUMNS]]
    blank = [""] * (len(COLUMNS) - 1)
    for name, score in domains.items():
        rows += [[f"{name} ({group})", *_cells(of_group)] for group, of_group in score.groups.items()]
        if score.groups:
            rows.append([f"{name} (mean of conditions)", percent(score.mean_of_groups), *blank])
        rows.append([name + TOGETHER * bool(score.groups), *_cells(score)])
        rows += [[f"{name} ({n} classes)", percent(m), *blank] for n, m in score.subset_miou.items()]
    if weights:
        rows = [[*row, weights.get(row[0].removesuffix(TOGETHER), "")] for row in rows]
        rows[0][-1] = "weights"
    return text_table(rows)


def _cells(score: DomainScore) -> list[str]:
    return [column(score) for column in COLUMNS.values()]


def corruption_table(score: DomainScore) -> str:
    """mIoU in percent: one row per corruption, one column per severity and one for their mean.

    The last rows are the means over the corruptions, and the score of the pictures as they are.
    """
    severities = next(iter(score.corruptions.values()))
    rows = [["corruption", *map(str, severities), "mean"]]
    for name, mious in score.corruptions.items():
        rows.append([name, *map(percent, [*mious.values(), score.means_of_corruptions[name]])])
    columns = np.array([list(mious.values()) for mious in score.corruptions.values()]).T
    means = [*map(mean_present, columns), score.mean_of_corruptions]
    rows.append([f"mean of {len(score.corruptions)}", *map(percent, means)])
    return text_table([*rows, ["clean", *[""] * len(severities), percent(score.miou)]])


def _corruption_results(score: DomainScore) -> dict[str, Any]:
    """Corruption -> severity or "mean" -> mIoU, and "mean" -> the mean over the corruptions."""
    content: dict[str, Any] = {}
    for name, mious in score.corruptions.items():
        content[name] = {str(severity): _json_number(miou) for severity, miou in mious.items()}
        content[name]["mean"] = _json_number(score.means_of_corruptions[name])
    return {**content, "mean": _json_number(score.mean_of_corruptions)}


def _json_number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _json_tree(content: Any) -> Any:
    """``content`` of dicts and lists with its NaNs as None."""
    if isinstance(content, dict):
        return {name: _json_tree(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_json_tree(value) for value in content]
    return _json_number(content) if isinstance(content, float) else content


def results(
    domains: Mapping[str, DomainScore], names: Sequence[str], protocol: str, checkpoint: str, **extra: Any
) -> dict[str, Any]:
    """The content of ``results.json``: fractions in [0, 1], null where a class is absent."""

    def per_class(values: np.ndarray) -> dict[str, float | None]:
        return {name: _json_number(value) for name, value in zip(names, values, strict=True)}

    def content(score: DomainScore) -> dict[str, Any]:
        groups = {name: content(group) for name, group in score.groups.items()}
        further = {"conditions": groups, "mean_of_conditions": _json_number(score.mean_of_groups)}
        return {
            "miou": _json_number(score.miou),
            **{f"miou{n}": _json_number(m) for n, m in score.subset_miou.items()},
            "iou": per_class(score.scores.iou),
            "precision": per_class(score.scores.precision),
            "recall": per_class(score.scores.recall),
            "pixel_accuracy": _json_number(score.scores.pixel_accuracy),
            "images": score.pictures,
            **(further if groups else {}),
            **({"reliability": _json_tree(score.reliability.content(names))} if score.reliability else {}),
            **({"corruptions": _corruption_results(score)} if score.corruptions else {}),
        }

    return {
        "protocol": protocol,
        "checkpoint": checkpoint,
        "commit": git_commit(),
        **extra,
        "domains": {name: content(score) for name, score in domains.items()},
    }


@functools.cache
def git_commit() -> str:
    """The code's git commit when this was first called, with ``+changes`` if the work tree differs, or
    ``unknown`` outside a checkout.
    """

    def git(*words: str) -> str:
        folder = Path(__file__).resolve().parent
        return subprocess.check_output(
            ["git", *words], cwd=folder, stderr=subprocess.DEVNULL, encoding="utf-8"
        ).strip()

    try:
        changes = "+changes" if git("status", "--porcelain", "-uno") else ""
        return git("rev-parse", "--short=12", "HEAD") + changes
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
