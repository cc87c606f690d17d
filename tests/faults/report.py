"""``python -m tests.faults.report FILE``: run all fault suites and write the table of what they tried."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tests.faults.report FILE")
    folder = Path(__file__).parent
    sys.exit(pytest.main([str(folder), "--faults", "--faults_report", sys.argv[1]]))
