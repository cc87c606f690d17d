"""A checkpoint: one file that is enough to rebuild the network, and to resume the run exactly.

Its content is plain values and tensors only, so ``torch.load(weights_only=True)`` reads it:

================= ======================================================================================
format            ``"urbandg-1"``
network           keyword arguments of ``network.create_network`` that rebuild the network
method            registered name of the method
model             state dict of the method: network (keys ``network.*``), masks, teachers ... everything
optimizer         state dict of the optimiser
finite            how many steps were left out, and the loss scale under fp16 (``methods.engine.guard``)
iteration         optimiser steps done; the learning rate, the epoch and the place in it follow from it
sizes_of_step     number of pictures of one iteration; must be the same when the run is resumed
training_pictures digest of the names of all training pictures; must be the same as well
between_steps_due whether the evaluation and other work after that iteration is still to be done
best              file name -> best mIoU so far and its iteration, of the source (and of each target)
meter             the means for the next log line
bad_samples       which training pictures could not be read
log_bytes         length of the run's log
arguments         the run's command-line arguments
commit            the code's commit
selection         the rule by which these weights were chosen (``utils.scoring.selection``)
================= ======================================================================================

The file ends with a digest of itself (``utils.run.sealed``). A file that somebody saved again with
``torch.save``, for example without its optimiser or in half precision, has no digest and is accepted too. A
file imported from the RobustNet family holds weights only: format, network, model and arguments. So does a
file in the format of safetensors (``utils.run.safetensors_file``), which is read as well.

With ``--tune`` the model may lack frozen weights; then ``base`` says which (``network.base_weights``).

No random state is saved: every draw depends on seed, epoch, place in the epoch, iteration and rank alone.
"""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from utils import distributed
from utils.errors import UserError
from utils.files import atomic_write
from utils.run.safetensors_file import is_safetensors, read_safetensors
from utils.run.sealed import is_unsealed, is_whole, seal
from utils.run.tensor_file import damaged_member, what_else

FORMAT = "urbandg-1"
NETWORK_PREFIX = "network."
TEACHER_PREFIX = "teacher."
PARTS_OF_A_RUN: dict[str, type] = {
    **dict.fromkeys("optimizer finite meter bad_samples sizes_of_step best arguments".split(), Mapping),
    **dict.fromkeys("iteration between_steps_due log_bytes".split(), int),
    "training_pictures": str,
}
"""The entries that a checkpoint of a run has besides those of the network, and their types."""
# Scores in the family's files are numpy scalars. This is the function that rebuilds them, under its names in
# numpy 1 and 2, and the types. Apart from these, only tensors and plain values are ever read.
_SCALAR = np.float32(0).__reduce__()[0]
NUMPY_SCALARS = [
    (_SCALAR, "numpy.core.multiarray.scalar"),
    (_SCALAR, "numpy._core.multiarray.scalar"),
    np.dtype,
    *(type(np.dtype(name)) for name in ("float16", "float32", "float64", "int32", "int64")),
]
FREE_SPACE = "free space or choose another --ckpt"


class DamagedCheckpoint(UserError):
    """A file that is no valid checkpoint: cut short, changed since it was written, or of another kind."""


def save_checkpoint(path: Path, content: dict[str, Any], previous: Path | None = None) -> None:
    """Write all of ``content`` (without ``format``) to ``path``, or raise a UserError and write nothing.

    If ``previous`` is given, an old file at ``path`` is kept under that name.
    """
    try:
        with atomic_write(path, FREE_SPACE) as temporary:
            torch.save({"format": FORMAT, **content}, temporary)
            seal(temporary)
            with temporary.open("r+b") as written:  # The new file is safe before the old one is touched.
                os.fsync(written.fileno())
            if previous is not None and path.exists():
                keep(path, previous)
    except RuntimeError as error:  # PyTorch raises this if a write fails.
        raise UserError(f"{path}: cannot be written ({error}); {FREE_SPACE}") from None


def keep(path: Path, name: Path) -> None:
    """Give the file ``path`` a second ``name``, and remove a file that had this name before."""
    name.unlink(missing_ok=True)
    try:
        os.link(path, name)
    except OSError:  # Some file systems have no links. Until the next save only the second name exists.
        path.replace(name)


