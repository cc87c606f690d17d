"""The published spelling of ``python -m scripts.prepare``."""

import runpy

if __name__ == "__main__":
    runpy.run_module("scripts.prepare", run_name="__main__", alter_sys=True)
