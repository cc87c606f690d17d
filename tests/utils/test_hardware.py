"""What is said of the machine."""

from __future__ import annotations

from pathlib import Path

import torch

from utils.hardware import hardware, processor


def test_the_processor_has_a_name(tmp_path: Path) -> None:
    information = tmp_path / "cpuinfo"
    information.write_text("processor\t: 0\nmodel name\t: Fast CPU @ 3 GHz \n\nprocessor\t: 1\n")
    assert processor(information) == "Fast CPU @ 3 GHz"
    assert processor(tmp_path / "none")


def test_a_cpu_is_told_from_an_accelerator() -> None:
    told = hardware(torch.device("cpu"))
    assert (told["accelerated"], told["processes"]) == (False, 1)
    assert told["torch"] == torch.__version__
