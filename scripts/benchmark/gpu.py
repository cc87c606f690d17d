"""Check in a few minutes that everything works on a GPU, that it is right, and how fast it is.

    python -m scripts.benchmark gpu --output gpu.md

Every check is a process of its own with a time limit, so that one that fails or hangs costs the others
nothing. The most important checks come first. FILE is complete after each of them.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from methods import METHODS
from scripts.benchmark.gpu_checks import FAMILIES
from scripts.benchmark.gpu_training import EAGER
from scripts.benchmark.inputs import PUBLISHED_CROP, check_least
from scripts.benchmark.processes import reason_of
from scripts.benchmark.step import FAST
from utils.declare import Flag, check_ranges
from utils.errors import Parser, UserError, run_program
from utils.files import atomic_write, check_writable
from utils.scoring.scores import git_commit

ROOT = Path(__file__).parents[2]
PARITY = ROOT.parent / "shared" / "parity"
BEGIN_SECONDS = 5.0
"""With less time than this left, no check is begun."""
LAST_LINES = 25
"""So many lines of a failed check's output are shown."""
MODULE = ("-m", "scripts.benchmark.gpu_checks")
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "AVX2"}
"""As in continuous integration: kernels for other instructions round differently."""


@dataclass(frozen=True)
class Check:
    """A process: ``words`` are Python's arguments.

    It has ``limit`` seconds, or what is left if that is less. Others may run beside it unless it is
    ``alone``. What it prints before its last line is ``shown`` below the table. ``variables`` are added to
    its environment.
    """

    name: str
    words: tuple[str, ...]
    limit: float
    alone: bool = True
    shown: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """How a check ended: ``state`` is ok, FAILED or TIMED OUT."""

    check: Check
    state: str
    seconds: float
    said: str
    output: str

    def row(self) -> str:
        """A row of the Markdown table."""
        said = self.said.replace("|", "/").replace("\n", " ")[:500]
        return f"| {self.check.name} | {self.state} | {self.seconds:.0f} | {said} |"


