"""Files in the format of the library safetensors, which hold tensors and words, and can run no code.

One of ours has these words in its metadata: ``format`` as a checkpoint has it, ``digest`` of its tensors
(``utils.run.tensor_file.digest_of``), and in JSON all other entries of a checkpoint but the model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
from safetensors.torch import save_file

from utils.run.tensor_file import digest_of

SUFFIX = ".safetensors"
_LARGEST_HEADER = 100_000_000


def is_safetensors(path: Path) -> bool:
    """Whether a file starts as one of this format does: the length of a header, which is JSON."""
    with path.open("rb") as file:
        head = file.read(9)
    return head[8:] == b"{" and int.from_bytes(head[:8], "little") <= _LARGEST_HEADER


def read_safetensors(path: Path) -> dict[str, Any]:
    """The checkpoint in a file of ours, or the state dict in another file.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            words = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        entries = {key: json.loads(word) for key, word in words.items() if key not in ("format", "digest")}
    except safetensors.SafetensorError as error:
        raise ValueError(str(error)) from None
    if "digest" not in words:
        return state
    if digest_of(state) != words["digest"]:
        raise ValueError("its tensors are not those that were written")
    return {"format": words.get("format"), **entries, "model": state}


def write_safetensors(path: Path, checkpoint: Mapping[str, Any]) -> None:
    """Write a checkpoint whose entries but ``model`` and ``format`` are plain values, as JSON has them."""
    state = {name: value.contiguous() for name, value in checkpoint["model"].items()}
    words = {key: json.dumps(value) for key, value in checkpoint.items() if key not in ("model", "format")}
    save_file(state, path, {"format": checkpoint["format"], "digest": digest_of(state), **words})
