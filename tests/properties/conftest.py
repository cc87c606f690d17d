"""On how many examples a property is tried: a few, always the same, or with ``--faults`` on many new ones."""

from __future__ import annotations

import re
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

from tests.reliability_tables import PROPERTY

QUICK, THOROUGH = 40, 500


def pytest_configure(config: pytest.Config) -> None:
    # A machine that is busy with other tests is slow at times: that is no fault of an example.
    common = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("quick", common, max_examples=QUICK, derandomize=True)
    settings.register_profile("thorough", common, max_examples=THOROUGH, print_blob=True)
    settings.load_profile("thorough" if config.getoption("--faults", default=False) else "quick")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Record that a property was tried, and on how many examples as hypothesis counted them."""
    report = yield
    if report.when == "call" and not report.skipped:
        told = getattr(item, "hypothesis_statistics", "")
        examples = sum(map(int, re.findall(r"(\d+) (?:passing|failing)\b", told)))
        title = item.module.__doc__.splitlines()[0].rstrip(".")
        report.user_properties.append((PROPERTY, [title, report.passed, examples]))
    return report
