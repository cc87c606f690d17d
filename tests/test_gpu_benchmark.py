"""The checks of a GPU: the program that runs them, tried on a CPU, and what the checks conclude."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path

import pytest
import torch

from methods import METHODS
from scripts.benchmark import gpu, gpu_checks, gpu_training, step
from scripts.benchmark.__main__ import main
from scripts.benchmark.gpu import Check
from utils.errors import UserError

CPU = torch.device("cpu")
TINY = argparse.Namespace(tiny=True, pictures=2, crop_size=64, data_root=None)


def use_checks(monkeypatch: pytest.MonkeyPatch, *checks: Check) -> None:
    monkeypatch.setattr(gpu, "checks", lambda args, folder: list(checks))


def test_it_runs_to_its_end_whatever_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    speed = next(check for check in gpu.checks(TINY, tmp_path) if check.name == "step baseline float32")
    use_checks(
        monkeypatch,
        Check("broken", ("-c", "print('before'); raise ValueError('a | b')"), 60),
        Check("hangs", ("-c", "print('began', flush=True); import signal; signal.pause()"), 0.5),
        Check("wordy", ("-c", "print('a table'); print('the result')"), 60, shown=True),
        speed,
    )
    output = tmp_path / "gpu.md"
    assert main(["gpu", "--tiny", "--output", str(output)]) == 1
    text = output.read_text()
    rows = dict(line[2:].split(" | ", 1) for line in text.splitlines() if line.startswith("| "))
    assert rows["broken"].startswith("FAILED | ")
    assert rows["broken"].endswith(" | ValueError: a / b |")
    assert rows["hangs"].startswith("TIMED OUT | ")
    assert rows["hangs"].endswith(" | killed after the 0.5 s, last line: began |")
    assert rows["wordy"].endswith(" | the result |")
    assert rows["step baseline float32"].startswith("ok | ")
    assert " images/s, " in rows["step baseline float32"]
    assert " TFLOP/s (peak not known), first step " in rows["step baseline float32"]
    assert {"card, driver, memory", "CUDA, cuDNN", "torch, torchvision", "commit", "date"} <= rows.keys()
    assert rows["command"] == f"`python -m scripts.benchmark gpu --tiny --output {output}` |"
    assert "### broken: FAILED\n\n```\nbefore\nTraceback" in text
    assert "### hangs: TIMED OUT\n\n```\nbegan\n```" in text
    assert "### wordy\n\na table\n" in text
    assert capsys.readouterr().out.rstrip() == text.rstrip()


def test_what_is_not_begun_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_checks(monkeypatch, Check("first", ("-c", "1 / 0"), 60), Check("second", ("-c", "1 / 0"), 60))
    assert main(["gpu", "--tiny", "--minutes", "0.01"]) == 0
    assert "Not begun for want of time: first; second." in capsys.readouterr().out


def test_checks_side_by_side_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu.os, "sched_getaffinity", lambda process: range(4))
    begun: list[tuple[str, str | None]] = []

    class Recorded:
        def __init__(self, check: Check, limit: float, environment: dict[str, str]) -> None:
            begun.append((check.name, environment.get("OMP_NUM_THREADS")))
            self.check, self.polls = check, 0

        def result(self) -> gpu.Result | None:
            self.polls += 1
            begun.append((f"end {self.check.name}", None))
            return gpu.Result(self.check, "ok", 1, "", "")

        def kill(self) -> None:
            raise AssertionError

    monkeypatch.setattr(gpu, "Running", Recorded)
    waiting = gpu.deque(Check(name, (), 9, alone=name in "AD") for name in "AbcD")
    list(gpu.run_all(waiting, gpu.time.monotonic() + 100, {}))
    places = [("b", "2"), ("c", "2"), ("end b", None), ("end c", None)]
    assert begun == [("A", None), ("end A", None), *places, ("D", None), ("end D", None)]


def test_without_a_gpu_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="sees no GPU; --tiny tries the program without one"):
        main(["gpu"])


def test_a_word_in_no_name_is_refused() -> None:
    with pytest.raises(UserError, match="--only nothing: no check has such a word in its name"):
        main(["gpu", "--tiny", "--only", "nothing"])


@pytest.mark.parametrize("sizes", [{}, {"tiny": False, "data_root": Path("/data"), "pictures": 16}])
def test_every_check_is_one_that_its_process_knows(
    sizes: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in gpu_checks.CHECKS:

        def tell(args: argparse.Namespace, device: torch.device, *flags: str, name: str = name) -> str:
            assert not flags or flags == step.FAST[: len(flags)]
            assert name != "agreement" or args.family
            assert name != "trains" or args.modes
            return "known"

        monkeypatch.setitem(gpu_checks.CHECKS, name, tell)
    checks = gpu.checks(argparse.Namespace(**{**vars(TINY), **sizes}), tmp_path)
    for check in checks:
        if gpu.MODULE[1] in check.words:
            words = check.words[check.words.index(gpu.MODULE[1]) + 1 :]
            assert gpu_checks.main(words) == 0
    names = [check.name for check in checks]
    assert names[0] == "step baseline float32"
    assert {f"trains {name}" for name in METHODS} <= set(names)
    assert len(set(names)) == len(names)
    assert gpu_training.TRAINED.keys() == METHODS.keys()


def test_a_network_agrees_with_itself_and_not_with_one_that_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    args = argparse.Namespace(family="MobileNetV2", pictures=2, crop_size=32)
    assert gpu_checks.agreement(args, CPU).startswith("logits differ from float64 by ")
    compute, calls = gpu_checks.logits_and_gradient, []

    def scaled(args: argparse.Namespace, device: torch.device, dtype: torch.dtype) -> tuple:
        calls.append(dtype)
        found = compute(args, device, dtype)
        return (1.05 * found[0], found[1]) if len(calls) == 3 else found

    monkeypatch.setattr(gpu_checks, "logits_and_gradient", scaled)
    with pytest.raises(UserError, match="times the CPU's difference from float64"):
        gpu_checks.agreement(args, CPU)


@pytest.mark.parametrize("wrong", ["again", "resumed"])
def test_runs_that_differ_in_a_bit_are_found(
    wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = []
    monkeypatch.setattr(gpu_training, "train", lambda args, name, *flags: commands.append((name, flags)))
    contents = {name: {"model": {"w": torch.ones(2)}, "meter": {}} for name in ("whole", "again", "resumed")}
    monkeypatch.setattr(gpu_training, "load_checkpoint", lambda file: contents[file.parent.name])
    contents["again"]["meter"] = {"seconds": torch.ones(1)}
    args = argparse.Namespace(folder=tmp_path)
    assert gpu_training.deterministic(args, CPU).endswith(
        "all 1 tensors of model and optimiser have the same bits"
    )
    assert [(name, flags[-2:]) for name, flags in commands[-2:]] == [
        ("resumed", ("--iter_stop", "3")),
        ("resumed", ("--resume", "auto")),
    ]
    contents[wrong] = {"model": {"w": torch.tensor([1.0, 1.0000001])}, "meter": {}}
    with pytest.raises(UserError, match="1 of 1 tensors differ, first /model/w"):
        gpu_training.deterministic(args, CPU)


def test_a_method_is_tried_in_every_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(args: argparse.Namespace, name: str, *flags: str) -> str:
        if "fp16" in flags:
            raise UserError("it failed")
        return "main 3.0"

    monkeypatch.setattr(gpu_training, "train", train)
    args = argparse.Namespace(method="isw", modes=["bf16", "fp16", "compiled"])
    with pytest.raises(UserError, match="^bf16: main 3.0; fp16: it failed; compiled: main 3.0$"):
        gpu_training.trains(args, CPU)


@pytest.mark.parametrize(
    ("code", "loss", "said"),
    [
        (0, "3.1", None),
        (1, "3.1", "train.py ended with 1, --amp: wrong"),
        (0, "nan", "train.py gave main nan"),
    ],
)
def test_a_training_that_fails_or_has_no_loss_is_found(
    code: int, loss: str, said: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = (
        f"[epoch 0] [iter 2 / 3] main 9, images/s 2\n[epoch 1] [iter 3 / 3] main {loss}, images/s 3, data 0\n"
    )
    monkeypatch.setattr(gpu_training, "printed", lambda command: (code, f"{log}error: --amp: wrong\n"))
    args = argparse.Namespace(tiny=True, folder=tmp_path)
    if said is None:
        assert gpu_training.train(args, "good") == "main 3.1"
    else:
        with pytest.raises(UserError, match=said):
            gpu_training.train(args, "bad")


def test_what_a_program_says_is_shown_and_kept(capfd: pytest.CaptureFixture[str]) -> None:
    code = "import sys; print('one', flush=True); sys.stderr.write('two\\n'); sys.exit(3)"
    assert gpu_training.printed([sys.executable, "-c", code]) == (3, "one\ntwo\n")
    assert capfd.readouterr().out.endswith("\none\ntwo\n")


def test_a_time_limit_of_the_system_ends_the_running_check(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is in a group of its own, which no signal to the program reaches."""
    code = "import os, signal, sys; open(sys.argv[1], 'w').write(str(os.getpid()))\n"
    code += "os.kill(os.getppid(), signal.SIGTERM); signal.pause()"
    use_checks(monkeypatch, Check("ends it", ("-c", code, str(tmp_path / "number")), 60))
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        main(["gpu", "--tiny"])
    assert signal.getsignal(signal.SIGTERM) == before
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "number").read_text()), 0)


