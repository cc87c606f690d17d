"""Several source domains at once: what one item of an epoch is, and the data set that makes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.utils.data import Dataset

from datasets.files.segmentation import Draw, SegmentationSet
from datasets.sampling.replacement import readable_sample
from utils.seeding import generator

Item = tuple[Draw, ...]
"""What is drawn together: one picture, or one of each source domain."""

EpochDraws = Callable[[int], Sequence[Draw]]
"""Epoch -> the draws of one source domain in it."""

# Key of the generator that pairs the pictures of the domains.
_PAIRING = 4


class Sources(Dataset):
    """Data sets to train on as one; a draw says which of them it is from.

    In place of a sample that cannot be read comes another one, up to ``max_bad_samples`` in a row, see
    :func:`datasets.sampling.replacement.readable_sample`.
    """

    def __init__(self, sets: Sequence[SegmentationSet], max_bad_samples: int = 0) -> None:
        self.sets = list(sets)
        self.max_bad_samples = max_bad_samples

    def __len__(self) -> int:
        return sum(map(len, self.sets))

    def __getitem__(self, draw: Draw) -> dict[str, torch.Tensor | str | int]:
        return readable_sample(self.sets[draw.source], draw, self.max_bad_samples)


def domain_uniform(sources: Sequence[EpochDraws], seed: int, epoch: int) -> list[Item]:
    """Items of one picture of every domain: as many as the smallest domain has, each domain shuffled."""
    shuffled = []
    for number, draws_of_epoch in enumerate(sources):
        draws = draws_of_epoch(epoch)
        order = generator(seed, epoch, number, _PAIRING).permutation(len(draws))
        shuffled.append([draws[index]._replace(source=number) for index in order])
    return list(zip(*shuffled, strict=False))


def image_uniform(sources: Sequence[EpochDraws], seed: int, epoch: int) -> list[Item]:
    """Items of one picture: all pictures of all domains, so that a larger domain is seen more often."""
    return [
        (draw._replace(source=number),)
        for number, draws_of_epoch in enumerate(sources)
        for draw in draws_of_epoch(epoch)
    ]
