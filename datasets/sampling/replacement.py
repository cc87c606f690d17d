"""The samples of several data sets. Pictures that cannot be read are replaced by others, named and counted.

A file may become unreadable in the middle of a run that takes days. The run then goes on without it, unless
there are too many of them. Scoring never replaces a picture: a score over fewer is a different score.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import Dataset

from datasets.files.segmentation import Draw, RandomUse, SegmentationSet
from utils import distributed
from utils.errors import UserError
from utils.seeding import generator

NOTICES = "unreadable"
"""The entry of a sample about pictures that it replaces, as JSON: {data set and picture: error line}."""


class Sources(Dataset):
    """Several data sets as one; ``Draw.source`` says which of them a sample comes from.

    If a sample cannot be read, other pictures of its data set are tried, at most ``max_bad_samples`` of them.
    Their random order depends on the data set's seed and the draw alone. A replacement makes the same random
    choices as the draw, but has no centroid. Every sample has the entry :data:`NOTICES`.

    Raises :class:`UserError` for a sample if none of these pictures can be read.
    """

    def __init__(self, sets: Sequence[SegmentationSet], max_bad_samples: int = 0) -> None:
        self.sets, self.max_bad_samples = list(sets), max_bad_samples

    def __getitem__(self, draw: Draw) -> dict[str, torch.Tensor | str | int]:
        dataset, limit = self.sets[draw.source], self.max_bad_samples
        notices: dict[str, str] = {}
        for instead in itertools.islice(_draw_and_others(dataset, draw), limit + 1):
            try:
                return {**dataset[instead], NOTICES: json.dumps(notices)}
            except UserError as error:
                # The key is not the error's text, because that depends on how many rows of the file are read.
                notices[f"{dataset.spec.name} {dataset.pair(instead.index).name}"] = str(error)
        last = next(reversed(notices.values()))
        if limit == 0:
            raise UserError(last)
        raise UserError(
            f"--max_bad_samples {limit}: {len(notices)} training pictures in a row cannot be used; "
            f"the last: {last}"
        )


def _draw_and_others(dataset: SegmentationSet, draw: Draw) -> Iterator[Draw]:
    yield draw
    rng = generator(dataset.seed, draw.epoch, draw.position, draw.source, RandomUse.REPLACEMENT)
    for index in rng.permutation(len(dataset)).tolist():
        if index != draw.index:
            yield draw._replace(index=index, centroid=None)


class BadSamples:
    """The training pictures of a run that could not be read so far.

    A picture counts once, even if several processes or epochs draw it; its first error line is kept.
    ``limit`` is the greatest allowed number of such pictures (``--max_bad_samples``).
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._known: dict[str, str] = {}
        self._new: dict[str, str] = {}

    def note(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Count the pictures in a batch's :data:`NOTICES`; returns the batch without that entry.

        Raises :class:`UserError` if there are now more than ``limit`` pictures.
        """
        for notices in map(json.loads, batch.pop(NOTICES)):
            unknown = {picture: line for picture, line in notices.items() if picture not in self._known}
            self._known |= unknown
            self._new |= unknown
        self._check()
        return batch

    def state_dict(self) -> dict[str, dict[str, str]]:
        """The state for :meth:`load_state_dict`. Call :meth:`news` first, or new pictures are never named."""
        return {"known": dict(self._known)}

    def load_state_dict(self, state: dict[str, dict[str, str]]) -> None:
        """Continue the count of an earlier run."""
        self._known = dict(state["known"])

    def news(self) -> list[str]:
        """A line for every picture that any process has found since the last call.

        All processes must call this together. Raises :class:`UserError` if together they now have more than
        ``limit`` pictures.
        """
        found: dict[str, str] = {}
        for new in distributed.gather_objects(self._new):
            found |= {picture: line for picture, line in new.items() if picture not in found}
        self._known |= found
        self._new = {}
        self._check()
        return [f"replaced by another draw: {line}" for line in found.values()]

    def scalars(self) -> dict[str, float]:
        """The number of such pictures for the log line; empty if there are none."""
        return {"bad samples": len(self._known)} if self._known else {}

    def _check(self) -> None:
        if len(self._known) > self.limit:
            raise UserError(
                f"--max_bad_samples {self.limit}: {len(self._known)} training pictures or labels cannot be "
                f"read; the last: {next(reversed(self._known.values()))}"
            )
