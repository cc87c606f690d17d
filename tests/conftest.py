"""Fixtures that every room shares: one miniature toy city, the reference data, one tiny trained run."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from compiling import Graphs

ROOT = Path(__file__).resolve().parent.parent
QUICK, THOROUGH = 40, 500
TINY_TRAIN, TINY_VAL, TINY_SIZE = 6, 3, (64, 128)


@pytest.fixture(scope="module", autouse=True)
def tiny_backbones(request: pytest.FixtureRequest) -> Iterator[None]:
    """The backbones of ``tiny_transformers``, for the modules that import its networks."""
    if not hasattr(request.module, "tiny_network"):
        yield
        return
    from tiny_transformers import registered

    with registered():
        yield


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> dict[Path, dict[str, Any]]:
    """The checkpoints that train.py writes, in memory: half a gigabyte each takes its time on a disk."""
    import train
    from methods.engine import evaluations

    checkpoints: dict[Path, dict[str, Any]] = {}
    monkeypatch.setattr(
        train, "save_checkpoint", lambda path, content, _: checkpoints.update({path: content})
    )
    for module in (train, evaluations):
        monkeypatch.setattr(module, "load_checkpoint", checkpoints.__getitem__)
    return checkpoints


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Graphs]:
    """The graphs that a test compiles, whole networks each; the backbone ``small`` is there meanwhile."""
    from compiling import counted_graphs

    with counted_graphs(monkeypatch) as compiled:
        yield compiled


@pytest.fixture
def sizes_alike() -> Iterator[None]:
    """Convolve small maps like large ones, as GPUs do: without the CPUs' library that does not."""
    torch.backends.mkldnn.set_flags(False)
    yield
    torch.backends.mkldnn.set_flags(True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests that take long")
    parser.addoption("--faults", action="store_true", help="also run the whole of the fault suites")
    parser.addoption("--faults_report", metavar="FILE", help="write the tables of reliability to this file")


def pytest_configure(config: pytest.Config) -> None:
    """Try each property on the same few examples, or with ``--faults`` on many new ones."""
    # An example may be slow only because the machine is busy with other tests.
    common = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("quick", common, max_examples=QUICK, derandomize=True)
    settings.register_profile("thorough", common, max_examples=THOROUGH, print_blob=True)
    settings.load_profile("thorough" if config.getoption("--faults") else "quick")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for marker in ("slow", "faults"):
        if not config.getoption(f"--{marker}"):
            for item in items:
                # A test's keywords also contain the names of folders, so they are not used here.
                if item.get_closest_marker(marker):
                    item.add_marker(pytest.mark.skip(reason=f"{marker}: runs with --{marker}"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Record that a test of reliability ran, and on how many of hypothesis' examples.

    A test whose fixtures failed is recorded as one that did not hold.
    """
    from tests.reliability_tables import FAULT, PROPERTY

    report = yield
    if report.when == "teardown":
        # These are the test's own records, which the report of its call contains already.
        report.user_properties = []
    recorded = {name for name, _ in report.user_properties}
    marker = item.get_closest_marker("reliability")
    counts = report.failed or (report.when == "call" and not report.skipped)
    if marker and counts and FAULT not in recorded:
        told = getattr(item, "hypothesis_statistics", "")
        examples = sum(map(int, re.findall(r"(\d+) (?:passing|failing)\b", told)))
        title = marker.args[0] if marker.args else item.module.__doc__.splitlines()[0].rstrip(".")
        report.user_properties.append((PROPERTY, [title, report.passed, examples]))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Write the tables of ``--faults_report``.

    The hook is not beside the suites, because with several processes the first one collects no tests, and
    would not load it there.
    """
    if file := config.getoption("--faults_report"):
        from tests.reliability_tables import write_tables

        kinds = ("passed", "failed", "error")
        reports = [report for kind in kinds for report in terminalreporter.stats.get(kind, ())]
        write_tables(Path(file), [each for report in reports for each in report.user_properties])


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Seed torch before a test and its fixtures, so that their draws do not depend on earlier tests."""
    torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Use one thread per test process: the processes share the cores, and more threads would only wait."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's root folder."""
    return ROOT


@pytest.fixture(scope="session")
def toycity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of a toy city of five domains, 6 training and 3 validation pictures of 64 x 128 each."""
    from datasets.toycity import generate

    root = tmp_path_factory.mktemp("toycity")
    generate(root, train=TINY_TRAIN, val=TINY_VAL, size=TINY_SIZE, seed=0, processes=1)
    return root


@pytest.fixture(scope="session")
def nthu_toycity(toycity: Path) -> Path:
    """The same root with the four cross-city domains as well, whose training pictures have no labels."""
    from datasets.toycity import ALL_DOMAINS, generate

    cities = [domain for domain in ALL_DOMAINS if domain.startswith("nthu_")]
    generate(toycity, cities, train=TINY_TRAIN, val=TINY_VAL, size=TINY_SIZE, seed=0, processes=1)
    return toycity


@pytest.fixture(scope="session")
def shared() -> Path:
    """The reference data beside the project (parity numbers, real pictures); skips the test without it."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs the reference data in ../shared")
    return folder
