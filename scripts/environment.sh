# The other scripts source this file. It changes to the project's root, and its functions set $PYTHON to the Python of
# an active virtual or conda environment, or to that of .venv.

case "${PYTHON:-}" in
"" | /*) ;;
*/*) PYTHON="$PWD/$PYTHON" ;;
esac
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

fail() {
    echo "error: $*" >&2
    exit 1
}

# install_environment FILE...: make .venv with these requirement files, or bring it up to date.
install_environment() {
    local base="${PYTHON:-python3}" stamp
    command -v "$base" >/dev/null || fail "$base: not found; install Python 3.10 or newer, or set PYTHON to it"
    "$base" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        fail "$("$base" --version 2>&1) is too old: UrbanDG needs Python 3.10 or newer; set PYTHON to one"
    stamp=".venv/installed-$("$base" - "$@" <<'PY'
import hashlib, pathlib, sys
print(hashlib.sha256(b"".join(pathlib.Path(name).read_bytes() for name in sys.argv[1:])).hexdigest()[:16])
PY
)"
    PYTHON="$PWD/.venv/bin/python"
    [ -f "$stamp" ] && return
    echo "Installing into .venv (once; PyTorch is a large download) ..."
    [ -x "$PYTHON" ] || "$base" -m venv .venv || fail "could not make .venv; on Debian: apt install python3-venv"
    local words=() file
    for file in "$@"; do words+=(-r "$file"); done
    "$PYTHON" -m pip install --quiet --disable-pip-version-check "${words[@]}" ||
        fail "installation failed; see pip's message above, then run this script again"
    touch "$stamp"
}

# find_environment: find the Python to run with, and install nothing.
find_environment() {
    if [ -n "${PYTHON:-}" ]; then
        return
    elif [ -n "${VIRTUAL_ENV:-}${CONDA_PREFIX:-}" ]; then
        PYTHON=python
    elif [ -x .venv/bin/python ]; then
        PYTHON="$PWD/.venv/bin/python"
    else
        PYTHON=python3
    fi
    "$PYTHON" -c 'import torch' 2>/dev/null ||
        fail "$PYTHON has no PyTorch; run ./scripts/demo.sh once, or pip install -r requirements.txt"
}
