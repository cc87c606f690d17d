"""A check of how often each class occurs in a split: unusual shares mean that labels may be read wrongly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from datasets.definitions.spec import DatasetSpec
from utils.errors import UserError
from utils.scoring.classes import CITYSCAPES, IGNORE_LABEL

STREET_SHARES = (
    *(36.88, 6.09, 22.82, 0.656, 0.878, 1.227, 0.208, 0.551, 15.92, 1.159),
    *(4.009, 1.219, 0.135, 6.999, 0.268, 0.235, 0.233, 0.099, 0.414),
)
"""The share of each train id among Cityscapes' labelled training pixels, in percent.

They are computed from the class weights of ERFNet (Romera et al., 2018), which are 1 / ln(1.10 + share).
Other street scenes are compared with them too.
"""

MOST_DIFFERENT = 0.6
"""A greater difference gives a warning. It is 0.15 to 0.34 for splits of CamVid and of the toy city, and 0.86
for Cityscapes' train ids that are read as label ids.
"""


def unlikely_classes(
    dataset: DatasetSpec, split: str, pixels: Sequence[int], train_ids: Sequence[int] | None = None
) -> list[str]:
    """A list with one warning if the classes of a split occur in unusual shares, else an empty list.

    ``pixels`` counts the labelled pixels of each train id; those not in ``train_ids``, which are all if not
    given, have none. Only the classes of Cityscapes have usual shares.
    The difference of two sets of shares is half the sum of their absolute differences: 0 if they are equal, 1
    if they have no class in common. Raises :class:`UserError` if no pixel has a class.
    """
    coding = dataset.coding
    counts = np.asarray(pixels, dtype=np.float64)
    counted = range(len(counts)) if train_ids is None else train_ids
    expected = [t for t in dataset.class_sets[0].train_ids if t in coding.classes and t in counted]
    if counts.sum() == 0:
        written = [*coding.classes.values(), *coding.class_colours.values()]
        values = ", ".join(str(values[0]) for values in written[:3])
        advice = (
            "the class has to be in the first channel (red) of the label files"
            if coding.bits == 16
            else f"the label files have to hold the values of the {coding.name} coding ({values}, ...)"
        )
        raise UserError(
            f"{dataset.name} {split}: no pixel of its labels has a class (all are ignored); {advice}"
        )
    if dataset.classes != CITYSCAPES:
        return []
    known = np.array([(dataset.class_shares or STREET_SHARES)[t] for t in expected])
    found, known = counts[expected] / counts.sum(), known / known.sum()
    difference = (np.abs(found - known).sum() + 1 - found.sum()) / 2
    if difference <= MOST_DIFFERENT:
        return []
    most = sorted(np.abs(found - known).argsort()[-3:].tolist())
    shares = ", ".join(
        f"{CITYSCAPES.names[expected[i]]} {100 * found[i]:.0f} % (usually {100 * known[i]:.0f} %)"
        for i in most
    )
    present = [value for t in np.flatnonzero(counts).tolist() for value in coding.classes.get(t, ())[:1]]
    cause = "look at some of the labels and compare them with the coding that the data set should have"
    # If the coding is one of label ids, it reads files of train ids without an error.
    has_label_ids = IGNORE_LABEL in coding.ignored and max(map(max, coding.classes.values())) >= len(
        CITYSCAPES
    )
    if has_label_ids and max(present) < len(CITYSCAPES):
        cause = "all their classes are below 19, so they may hold train ids, but label ids are expected"
    return [
        f"warning: {dataset.name} {split}: its labels are unlike those of other streets: {shares}; {cause}"
    ]
