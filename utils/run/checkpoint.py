"""One file that rebuilds the network alone and resumes the run exactly.

Content (plain values and tensors only, so ``torch.load(weights_only=True)`` reads it):

================= ======================================================================================
format            ``"urbandg-1"``
network           keyword arguments of ``network.create_network`` that rebuild the network
method            registered name of the method
model             state dict of the method: network (keys ``network.*``), masks, teachers ... everything
optimizer         state dict of the optimiser
finite            how many steps were left out, and the loss scale under fp16 (``methods.engine.guard``)
iteration         optimiser steps done; the learning rate, the epoch and the place in it follow from it
sizes_of_step     pictures that make one iteration; they have to stay the same, and so do the
training_pictures a digest of the names of all training pictures
between_steps_due whether the evaluation and so on of that iteration is still to come
best              best source-val mIoU so far, and its iteration
meter             the means of the log line that is under way
bad_samples       which training pictures could not be read
log_bytes         how long the run's log was
arguments         the run's command-line arguments
commit            the code's commit
selection         the rule by which these weights were chosen (``utils.scoring.selection``)
================= ======================================================================================

The file ends with a digest of itself (``utils.run.sealed``). One that somebody saved again with
``torch.save``, without its optimiser or in half precision, has none and is taken all the same.

A file imported from the RobustNet family holds format, network, model and arguments: weights alone.

There is no random state: every draw is a function of seed, epoch, place in the epoch, iteration and rank
(``utils.seeding``).
"""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from utils import distributed
from utils.errors import UserError
from utils.files import atomic_write
from utils.run.sealed import is_unsealed, is_whole, seal
from utils.run.tensor_file import damaged_member, what_else

FORMAT = "urbandg-1"
NETWORK_PREFIX = "network."
TEACHER_PREFIX = "teacher."
PARTS_OF_A_RUN: dict[str, type] = {
    **dict.fromkeys(
        ("optimizer", "finite", "meter", "bad_samples", "sizes_of_step", "best", "arguments"), Mapping
    ),
    **dict.fromkeys(("iteration", "between_steps_due", "log_bytes"), int),
    "training_pictures": str,
}
"""What a checkpoint of a run holds beside the network's, and of which type."""
# A score in the family's files is a numpy scalar: what rebuilds one, under numpy 1's and 2's names, and its
# types. Nothing else beyond tensors and plain values is ever read.
_SCALAR = np.float32(0).__reduce__()[0]
NUMPY_SCALARS = [
    (_SCALAR, "numpy.core.multiarray.scalar"),
    (_SCALAR, "numpy._core.multiarray.scalar"),
    np.dtype,
    *(type(np.dtype(name)) for name in ("float16", "float32", "float64", "int32", "int64")),
]


FREE_SPACE = "free space or choose another --ckpt"


class DamagedCheckpoint(UserError):
    """A file that is a checkpoint no more: cut short, or with other bytes than were written."""


def save_checkpoint(path: Path, content: dict[str, Any], previous: Path | None = None) -> None:
    """Write ``content`` (without ``format``) to ``path``: a whole file or none.

    What was at ``path`` is kept at ``previous``, if given.

    Raises:
        UserError: the file cannot be written; what was at ``path`` is still there.
    """
    try:
        with atomic_write(path, FREE_SPACE) as temporary:
            torch.save({"format": FORMAT, **content}, temporary)
            seal(temporary)
            with temporary.open("r+b") as written:
                os.fsync(written.fileno())
            if previous is not None and path.exists():
                keep(path, previous)
    except RuntimeError as error:  # PyTorch's own word for a write that failed.
        raise UserError(f"{path}: cannot be written ({error}); {FREE_SPACE}") from None


def keep(path: Path, name: Path) -> None:
    """Give a file a second ``name``, in place of whatever has it."""
    name.unlink(missing_ok=True)
    try:
        os.link(path, name)
    except OSError:  # Not every file system can; for a moment there is the second name alone.
        path.replace(name)


