"""Leaving out optimiser steps whose loss or gradients are not finite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from utils.device import float64_device
from utils.errors import UserError
from utils.joined import by_dtype, joined, put_back


class FiniteSteps:
    """Takes the optimiser's steps, but leaves out steps whose loss or gradients are not finite.

    A step that is left out changes neither the weights nor the optimiser's state nor the method's buffers.
    Parameters that no optimiser trains are not restored. A method that changes them itself (the teacher of
    ``methods.sac``) has to make sure that they are right even after a step that is left out.
    Under fp16 it also halves the scale of the loss (dynamic loss scaling: Micikevicius et al., ICLR 2018).
    With a fused optimiser nothing here waits for the device: the counts stay on the device until
    :meth:`check`.

    ``limit``: after so many left-out steps in a row, the next :meth:`check` ends the run.
    """

    def __init__(
        self,
        method: nn.Module,
        optimizer: torch.optim.Optimizer,
        device: torch.device,
        fp16: bool,
        limit: int,
    ) -> None:
        self.optimizer, self.fp16, self.limit = optimizer, fp16, limit
        # Without fp16 the scale stays 1, but the scaler is still used, because a fused optimiser leaves out a
        # bad step on the device only with a scaler. The scaler needs float64, which mps and some of Intel's
        # GPUs do not have; there the optimiser is not fused.
        enabled = float64_device(device) == device
        settings: dict[str, Any] = {} if fp16 else {"init_scale": 1.0, "enabled": enabled}
        self.scaler = torch.amp.GradScaler(device.type, **settings)
        self.skipped = torch.zeros((), dtype=torch.int64, device=device)
        self.in_a_row = torch.zeros((), dtype=torch.int64, device=device)
        # The value of _steps when the limit was first reached; -1 if it was never reached.
        self._reached = torch.full((), -1, dtype=torch.int64, device=device)
        self._names: list[list[str]] = []
        self._steps = 0  # Steps that are left out count, too.
        self._buffers = by_dtype(method.buffers())
        self._before: list[Tensor] = []

    def begin(self) -> None:
        """Remember the buffers; to be called before the first forward pass of a step."""
        self._before = [joined(buffers) for buffers in self._buffers]
        self._names.append([])

    def backward(self, loss: Tensor, names: Sequence[str]) -> None:
        """Add the gradients of a batch's ``loss``, a scalar; ``names`` are the names of its pictures."""
        self._names[-1] += names
        # A loss may be infinite although its gradients are finite. The factor makes the gradients NaN.
        factor = torch.where(loss.detach().isfinite(), 1.0, torch.nan)
        self.scaler.scale(loss * factor).backward()

    def step(self) -> None:
        """Let the optimiser take its step, unless a loss or gradient was not finite."""
        self.scaler.unscale_(self.optimizer)
        bad = self._not_finite()
        if self.scaler.is_enabled() or not bad:
            self.scaler.step(self.optimizer)
        self.scaler.update(None if self.fp16 else 1.0)
        self.skipped += bad
        self.in_a_row = (self.in_a_row + 1) * bad
        self._steps += 1
        first = (self._reached < 0) & (self.in_a_row >= self.limit)
        self._reached = torch.where(first, self._steps, self._reached)
        for buffers, before in zip(self._buffers, self._before, strict=True):
            put_back(torch.where(bad, before, joined(buffers)), buffers)

    def _not_finite(self) -> Tensor:
        """Whether a gradient is not finite, bool () on the device."""
        if self.scaler.is_enabled():
            # The scaler looked at all gradients already, and has no public way to ask what it found.
            found = self.scaler._found_inf_per_device(self.optimizer).values()
            return sum(found, torch.zeros((), device=self.skipped.device)) > 0
        gradients = [p.grad for group in self.optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.get_total_norm([g for g in gradients if g is not None], norm_type=torch.inf)
        return ~norm.isfinite()

    def check(self) -> int:
        """The number of steps left out so far.

        Raises:
            UserError: ``limit`` steps in a row were left out. The message names the pictures of these steps,
                except of steps before a resume.
        """
        if (reached := int(self._reached)) >= 0:
            end = len(self._names) - (self._steps - reached)
            bad_steps = self._names[max(0, end - self.limit) : end]
            pictures = ", ".join(name for names in bad_steps for name in names)
            raise UserError(
                f"--max_bad_steps {self.limit}: so many steps in a row had a loss or gradients that are not "
                f"finite; lower --lr, or look at their pictures: {pictures}"
            )
        # An error can only name the last ``limit`` steps so far, and later ones.
        del self._names[: -self.limit]
        return int(self.skipped)

    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors for :meth:`load_state_dict`."""
        counts = {"skipped": int(self.skipped), "in_a_row": int(self.in_a_row)}
        return {**counts, "scaler": self.scaler.state_dict() if self.fp16 else {}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state. The scale of the loss is taken over only if both runs are fp16."""
        self.skipped.fill_(state["skipped"])
        self.in_a_row.fill_(state["in_a_row"])
        if self.fp16 and state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
