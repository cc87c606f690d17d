"""Comparison of the content of checkpoints, bit for bit."""

from __future__ import annotations

import torch


def differing(first: object, second: object, path: str = "") -> list[str]:
    """Paths of the entries that are not bit for bit equal."""
    if isinstance(first, torch.Tensor):
        return [] if torch.equal(first, second) else [path]
    if isinstance(first, dict):
        if first.keys() != second.keys():
            return [f"{path}: keys"]
        return [p for key in first for p in differing(first[key], second[key], f"{path}/{key}")]
    if isinstance(first, list):
        return [
            p
            for i, pair in enumerate(zip(first, second, strict=True))
            for p in differing(*pair, f"{path}/{i}")
        ]
    return [] if first == second else [path]
