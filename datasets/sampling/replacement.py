"""Training pictures that cannot be read are replaced by others, named and counted.

A file may become unreadable in the middle of a run that takes days, because a disk fails or somebody
overwrites the file. The run then goes on without the picture, unless there are too many of them. Scoring
never replaces a picture, because a score over fewer pictures is a different score.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from utils import distributed
from utils.errors import UserError
from utils.seeding import generator

if TYPE_CHECKING:
    import torch

    from datasets.files.segmentation import Draw, SegmentationSet

# The last key of the generator that draws replacements, so that it differs from those of other uses.
_REPLACEMENT = 7

NOTICES = "unreadable"
"""The entry of a sample about pictures that it replaces, as JSON: {data set and picture: error line}."""


def readable_sample(dataset: SegmentationSet, draw: Draw, limit: int) -> dict[str, torch.Tensor | str | int]:
    """The sample of ``draw``, or of another picture if it cannot be read, with the entry :data:`NOTICES`.

    The other pictures of the data set are tried in a random order, which depends on the data set's seed and
    ``draw`` alone. A replacement makes the same random choices as ``draw``, but has no centroid.

    Raises:
        UserError: ``limit`` further pictures cannot be read either, or there are no further pictures.
    """
    notices: dict[str, str] = {}
    for instead in itertools.islice(_draws(dataset, draw), limit + 1):
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


def _draws(dataset: SegmentationSet, draw: Draw) -> Iterator[Draw]:
    yield draw
    rng = generator(dataset.seed, draw.epoch, draw.position, draw.source, _REPLACEMENT)
    for index in rng.permutation(len(dataset)).tolist():
        if index != draw.index:
            yield draw._replace(index=index, centroid=None)


class BadSamples:
    """The training pictures of a run that could not be read so far.

    A picture counts once, even if several processes or epochs draw it; its first error line is kept.

    Args:
        limit: the greatest allowed number of such pictures (``--max_bad_samples``).
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._known: dict[str, str] = {}
        self._new: dict[str, str] = {}

    def note(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Count the pictures in a batch's :data:`NOTICES`; returns the batch without that entry.

        Raises:
            UserError: there are now more than ``limit`` pictures.
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

    def watched(self, batches: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """``batches``, each passed through :meth:`note`."""
        return map(self.note, batches)

    def news(self) -> list[str]:
        """A line for every picture that any process has found since the last call.

        All processes must call this together.

        Raises:
            UserError: all processes together now have more than ``limit`` pictures.
        """
        found: dict[str, str] = {}
        for new in distributed.gather_objects(self._new):
            for picture, line in new.items():
                found.setdefault(picture, line)
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
