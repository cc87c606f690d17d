"""Reliability diagrams (DeGroot and Fienberg, 1983; Guo et al., ICML 2017, figure 1), drawn with Pillow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from utils.scoring.reliability import BINS, ConfidenceScores

SIDE, LOW, LEFT, TOP, GAP, BOTTOM = 360, 110, 74, 78, 22, 58
"""Pixels: side of the upper plot, height of the lower one, and the margins around and between them."""
WIDTH, HEIGHT = LEFT + SIDE + 26, TOP + SIDE + GAP + LOW + BOTTOM
FINE = 3
"""Everything is drawn so much larger and then shrunk, because Pillow's lines have hard edges."""
INK, GREY, GRID = (35, 35, 35), (120, 120, 120), (225, 225, 225)
BAR, SURE, UNSURE = (76, 114, 176), (221, 132, 82), (161, 201, 164)
"""Accuracy; where confidence is more than accuracy; where it is less."""
TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)

Box = tuple[float, float, float, float]
Colour = tuple[int, int, int]


class Canvas:
    """A picture that is drawn in pixels of its final size."""

    def __init__(self, width: int, height: int) -> None:
        self.size = (width, height)
        self.large = Image.new("RGB", (width * FINE, height * FINE), "white")
        self.draw = ImageDraw.Draw(self.large)

    def box(self, box: Box, fill: Colour | None = None, outline: Colour | None = None) -> None:
        """A rectangle: left, top, right, bottom."""
        self.draw.rectangle([value * FINE for value in box], fill, outline, FINE)

    def line(self, box: Box, colour: Colour, width: float = 1, dashes: int = 0) -> None:
        """A line from one point to another; with ``dashes`` it is broken into so many."""
        start, end = np.array(box[:2]), np.array(box[2:])
        cuts = np.linspace(0, 1, 2 * dashes) if dashes else np.array([0.0, 1.0])
        points = [tuple((start + (end - start) * cut) * FINE) for cut in cuts]
        for first, last in zip(points[::2], points[1::2], strict=True):
            self.draw.line([first, last], colour, round(width * FINE))

    def text(
        self, place: tuple[float, float], words: str, size: int = 15, anchor: str = "mm", colour: Colour = INK
    ) -> None:
        """Words at a place; ``anchor`` is Pillow's."""
        font = ImageFont.load_default(size * FINE)
        self.draw.text([value * FINE for value in place], words, colour, font, anchor)

    def upright(self, place: tuple[float, float], words: str, size: int = 15) -> None:
        """Words that are read from below to above, around a place."""
        side = 10 * FINE * size
        turned = Image.new("L", (2 * side, 2 * FINE * size))
        font = ImageFont.load_default(size * FINE)
        ImageDraw.Draw(turned).text((side, FINE * size), words, 255, font, "mm")
        turned = turned.rotate(90, expand=True)
        corner = (round(place[0] * FINE) - FINE * size, round(place[1] * FINE) - side)
        self.large.paste(INK, corner, turned)

    def finished(self) -> Image.Image:
        """The picture in its final size."""
        return self.large.resize(self.size, Image.Resampling.LANCZOS)


def reliability_diagram(name: str, scores: Sequence[ConfidenceScores]) -> Image.Image:
    """One panel for each of ``scores`` of the domain ``name``, side by side, RGB.

    A bar above is the accuracy of the pixels in one of the 15 bins of confidence; the diagonal is perfect
    calibration, and a mark is the mean confidence. A bar below is the share of pixels in the bin.
    """
    canvas = Canvas(WIDTH * len(scores), HEIGHT)
    for number, each in enumerate(scores):
        of_panel = f"calibrated, T = {each.temperature:.3f}" if number else "as it is"
        left = number * WIDTH + LEFT
        ece = "-" if np.isnan(each.ece) else f"{100 * each.ece:.2f} %"
        canvas.text((left + SIDE / 2, 26), f"{name}: ECE {ece}", 21)
        canvas.text((left + SIDE / 2, 54), of_panel, 15, colour=GREY)
        _accuracy_plot(canvas, left, each)
        _share_plot(canvas, left, each)
    return canvas.finished()


def _axes(
    canvas: Canvas, left: float, top: float, height: float, title: str, ticks: dict[str, float]
) -> None:
    """Grid lines at ``ticks`` (words -> share of the height), and upright lines at those of confidence."""
    for tick in TICKS:
        x = left + tick * SIDE
        canvas.line((x, top, x, top + height), GRID)
    for words, share in ticks.items():
        y = top + height * (1 - share)
        canvas.line((left, y, left + SIDE, y), GRID)
        canvas.text((left - 8, y), words, 13, "rm")
    canvas.upright((left - 54, top + height / 2), title)


def _accuracy_plot(canvas: Canvas, left: float, scores: ConfidenceScores) -> None:
    bottom, width = TOP + SIDE, SIDE / BINS
    _axes(canvas, left, TOP, SIDE, "accuracy", {f"{tick:.1f}": tick for tick in TICKS})
    for number in np.flatnonzero(scores.pixels):
        accuracy, confidence = scores.accuracy[number], scores.confidence[number]
        x = left + number * width
        right = x + width - 1
        canvas.box((x, bottom - SIDE * accuracy, right, bottom), BAR)
        low, high = sorted((accuracy, confidence))
        gap = (x, bottom - SIDE * high, right, bottom - SIDE * low)
        canvas.box(gap, SURE if confidence > accuracy else UNSURE)
        y = bottom - SIDE * confidence
        canvas.line((x, y, right, y), INK, 2)
    canvas.line((left, bottom, left + SIDE, TOP), GREY, 1.5, dashes=24)
    canvas.box((left, TOP, left + SIDE, bottom), outline=INK)
    _legend(canvas, left + 12, TOP + 16)


def _legend(canvas: Canvas, left: float, top: float) -> None:
    marks = {"accuracy": BAR, "confidence is higher": SURE, "confidence is lower": UNSURE}
    canvas.box((left - 6, top - 12, left + 172, top + 19 * len(marks) - 7), (255, 255, 255))
    for row, (words, colour) in enumerate(marks.items()):
        y = top + 19 * row
        canvas.box((left, y - 6, left + 12, y + 6), colour)
        canvas.text((left + 20, y), words, 13, "lm")


def _share_plot(canvas: Canvas, left: float, scores: ConfidenceScores) -> None:
    top, width = TOP + SIDE + GAP, SIDE / BINS
    bottom = top + LOW
    _axes(canvas, left, top, LOW, "pixels", {"0": 0.0, "50 %": 0.5, "100 %": 1.0})
    for number, share in enumerate(scores.pixels / max(1, scores.pixels.sum())):
        x = left + number * width
        if share:
            canvas.box((x, bottom - LOW * share, x + width - 1, bottom), BAR)
    canvas.box((left, top, left + SIDE, bottom), outline=INK)
    for tick in TICKS:
        canvas.text((left + tick * SIDE, bottom + 13), f"{tick:.1f}", 13)
    canvas.text((left + SIDE / 2, bottom + 38), "confidence")
