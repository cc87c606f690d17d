"""Files that should hold tensors but come from anywhere: their real kind, damage, wrapped state dicts."""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

DISTRIBUTED_PREFIX = "module."
COMPILED_PREFIX = "_orig_mod."
# Lightning stores its version under this key, and the network's entries usually under this prefix.
LIGHTNING_KEY, LIGHTNING_PREFIX = "pytorch-lightning_version", "model."
_HEAD_BYTES = 512


def what_else(path: Path) -> str | None:
    """The real kind of a file that torch did not write, and what to do with it; ``None`` if not known."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if head.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS in place of the file; fetch the file with git lfs pull"
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html", b"<?xml")):
        return "a web page in place of the file; download it again"
    if head.startswith(b"\x1f\x8b") or tarfile.is_tarfile(path):
        return "a compressed file or tar archive; unpack it and name the file in it"
    if head.startswith(b"PK") and zipfile.is_zipfile(path) and not _is_torch_archive(path):
        return "a zip archive that torch did not write; unpack it and name the file in it"
    return None


def _is_torch_archive(path: Path) -> bool:
    """Whether torch may have written a zip archive; a broken archive tells nothing, so it may have."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/data.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return True


def damaged_member(path: Path) -> str | None:
    """The first part of a zip archive with a wrong checksum, or ``None``. torch does not check them."""
    if not zipfile.is_zipfile(path):
        return None  # The old format of torch has no checksums.
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError) as error:
        return str(error) or type(error).__name__


def state_of(content: object) -> dict[str, Tensor] | None:
    """The state dict in the ``content`` of a file; ``None`` if there is none.

    It is the entry ``state_dict``, the entry ``model``, or the content itself. Prefixes that DataParallel,
    ``torch.compile`` and Lightning put into the names are removed.
    """
    state = content.get("state_dict", content.get("model", content)) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping):
        return None
    if not all(isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()):
        return None
    bare = {bare_key(key): value for key, value in state.items()}
    if LIGHTNING_KEY not in content:
        return bare
    # Entries without the prefix belong to the training, for example to a loss or a score.
    network = [key for key in bare if key.startswith(LIGHTNING_PREFIX)]
    return {bare_key(key.removeprefix(LIGHTNING_PREFIX)): bare[key] for key in network} or bare


def bare_key(key: str) -> str:
    """The name of an entry without the prefixes of DataParallel and ``torch.compile``, in any order."""
    key = key.replace(COMPILED_PREFIX, "")
    while key.startswith(DISTRIBUTED_PREFIX):
        key = key.removeprefix(DISTRIBUTED_PREFIX)
    return key


def digest_of(state: Mapping[str, Tensor]) -> str:
    """SHA-256, hexadecimal, of names, types, shapes and bytes of a state dict, whatever its order."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
