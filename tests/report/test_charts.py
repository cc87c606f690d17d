"""The diagrams: well-formed, in their frame, and empty where nothing is known."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from fake_runs import reliability

from scripts.report.charts import HEIGHT, WIDTH, line_chart, mean_line, reliability_chart, round_steps

TAG = "{http://www.w3.org/2000/svg}"


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


def test_lines_stay_in_their_frame() -> None:
    lines = {"a <&> b": [[(0, 3.0), (50, 2.0), (100, 9.0)], [(0, 4.0), (50, 1.0)]], "one": [[(50, 5.0)]]}
    chart = parsed(line_chart(lines, "step", "loss"))
    drawn = chart.findall(f".//{TAG}polyline")
    assert len(drawn) == 3
    assert len(chart.findall(f".//{TAG}circle")) == 1
    assert [group.get("data-series") for group in chart.findall(f"{TAG}g")] == ["a <&> b", "one"]
    for line in drawn:
        for point in line.get("points", "").split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= WIDTH and 0 <= y <= HEIGHT


def test_a_mean_has_the_points_that_all_lines_have() -> None:
    assert mean_line([[(0, 1.0), (10, 2.0), (20, 3.0)], [(0, 3.0), (20, 5.0)]]) == [(0, 2.0), (20, 4.0)]


def test_nothing_is_drawn_of_nothing() -> None:
    assert line_chart({"a": [[], []]}, "step", "loss") == ""


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 40000), (3.2, 3.3), (5, 5)])
def test_ticks_are_few_and_round(low: float, high: float) -> None:
    ticks = round_steps(low, high)
    assert 1 <= len(ticks) <= 6
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in ticks)


def test_bins_without_pixels_have_no_bar() -> None:
    bins = reliability(0.1)["bins"]
    bars = parsed(reliability_chart(bins, "isw")).findall(f".//{TAG}rect")
    assert len(bars) == sum(each["pixels"] > 0 for each in bins)
