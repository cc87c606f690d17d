"""Building the network that a checkpoint file holds, and loading the weights that a run starts from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from network.base_weights import ENTRY, whole_model
from network.factory import create_network, flag_of
from network.legacy import foreign_file
from network.segmentor import SegmentationNet
from utils import distributed
from utils.errors import MissingLibrary, UserError
from utils.run.checkpoint import NETWORK_PREFIX, TEACHER_PREFIX, is_own, load_state, network_state, read_file

# The settings of a backbone of timm that make it another network.
SAME_NETWORK = ("taps", "positions", "patch_size", "image_size")


def load_network(
    path: Path | str,
    stated: Mapping[str, Any] | None = None,
    partial: bool = False,
    teacher: bool = False,
    backbone_weights: Path | str | None = None,
) -> tuple[SegmentationNet, dict[str, Any]]:
    """The network of a checkpoint, in evaluation mode on the CPU, and the checkpoint itself.

    The architecture comes from the checkpoint alone; what the command line has ``stated`` (arguments of
    ``create_network``) is only compared with it. A file of another system (``network.legacy``) does not tell
    everything, and what is ``stated`` completes it. With ``partial`` only the entries that fit are taken.
    With ``teacher`` the network is the moving average that a method keeps of it. ``backbone_weights`` is the
    file of the base weights that a checkpoint leaves out (``network.base_weights``). A UserError is raised if
    the checkpoint is unreadable or without teacher, or its keys or a statement do not fit, or if its base
    weights are not there.
    """
    stated = stated or {}
    checkpoint = read_file(path)
    if not is_own(checkpoint):
        checkpoint = foreign_file(checkpoint, path).checkpoint(stated)
    try:
        network = create_network(**checkpoint["network"])
    except MissingLibrary:  # The file may be good.
        raise
    except Exception as error:  # Whoever wrote the file may have written anything.
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"{path}: cannot build the network that it describes ({reason}); use another file"
        ) from error
    _refuse_difference(path, network.config, stated, stated, "the flags say", "drop or correct them")
    checkpoint = {**checkpoint, "model": whole_model(checkpoint, path, backbone_weights)}
    state = network_state(checkpoint, TEACHER_PREFIX if teacher else NETWORK_PREFIX)
    if teacher and not state:
        raise UserError(f"--teacher: {path} has none, only checkpoints of --method sac have; drop --teacher")
    load_state(network, state, path, partial)
    return network.eval(), checkpoint


class Start:
    """The checkpoint whose weights a run starts from, ours or of another system.

    Attributes:
        tuned: whether its network is tuned.
    """

    def __init__(
        self, path: Path | str, partial: bool = False, backbone_weights: Path | str | None = None
    ) -> None:
        """``partial``: take what fits. ``backbone_weights``: the base weights that the file may leave out.

        A UserError is raised if the checkpoint is unreadable.
        """
        self.path, self.partial = path, partial
        self._backbone_weights = backbone_weights
        self._content = read_file(path)
        self._whole: dict[str, Tensor] | None = None
        self._foreign = None if is_own(self._content) else foreign_file(self._content, path)
        self.tuned = self._foreign is None and bool(self._content["network"].get("tuning"))

    def load_network(self, network: SegmentationNet) -> None:
        """Load the weights of ``network``: all its entries, or if ``partial`` those that fit.

        ``network`` must be tuned as that of the file is. A UserError is raised if the file holds another
        network (unless ``partial``), or has keys that do not fit.
        """
        content, config = self._content, network.config
        if not self.partial:
            # Some networks have the same entries (normalisation without parameters, strides).
            told = self._foreign.told() if self._foreign else content["network"]
            names = [name for name in told if name in config]
            remedy = "state the same, or take what fits with --partial_load"
            _refuse_difference(self.path, told, config, names, "this network has", remedy)
        model = self._model(config["wt_layer"])
        load_state(network, network_state({"model": model}), self.path, self.partial)
        if self.tuned:
            network.base = content.get(ENTRY)

    def load_further(self, method: nn.Module) -> list[str]:
        """Load what the file holds beside the network (masks, projection heads, a teacher) into ``method``.

        It is taken as far as ``method`` has it, whatever method wrote it; returns the names of the parts of
        ``method`` that were taken whole.
        """
        model = self._model(method.network.config["wt_layer"])
        return _load_further(method, model, self.path, self.partial)

    def _model(self, wt_layer: Sequence[int]) -> dict[str, Tensor]:
        """The state dict of the method in the file, with our names."""
        if self._whole is None and self._foreign:
            self._whole = self._foreign.model(wt_layer)
        elif self._whole is None:
            self._whole = whole_model(self._content, self.path, self._backbone_weights)
        return self._whole


def load_start(
    method: nn.Module,
    path: Path | str,
    partial: bool = False,
    backbone_weights: Path | str | None = None,
) -> list[str]:
    """Load all that a checkpoint has for ``method``, which holds its network as ``network``; see
    :class:`Start`.
    """
    start = Start(path, partial, backbone_weights)
    start.load_network(method.network)
    return start.load_further(method)


def _refuse_difference(
    path: Path | str,
    trained: Mapping[str, Any],
    other: Mapping[str, Any],
    names: Iterable[str],
    other_has: str,
    remedy: str,
) -> None:
    """Raise a UserError if two networks (arguments of ``create_network``) differ in one of ``names``."""
    for name in names:
        was, differs = trained[name], other[name]
        if name == "timm":
            was, differs = _differing_settings(was or {}, differs or {})
        if _comparable(name, was) != _comparable(name, differs):
            was, differs = flag_of(name, was), flag_of(name, differs)
            raise UserError(f"{path}: was trained with {was}, {other_has} {differs}; {remedy}")


def _differing_settings(
    trained: Mapping[str, Any], other: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of a backbone of timm in which two networks differ; a command line may state only some."""
    names = [name for name in SAME_NETWORK if name in other and trained.get(name) != other[name]]
    return {name: trained.get(name) for name in names}, {name: other[name] for name in names}


