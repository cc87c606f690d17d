"""Make one table of finished runs, files for programs, and one page to look at.

    python -m scripts.report logs/toycity --output report
    python -m scripts.report logs/demo/baseline-seed304 logs/demo/isw-seed304 --pictures 5

RUNS are run folders of train.py, or folders that hold some. Runs that differ in their seed alone are one
row. Results of valid.py on val splits count, too, if they are in the run's folder. The output is table.md,
table.csv, results.jsonl and index.html, which needs no other file. docs/experiments.md says more.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from datasets.definitions.catalog import use_catalogs
from datasets.flags import add_data_arguments
from scripts.report.page.filling import make_page
from scripts.report.pictures import make_albums
from scripts.report.runs import find_runs, grouped
from scripts.report.table import Table, as_csv, as_json_lines, as_markdown, in_words, make_table, titles
from utils.declare import Flag, check_ranges
from utils.device import select_device
from utils.errors import Parser, run_program
from utils.files import atomic_write, check_writable
from utils.flags.program import add_device_choice
from utils.scoring.classes import CITYSCAPES
from utils.scoring.scores import text_table


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="python -m scripts.report", description=__doc__, formatter_class=formatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUNS", help="run folders, or folders of them")
    add = partial(Flag, parser)
    add("--output", Path("report"), type=Path, metavar="DIR").means("Write everything to this folder.")
    add("--title", str).means("The title of the page.")
    add("--baseline", str, metavar="ROW").means(
        "Show differences to this row; the default is one that is called baseline."
    )
    add("--pictures", 3, at_least=0).means("Show this many scenes per domain.")
    add("--hardest", 3, at_least=0).means("Show this many pictures per domain of those with the lowest IoU.")
    add("--search", 60, above=0).means("Look for them among so many pictures of each domain.")
    add("--debug", False).means("Show the traceback of an error.")
    add_data_arguments(parser)
    add_device_choice(parser)
    parser.set_defaults(num_workers=0)
    args = parser.parse_args(arguments)
    check_ranges(parser, args)
    check_writable(args.output / "index.html", "--output")
    return args


def console_table(table: Table) -> str:
    """Means, deviations and numbers of seeds as aligned text."""
    rows = [["mIoU (%)", *titles(table)]]
    for group in table.groups:
        cells = (table.cell(group.name, column) for column in table.columns)
        rows.append([group.name, *("-" if cell is None else in_words(cell) for cell in cells)])
    return text_table(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    args = parse_arguments(arguments)
    use_catalogs(args.catalog)
    runs, unfinished = find_runs(args.runs)
    groups = grouped(runs)
    table = make_table(groups, args.baseline)
    notices = [f"{folder}: is not finished, and left out" for folder in unfinished]
    protocols = {str(run.results["protocol"]) for run in runs}
    if len(protocols) > 1:
        notices.append(f"the runs were scored by several protocols: {', '.join(sorted(protocols))}")
    albums = []
    if args.pictures or args.hardest:
        albums, without = make_albums(args, groups, select_device(args.device))
        notices += without
    title = args.title or f"UrbanDG: {', '.join(path.resolve().name for path in args.runs[:3])}"
    page = make_page(table, albums, CITYSCAPES, title, notices)
    for name, content in {
        "table.md": as_markdown(table),
        "table.csv": as_csv(table),
        "results.jsonl": as_json_lines(table),
        "index.html": page,
    }.items():
        with atomic_write(args.output / name) as temporary:
            temporary.write_text(content, encoding="utf-8")
    print(*notices, console_table(table), sep="\n")
    print(f"protocol {', '.join(sorted(protocols))}; {len(runs)} runs")
    print(f"open the page: {(args.output / 'index.html').absolute().as_uri()}")
    return 0


if __name__ == "__main__":
    run_program(main)
