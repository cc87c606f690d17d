"""The documentation: its links lead somewhere, and its command lines are ones that the programs take."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from inference import street, write_checkpoint

import config
import infer
import valid

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {page: page.read_text() for page in PAGES}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PARSERS = {
    "train.py": config.training_parser().parse_args,
    "valid.py": valid.parse_arguments,
    "infer.py": infer.parse_arguments,
}


def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", TEXTS[page]), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(page: Path) -> list[list[str]]:
    """The words of every line of the page's plain blocks, but for blocks with variables and cut lines."""
    blocks = (block for kind, block in FENCE.findall(TEXTS[page]) if not kind and "$" not in block)
    lines = (line for block in blocks for line in block.splitlines() if "..." not in line)
    return [words for line in lines if (words := shlex.split(line, comments=True))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", TEXTS[page]):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_script_exists(page: Path) -> None:
    for name in re.findall(r"(?:`|scripts/)(\w+\.sh)", TEXTS[page]):
        assert (ROOT / "scripts" / name).is_file(), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_exists_and_takes_its_flags(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A page that declares a data set does so in this file.
    declared = [block for kind, block in FENCE.findall(TEXTS[page]) if kind == "toml"]
    (tmp_path / "my.toml").write_text(
        "\n".join(block for block in declared if "like" in block or "classes.mine" in block)
    )
    monkeypatch.chdir(tmp_path)
    for words in commands(page):
        if words[:2] == ["python", "-m"]:
            assert importlib.util.find_spec(words[2]), words
        for program in PARSERS.keys() & words:
            if "--help" not in words:
                PARSERS[program](words[words.index(program) + 1 :])


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    pages = [page for page in PAGES if page.parent == index.parent and page != index]
    assert [page.name for page in pages if f"]({page.name})" not in TEXTS[index]] == []


@pytest.mark.parametrize("name", ["check", "importance", "prepare"])
def test_the_old_spelling_of_a_program_still_works(name: str) -> None:
    called = subprocess.run(
        [sys.executable, "-m", f"datasets.{name}", "--help"], cwd=ROOT, capture_output=True, encoding="utf-8"
    )
    assert called.returncode == 0, called.stderr
    assert f"usage: python -m scripts.{name}" in called.stdout


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", ROOT / "docs" / "inference.md"], ids=lambda page: page.name
)
def test_the_python_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_checkpoint(tmp_path / "best.pth")
    street().save(tmp_path / "street.jpg")
    monkeypatch.chdir(tmp_path)
    blocks = [block for kind, block in FENCE.findall(TEXTS[page]) if kind == "python"]
    assert blocks
    for block in blocks:
        exec(compile(block, page.name, "exec"), {})
    assert (tmp_path / "overlay.png").exists()
