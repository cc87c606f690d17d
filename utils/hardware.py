"""What a program runs on, for those who read its numbers later."""

from __future__ import annotations

import platform
import re
from pathlib import Path
from typing import Any

import torch

from utils.device import device_name
from utils.distributed import world_size


def hardware(device: torch.device) -> dict[str, Any]:
    """The device and the number of processes with one each, the processor, and PyTorch's version."""
    return {
        "device": device_name(device),
        "accelerated": device.type != "cpu",
        "processes": world_size(),
        "processor": processor(),
        "torch": torch.__version__,
    }


def processor(information: Path = Path("/proc/cpuinfo")) -> str:
    """The name of the processor, as Linux tells it, or else what Python knows."""
    try:
        found = re.search(
            r"^model name\s*:\s*(.+)$",
            information.read_text(encoding="utf-8", errors="replace"),
            re.MULTILINE,
        )
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()
