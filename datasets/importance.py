"""The old name of ``python -m scripts.importance``, which still works."""

import runpy

if __name__ == "__main__":
    runpy.run_module("scripts.importance", run_name="__main__", alter_sys=True)
