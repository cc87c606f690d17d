"""Training samples that cannot be read: another picture takes their place, they are named and counted.

A file may turn unreadable in the middle of a run that takes days: a disk fails, somebody copies over it. Such
a run goes on without the picture until there are too many of them. Scores never do: one over fewer pictures
would be another score.
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

# Last key of the generator of what is drawn instead, apart from the keys of other uses in the same place.
_REPLACEMENT = 7

NOTICES = "unreadable"
"""What a sample says of the pictures whose place it took, as JSON: of each, by its name, one line."""


def readable_sample(dataset: SegmentationSet, draw: Draw, limit: int) -> dict[str, torch.Tensor | str | int]:
    """The sample of ``draw``, or of the next picture that can be read, with :data:`NOTICES` beside it.

    What is drawn in its place is a pure function of the data set's seed and ``draw``: pictures of the same
    data set in random order, each as a whole and with the random choices of the draw itself.

    Raises:
        UserError: ``limit`` further pictures cannot be read either, or there are no further ones.
    """
    notices: dict[str, str] = {}
    for instead in itertools.islice(_draws(dataset, draw), limit + 1):
        try:
            return {**dataset[instead], NOTICES: json.dumps(notices)}
        except UserError as error:
            # Not by what the error says: of one file that depends on how many rows a draw needs.
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
    """Which training pictures of a run could not be read so far.

    A picture that is drawn again in later epochs counts once, in however many processes, with what was said
    of it first.

    Args:
        limit: how many there may be (``--max_bad_samples``).
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._known: dict[str, str] = {}
        self._new: dict[str, str] = {}

    def note(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Take the :data:`NOTICES` out of a batch of this process; returns it without them.

        Raises:
            UserError: more than ``limit`` pictures by now.
        """
        for notices in map(json.loads, batch.pop(NOTICES)):
            unknown = {picture: line for picture, line in notices.items() if picture not in self._known}
            self._known |= unknown
            self._new |= unknown
        self._check()
        return batch

    def state_dict(self) -> dict[str, dict[str, str]]:
        """What :meth:`load_state_dict` needs; right after :meth:`news`, so that none stays unnamed."""
        return {"known": dict(self._known)}

    def load_state_dict(self, state: dict[str, dict[str, str]]) -> None:
        """Go on counting where another run stood."""
        self._known = dict(state["known"])

    def watched(self, batches: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """``batches``, each noted."""
        return map(self.note, batches)

    def news(self) -> list[str]:
        """A line for every picture that any process has found since the last call, which all make together.

        Raises:
            UserError: more than ``limit`` pictures by now in all processes together.
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
        """For the log line: their number, once there are any."""
        return {"bad samples": len(self._known)} if self._known else {}

    def _check(self) -> None:
        if len(self._known) > self.limit:
            raise UserError(
                f"--max_bad_samples {self.limit}: {len(self._known)} training pictures or labels cannot be "
                f"read; the last: {next(reversed(self._known.values()))}"
            )
