"""On how many examples a property is tried: a few, always the same, or with ``--faults`` on many new ones."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

QUICK, THOROUGH = 40, 500


def pytest_configure(config: pytest.Config) -> None:
    # A machine that is busy with other tests is slow at times: that is no fault of an example.
    common = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("quick", common, max_examples=QUICK, derandomize=True)
    settings.register_profile("thorough", common, max_examples=THOROUGH, print_blob=True)
    settings.load_profile("thorough" if config.getoption("--faults", default=False) else "quick")
