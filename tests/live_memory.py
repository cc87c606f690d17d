"""Counts the memory that tensors hold."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class MostBytes(TorchDispatchMode):
    """The most bytes that tensors made in the context have held at the same time.

    Attributes:
        most: this number so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.held, self.most = 0, 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {x.untyped_storage()._cdata for x in tree_leaves((args, kwargs)) if torch.is_tensor(x)}
        result = operator(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if torch.is_tensor(tensor) and tensor.untyped_storage()._cdata not in given | self.known:
                self.add(tensor.untyped_storage())
        return result

    def add(self, storage: torch.UntypedStorage) -> None:
        """Count a new storage until it is freed."""
        key, size = storage._cdata, storage.nbytes()
        self.known.add(key)
        self.held += size
        self.most = max(self.most, self.held)
        weakref.finalize(storage, self.remove, key, size)

    def remove(self, key: int, size: int) -> None:
        """Stop counting a storage, which was freed."""
        self.known.discard(key)
        self.held -= size
