"""Reading ahead of the network."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from utils.scoring.pictures import read_ahead


@pytest.mark.parametrize("threads", [1, 3])
def test_reading_ahead_keeps_the_order_and_reads_no_further_than_the_threads(threads: int) -> None:
    begun: list[int] = []

    def part(number: int) -> Iterator[str]:
        begun.append(number)
        yield from (f"{number}{letter}" for letter in "abcd"[: number % 3])

    parts = (part(number) for number in range(7))
    items = read_ahead(parts, threads)
    assert next(items) == "1a"
    assert len(begun) <= 1 + threads + 1
    assert list(items) == ["2a", "2b", "4a", "5a", "5b"]
    assert sorted(begun) == list(range(7))


def test_an_error_comes_where_its_item_would() -> None:
    def broken() -> Iterator[str]:
        yield "a"
        raise ValueError("broken")

    items = read_ahead([broken(), iter("b")], threads=2)
    assert next(items) == "a"
    with pytest.raises(ValueError, match="broken"):
        next(items)
