"""Ending a training run early, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from methods import Progress
from methods.engine.step import TrainingStep


@contextmanager
def before_step(iteration: int, act: Callable[[], None]) -> Iterator[None]:
    """In the block, call ``act`` whenever a run is about to do ``iteration``."""
    whole_step = TrainingStep.__call__

    def step(self: TrainingStep, batches: object, progress: Progress, meter: object) -> None:
        if progress.iteration == iteration:
            act()
        whole_step(self, batches, progress, meter)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingStep, "__call__", step)
        yield


@contextmanager
def dying_at(iteration: int) -> Iterator[None]:
    """A block in which a run dies when it is about to do ``iteration``, as if by Ctrl-C."""

    def die() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), before_step(iteration, die):
        yield
