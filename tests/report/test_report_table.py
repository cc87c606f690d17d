"""The table and its files: means, differences, bold, published rows."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from fake_runs import write_experiment, write_run

from datasets.toycity.generation import MANIFEST
from scripts.report.runs import find_runs, grouped
from scripts.report.table import MEAN_OF_UNSEEN, Table, as_csv, as_json_lines, as_markdown, make_table
from utils.errors import UserError


def table_of(root: Path, baseline: str | None = None) -> Table:
    return make_table(grouped(find_runs([root])[0]), baseline)


@pytest.fixture
def table(tmp_path: Path) -> Table:
    write_experiment(tmp_path, {"abn": 1, "baseline": 0, "isw": 8})
    return table_of(tmp_path)


def test_columns_are_the_source_the_unseen_domains_and_their_mean(table: Table) -> None:
    assert table.columns == ["gtav", "cityscapes", "bdd100k", MEAN_OF_UNSEEN]
    assert table.roles == {"gtav": "source", "cityscapes": "unseen", "bdd100k": "unseen"}
    assert [group.name for group in table.groups] == ["baseline", "abn", "isw"]
    cells = [table.cell("isw", name) for name in table.columns]
    means = [cell.summary.mean for cell in cells if cell]
    assert means[3] == pytest.approx((means[1] + means[2]) / 2)


def test_differences_are_to_the_baseline(table: Table) -> None:
    cell = table.cell("isw", "cityscapes")
    assert cell is not None and cell.difference is not None
    assert cell.is_best
    assert cell.difference.mean == pytest.approx(8, abs=1)
    assert table.cell("baseline", "cityscapes").difference is None  # type: ignore[union-attr]


def test_another_baseline_can_be_chosen(tmp_path: Path) -> None:
    write_experiment(tmp_path, {"baseline": 0, "isw": 8})
    assert table_of(tmp_path, "isw").cell("baseline", "gtav").difference.mean < -6  # type: ignore[union-attr]
    with pytest.raises(UserError, match=r"--baseline iws: no row is called so; did you mean isw\?"):
        table_of(tmp_path, "iws")


def test_a_target_is_no_unseen_domain(tmp_path: Path) -> None:
    mious = {"gtav": 50.0, "cityscapes": 40.0, "bdd100k": 30.0}
    write_run(tmp_path / "ms-seed1", 1, mious, target_dataset=["cityscapes"], method="maxsquare")
    table = table_of(tmp_path)
    assert table.roles == {"gtav": "source", "cityscapes": "target", "bdd100k": "unseen"}
    assert MEAN_OF_UNSEEN not in table.columns


def published_run(tmp_path: Path) -> Path:
    whitening = {"method": "isw", "wt_layer": [0, 0, 2, 2, 2, 0, 0]}
    arch = "network.deepv3.DeepR50V3PlusD"
    return write_run(tmp_path / "isw-seed1", 1, {"gtav": 70.0, "cityscapes": 36.0}, arch=arch, **whitening)


def test_published_rows_of_the_same_kind_stand_beside(tmp_path: Path) -> None:
    published_run(tmp_path)
    (row,) = table_of(tmp_path).published
    assert (row.title, row.miou["cityscapes"]) == ("ISW", 36.58)
    text = as_markdown(table_of(tmp_path))
    assert "| RobustNet: ISW | - | 36.58 | quoted in MRFP, SPC-Net and Vireo; last weights" in text


def test_the_toy_city_has_no_published_rows(tmp_path: Path) -> None:
    folder = published_run(tmp_path)
    data = tmp_path / "data" / "gtav"
    data.mkdir(parents=True)
    (data / MANIFEST).touch()
    results = json.loads((folder / "results.json").read_text())
    (folder / "results.json").write_text(json.dumps({**results, "folders": {"gtav": str(data)}}))
    assert table_of(tmp_path).published == []


def test_the_text_has_deviations_seeds_and_intervals(table: Table) -> None:
    lines = as_markdown(table).splitlines()
    assert lines[0].startswith(
        "| mIoU (%), mean ± standard deviation (seeds) | gtav (source) | cityscapes (unseen)"
    )
    isw = next(line for line in lines if line.startswith("| isw"))
    assert isw.count("**") == 8
    assert isw.count(" ± ") == isw.count("(3)") == 4
    difference = [line for line in lines if line.startswith("| isw")][1]
    assert difference.count("[+") == 4


def test_the_files_for_programs_have_every_number(table: Table) -> None:
    rows = list(csv.DictReader(as_csv(table).splitlines()))
    assert len(rows) == 3 * 4
    isw = next(row for row in rows if (row["row"], row["domain"]) == ("isw", "bdd100k"))
    cell = table.cell("isw", "bdd100k")
    assert cell is not None
    assert (isw["seeds"], isw["best"], isw["role"]) == ("3", "1", "unseen")
    assert float(isw["mean"]) == pytest.approx(cell.summary.mean, abs=1e-4)
    runs = [json.loads(line) for line in as_json_lines(table).splitlines()]
    assert [(run["row"], run["seed"]) for run in runs[:3]] == [("baseline", seed) for seed in (1, 2, 3)]
    assert runs[0]["results"]["commit"] == "0123456789ab"
