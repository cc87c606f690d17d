"""What the page shows, and the page itself: one file that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from scripts.report.charts import line_chart, reliability_chart, series_class
from scripts.report.pictures import Album, Embedded
from scripts.report.runs import Group, Run
from scripts.report.table import MEAN_OF_UNSEEN, Table, difference_in_words, number, signed, titles
from utils.scoring.classes import ClassList
from utils.scoring.scores import git_commit

HERE = Path(__file__).resolve().parent
CURVES = {"main": "main loss", "images/s": "images/s"}


@dataclass(frozen=True)
class Chart:
    """A diagram with its title."""

    title: str
    svg: Markup


@dataclass(frozen=True)
class Block:
    """A small table: its title, its header, and rows of which the first cell is a name."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


class Pictures:
    """Numbers for pictures, so that each stands in the page once, however often it is shown."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.all: list[Embedded] = []

    def number(self, picture: Embedded) -> int:
        if picture.data not in self.numbers:
            self.numbers[picture.data] = len(self.all)
            self.all.append(picture)
        return self.numbers[picture.data]


def make_page(
    table: Table,
    albums: Sequence[Album],
    classes: ClassList | None,
    title: str,
    notices: Sequence[str] = (),
) -> str:
    """The page as HTML. ``classes`` gives names of classes their colours."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "signed": signed, "difference": difference_in_words}
    colours = dict(zip(classes.names, classes.colours, strict=True)) if classes else {}
    pictures = Pictures()
    return environment.get_template("template.html").render(
        title=title,
        table=table,
        headings=dict(zip(table.columns, titles(table), strict=True)),
        mean_of_unseen=MEAN_OF_UNSEEN,
        is_toy=all(group.runs[0].is_toy for group in table.groups),
        legend=[(group.name, series_class(place)) for place, group in enumerate(table.groups)],
        per_class=[*class_tables(table)],
        colours={name: "#{:02x}{:02x}{:02x}".format(*colour) for name, colour in colours.items()},
        curves=[*curves(table.groups)],
        blocks=[*conditions(table), *corruptions(table)],
        diagrams=[*reliability(table)],
        albums=albums,
        picture=pictures.number,
        pictures=pictures.all,
        facts=[*facts(table.groups)],
        total=total(table.groups),
        notices=notices,
        commit=git_commit(),
        made=datetime.now().strftime("%Y-%m-%d %H:%M"),
        style=Markup((HERE / "style.css").read_text(encoding="utf-8")),
        script=Markup((HERE / "page.js").read_text(encoding="utf-8")),
    )


def domains_of(table: Table) -> list[str]:
    return [name for name in table.columns if name != MEAN_OF_UNSEEN]


def mean_over(group: Group, domain: str, read: Callable[[Mapping[str, Any]], Any]) -> float:
    """The mean over a group's runs of what ``read`` finds in their results on ``domain``; NaN without any."""
    found = [read(run.domains[domain]) for run in group.runs if domain in run.domains]
    numbers = [value for value in found if value is not None]
    return sum(numbers) / len(numbers) if numbers else math.nan


def class_tables(table: Table) -> Iterator[tuple[str, list[tuple[str, list[float]]]]]:
    """Domain, and for each of its classes the IoU in percent of each group, means over seeds."""
    for domain in domains_of(table):
        every = (
            run.domains[domain].get("iou", {})
            for group in table.groups
            for run in group.runs
            if domain in run.domains
        )
        names = list(dict.fromkeys(name for iou in every for name in iou))
        rows = []
        for name in names:
            values = [
                100 * mean_over(group, domain, lambda of, name=name: of.get("iou", {}).get(name))
                for group in table.groups
            ]
            if not all(map(math.isnan, values)):
                rows.append((name, values))
        if rows:
            yield domain, rows


def curves(groups: Sequence[Group]) -> Iterator[Chart]:
    """Loss, speed, and mIoU on each domain that was scored during training."""
    for name, title in CURVES.items():
        series = {group.name: [run.log.values.get(name, []) for run in group.runs] for group in groups}
        if svg := line_chart(series, "step", title):
            yield Chart(title, Markup(svg))
    domains = dict.fromkeys(name for group in groups for run in group.runs for name in run.log.scores)
    for domain in domains:
        series = {group.name: [run.log.scores.get(domain, []) for run in group.runs] for group in groups}
        if svg := line_chart(series, "step", f"{domain} val mIoU (%)"):
            yield Chart(f"{domain} val mIoU (%)", Markup(svg))