def read_file(path: Path | str) -> Any:
    """The content of a checkpoint file, ours or another project's, on the CPU.

    If one of our files has no seal because somebody saved it again, a line says so. Raises a UserError if the
    file does not exist, is no checkpoint, is damaged, is ours but incomplete, contains code (which is never
    executed), or cannot be read for a while, as when a network fails.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path}: is a folder; name a file in it")
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint; check --snapshot or --resume")
    try:
        content = _content_of(path)
        own = is_own(content)
        # A safetensors file of ours was compared with its digest when it was read.
        sealed = own and (is_safetensors(path) or is_whole(path))
        if not sealed and ((own and not is_unsealed(path)) or damaged_member(path) is not None):
            # torch can be told to leave checksums out. Such a file looks damaged even if it is whole.
            foreign = "" if own else "; if torch saved it without checksums, save it again with them"
            raise DamagedCheckpoint(
                f"{path}: damaged, its bytes are not those that were written; use another file{foreign}"
            )
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); start again when it can") from None
    if own:
        if not sealed and distributed.is_main():
            print(f"{path}: has no seal, as it was saved again by something other than UrbanDG", flush=True)
        check_parts(content, {"network": Mapping, "model": Mapping}, path)
        wrong = [name for name, value in content["model"].items() if not isinstance(value, torch.Tensor)]
        if wrong:
            raise UserError(f"{path}: damaged, its entry {wrong[0]} is not a tensor; use another file")
    return content


def _content_of(path: Path) -> Any:
    """What torch reads from a file. An OSError is raised only if not even its bytes can be read."""
    try:
        if is_safetensors(path):
            return read_safetensors(path)
        with warnings.catch_warnings(), torch.serialization.safe_globals(NUMPY_SCALARS):
            # torch's warnings about a foreign pickle say less than the error that follows.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        fault = "damaged, or not a checkpoint of tensors and plain values; refused to run code from it"
    except Exception as error:  # For damaged files torch may raise nearly any exception.
        reason = f"{type(error).__name__} {error}".split("\n")[0].partition(". ")[0]
        if is_whole(path):
            raise UserError(f"{path}: whole, but could not be read ({reason}); start again") from None
        fault = f"damaged or not a checkpoint ({reason}); use another file"
    if path.stat().st_size == 0:
        fault = "damaged, it is empty; use another file"
    elif kind := what_else(path):
        fault = f"not a checkpoint but {kind}"
    raise DamagedCheckpoint(f"{path}: {fault}")


def check_parts(content: Mapping[str, Any], parts: Mapping[str, type], path: Path | str) -> None:
    """Raise a UserError unless ``content``, the checkpoint ``path``, has all ``parts`` with their types."""
    wrong = [name for name, kind in parts.items() if not isinstance(content.get(name), kind)]
    if not wrong and "iteration" in parts and content["iteration"] < 0:
        wrong = ["iteration"]
    if wrong:
        raise UserError(f"{path}: its {wrong[0]} is missing or invalid; use a file that has it")


def is_own(content: Any) -> bool:
    """Whether the content of a file is a checkpoint of ours."""
    return isinstance(content, dict) and content.get("format") == FORMAT


def load_checkpoint(path: Path | str) -> dict[str, Any]:
    """As :func:`read_file`, but a file of another project raises a UserError."""
    content = read_file(path)
    if not is_own(content):
        raise UserError(f"{path}: not an UrbanDG checkpoint, so there is no run to resume; use --snapshot")
    return content


def network_state(checkpoint: dict[str, Any], prefix: str = NETWORK_PREFIX) -> dict[str, torch.Tensor]:
    """The network's state dict, taken from a checkpoint's ``model``; the teacher's with that ``prefix``."""
    model = checkpoint["model"]
    return {key.removeprefix(prefix): value for key, value in model.items() if key.startswith(prefix)}


def load_state(
    module: torch.nn.Module, state: dict[str, torch.Tensor], origin: Path | str, partial: bool = False
) -> None:
    """Load ``state`` into ``module``: with ``partial`` only the keys that fit. Without, a UserError names the
    first key that is missing, unexpected or misshapen.
    """
    own = module.state_dict()
    left_out = {
        "missing": own.keys() - state.keys(),
        "unexpected": state.keys() - own.keys(),
        "misshapen": {key for key in own.keys() & state.keys() if own[key].shape != state[key].shape},
    }
    problems = [f"{len(keys)} {word} (first: {min(keys)})" for word, keys in left_out.items() if keys]
    if problems and not partial:
        raise UserError(
            f"{origin}: keys do not fit this network: {', '.join(problems)}; "
            "use the checkpoint's own --arch / --wt_layer / --method, or --partial_load to take what fits"
        )
    taken = state.keys() - left_out["unexpected"] - left_out["misshapen"]
    fitting = {key: value for key, value in state.items() if key in taken}
    module.load_state_dict(fitting, strict=False)
    if partial:
        left = sum(map(len, left_out.values()))
        print(f"{origin}: took {len(fitting)} of {len(own)} entries, {left} did not fit", flush=True)