def read_file(path: Path | str) -> Any:
    """What a checkpoint file of ours or of another system holds, on the CPU.

    A line is printed of one of ours without a seal: somebody saved it again.

    Raises:
        UserError: no such file, not a checkpoint, damaged, without the parts of one of ours, or holding code
            (which is never executed).
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path}: is a folder; name a file in it")
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint; check --snapshot or --resume")
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(NUMPY_SCALARS):
            # What is said of a stranger's pickle says less than the error that follows.
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        _refuse_what_else(path)
        raise DamagedCheckpoint(
            f"{path}: damaged, or not a checkpoint of tensors and plain values; refused to run code from it"
        ) from None
    except Exception as error:  # On damaged files the reader raises nearly anything.
        reason = f"{type(error).__name__} {error}".split("\n")[0].partition(". ")[0]
        if was_written_so(path):
            raise UserError(f"{path}: whole, but could not be read ({reason}); start again") from None
        _refuse_what_else(path)
        raise DamagedCheckpoint(f"{path}: damaged or not a checkpoint ({reason}); use another file") from None
    own = is_own(content)
    if not (own and was_written_so(path)):
        with _reading(path):
            damaged = (own and not is_unsealed(path)) or damaged_member(path) is not None
        if damaged:
            # torch can be told to leave checksums out; then nothing says whether a file is whole.
            foreign = "" if own else ", or saved by torch without checksums; then save it again with them"
            raise DamagedCheckpoint(
                f"{path}: damaged, its bytes are not those that were written; use another file{foreign}"
            )
        if own and distributed.is_main():
            print(f"{path}: has no seal, as it was saved again by something other than UrbanDG", flush=True)
    if own:
        check_parts(content, {"network": Mapping, "model": Mapping}, path)
        wrong = [name for name, value in content["model"].items() if not isinstance(value, torch.Tensor)]
        if wrong:
            raise UserError(f"{path}: damaged, its entry {wrong[0]} is no tensor; use another file")
    return content


def was_written_so(path: Path) -> bool:
    """Whether the file is one of ours with the bytes that were written.

    Raises:
        UserError: it cannot be read, which says nothing of its bytes: a disk or network may fail for a while.
    """
    with _reading(path):
        return is_whole(path)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); start again when it can") from None


def _refuse_what_else(path: Path) -> None:
    """Raise a UserError if the file is known to be something else than one of tensors."""
    with _reading(path):
        if path.stat().st_size == 0:
            raise DamagedCheckpoint(f"{path}: damaged, it is empty; use another file")
        kind = what_else(path)
    if kind is not None:
        raise DamagedCheckpoint(f"{path}: not a checkpoint but {kind}") from None


def check_parts(content: Mapping[str, Any], parts: Mapping[str, type], path: Path | str) -> None:
    """Raise a UserError unless the checkpoint ``content`` of ``path`` has all ``parts``, each of its type."""
    wrong = [name for name, kind in parts.items() if not isinstance(content.get(name), kind)]
    if not wrong and "iteration" in parts and content["iteration"] < 0:
        wrong = ["iteration"]
    if wrong:
        raise UserError(f"{path}: its {wrong[0]} is missing or no such thing; use a file that has it")


def is_own(content: Any) -> bool:
    """Whether what a file holds is a checkpoint of ours."""
    return isinstance(content, dict) and content.get("format") == FORMAT


def load_checkpoint(path: Path | str) -> dict[str, Any]:
    """Read a checkpoint of ours to the CPU.

    Raises:
        UserError: as :func:`read_file`, or a file of another kind.
    """
    content = read_file(path)
    if not is_own(content):
        raise UserError(f"{path}: not an UrbanDG checkpoint, no run to go on with; use --snapshot")
    return content


def network_state(checkpoint: dict[str, Any], prefix: str = NETWORK_PREFIX) -> dict[str, torch.Tensor]:
    """The network's own state dict inside a checkpoint's ``model``; its teacher's, with that ``prefix``."""
    model = checkpoint["model"]
    return {key.removeprefix(prefix): value for key, value in model.items() if key.startswith(prefix)}


def load_state(
    module: torch.nn.Module, state: dict[str, torch.Tensor], origin: Path | str, partial: bool = False
) -> None:
    """Load ``state`` into ``module``; every key must fit, or with ``partial`` those that do.

    Raises:
        UserError: missing, unexpected or misshapen keys (without ``partial``), naming the first of each.
    """
    own = module.state_dict()
    missing = sorted(own.keys() - state.keys())
    unexpected = sorted(state.keys() - own.keys())
    misshapen = sorted(k for k in own.keys() & state.keys() if own[k].shape != state[k].shape)
    if not partial and (missing or unexpected or misshapen):
        problems = [
            f"{len(keys)} {word} (first: {keys[0]})"
            for word, keys in (("missing", missing), ("unexpected", unexpected), ("misshapen", misshapen))
            if keys
        ]
        raise UserError(
            f"{origin}: keys do not fit this network: {', '.join(problems)}; "
            "use the checkpoint's own --arch / --wt_layer / --method, or --partial_load to take what fits"
        )
    fitting = {k: v for k, v in state.items() if k in own and k not in misshapen}
    module.load_state_dict(fitting, strict=False)
    if partial:
        left = len(missing) + len(unexpected) + len(misshapen)
        print(f"{origin}: took {len(fitting)} of {len(own)} entries, {left} did not fit", flush=True)
