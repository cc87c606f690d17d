"""Every coding, every value, and every kind of file that a label may be stored in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from datasets.definitions import codings
from datasets.definitions.label_coding import UNKNOWN, LabelCoding, LabelValueError, colour_table
from datasets.files.reading import read_label
from utils.errors import UserError
from utils.scoring import classes
from utils.scoring.classes import IGNORE_LABEL

# As published: "native id train id" pairs; everything else the coding knows is ignored.
CITYSCAPES = (
    "7 0 8 1 11 2 12 3 13 4 17 5 19 6 20 7 21 8 22 9 23 10 24 11 25 12 26 13 27 14 28 15 31 16 32 17 33 18"
)
SYNTHIA = "1 10 2 2 3 0 4 1 5 4 6 8 7 5 8 13 9 7 10 11 11 18 12 17 15 6 16 9 17 12 18 14 19 15 20 16 21 3"
MAPILLARY = (
    "13 0 24 0 41 0 2 1 15 1 17 2 6 3 3 4 45 5 47 5 48 6 50 7 30 8 29 9 27 10 19 11 20 12 21 12 22 12 "
    "55 13 61 14 54 15 58 16 57 17 52 18"
)
CAMVID = "0 10 1 2 2 5 3 0 4 1 5 8 6 7 7 4 8 13 9 11 10 18"
CAMVID_32 = (
    "0 11 1 2 2 18 3 2 4 2 5 13 6 11 7 11 8 5 9 4 10 0 11 0 12 7 13 18 14 13 15 1 16 11 17 0 18 1 19 1 "
    "20 7 21 10 22 13 23 5 24 7 25 13 26 8 27 13 28 2 29 8 31 2"
)
BDD100K_IDS = (
    "7 0 8 1 10 2 15 3 11 4 20 5 25 6 26 7 29 8 28 9 30 10 31 11 32 12 35 13 40 14 34 15 39 16 37 17 33 18"
)
TRAIN_IDS = " ".join(f"{t} {t}" for t in range(19))

CODINGS = [
    (codings.CITYSCAPES_IDS, CITYSCAPES, [*range(34), 255]),
    (codings.GTAV, CITYSCAPES, [*range(35), 255]),
    (codings.SYNTHIA, SYNTHIA, [*range(23)]),
    (codings.MAPILLARY, MAPILLARY, [*range(66)]),
    (codings.BDD100K_IDS, BDD100K_IDS, [*range(41), 255]),
    (codings.CAMVID, CAMVID, [*range(12)]),
    (codings.CAMVID_32, CAMVID_32, [*range(32)]),
    (codings.TRAIN_IDS, TRAIN_IDS, [*range(19), 255]),
]


@pytest.mark.parametrize(
    ("coding", "published", "known"), CODINGS, ids=lambda value: getattr(value, "name", "")
)
def test_every_value_of_every_coding(coding: LabelCoding, published: str, known: list[int]) -> None:
    numbers = [int(word) for word in published.split()]
    expected = dict(zip(numbers[::2], numbers[1::2], strict=True))
    for dtype in (np.uint8, np.uint16, np.int32):
        for value in range(256):
            raw = np.full((2, 3), value, dtype=dtype)
            if value in known:
                assert (coding.decode(raw) == expected.get(value, IGNORE_LABEL)).all(), value
            else:
                with pytest.raises(LabelValueError, match=rf"value {value} at \(0, 0\) is not in the"):
                    coding.decode(raw)


@pytest.mark.parametrize(
    ("coding", "published", "known"), CODINGS, ids=lambda value: getattr(value, "name", "")
)
def test_what_is_written_reads_back(coding: LabelCoding, published: str, known: list[int]) -> None:
    train_ids = np.array([[*coding.classes, IGNORE_LABEL]], dtype=np.uint8)
    native = coding.native_ids[train_ids]
    assert set(native.ravel().tolist()) <= set(known)
    assert (coding.decode(native) == train_ids).all()


def test_wide_types_are_not_wrapped_around() -> None:
    with pytest.raises(LabelValueError, match=r"value 263 at \(1, 0\)"):
        codings.CITYSCAPES_IDS.decode(np.array([[7, 256 + 7]], dtype=np.uint16))
    with pytest.raises(LabelValueError, match="value -2"):
        codings.CITYSCAPES_IDS.decode(np.array([[-2]]))
    assert codings.CITYSCAPES_IDS.decode(np.array([[-1, 7]])).tolist() == [[255, 0]]


def test_error_names_the_first_place_as_x_y() -> None:
    raw = np.zeros((4, 5), dtype=np.uint8)
    raw[2, 3] = 99
    with pytest.raises(UserError, match=r"label value 99 at \(3, 2\) is not in the mapillary coding"):
        codings.MAPILLARY.decode(raw)


def test_colours_and_ids_differ_only_where_colours_cannot_tell() -> None:
    by_colour = codings.GTAV.decode(classes.LABEL_COLOURS[None])
    by_id = codings.GTAV.decode(np.arange(35, dtype=np.uint8)[None])
    differing = np.flatnonzero(by_colour != by_id)
    # A pole group has the colour of a pole, and a licence plate that of a car.
    assert differing.tolist() == [18, 34]
    assert by_colour[0, differing].tolist() == [5, 13]
    with pytest.raises(LabelValueError, match=r"value \(1, 2, 3\)"):
        codings.GTAV.decode(np.array([[(1, 2, 3)]], dtype=np.uint8))
    with pytest.raises(LabelValueError, match="a colour picture of 3 channels"):
        codings.CAMVID.decode(np.zeros((2, 2, 3), dtype=np.uint8))
    with pytest.raises(LabelValueError, match="a colour picture of 2 channels"):
        codings.GTAV.decode(np.zeros((2, 2, 2), dtype=np.uint8))


@pytest.mark.parametrize("coding", [codings.GTAV, codings.MAPILLARY], ids=lambda coding: coding.name)
def test_colour_table_is_exhaustive(coding: LabelCoding) -> None:
    table = colour_table(coding)
    assert np.count_nonzero(table != UNKNOWN) == len(coding.colours)
    for train_id, natives in coding.classes.items():
        red, green, blue = coding.palette[natives[0]]
        assert table[red << 16 | green << 8 | blue] == train_id


def written_as_grey(path: Path, coding: LabelCoding, native: np.ndarray) -> None:
    Image.fromarray(native).save(path)


def written_deep(path: Path, coding: LabelCoding, native: np.ndarray) -> None:
    cv2.imwrite(str(path), native.astype(np.uint16))


def written_with_alpha(path: Path, coding: LabelCoding, native: np.ndarray) -> None:
    transparent = np.where(native % 2, 255, 0).astype(np.uint8)
    Image.merge("LA", (Image.fromarray(native), Image.fromarray(transparent))).save(path)


def written_as_tiff(path: Path, coding: LabelCoding, native: np.ndarray) -> None:
    Image.fromarray(native).save(path, format="TIFF", compression="tiff_lzw")


def palette_png(path: Path, indices: np.ndarray, colours: list[tuple[int, int, int]]) -> None:
    image = Image.fromarray(indices)
    image.putpalette([level for colour in colours for level in colour])
    image.save(path)


def optimised(path: Path, native: np.ndarray, colours: list[tuple[int, int, int]]) -> None:
    """As programs that make files smaller write it: only the colours that occur, each once, in any order."""
    used = sorted({colours[value] for value in np.unique(native)}, reverse=True)
    index = np.array([used.index(colour) if colour in used else 0 for colour in colours], dtype=np.uint8)
    palette_png(path, index[native], used)


def written_with_a_grey_palette(path: Path, coding: LabelCoding, native: np.ndarray) -> None:
    palette_png(path, native, [(value, value, value) for value in range(256)])


def written_with_an_optimised_grey_palette(path: Path, coding: LabelCoding, native: np.ndarray) -> None:
    optimised(path, native, [(value, value, value) for value in range(256)])


def written_with_its_own_palette(path: Path, coding: LabelCoding, native: np.ndarray) -> None:
    palette_png(path, native, [*coding.palette, *[(0, 0, 0)] * (256 - len(coding.palette))])


def written_with_an_optimised_palette(path: Path, coding: LabelCoding, native: np.ndarray) -> None:
    optimised(path, native, [*coding.palette, *[(0, 0, 0)] * (256 - len(coding.palette))])


def colours_of(coding: LabelCoding, native: np.ndarray) -> np.ndarray:
    palette = [*coding.palette, *[(0, 0, 0)] * (256 - len(coding.palette))]
    return np.array(palette, dtype=np.uint8)[native]


def written_in_colours(path: Path, coding: LabelCoding, native: np.ndarray) -> None:
    Image.fromarray(colours_of(coding, native)).save(path)


def written_in_colours_with_alpha(path: Path, coding: LabelCoding, native: np.ndarray) -> None:
    Image.fromarray(colours_of(coding, native)).convert("RGBA").save(path)


def written_in_deep_colours(path: Path, coding: LabelCoding, native: np.ndarray) -> None:
    cv2.imwrite(str(path), np.repeat(native[..., None].astype(np.uint16), 3, axis=2))


def written_as_jpeg(path: Path, coding: LabelCoding, native: np.ndarray) -> None:
    Image.fromarray(native).save(path, format="JPEG", quality=100)


def written_with_a_strange_palette(path: Path, coding: LabelCoding, native: np.ndarray) -> None:
    palette_png(path, native, [(value, 255 - value, 7) for value in range(256)])


Write = Callable[[Path, LabelCoding, np.ndarray], None]
EVERY_CODING = [coding for coding, _, _ in CODINGS]
BY_VALUE = (
    written_as_grey,
    written_deep,
    written_with_alpha,
    written_with_a_grey_palette,
    written_with_an_optimised_grey_palette,
)
BY_COLOUR = (
    written_with_its_own_palette,
    written_with_an_optimised_palette,
    written_in_colours,
    written_in_colours_with_alpha,
)


def every_class(coding: LabelCoding) -> tuple[np.ndarray, np.ndarray]:
    """Native ids of every class and one of none, and their train ids, uint8 5 x 20."""
    train_ids = np.resize(np.array([*coding.classes, IGNORE_LABEL], dtype=np.uint8), (5, 20))
    return coding.native_ids[train_ids], train_ids


@pytest.mark.parametrize("coding", EVERY_CODING, ids=lambda coding: coding.name)
@pytest.mark.parametrize("write", [*BY_VALUE, *BY_COLOUR, written_as_tiff], ids=lambda write: write.__name__)
def test_every_kind_of_file_is_read_right(tmp_path: Path, write: Write, coding: LabelCoding) -> None:
    if write is written_as_tiff and coding.bits == 16:
        pytest.skip("files of 16 bits are PNG")
    if write in BY_COLOUR and not coding.palette:
        pytest.skip(f"the {coding.name} coding has no colours")
    native, train_ids = every_class(coding)
    path = tmp_path / "label.png"
    write(path, coding, native)
    assert np.array_equal(read_label(path, coding), train_ids)


REFUSED = {
    written_as_jpeg: "JPEG file, which does not keep label values exactly|not a whole PNG file",
    written_with_a_strange_palette: r"palette colour \(\d+, \d+, 7\) at \(\d+, 0\) is not in the",
    written_in_deep_colours: "16 bits per channel where",
}


@pytest.mark.parametrize("coding", EVERY_CODING, ids=lambda coding: coding.name)
@pytest.mark.parametrize("write", REFUSED, ids=lambda write: write.__name__)
def test_every_other_kind_of_file_is_refused_by_name(
    tmp_path: Path, write: Write, coding: LabelCoding
) -> None:
    path = tmp_path / "label.png"
    native, train_ids = every_class(coding)
    write(path, coding, native)
    if write is written_in_deep_colours and coding.bits == 16:
        assert np.array_equal(read_label(path, coding), train_ids)
        return
    with pytest.raises(UserError, match=rf"label\.png: .*({REFUSED[write]})"):
        read_label(path, coding)


def test_colours_are_refused_where_the_coding_has_none(tmp_path: Path) -> None:
    path = tmp_path / "label.png"
    palette = classes.CITYSCAPES.palette[:11]
    palette_png(path, np.arange(11, dtype=np.uint8)[None], list(map(tuple, palette.tolist())))
    with pytest.raises(UserError, match=r"label\.png: palette colour \(128, 64, 128\) at \(0, 0\)"):
        read_label(path, codings.CAMVID)
    Image.fromarray(palette[None]).save(path)
    with pytest.raises(UserError, match=r"label\.png: a colour picture of 3 channels where the camvid"):
        read_label(path, codings.CAMVID)


@pytest.mark.parametrize(
    ("coding", "index", "palette", "expected"),
    [
        # An index counts where its colour is its own, also of what colours cannot tell apart.
        (codings.GTAV, 18, codings.GTAV.palette, IGNORE_LABEL),
        (codings.GTAV, 34, codings.GTAV.palette, IGNORE_LABEL),
        # One colour, and the palette holds nothing else: road, whatever its index.
        (codings.CITYSCAPES_IDS, 0, [(128, 64, 128)], 0),
        (codings.TRAIN_IDS, 0, [(128, 64, 128)], 0),
        # Grey alone: a palette with greys that no class has is one of values.
        (codings.TRAIN_IDS, 0, [(0, 0, 0), (1, 1, 1)], 0),
        (codings.CITYSCAPES_IDS, 1, [(0, 0, 0), (20, 20, 20), (22, 22, 22)], 7),
        # Nothing but what has no class, in a palette whose other entries say that indices count.
        (codings.TRAIN_IDS, 255, [*codings.TRAIN_IDS.palette, *[(0, 0, 0)] * 237], IGNORE_LABEL),
        # White is 255.
        (codings.CITYSCAPES_IDS, 0, [(255, 255, 255)], IGNORE_LABEL),
    ],
)
def test_what_a_palette_means(
    tmp_path: Path, coding: LabelCoding, index: int, palette: list[tuple[int, int, int]], expected: int
) -> None:
    path = tmp_path / "label.png"
    palette_png(path, np.full((2, 3), index, dtype=np.uint8), palette)
    assert (read_label(path, coding) == expected).all()


def test_a_palette_with_two_meanings_is_refused(tmp_path: Path) -> None:
    """Black alone: road as a train id, no class as a colour."""
    path = tmp_path / "label.png"
    palette_png(path, np.zeros((2, 3), dtype=np.uint8), [(0, 0, 0)])
    with pytest.raises(UserError, match=r"label\.png: its palette can be read as grey values and as colours"):
        read_label(path, codings.TRAIN_IDS)


@pytest.mark.parametrize(
    ("coding", "grey", "expected"),
    [
        (codings.CITYSCAPES_IDS, 0, IGNORE_LABEL),
        (codings.CITYSCAPES_IDS, 70, 2),
        (codings.GTAV, 0, IGNORE_LABEL),
    ],
)
def test_grey_colours_with_one_meaning_are_read(coding: LabelCoding, grey: int, expected: int) -> None:
    assert (coding.decode(np.full((2, 3, 3), grey, dtype=np.uint8)) == expected).all()


@pytest.mark.parametrize(("coding", "grey"), [(codings.TRAIN_IDS, 0), (codings.CITYSCAPES_IDS, 20)])
def test_grey_colours_with_two_meanings_are_refused(coding: LabelCoding, grey: int) -> None:
    with pytest.raises(LabelValueError, match="its greys can be read as values and as colours"):
        coding.decode(np.full((2, 3, 3), grey, dtype=np.uint8))
    # The rows of a crop may be all black in a picture that has colours elsewhere.
    part = coding.decode(np.full((2, 3, 3), grey, dtype=np.uint8), first_row=1)
    assert (part == IGNORE_LABEL).all()


def test_one_bit_is_black_or_white(tmp_path: Path) -> None:
    path = tmp_path / "label.png"
    Image.fromarray(np.array([[False, True]])).save(path)
    assert read_label(path, codings.TRAIN_IDS).tolist() == [[0, IGNORE_LABEL]]


def test_an_index_beyond_the_palette_is_refused() -> None:
    with pytest.raises(LabelValueError, match="its palette has 2 colours, but index 5 is used"):
        codings.GTAV.decode_palette(np.array([[0, 5]], dtype=np.uint8), [(0, 0, 0), (70, 70, 70)])