def conditions(table: Table) -> Iterator[Block]:
    """Domains whose pictures have conditions: mIoU under each."""
    for domain in domains_of(table):
        every = (
            run.domains.get(domain, {}).get("conditions", {}) for group in table.groups for run in group.runs
        )
        names = list(dict.fromkeys(name for each in every for name in each))
        if names:
            rows = []
            for group in table.groups:
                values = [
                    100
                    * mean_over(
                        group, domain, lambda of, n=name: of.get("conditions", {}).get(n, {}).get("miou")
                    )
                    for name in names
                ]
                mean = 100 * mean_over(group, domain, lambda of: of.get("mean_of_conditions"))
                rows.append([group.name, *map(number, [*values, mean])])
            yield Block(f"{domain} by condition, mIoU (%)", ["row", *names, "mean of conditions"], rows)


def corruptions(table: Table) -> Iterator[Block]:
    """Domains that were scored under corruptions: the mean over the severities of each."""
    for domain in domains_of(table):
        every = (
            run.domains.get(domain, {}).get("corruptions", {}) for group in table.groups for run in group.runs
        )
        names = list(dict.fromkeys(name for each in every for name in each if name != "mean"))
        if not names:
            continue
        rows = []
        for name in names:
            values = [
                100
                * mean_over(
                    group, domain, lambda of, n=name: of.get("corruptions", {}).get(n, {}).get("mean")
                )
                for group in table.groups
            ]
            rows.append([name, *map(number, values)])
        means = [
            100 * mean_over(group, domain, lambda of: of.get("corruptions", {}).get("mean"))
            for group in table.groups
        ]
        rows.append(["mean", *map(number, means)])
        header = ["corruption", *(group.name for group in table.groups)]
        yield Block(f"{domain} under corruptions, mIoU (%), mean of the severities", header, rows)


def reliability(table: Table) -> Iterator[Chart]:
    """Reliability diagrams, of the first run of each group that has them."""
    for domain in domains_of(table):
        for group in table.groups:
            measured = [run for run in group.runs if run.domains.get(domain, {}).get("reliability")]
            for run in measured[:1]:
                of = run.domains[domain]["reliability"]
                ece = "-" if of.get("ece") is None else f"{100 * of['ece']:.1f} %"
                title = f"{group.name} on {domain}, seed {run.seed}: calibration error {ece}"
                yield Chart(title, Markup(reliability_chart(of["bins"], title)))


FACTS: dict[str, Callable[[Run], str]] = {
    "run": lambda run: run.name,
    "seed": lambda run: "-" if run.seed is None else str(run.seed),
    "protocol": lambda run: ", ".join(protocol_words(run.results)),
    "weights": lambda run: (
        f"{run.results.get('selection', '-')}, iteration {run.results.get('iteration', '-')}"
    ),
    "precision": lambda run: str(run.results.get("precision", "-")),
    "commit": lambda run: str(run.results.get("commit", "-")),
    "hardware": lambda run: run.hardware or "-",
    "PyTorch": lambda run: ", ".join(dict.fromkeys(each.get("torch", "-") for each in run.sessions)) or "-",
    "seconds": lambda run: "-" if run.seconds is None else f"{run.seconds:.0f}",
    "GPU hours": lambda run: "-" if run.gpu_hours is None else f"{run.gpu_hours:.2f}",
    "folder": lambda run: run.folder.as_posix(),
}
"""What is said of each run, by the title of the column."""


def protocol_words(results: Mapping[str, Any]) -> Iterator[str]:
    """How a run was scored."""
    yield str(results["protocol"])
    if height := results.get("evaluation_height"):
        yield f"height {height}"
    if results.get("absent_classes"):
        yield f"absent classes: {results['absent_classes']}"
    if results.get("num_classes"):
        yield f"{results['num_classes']} classes"


def facts(groups: Sequence[Group]) -> Iterator[list[str]]:
    """The header, then one row per run."""
    yield ["row", *FACTS]
    for group in groups:
        for run in group.runs:
            yield [group.name, *(read(run) for read in FACTS.values())]


def total(groups: Sequence[Group]) -> str:
    """What all runs together have cost."""
    runs = [run for group in groups for run in group.runs]
    timed = [run for run in runs if run.seconds is not None]
    hours, gpu_hours = sum(run.seconds or 0 for run in timed) / 3600, sum(run.gpu_hours or 0 for run in timed)
    unknown = f"; of {len(runs) - len(timed)} runs the time is not known" if len(timed) < len(runs) else ""
    return f"Together {hours:.1f} hours of runs and {gpu_hours:.1f} GPU hours{unknown}."
