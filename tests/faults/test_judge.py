"""The judge hears whatever a program says on stderr, by whichever way."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.faults.judge import everything_on_stderr


def test_all_ways_to_stderr_are_heard() -> None:
    before = sys.stderr
    with everything_on_stderr() as said:
        print("Python", file=sys.stderr)
        os.write(2, b"a library\n")
        subprocess.run([sys.executable, "-c", "import sys; sys.exit('a child')"])
        print("a name with \udce9", file=sys.stderr)
        assert said() == "Python\na library\na child\na name with \\udce9\n"
    assert sys.stderr is before
