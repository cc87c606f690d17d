"""Plain supervised training.

IN, IBN and switchable whitening are trained with it too: they only change the network (``--wt_layer``).
"""

from __future__ import annotations

from methods.common.base import Method


class Baseline(Method):
    """The segmentation loss of the main output and, with its weight, that of the auxiliary output."""

    name = "baseline"
