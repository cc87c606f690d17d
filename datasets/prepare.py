"""The old name of ``python -m scripts.prepare``, which still works."""

import runpy

if __name__ == "__main__":
    runpy.run_module("scripts.prepare", run_name="__main__", alter_sys=True)