@pytest.mark.slow
def test_whole_checks_pass_on_a_cpu(tmp_path: Path) -> None:
    output = tmp_path / "gpu.md"
    words = ["toy city", "same bits", "ShuffleNet", "torchrun", "isw bf16", "loader", "validation"]
    assert main(["gpu", "--tiny", "--minutes", "20", "--output", str(output), "--only", *words]) == 0
    assert output.read_text().count(" | ok | ") == 8


def test_use_of_the_card_is_beside_a_known_peak() -> None:
    assert gpu_checks.utilisation(4.945e14, "NVIDIA H200") == "494 TFLOP/s (50.0% of the bf16 peak)"
    assert gpu_checks.utilisation(1e12, "Another") == "1 TFLOP/s (peak not known)"


def test_bf16_is_measured_against_float32(tmp_path: Path) -> None:
    output = tmp_path / "figures.json"
    small = "--backbone mobilenet_v2 --crop_size 32 --evaluation_size 32 64 --repeats 1".split()
    assert main(["bf16", *small, "--json", str(output)]) == 0
    rows = json.loads(output.read_text())["rows"]
    whole, layers = ("step, baseline", "inference", "validation"), ("3x3", "1x1", "depthwise 3x3")
    names = [*whole, *(f"convolution {kind}" for kind in layers)]
    assert [row["name"] for row in rows] == [f"{name}, bf16" for name in names]
    assert {row["reference"] for row in rows} == {"the same in float32"}
