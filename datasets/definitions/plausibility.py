"""Whether the labels of a split say what its data set is known for: labels read wrongly seldom do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from datasets.definitions.codings import LabelCoding
from datasets.definitions.spec import DatasetSpec
from utils.errors import UserError
from utils.scoring.classes import IGNORE_LABEL, NUM_CLASSES, TRAIN_ID_NAMES

STREET_SHARES = (
    *(36.88, 6.09, 22.82, 0.656, 0.878, 1.227, 0.208, 0.551, 15.92, 1.159),
    *(4.009, 1.219, 0.135, 6.999, 0.268, 0.235, 0.233, 0.099, 0.414),
)
"""Percent of Cityscapes' labelled training pixels that each train id has.

From the class weights w of ERFNet (Romera et al., 2018), which are 1 / ln(1.10 + share). Other street scenes
are compared with them too: the splits of CamVid and of the toy city differ by 0.15 to 0.34 in the measure of
:func:`unlikely_classes`, labels of Cityscapes with train ids read as label ids by 0.86.
"""

MOST_DIFFERENT = 0.6
"""Shares that differ more than this are worth a word."""


def unlikely_classes(
    dataset: DatasetSpec, split: str, pixels: Sequence[int], train_ids: Sequence[int] = range(NUM_CLASSES)
) -> list[str]:
    """A warning, if there is cause for one, about how often each class occurs in a split.

    ``pixels`` holds the labelled pixels of all 19 train ids, as far as they are among ``train_ids``. Two sets
    of shares differ by half the sum of their absolute differences, 0 for equal ones and 1 for those that have
    no class in common.

    Raises :class:`UserError` where no pixel has a class.
    """
    coding = dataset.coding
    counts = np.asarray(pixels, dtype=np.float64)
    expected = [t for t in dataset.class_sets[0].train_ids if t in coding.classes and t in train_ids]
    if counts.sum() == 0:
        raise UserError(
            f"{dataset.name} {split}: no pixel of its labels has a class, all are ignored; {_advice(coding)}"
        )
    known = np.array([(dataset.class_shares or STREET_SHARES)[t] for t in expected])
    found, known = counts[expected] / counts.sum(), known / known.sum()
    difference = (np.abs(found - known).sum() + 1 - found.sum()) / 2
    if difference <= MOST_DIFFERENT:
        return []
    most = sorted(np.abs(found - known).argsort()[-3:].tolist())
    shares = ", ".join(
        f"{TRAIN_ID_NAMES[expected[i]]} {100 * found[i]:.0f} % (usually {100 * known[i]:.0f} %)" for i in most
    )
    present = [value for t in np.flatnonzero(counts).tolist() for value in coding.classes.get(t, ())[:1]]
    cause = _TRAIN_IDS if _has_label_ids(coding) and max(present) < NUM_CLASSES else _ANY_CAUSE
    return [
        f"warning: {dataset.name} {split}: its labels are unlike those of other streets: {shares}; {cause}"
    ]


_TRAIN_IDS = (
    "no value from 19 to 254 has a class in them, so they may be train ids, where label ids are expected"
)

_ANY_CAUSE = "look at some of them and at the coding that the data set should have"


def _has_label_ids(coding: LabelCoding) -> bool:
    """Whether files of train ids could be read as files of this coding."""
    greatest = max(value for values in coding.classes.values() for value in values)
    return IGNORE_LABEL in coding.ignored and greatest >= NUM_CLASSES


def _advice(coding: LabelCoding) -> str:
    if coding.bits == 16:
        return "the class has to be in the first channel (red) of the label files"
    values = ", ".join(str(values[0]) for values in list(coding.classes.values())[:3])
    return f"the label files have to hold the values of the {coding.name} coding ({values}, ...)"
