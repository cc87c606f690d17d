"""The temperature of a network, fitted to the val splits that its training could have used."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from datasets.definitions.catalog import TOYCITY_ROOT, known_datasets
from datasets.domains import Domains
from utils.errors import UserError
from utils.scoring.calibration import FittedTemperature, fit_temperature, sample_logits
from utils.scoring.sliding_window import averaged

MOST_PICTURES = 500
"""The most pictures of a source that a temperature is fitted to."""


@dataclass(frozen=True)
class Calibration:
    """A network's temperature, fitted to so many ``pictures`` of the val splits of ``data``."""

    fitted: FittedTemperature
    data: Sequence[str]
    pictures: int

    @property
    def temperatures(self) -> list[float]:
        """Those that reliability is measured with: as the network is, and calibrated."""
        return [1.0, self.fitted.temperature]

    @property
    def words(self) -> str:
        """One line for people."""
        fitted, data = self.fitted, " ".join(self.data)
        end = " (the end of its range)" if fitted.is_at_end else ""
        return (
            f"temperature {fitted.temperature:.4f}{end}, fitted to {fitted.pixels:,} pixels of "
            f"{self.pictures} pictures of {data} val: loss {fitted.loss_before:.4f}, with the temperature "
            f"{fitted.loss:.4f}"
        )

    @property
    def content(self) -> dict[str, Any]:
        """What ``results.json`` has."""
        return {**asdict(self.fitted), "data": list(self.data), "split": "val", "pictures": self.pictures}


def calibrate(
    domains: Domains,
    trained_with: Mapping[str, Any],
    snapshot: str,
    predict: Callable[[torch.Tensor], torch.Tensor],
    device: torch.device,
    amp: str = "off",
) -> Calibration:
    """Fit a temperature to the sources of a network, never to a target.

    ``trained_with`` are the arguments of its training, as the checkpoint file ``snapshot`` has them.
    ``predict`` is averaged as for the scores of ``domains``. Raises a UserError if the sources are not known,
    cannot be opened, or have no labelled pixel.
    """
    sources = list(trained_with.get("dataset") or [])
    unknown = [name for name in sources if name not in known_datasets()]
    if unknown or not sources:
        told = (
            f"was trained on {unknown[0]}, which is unknown here" if unknown else "does not name its source"
        )
        raise UserError(f"--calibrate: {snapshot} {told}; use --reliability alone")
    own = _domains_of_training(domains, sources, trained_with.get("cv") or 0)
    predict, probabilities = averaged(predict, own.inference), own.inference.gives_probabilities
    sample, pictures = [], 0
    for name in sources:
        try:
            loader = own.evaluation_loader(name, most=MOST_PICTURES)
        except UserError as error:
            needed = f"--calibrate: needs the val split of {name}, on which {snapshot} was trained"
            raise UserError(f"{needed}: {error.args[0]}; or use --reliability alone") from None
        sample += sample_logits(predict, loader, device, amp, f"{name}: temperature", probabilities)
        pictures += min(len(loader.dataset), MOST_PICTURES)
    fitted = fit_temperature(sample, device)
    if not fitted.pixels:
        raise UserError(
            f"--calibrate: {' '.join(sources)} val has no labelled pixel; check it with python -m "
            "scripts.check, or use --reliability alone"
        )
    return Calibration(fitted, sources, pictures)


def _domains_of_training(domains: Domains, sources: Sequence[str], cv: int) -> Domains:
    """``domains``, but ``sources`` are divided into train and val as in their training."""
    args = argparse.Namespace(**{**vars(domains.args), "dataset": sources, "cv": cv})
    settings = domains.classes, domains.inference, domains.precision
    return Domains(args, domains.configured, TOYCITY_ROOT, *settings)
