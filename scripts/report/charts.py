"""Diagrams as SVG that stands in a page: its style sheet gives them their colours, by light and by dark."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 520, 300, 52, 12, 12, 34
SIDE = 220
"""Pixels; the last is the side of a reliability diagram."""
COLOURS = 10
"""The style sheet has so many, ``series-0`` and so on; later series begin anew, dashed."""


def series_class(number: int) -> str:
    """The classes of the style sheet for the line of a series."""
    return f"series-{number % COLOURS}{' dashed' if number >= COLOURS else ''}"


def round_steps(low: float, high: float, count: int = 5) -> list[float]:
    """About ``count`` round numbers from ``low`` to ``high``."""
    span = high - low or 1.0
    power = 10 ** math.floor(math.log10(span / count))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= count)
    first = math.ceil(low / step)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def line_chart(series: Mapping[str, Sequence[Points]], x_title: str, y_title: str) -> str:
    """Lines by name. A series has one line per seed, drawn thin, and their mean where all have a point.

    Empty if there is no point.
    """
    points = [point for lines in series.values() for line in lines for point in line]
    if not points:
        return ""
    x_low, x_high = min(x for x, _ in points), max(x for x, _ in points)
    y_low, y_high = min(0.0, min(y for _, y in points)), max(y for _, y in points)

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_low) / ((x_high - x_low) or 1)
        up = (y - y_low) / ((y_high - y_low) or 1)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = [_opening(WIDTH, HEIGHT, f"{y_title} by {x_title}")]
    for tick in round_steps(y_low, y_high):
        y = place(x_low, tick)[1]
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(LEFT - 6, y + 4, f"{tick:g}", "end"))
    for tick in round_steps(x_low, x_high):
        x = place(tick, y_low)[0]
        parts.append(_text(x, HEIGHT - BOTTOM + 16, f"{tick:g}", "middle"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 3, x_title, "middle"))
    for number, (name, lines) in enumerate(series.items()):
        drawn = [line for line in lines if line]
        parts.append(
            f'<g class="{series_class(number)}" data-series="{escape(name)}"><title>{escape(name)}</title>'
        )
        if len(drawn) > 1:
            parts += [_polyline([place(*point) for point in line], "thin") for line in drawn]
        parts.append(_polyline([place(*point) for point in mean_line(drawn)], "mean"))
        parts.append("</g>")
    return "".join([*parts, "</svg>"])


def mean_line(lines: Sequence[Points]) -> list[tuple[float, float]]:
    """The mean of lines at each place where all have a point."""
    if not lines:
        return []
    tables = [dict(line) for line in lines]
    shared = [x for x in tables[0] if all(x in table for table in tables)]
    return [(x, sum(table[x] for table in tables) / len(tables)) for x in shared]


def reliability_chart(bins: Sequence[Mapping[str, float | None]], title: str) -> str:
    """The accuracy of the pixels in each bin of confidence, with a mark at their mean confidence."""

    def up(share: float) -> float:
        return TOP + SIDE * (1 - share)

    width, height = LEFT + SIDE + RIGHT, TOP + SIDE + BOTTOM
    parts = [_opening(width, height, title)]
    for tick in (0.0, 0.5, 1.0):
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{LEFT + SIDE}" y1="{up(tick)}" y2="{up(tick)}"/>')
        parts.append(_text(LEFT - 6, up(tick) + 4, f"{tick:g}", "end"))
        parts.append(_text(LEFT + SIDE * tick, TOP + SIDE + 16, f"{tick:g}", "middle"))
    for of in bins:
        accuracy, confidence = of.get("accuracy"), of.get("confidence")
        if not of.get("pixels") or accuracy is None or confidence is None:
            continue
        x = LEFT + SIDE * float(of["above"] or 0)
        wide = SIDE * (float(of["up_to"] or 0) - float(of["above"] or 0)) - 1
        words = f"accuracy {accuracy:.2f}, confidence {confidence:.2f}, {of['pixels']} pixels"
        parts.append(
            f'<g><title>{words}</title><rect class="bar" x="{x:.1f}" y="{up(accuracy):.1f}" '
            f'width="{wide:.1f}" height="{SIDE * accuracy:.1f}"/><line class="mark" x1="{x:.1f}" '
            f'x2="{x + wide:.1f}" y1="{up(confidence):.1f}" y2="{up(confidence):.1f}"/></g>'
        )
    parts.append(f'<line class="diagonal" x1="{LEFT}" y1="{up(0)}" x2="{LEFT + SIDE}" y2="{up(1)}"/>')
    parts.append(_text(LEFT + SIDE / 2, height - 3, "confidence", "middle"))
    parts.append(_text(12, TOP + 2, "accuracy", "start", turned=True))
    return "".join([*parts, "</svg>"])


def _opening(width: float, height: float, title: str) -> str:
    return (
        f'<svg class="chart" role="img" aria-label="{escape(title)}" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}">'
    )


def _text(x: float, y: float, words: str, anchor: str, turned: bool = False) -> str:
    """Words at a place; turned ones are read from below to above, and end there."""
    if turned:
        return f'<text transform="translate({x} {y}) rotate(-90)" text-anchor="end">{escape(words)}</text>'
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _polyline(points: Points, kind: str) -> str:
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    if len(points) == 1:
        ((x, y),) = points
        return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>'
    return f'<polyline class="{kind}" points="{joined}"/>'
