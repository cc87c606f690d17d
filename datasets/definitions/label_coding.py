"""How a data set stores its labels, and how these values become train ids.

Each data set stores values of its own ("native ids"), and some have published colours. A value that the
coding does not have is refused; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import cv2
import numpy as np

from utils.errors import UserError
from utils.scoring.classes import CITYSCAPES, IGNORE_LABEL, ClassList, Colour

UNKNOWN = 254
"""The table entry of a value that a coding does not have. In a list of 255 classes it is a class, too."""


class LabelValueError(UserError):
    """A label holds a value that its coding does not have. The caller that knows the file adds its name."""


@dataclass(frozen=True)
class LabelCoding:
    """One data set's native label values.

    ``classes[t]`` lists the native ids of train id ``t``, and ``ignored`` the native ids without a class. In
    both, the first id is the one that is written. ``bits`` is the depth of the files' channels. ``palette``
    holds the published colour of every native id, from 0 on; it is empty if there are none.
    ``ignored_colours`` are further colours without a class, and ``class_colours[t]`` further ones of train id
    ``t``. ``of`` is the list of the classes. With ``ignores_others``, values and colours that are not named
    have no class; they are refused otherwise. ``reads_indices``: in a picture with a palette the indices are
    the native ids, whatever the colours.
    """

    name: str
    classes: Mapping[int, tuple[int, ...]] = field(hash=False)
    ignored: tuple[int, ...]
    bits: int = 8
    palette: tuple[Colour, ...] = ()
    ignored_colours: tuple[Colour, ...] = ()
    class_colours: Mapping[int, tuple[Colour, ...]] = field(default_factory=dict, hash=False)
    of: ClassList = CITYSCAPES
    ignores_others: bool = False
    reads_indices: bool = False
    table: np.ndarray = field(init=False, repr=False, compare=False)
    """Native id -> train id, uint8 (256,), or (65536,) if a native id is above 255; ``UNKNOWN`` for values
    that the coding does not have, or ``IGNORE_LABEL`` with ``ignores_others``.
    """
    native_ids: np.ndarray = field(init=False, repr=False, compare=False)
    """Train id -> native id to write, uint8 (256,); a class that the coding lacks gets an ignored id."""
    colours: Mapping[Colour, int] = field(init=False, repr=False, compare=False)
    """Colour -> train id, ``IGNORE_LABEL`` for colours without a class. If several native ids share a
    colour, the one with a class counts.
    """

    def __post_init__(self) -> None:
        named = [*self.ignored, *(value for values in self.classes.values() for value in values)]
        size = 256 if max(named, default=0) < 256 else 1 << 16
        table = np.full(size, self._other, dtype=np.uint8)
        native_ids = np.full(256, (*self.ignored, IGNORE_LABEL)[0], dtype=np.min_scalar_type(size - 1))
        table[list(self.ignored)] = IGNORE_LABEL
        for train_id, values in self.classes.items():
            table[list(values)] = train_id
            native_ids[train_id] = (*values, native_ids[train_id])[0]
        colours = dict.fromkeys([*self.ignored_colours, *self.palette], IGNORE_LABEL)
        of_palette = zip(self.palette, table.tolist(), strict=False)
        colours |= {colour: train_id for colour, train_id in of_palette if train_id < len(self.of)}
        for train_id, of_class in self.class_colours.items():
            colours |= dict.fromkeys(of_class, train_id)
        # Fields of a frozen class cannot be assigned.
        vars(self).update(table=table, native_ids=native_ids, colours=colours)

    @property
    def key(self) -> tuple[Any, ...]:
        """All that the decoding of a label depends on, as plain values: the key of stored results."""
        declared = [
            list(map(list, colours)) for colours in (*self.class_colours.values(), self.ignored_colours)
        ]
        further = (list(self.class_colours), declared, self.ignores_others, self.reads_indices)
        is_published = not (self.class_colours or self.ignores_others or self.reads_indices)
        return (self.name, self.table.tolist(), *(() if is_published else further))

    def decode(self, raw: np.ndarray, first_row: int | None = None) -> np.ndarray:
        """Train ids, uint8 H x W, from native ids (integers, H x W) or from colours (uint8 RGB, H x W x 3).

        If ``raw`` is only a part of a picture, ``first_row`` is the row of the picture where it begins. In
        signed types, -1 means 255 (Cityscapes' licence plate). Raises :class:`LabelValueError` with the first
        value outside the coding and its place. It is also raised if all colours of a whole picture are grey
        and would mean other classes as values. (A part of a picture may rightly be all black.)
        """
        if raw.ndim == 3:
            return self._decode_colours(raw, first_row)
        if len(self.table) > 256:
            return self._decode_wide(raw)
        narrow = raw.astype(np.uint8, copy=False)
        train_ids = cv2.LUT(np.ascontiguousarray(narrow), self.table)
        unknown = train_ids == UNKNOWN
        if self._has_every_class and unknown.any():
            unknown = ~np.isin(narrow, list(self._known_values))
        if raw.dtype != np.uint8:
            beyond = (narrow != raw) & ~((narrow == 255) & (raw == -1))
            if self.ignores_others:
                train_ids[beyond] = IGNORE_LABEL
            else:
                unknown |= beyond
        self._refuse(unknown, raw)
        return train_ids

    @property
    def _other(self) -> int:
        """The table entry of what is not named."""
        return IGNORE_LABEL if self.ignores_others else UNKNOWN

    @property
    def _has_every_class(self) -> bool:
        """Whether ``UNKNOWN`` is a class, too."""
        return len(self.of) > UNKNOWN

    @property
    def _known_values(self) -> set[int]:
        return {*self.ignored, *(value for values in self.classes.values() for value in values)}

    def _decode_wide(self, raw: np.ndarray) -> np.ndarray:
        """Train ids of values up to 65535, of which the coding has some above 255."""
        inside = (raw >= 0) & (raw < len(self.table))
        train_ids = np.where(inside, self.table[np.where(inside, raw, 0)], self._other).astype(np.uint8)
        unknown = train_ids == UNKNOWN
        if self._has_every_class and unknown.any():
            unknown = ~np.isin(raw, list(self._known_values))
        self._refuse(unknown, raw)
        return train_ids

    def decode_palette(self, indices: np.ndarray, palette: Sequence[Colour]) -> np.ndarray:
        """Train ids, uint8 H x W, of a palette picture's ``indices``, uint8 H x W.

        The colours count, not the indices, because programs that make files smaller keep the colours and
        change the indices. So an index is a native id only if the palette is the coding's own. Otherwise,
        either all used colours are grey and their level is the native id, or all of them are in ``colours``.
        Raises :class:`LabelValueError` with the first colour that the coding does not have, or if the
        palette can be read in two ways.
        """
        if self.reads_indices:
            return self.decode(indices)
        train_ids = cv2.LUT(indices, self._own_palette(palette))
        if not (train_ids == UNKNOWN).any():
            return train_ids
        if self.ignores_others or self._has_every_class:
            return self._decode_declared_palette(indices, palette)
        tables = np.full((2, 256), UNKNOWN, dtype=np.uint8)
        for index, colour in enumerate(palette):
            if len(set(colour)) == 1:
                tables[0, index] = self.table[colour[0]]
            tables[1, index] = self.colours.get(colour, UNKNOWN)
        by_value, by_colour = (cv2.LUT(indices, table) for table in tables)
        readings = [each for each in (by_value, by_colour) if not (each == UNKNOWN).any()]
        if not readings:
            unknown = (by_colour if self.colours else by_value) == UNKNOWN
            y, x = np.unravel_index(int(unknown.argmax()), unknown.shape)
            index = int(indices[y, x])
            if index >= len(palette):
                raise LabelValueError(f"its palette has {len(palette)} colours, but index {index} is used")
            raise LabelValueError(
                f"palette colour {palette[index]} at ({x}, {y}) is not in the {self.name} coding; if the "
                "indices are the label values, save them as a grey picture"
            )
        # All used colours are black or grey. The unused colours tell which kind of palette it is.
        if len(readings) == 2 and set(palette) <= self.colours.keys() and (by_value != by_colour).any():
            raise LabelValueError(
                f"its palette can be read as grey values and as colours of the {self.name} coding, which "
                "give different classes; save the label values as a grey picture"
            )
        return readings[0]

    def _decode_declared_palette(self, indices: np.ndarray, palette: Sequence[Colour]) -> np.ndarray:
        """Train ids of a palette picture where nothing tells the two readings of greys apart.

        Colours count if the coding has any, else the level of grey.
        """
        colours = np.array([*palette, *[(0, 0, 0)] * (256 - len(palette))], dtype=np.uint8)
        if self.colours:
            return self._decode_colours(colours[indices], first_row=0)
        is_grey = (colours == colours[:, :1]).all(1)
        if not self.ignores_others:
            self._refuse(~is_grey[indices], indices)
        return np.where(is_grey[indices], self.decode(colours[:, 0][indices]), IGNORE_LABEL).astype(np.uint8)

    def _own_palette(self, palette: Sequence[Colour]) -> np.ndarray:
        """Index -> train id, uint8 (256,); ``UNKNOWN`` where the colour is not that of this native id."""
        matching = np.zeros(256, dtype=bool)
        same = [own == colour for own, colour in zip(self.palette, palette, strict=False)]
        matching[: len(same)] = same
        coloured = [index for index in np.flatnonzero(matching).tolist() if len(set(palette[index])) > 1]
        # If one class has its own colour, this is the coding's palette. Then an ignored id may have any
        # colour that is not the colour of a class.
        if (self.table[coloured] < len(self.of)).any():
            of_class = [self.colours.get(colour, IGNORE_LABEL) < len(self.of) for colour in palette]
            matching[: len(palette)] |= (self.table[: len(palette)] == IGNORE_LABEL) & ~np.array(of_class)
        return np.where(matching, self.table, UNKNOWN).astype(np.uint8)

    def _decode_colours(self, raw: np.ndarray, first_row: int | None) -> np.ndarray:
        if not self.colours or raw.shape[2] != 3:
            raise LabelValueError(
                f"a colour picture of {raw.shape[2]} channels where the {self.name} coding has one number "
                "per pixel"
            )
        # Look up runs of equal pixels instead of single pixels: there are about a hundred times fewer.
        colours = cv2.cvtColor(np.ascontiguousarray(raw), cv2.COLOR_RGB2BGRA).view("<u4").reshape(-1)
        begins = np.empty(colours.shape, dtype=bool)
        begins[:1] = True
        np.not_equal(colours[1:], colours[:-1], out=begins[1:])
        starts = np.flatnonzero(begins)
        found = colours[starts] & 0xFFFFFF
        of_run = colour_table(self)[found]
        if first_row is None:
            self._refuse_grey(found, of_run)
        train_ids = np.repeat(of_run, np.diff(starts, append=colours.size)).reshape(raw.shape[:2])
        if (of_run == UNKNOWN).any():
            unknown = of_run == UNKNOWN
            if self._has_every_class:
                unknown &= ~np.isin(found, [r << 16 | g << 8 | b for r, g, b in self.colours])
            lengths = np.diff(starts, append=colours.size)
            self._refuse(np.repeat(unknown, lengths).reshape(raw.shape[:2]), raw, first_row or 0)
        return train_ids

    def _refuse_grey(self, found: np.ndarray, train_ids: np.ndarray) -> None:
        """Refuse colours ``found`` (24 bits each) that are all grey and mean something else as values."""
        values = found & 0xFF
        if self.ignores_others or self._has_every_class:
            return
        if not (found == values * 0x010101).all():
            return
        by_value = self.table[values]
        known = not (by_value == UNKNOWN).any() and not (train_ids == UNKNOWN).any()
        if known and (by_value != train_ids).any():
            raise LabelValueError(
                f"its greys can be read as values and as colours of the {self.name} coding, which "
                "give different classes; save the label values as a grey picture"
            )

    def _refuse(self, unknown: np.ndarray, raw: np.ndarray, first_row: int = 0) -> None:
        """Raise the error for the first place in ``unknown``, if any is true."""
        if unknown.any():
            y, x = np.unravel_index(int(unknown.argmax()), unknown.shape)
            value = tuple(raw[y, x].tolist()) if raw.ndim == 3 else int(raw[y, x])
            place = f"({x}, {y + first_row})"
            raise LabelValueError(f"label value {value} at {place} is not in the {self.name} coding")


def train_id_coding(of: ClassList) -> LabelCoding:
    """The coding of labels that hold the train ids of the list ``of``, or its colours, and 255 elsewhere."""
    values = {train_id: (train_id,) for train_id in range(len(of))}
    colours = {train_id: (colour,) for train_id, colour in enumerate(of.colours)}
    return LabelCoding(
        f"{of.name} train id", values, (IGNORE_LABEL,), class_colours=colours, of=of, reads_indices=True
    )


@cache
def colour_table(coding: LabelCoding) -> np.ndarray:
    """Train id of every 24-bit colour (red << 16 | green << 8 | blue), uint8 (2 ** 24,)."""
    # This large table is no attribute of the coding, because codings are sent to other processes.
    other = IGNORE_LABEL if coding.ignores_others else UNKNOWN
    table = np.full(1 << 24, other, dtype=np.uint8)
    for (red, green, blue), train_id in coding.colours.items():
        table[red << 16 | green << 8 | blue] = train_id
    return table
