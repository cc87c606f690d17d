"""Randomness that depends on what is being done, never on who does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def generator(*keys: int) -> np.random.Generator:
    """A generator that is a pure function of its non-negative integer ``keys``, e.g. (seed, epoch, position).

    A sample drawn with it is the same on any worker, any rank and after any resume.
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(keys)))


def seed_step(seed: int, rank: int, batch: int) -> None:
    """Seed torch (CPU and devices) for a run's ``batch``-th forward, so that dropout needs no saved random
    state to resume.

    Ranks get different streams: equal masks on all ranks would make a large batch less varied than its size.
    """
    import torch  # Here, so that processes which only draw numbers start without it.

    torch.manual_seed(int(generator(seed, rank, batch).integers(2**63)))


def step_generator(device: torch.device) -> torch.Generator:
    """A generator on ``device`` that starts from the present step's seed (:func:`seed_step`).

    For draws that must not shift those of dropout. Two generators of one step give the same numbers.
    """
    import torch

    return torch.Generator(device).manual_seed(torch.initial_seed())