def _comparable(name: str, value: Any) -> Any:
    """``value`` without what may differ in one and the same network: the colours of its classes."""
    return (value["names"], value["train_ids"]) if name == "classes" else value


def _load_further(
    method: nn.Module, model: Mapping[str, Tensor], path: Path | str, partial: bool
) -> list[str]:
    """Load what ``model`` holds beside the network, as in :func:`load_start`; a line counts the rest."""
    theirs = {key: value for key, value in model.items() if not key.startswith(NETWORK_PREFIX)}
    own = {key: value for key, value in method.state_dict().items() if not key.startswith(NETWORK_PREFIX)}
    fitting = {key: value for key, value in theirs.items() if key in own and own[key].shape == value.shape}
    misshapen = sorted((theirs.keys() & own.keys()) - fitting.keys())
    if misshapen and not partial:
        raise UserError(
            f"{path}: {len(misshapen)} misshapen entries beside the network (first: {misshapen[0]}); use its "
            "own flags, or --partial_load to take what fits"
        )
    method.load_state_dict(fitting, strict=False)
    if distributed.is_main() and not fitting.keys() == theirs.keys() == own.keys():
        print(
            f"{path}: of what is beside the network, took {len(fitting)} of its {len(theirs)} entries; "
            f"{len(own) - len(fitting)} of this method start anew",
            flush=True,
        )
    left = parts_of(own.keys() - fitting.keys())
    return [name for name in parts_of(own) if name not in left]


def parts_of(keys: Iterable[str]) -> list[str]:
    """The buffers and modules of a method, without the network, that have entries in state dict ``keys``."""
    return list(dict.fromkeys(k.partition(".")[0] for k in keys if not k.startswith(NETWORK_PREFIX)))
