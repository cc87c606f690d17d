"""Training on several source domains: which pictures come together, and the data set that makes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.utils.data import Dataset

from datasets.files.segmentation import Draw, SegmentationSet
from datasets.sampling.replacement import readable_sample
from utils.seeding import generator

Item = tuple[Draw, ...]
"""The draws that belong together: one picture, or one picture of each source domain."""

EpochDraws = Callable[[int], Sequence[Draw]]
"""Number of an epoch -> the draws of one domain in that epoch."""

# The last key of the generator that shuffles each domain, so that pictures are combined at random.
_PAIRING = 4


class Sources(Dataset):
    """Several data sets as one; ``Draw.source`` says which of them a sample comes from.

    A sample that cannot be read is replaced by another one, up to ``max_bad_samples`` times in a row (see
    :func:`datasets.sampling.replacement.readable_sample`).
    """

    def __init__(self, sets: Sequence[SegmentationSet], max_bad_samples: int = 0) -> None:
        self.sets = list(sets)
        self.max_bad_samples = max_bad_samples

    def __len__(self) -> int:
        return sum(map(len, self.sets))

    def __getitem__(self, draw: Draw) -> dict[str, torch.Tensor | str | int]:
        return readable_sample(self.sets[draw.source], draw, self.max_bad_samples)


def domain_uniform(sources: Sequence[EpochDraws], seed: int, epoch: int) -> list[Item]:
    """Items with one picture of each domain, in random order. There are as many as in the smallest domain."""
    shuffled = []
    for number, draws_of_epoch in enumerate(sources):
        draws = draws_of_epoch(epoch)
        order = generator(seed, epoch, number, _PAIRING).permutation(len(draws))
        shuffled.append([draws[index]._replace(source=number) for index in order])
    return list(zip(*shuffled, strict=False))


def image_uniform(sources: Sequence[EpochDraws], seed: int, epoch: int) -> list[Item]:
    """Items with one picture each: all pictures of all domains, so a larger domain is seen more often."""
    return [
        (draw._replace(source=number),)
        for number, draws_of_epoch in enumerate(sources)
        for draw in draws_of_epoch(epoch)
    ]
