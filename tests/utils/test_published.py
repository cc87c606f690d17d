"""Published rows: every one has its source, and is found by the run of its script alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from shell_scripts import SCRIPTS, command_line

import config
from methods import METHODS, method_named
from network import stated_architecture
from utils.scoring.published import Kind, beside, kind_of, lines_beside, read_published

ROWS = read_published()
BY_SCRIPT = sorted({row.script for row in ROWS if row.script and "adapt_sac" not in row.script})


def kind_of_command(words: list[str]) -> Kind:
    """What train.py makes of a command line, without building its network."""
    args = config.parse_training_arguments(config.training_parser(), words)
    args.method = method_named(args)
    config.apply_target_arguments(args, METHODS[args.method].domains)
    return kind_of(vars(args), {**METHODS[args.method].architecture, **stated_architecture(vars(args))})


def test_every_row_says_where_it_is_from() -> None:
    assert len(ROWS) == 52
    for row in ROWS:
        assert row.source and row.selection
        assert row.confidence in ("primary", "quoted", "secondary")
        assert all(0 < miou < 100 for miou in row.miou.values())


@pytest.mark.parametrize("script", BY_SCRIPT)
def test_the_script_of_a_row_makes_a_run_of_its_kind(script: str) -> None:
    name, *further = script.split()
    words = [word if word != "$snapshot" else "best.pth" for word in command_line(SCRIPTS / name)[1]]
    found = beside(kind_of_command([*words, *further]), ROWS)
    assert script in {row.script for row in found}


def test_other_settings_are_not_compared() -> None:
    kind = kind_of_command("--dataset gtav --backbone resnet18 --wt_layer 0 0 2 2 2 0 0".split())
    assert kind == Kind("isw", "resnet18, stride 16", ("gtav",))
    assert beside(kind, ROWS) == []


def test_lines_have_both_numbers_and_the_source() -> None:
    (isw,) = [row for row in ROWS if row.script == "train_r50os16_gtav_isw.sh"]
    (line,) = lines_beside(isw.kind, {"cityscapes": 35.0, "gtav": 70.0}, ROWS)
    assert line == (
        "published, RobustNet ISW: cityscapes 36.58 (here 35.00); quoted in MRFP, SPC-Net and Vireo; "
        "last weights (released code); quoted"
    )
    assert lines_beside(isw.kind, {"gtav": 70.0}, ROWS) == []


def test_without_the_file_there_are_no_rows(tmp_path: Path) -> None:
    assert read_published(tmp_path / "none.json") == []


def test_the_page_of_expectations_has_every_row(project: Path) -> None:
    lines = (project / "docs" / "expected.md").read_text().splitlines()
    for row in ROWS:
        script = f"`{row.script}`" if row.script else "none"
        words = [f"{miou:.2f}" for miou in row.miou.values()]
        words += [row.source, row.selection, row.confidence, row.note, f" {row.title}, "]
        found = [line for line in lines if line.startswith(f"| {script} |") and all(w in line for w in words)]
        assert found, row
