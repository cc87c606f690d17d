"""Published scores to show beside one's own: ``experiments/published.json``, and which run fits a row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().parents[2] / "experiments" / "published.json"
# The code of the normalisation sites -> what a network without further method is called.
NORMALISATIONS = {5: "sw", 4: "ibn", 3: "in"}
TARGET_LOSSES = {"maxsquare": "maxsquare", "IW_maxsquare": "iw-maxsquare", "entropy": "minent"}


@dataclass(frozen=True)
class Kind:
    """What is published: which method, on which network, trained on what, adapted to what."""

    method: str
    network: str
    sources: tuple[str, ...]
    targets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Published:
    """A row of a published table.

    ``miou`` is domain -> percent. ``source`` says who printed it, ``selection`` by which rule the weights
    were chosen, ``confidence`` whether it is ``primary``, ``quoted`` or ``secondary``. ``script`` is the
    script of ``scripts/`` with its arguments, if there is one.
    """

    title: str
    system: str
    kind: Kind
    miou: Mapping[str, float]
    source: str
    selection: str
    confidence: str
    script: str | None = None
    note: str = field(default="")

    @property
    def words(self) -> str:
        """Where it is from and how it was chosen."""
        note = f"; {self.note}" if self.note else ""
        return f"{self.source}; {self.selection}; {self.confidence}{note}"


def read_published(file: Path = FILE) -> list[Published]:
    """All rows of the file; none if the project is installed without it."""
    if not file.is_file():
        return []
    rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
    return [Published(kind=_kind(row.pop("run")), **row) for row in rows]


def _kind(run: Mapping[str, Any]) -> Kind:
    return Kind(run["method"], run["network"], tuple(run["sources"]), tuple(run["targets"]))


def kind_of(settings: Mapping[str, Any], architecture: Mapping[str, Any]) -> Kind:
    """What a run is. ``settings`` are those of its ``args.json``, ``architecture`` is that of its network."""
    targets = tuple(settings.get("target_dataset") or ())
    return Kind(
        method_kind(settings, architecture), network_kind(architecture), tuple(settings["dataset"]), targets
    )


def method_kind(settings: Mapping[str, Any], architecture: Mapping[str, Any]) -> str:
    """The method of a run as tables call it: of whitening, which one; of the baseline, its normalisation."""
    method, codes = settings.get("method") or "baseline", set(architecture.get("wt_layer") or ())
    if method == "isw" and 2 not in codes:
        return "irw" if settings.get("relax_denom") else "iw"
    if method == "baseline":
        return next((name for code, name in NORMALISATIONS.items() if code in codes), method)
    if method == "maxsquare":
        if architecture.get("snr_stages"):
            return "snr-ms"
        mode = settings.get("target_mode", "maxsquare")
        return TARGET_LOSSES.get(mode, mode) + ("+multi" if settings.get("multi") else "")
    return method


def network_kind(architecture: Mapping[str, Any]) -> str:
    """The network as :class:`Kind` has it: ``resnet50, stride 16`` or, with another head, that first."""
    head, backbone = architecture.get("head") or "deeplabv3plus", architecture.get("backbone")
    if head in ("deeplabv3plus", "aggregation"):
        return f"{backbone}, stride {architecture.get('output_stride') or 16}"
    return f"{head}, {backbone}"


def beside(kind: Kind, rows: Sequence[Published]) -> list[Published]:
    """The published rows of the same kind."""
    return [row for row in rows if row.kind == kind]


def lines_beside(kind: Kind, own: Mapping[str, float], rows: Sequence[Published]) -> list[str]:
    """A line for each published row of this kind: its scores, and one's own, domain -> percent."""
    lines = []
    for row in beside(kind, rows):
        pairs = [
            f"{name} {miou:.2f} (here {own[name]:.2f})" for name, miou in row.miou.items() if name in own
        ]
        if pairs:
            lines.append(f"published, {row.system} {row.title}: {', '.join(pairs)}; {row.words}")
    return lines
