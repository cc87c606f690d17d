"""The record of a fault is there whatever becomes of the test."""

from __future__ import annotations

import pytest

from tests.faults.recording import recorder


def test_a_fault_that_is_not_survived_counts_as_tried() -> None:
    records: list[object] = []
    tried = recorder(lambda name, value: records.append((name, value)))
    with tried("disks", "full") as trial:
        trial.seen = "error: free space"
    with pytest.raises(AssertionError), tried("disks", "on fire"):
        raise AssertionError
    assert records == [
        ("fault", ["disks", "full", True, "error: free space"]),
        ("fault", ["disks", "on fire", False, ""]),
    ]
