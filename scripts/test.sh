#!/usr/bin/env bash
# Format, lint and test everything: ./scripts/test.sh [--slow] [pytest arguments]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
install_environment requirements.txt tests/requirements.txt
"$PYTHON" -m ruff format --check .
"$PYTHON" -m ruff check .
# One thread per test process: two processes with two threads each on two cores would only wait for each other.
export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
exec "$PYTHON" -m pytest -n "${TEST_PROCESSES:-auto}" --dist worksteal "$@"
