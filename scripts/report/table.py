"""The table of a report: rows of runs and of published scores, and its forms as text and for programs."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from scripts.report.runs import Group, Run
from scripts.report.statistics import Difference, Scores, Summary, clear_best, paired_difference, summary
from utils.errors import UserError, closest
from utils.scoring.published import Published, beside, read_published

MEAN_OF_UNSEEN = "mean of unseen"
BASELINES = ("baseline", "base", "source", "source_only")


@dataclass(frozen=True)
class Cell:
    """What a group scored in one column. ``is_best``: better than all others by more than the noise."""

    summary: Summary
    scores: Scores
    difference: Difference | None = None
    is_best: bool = False


@dataclass
class Table:
    """Columns are domains, and the mean of the unseen ones if all groups have the same.

    ``roles`` is domain -> ``source``, ``target`` or ``unseen``, as far as it is the same in all groups.
    ``published`` are the rows of the same kinds of runs as those of ``groups``.
    """

    groups: list[Group]
    columns: list[str]
    roles: dict[str, str]
    baseline: str | None
    cells: dict[tuple[str, str], Cell] = field(default_factory=dict)
    published: list[Published] = field(default_factory=list)

    def cell(self, group: str, column: str) -> Cell | None:
        return self.cells.get((group, column))


def make_table(groups: list[Group], baseline: str | None = None) -> Table:
    """The table of ``groups``; differences are to the group called ``baseline``, or to one that is called so.

    Raises a UserError if no group has the name that is given.
    """
    names = [group.name for group in groups]
    if baseline is not None and baseline not in names:
        known = f"{closest(baseline, names)}; rows are {', '.join(names)}"
        raise UserError(f"--baseline {baseline}: no row is called so{known}")
    baseline = baseline or next((name for name in names if name.lower() in BASELINES), None)
    groups = sorted(groups, key=lambda group: group.name != baseline)
    columns = list(dict.fromkeys(name for group in groups for run in group.runs for name in run.domains))
    roles = {name: role for name in columns if (role := _role(name, groups))}
    columns.sort(key=lambda name: ("source", "target", "unseen", None).index(roles.get(name)))
    table = Table(groups, columns, roles, baseline, published=_published(groups, columns))
    unseen = [name for name in columns if roles.get(name) == "unseen"]
    if len(unseen) > 1:
        table.columns.append(MEAN_OF_UNSEEN)
    for column in table.columns:
        _fill(table, column, unseen)
    return table


def _role(domain: str, groups: Sequence[Group]) -> str | None:
    """What a domain is to all runs; None if to some it is another thing."""
    found = {_role_in(domain, run) for group in groups for run in group.runs}
    return found.pop() if len(found) == 1 else None


def _role_in(domain: str, run: Run) -> str:
    if domain in run.sources:
        return "source"
    return "target" if domain in run.targets else "unseen"


def _fill(table: Table, column: str, unseen: Sequence[str]) -> None:
    """Make the cells of one column."""
    rows: dict[str, dict[int | None, float]] = {}
    for group in table.groups:
        scores = _means(group, unseen) if column == MEAN_OF_UNSEEN else group.by_seed(column)
        if scores:
            rows[group.name] = scores
    best = clear_best(rows)
    for name, scores in rows.items():
        difference = None
        if table.baseline in rows and name != table.baseline:
            difference = paired_difference(scores, rows[table.baseline])
        table.cells[name, column] = Cell(summary([*scores.values()]), scores, difference, name == best)


def _means(group: Group, domains: Sequence[str]) -> dict[int | None, float]:
    """Seed -> mean over ``domains``, of the runs that have them all."""
    whole = [run for run in group.runs if run.scores.keys() >= {*domains}]
    return {run.seed: sum(run.scores[name] for name in domains) / len(domains) for run in whole}


def _published(groups: Sequence[Group], columns: Sequence[str]) -> list[Published]:
    """The published rows beside the groups; none for the toy city, whose pictures only have those names."""
    rows, found = read_published(), []
    kinds = [group.runs[0].kind for group in groups if not group.runs[0].is_toy]
    for kind in kinds:
        found += [row for row in beside(kind, rows) if row not in found] if kind else []
    return [row for row in found if row.miou.keys() & {*columns}]


def number(value: float) -> str:
    """Two digits; a dash for NaN."""
    return "-" if math.isnan(value) else f"{value:.2f}"


def signed(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:+.2f}"


def in_words(cell: Cell) -> str:
    """Mean, deviation and number of seeds, as a cell of text."""
    of = cell.summary
    deviation = "" if math.isnan(of.deviation) else f" ± {number(of.deviation)}"
    words = f"{number(of.mean)}{deviation} ({of.count})"
    return f"**{words}**" if cell.is_best else words


def difference_in_words(difference: Difference | None) -> str:
    """The difference and its interval."""
    if difference is None:
        return "-"
    if math.isnan(difference.low):
        return f"{signed(difference.mean)} (one seed)"
    return f"{signed(difference.mean)} [{signed(difference.low)}, {signed(difference.high)}]"


def titles(table: Table) -> list[str]:
    """The columns with their roles."""
    return [f"{name} ({table.roles[name]})" if name in table.roles else name for name in table.columns]


def as_markdown(table: Table) -> str:
    """``table.md``: scores, differences to the baseline, published rows."""

    def block(rows: Sequence[Sequence[str]]) -> list[str]:
        lines = [f"| {' | '.join(row)} |" for row in rows]
        return [lines[0], "|---" * len(rows[0]) + "|", *lines[1:], ""]

    header = ["mIoU (%), mean ± standard deviation (seeds)", *titles(table)]
    rows = [header]
    for group in table.groups:
        cells = (table.cell(group.name, column) for column in table.columns)
        rows.append([group.name, *("-" if cell is None else in_words(cell) for cell in cells)])
    lines = [*block(rows)]
    lines += [
        "Bold: better than every other row with several seeds by more than the noise (95 % interval).",
        "",
    ]
    if table.baseline and len(table.groups) > 1:
        rows = [[f"difference to {table.baseline}, paired by seed [95 % interval]", *titles(table)]]
        for group in table.groups:
            if group.name != table.baseline:
                each = (table.cell(group.name, column) for column in table.columns)
                rows.append(
                    [group.name, *("-" if c is None else difference_in_words(c.difference) for c in each)]
                )
        lines += block(rows)
    if table.published:
        named = [name for name in table.columns if name != MEAN_OF_UNSEEN]
        rows = [["published", *named, "source; selection; confidence"]]
        for row in table.published:
            scores = [number(row.miou.get(name, math.nan)) for name in named]
            rows.append([f"{row.system}: {row.title}", *scores, row.words])
        lines += block(rows)
    return "\n".join(lines)


def as_csv(table: Table) -> str:
    """``table.csv``: one line per row and column of the table; empty where nothing is known."""
    names = (
        "row domain role seeds mean deviation difference low high best source selection confidence".split()
    )
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names, lineterminator="\n")
    writer.writeheader()
    for line in _lines(table):
        known = {key: value for key, value in line.items() if value is not None and value == value}
        writer.writerow({k: f"{v:.4f}" if isinstance(v, float) else v for k, v in known.items()})
    return buffer.getvalue()


def _lines(table: Table) -> Iterator[dict[str, Any]]:
    for group in table.groups:
        for column in table.columns:
            cell = table.cell(group.name, column)
            if cell is None:
                continue
            of, gap = cell.summary, cell.difference
            gaps = {"difference": gap.mean, "low": gap.low, "high": gap.high} if gap else {}
            yield {
                "row": group.name,
                "domain": column,
                "role": table.roles.get(column),
                "seeds": of.count,
                "mean": of.mean,
                "deviation": of.deviation,
                **gaps,
                "best": int(cell.is_best),
            }
    for row in table.published:
        for name, miou in row.miou.items():
            words = {"source": row.source, "selection": row.selection, "confidence": row.confidence}
            yield {"row": f"published: {row.system} {row.title}", "domain": name, "mean": miou, **words}


def as_json_lines(table: Table) -> str:
    """``results.jsonl``: one line per run, with all that is known of it."""
    lines = [
        {
            "row": group.name,
            "run": run.name,
            "folder": str(run.folder),
            "seed": run.seed,
            "miou": run.scores,
            "settings": run.settings,
            "sessions": run.sessions,
            "results": run.results,
        }
        for group in table.groups
        for run in group.runs
    ]
    return "".join(json.dumps(line) + "\n" for line in lines)
