"""Random numbers that depend on what is drawn, never on which process draws it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def generator(*keys: int) -> np.random.Generator:
    """A generator that depends only on its non-negative integer ``keys``, e.g. (seed, epoch, position).

    A sample drawn with it is the same on every worker, on every rank and after every resume.
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(keys)))


def seed_step(seed: int, rank: int, batch: int) -> None:
    """Seed torch (CPU and devices) for the ``batch``-th forward pass of a run.

    Dropout then needs no saved random state to resume. Each rank gets other dropout masks, because equal ones
    would make a large batch less varied.
    """
    import torch  # Imported here, so that processes that only draw numbers start without it.

    torch.manual_seed(int(generator(seed, rank, batch).integers(2**63)))


def step_generator(device: torch.device) -> torch.Generator:
    """A generator on ``device`` with the seed of the current step (:func:`seed_step`).

    It is for draws that must not change those of dropout. Two generators of one step give the same numbers.
    """
    import torch

    return torch.Generator(device).manual_seed(torch.initial_seed())