@dataclass
class Running:
    """A check's process, and the files that its output goes to."""

    check: Check
    limit: float
    environment: dict[str, str]
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        # Files and not pipes: what was printed stays readable when the process is killed.
        self.files = [tempfile.TemporaryFile("w+", errors="replace") for _ in range(2)]  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, *self.check.words],
            stdout=self.files[0],
            stderr=self.files[1],
            stdin=subprocess.DEVNULL,
            cwd=ROOT,
            env={**self.environment, **self.check.variables},
            start_new_session=True,  # Its own processes, as loaders and torchrun have, end with it.
        )

    def result(self) -> Result | None:
        """How it ended, after killing it if its time is over; None while it runs."""
        code, seconds = self.process.poll(), time.monotonic() - self.started
        if code is None and seconds < self.limit:
            return None
        self.kill()
        for file in self.files:
            file.seek(0)
        output, errors = (file.read() for file in self.files)
        for file in self.files:
            file.close()
        lines = output.strip().splitlines() or ["no output"]
        if code is None:
            left = " that were left" if self.limit < self.check.limit else ""
            state, said = (
                "TIMED OUT",
                f"killed after the {round(self.limit, 1):g} s{left}, last line: {lines[-1]}",
            )
        elif code:
            state, said = "FAILED", reason_of(errors, f"exit code {code}: {lines[-1]}")
        else:
            state, said = "ok", lines[-1]
        shown = "\n".join(lines[:-1]) if state == "ok" else f"{output.strip()}\n{errors.strip()}".strip()
        return Result(self.check, state, seconds, said, shown)

    def kill(self) -> None:
        """End the process and those it started. torchrun ends its own, which are in other groups."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(self.process.pid, number)
                self.process.wait(5)


def checks(args: argparse.Namespace, folder: Path) -> list[Check]:
    """All checks, the most important ones first."""
    shared = ("--folder", str(folder), *(("--tiny",) if args.tiny else ()))
    sizes = ("--pictures", str(args.pictures), "--crop_size", str(args.crop_size))
    half = ("--pictures", str(max(2, args.pictures // 2)), "--crop_size", str(args.crop_size))
    small = ("--pictures", "4", "--crop_size", "64")
    data = ("--data_root", str(args.data_root.resolve())) if args.data_root else ()

    def check(name: str, limit: float, what: str, *words: str, **facts: bool) -> Check:
        return Check(name, (*MODULE, what, *shared, *words), limit, **facts)

    side_by_side = {"alone": False}
    toy = "--train 4 --val 2 --size 64x128" if args.tiny else "--train 4 --val 2 --size 192x384"
    found = [
        check("step baseline float32", 90, "speed", *sizes),
        check("step baseline bf16 channels_last", 90, "speed", *sizes, *FAST[:3]),
        check("step baseline bf16 channels_last compiled", 180, "speed", *sizes, *FAST),
        Check("toy city", ("-m", "datasets.toycity", "--root", str(folder / "toycity"), *toy.split()), 60),
        check("same bits, deterministic and resumed", 180, "deterministic", **side_by_side),
        *(
            check(f"agrees with the CPU: {name}", 120, "agreement", "--family", name, *small, **side_by_side)
            for name in FAMILIES
        ),
        Check(
            "torchrun with one process",
            ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=1", *MODULE, "group", *shared),
            60,
            alone=False,
        ),
        *(
            check(f"trains {name}", 120, "trains", "--method", name, "--modes", *EAGER, **side_by_side)
            for name in METHODS
        ),
        *(
            check(f"step {name} bf16 channels_last", 60, "speed", "--method", name, *half, *FAST[:3])
            for name in ("isw", "blindnet", "diia")
        ),
        *(
            check(f"loader, photometric {place}", 60, "loading", *sizes, *data, "--photometric", place)
            for place in ("cpu", "device")
        ),
        check("validation and inference", 90, "evaluation"),
        check("kernels of the compiled step", 120, "kernels", *sizes, *FAST, shown=True),
        *(
            check(
                *(f"trains {name}, compiled", 180, "trains", "--method", name, "--modes", "compiled"),
                **side_by_side,
            )
            for name in METHODS
        ),
    ]
    if PARITY.is_dir():
        pytest = ("-m", "pytest", "-p", "no:cacheprovider", "tests/parity")
        found.append(Check("agrees with the published code, on the CPU", pytest, 120, variables=AVX2))
    # --tiny may run on a slow and busy CPU.
    return [replace(each, limit=5 * each.limit) for each in found] if args.tiny else found


def run_all(waiting: deque[Check], ends: float, environment: dict[str, str]) -> Iterator[Result]:
    """Run the checks until ``ends``, a time of ``time.monotonic``.

    What could not be begun stays in ``waiting``. Checks side by side share the cores, unless ``environment``
    has numbers of threads.
    """
    cores = len(os.sched_getaffinity(0))
    places = max(1, min(8, cores // 2))
    threads = dict.fromkeys(
        ("OMP_NUM_THREADS", "TORCHINDUCTOR_COMPILE_THREADS"), str(max(1, cores // places))
    )
    running: list[Running] = []
    try:
        while running or (waiting and ends - time.monotonic() >= BEGIN_SECONDS):
            while waiting and (left := ends - time.monotonic()) >= BEGIN_SECONDS:
                check = waiting[0]
                if running and (check.alone or running[0].check.alone or len(running) == places):
                    break
                shared = {} if check.alone else threads
                running.append(Running(check, min(check.limit, left), {**shared, **environment}))
                waiting.popleft()
            for each in list(running):
                if (result := each.result()) is not None:
                    running.remove(each)
                    yield result
            time.sleep(0.05)
    finally:
        for each in running:
            each.kill()


def machine(command: Sequence[str]) -> list[str]:
    """Markdown lines that say where and with what the checks run."""
    asked = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        # Not by PyTorch: it would keep memory of the GPU in this process.
        card = subprocess.run(asked, capture_output=True, text=True, timeout=20).stdout.splitlines()[0]
    except (OSError, subprocess.TimeoutExpired, IndexError):
        card = "not known"
    try:
        torchvision = version("torchvision")
    except PackageNotFoundError:
        torchvision = "missing"
    facts = {
        "card, driver, memory": card if torch.cuda.is_available() else "no GPU",
        "CUDA, cuDNN": f"{torch.version.cuda}, {torch.backends.cudnn.version()}",
        "torch, torchvision": f"{torch.__version__}, {torchvision}",
        "CPU cores": len(os.sched_getaffinity(0)),
        "commit": git_commit(),
        "command": f"`{shlex.join(['python', '-m', 'scripts.benchmark', 'gpu', *command])}`",
        "date": f"{datetime.datetime.now():%Y-%m-%d %H:%M}",
    }
    return ["| machine | |", "|---|---|", *(f"| {name} | {value} |" for name, value in facts.items()), ""]


TABLE = ["| check | result | seconds | what it gave |", "|---|---|---|---|"]


def below(results: Sequence[Result], waiting: Sequence[Check]) -> list[str]:
    """Markdown lines for the end: what was not begun, tables of checks, output of failed ones."""
    lines = [""]
    if waiting:
        lines += [f"Not begun for want of time: {'; '.join(check.name for check in waiting)}.", ""]
    for result in results:
        if result.state != "ok":
            end = result.output.splitlines()[-LAST_LINES:]
            lines += [f"### {result.check.name}: {result.state}", "", "```", *end, "```", ""]
        elif result.check.shown:
            lines += [f"### {result.check.name}", "", result.output, ""]
    return lines


def main(arguments: Sequence[str]) -> int:
    """Run the checks of a GPU; 1 if one of them failed or was killed."""
    parser = Parser(prog="python -m scripts.benchmark gpu", description=__doc__.splitlines()[0])
    Flag(parser, "--minutes", 8.0, above=0).means("End after this many minutes (default 8).")
    parser.add_argument("--output", type=Path, metavar="FILE.md", help="Write the tables to this file, too.")
    Flag(parser, "--data_root", Path, metavar="DIR").means("Measure the loader on DIR/gtav, not on noise.")
    Flag(parser, "--pictures", 16).means("Use N pictures per step (default 16, which suits 80 GB).")
    Flag(parser, "--crop_size", PUBLISHED_CROP).means("Use crops of this side (default 768).")
    parser.add_argument(
        "--only", nargs="+", metavar="WORD", help="Run the checks with such a word in the name."
    )
    parser.add_argument("--tiny", action="store_true", help="Use tiny sizes; it then runs on a CPU, too.")
    parser.add_argument("--debug", action="store_true", help="Show the traceback of an error.")
    args = parser.parse_args(arguments)
    check_ranges(parser, args)
    if args.tiny:
        args.pictures, args.crop_size = 2, 64
    elif not torch.cuda.is_available():
        raise UserError("gpu: this PyTorch sees no GPU; --tiny tries the program without one")
    check_least(args)
    if args.output:
        check_writable(args.output, "--output")
    ends = time.monotonic() + 60 * args.minutes
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        chosen = checks(args, folder)
        if args.only:
            chosen = [check for check in chosen if any(word in check.name for word in args.only)]
        if not chosen:
            raise UserError(f"--only {' '.join(args.only)}: no check has such a word in its name")
        # Compiled code is shared by the checks, but the first one shall compile, to tell how long that takes.
        environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(folder / "compiled")}
        environment["PYTHONUNBUFFERED"] = "1"  # What a killed check printed is shown.
        if args.tiny:
            # On a busy CPU two threads mostly wait for each other.
            environment["OMP_NUM_THREADS"] = "1"
        return report(run_all, deque(chosen), ends, environment, machine(arguments), args.output)


def report(
    run: Callable[..., Iterator[Result]],
    waiting: deque[Check],
    ends: float,
    environment: dict[str, str],
    head: list[str],
    output: Path | None,
) -> int:
    """Print each result as soon as it is known, and write all so far to ``output``."""
    results: list[Result] = []

    def write() -> None:
        if output:
            lines = [*head, *TABLE, *(result.row() for result in results), *below(results, waiting)]
            with atomic_write(output) as temporary:
                temporary.write_text("\n".join(lines), encoding="utf-8")

    print("\n".join([*head, *TABLE]), flush=True)
    write()
    # The running checks end with this program also where a time limit ends it, as ``timeout`` does.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for result in run(waiting, ends, environment):
            results.append(result)
            print(result.row(), flush=True)
            write()
    finally:
        signal.signal(signal.SIGTERM, before)
    print("\n".join(below(results, waiting)), flush=True)
    return int(any(result.state != "ok" for result in results))


if __name__ == "__main__":
    run_program(main)
