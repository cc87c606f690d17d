"""torch.compile without a compiler, to count the graphs that networks become."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import torch
from small_backbone import SmallBackbone

from network.backbone import BACKBONES


class Graphs(list[str]):
    """One entry per graph that was compiled: ``fixed`` sizes, or ``any`` size.

    Attributes:
        runs: how often a graph was run.
    """

    runs = 0

    def backend(self, graph: torch.fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        """Note the graph, and run it as it is, so that its numbers are the network's own."""
        self.append("any" if any(isinstance(each, torch.SymInt) for each in inputs) else "fixed")

        def run(*values: Any) -> Any:
            self.runs += 1
            return graph(*values)

        return run


@contextmanager
def counted_graphs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Graphs]:
    """The graphs that are compiled in the block, and the backbone ``small``.

    A graph that is not a whole network is an error, unless the call of torch.compile says otherwise.
    """
    torch.compiler.reset()
    graphs, limit = Graphs(), torch._dynamo.config.cache_size_limit
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=graphs.backend, fullgraph=True))
    monkeypatch.setitem(BACKBONES, "small", SmallBackbone)
    yield graphs
    torch._dynamo.config.cache_size_limit = limit
    torch.compiler.reset()
