"""What becomes of an optimiser step whose loss or gradients are not finite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from utils.errors import UserError


class FiniteSteps:
    """Takes an optimiser's steps, but leaves out those whose loss or gradients are not finite.

    Such a step changes neither weights nor the optimiser's state nor any of the method's buffers. Under
    fp16 it also halves the scale of the loss (dynamic loss scaling: Micikevicius et al., ICLR 2018). With a
    fused optimiser nothing here waits for the device: the counts stay on it until :meth:`check`.

    ``limit``: how many in a row end the run, at the next :meth:`check`.
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
        # Without fp16 the scale stays 1: the scaler is what makes a fused optimiser leave a step out unasked.
        # Older versions of PyTorch have none for mps, where the optimiser is not fused.
        settings: dict[str, Any] = {} if fp16 else {"init_scale": 1.0, "enabled": device.type != "mps"}
        self.scaler = torch.amp.GradScaler(device.type, **settings)
        self.skipped = torch.zeros((), dtype=torch.int64, device=device)
        self.in_a_row = torch.zeros((), dtype=torch.int64, device=device)
        # After which of its steps there were too many; -1 as long as there never were.
        self._reached = torch.full((), -1, dtype=torch.int64, device=device)
        self._names: list[list[str]] = []
        self._taken = 0
        of_dtype: dict[torch.dtype, list[Tensor]] = {}
        for buffer in method.buffers():
            of_dtype.setdefault(buffer.dtype, []).append(buffer)
        self._buffers = list(of_dtype.values())
        self._before: list[Tensor] = []

    def begin(self) -> None:
        """Called before the first forward of a step."""
        self._before = [_joined(buffers) for buffers in self._buffers]
        self._names.append([])

    def backward(self, loss: Tensor, names: Sequence[str]) -> None:
        """Add the gradients of a batch's ``loss``, a scalar; ``names`` are those of its pictures."""
        self._names[-1] += names
        # A loss may be infinite where its gradients are not.
        honest = torch.where(loss.detach().isfinite(), 1.0, torch.nan)
        self.scaler.scale(loss * honest).backward()

    def step(self) -> None:
        """Let the optimiser take its step, unless it is one to leave out."""
        self.scaler.unscale_(self.optimizer)
        gradients = [p.grad for group in self.optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.get_total_norm([g for g in gradients if g is not None], norm_type=torch.inf)
        bad = ~norm.isfinite()
        if self.scaler.is_enabled() or not bad:
            self.scaler.step(self.optimizer)
        self.scaler.update(None if self.fp16 else 1.0)
        self.skipped += bad
        self.in_a_row = (self.in_a_row + 1) * bad
        self._taken += 1
        first = (self._reached < 0) & (self.in_a_row >= self.limit)
        self._reached = torch.where(first, self._taken, self._reached)
        for buffers, before in zip(self._buffers, self._before, strict=True):
            kept = torch.where(bad, before, _joined(buffers)).split([buffer.numel() for buffer in buffers])
            values = [part.view_as(buffer) for part, buffer in zip(kept, buffers, strict=True)]
            torch._foreach_copy_(buffers, values)

    def check(self) -> int:
        """How many steps were left out so far.

        Raises:
            UserError: ``limit`` in a row were; it names the pictures of their batches, as far as this process
                has taken these steps itself.
        """
        if (reached := int(self._reached)) >= 0:
            end = len(self._names) - (self._taken - reached)
            steps = self._names[max(0, end - self.limit) : end]
            pictures = ", ".join(name for names in steps for name in names)
            raise UserError(
                f"--max_bad_steps {self.limit}: as many steps in a row had a loss or gradients that are not "
                f"finite; lower --lr, or look at their pictures: {pictures}"
            )
        # Those before could only be the first of too many.
        del self._names[: -self.limit]
        return int(self.skipped)

    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors that :meth:`load_state_dict` takes."""
        counts = {"skipped": int(self.skipped), "in_a_row": int(self.in_a_row)}
        return {**counts, "scaler": self.scaler.state_dict() if self.fp16 else {}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where another run stood; the scale of the loss only if both are fp16."""
        self.skipped.fill_(state["skipped"])
        self.in_a_row.fill_(state["in_a_row"])
        if self.fp16 and state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    """All values of tensors of one dtype in a row: a GPU takes a few kernels for it, not one per tensor."""
    return torch.cat([tensor.flatten() for tensor in tensors])
