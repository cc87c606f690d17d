"""Label tables: every coding on every value its files can hold, and on any picture made of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from datasets.definitions import codings
from datasets.definitions.catalog import CATALOG
from datasets.definitions.codings import CITYSCAPES_IDS, GTAV, TRAIN_IDS
from datasets.definitions.label_coding import LabelCoding, LabelValueError
from utils.scoring.classes import CITYSCAPES, CITYSCAPES_SETS, IGNORE_LABEL, LABEL_COLOURS, ClassSet

pytestmark = pytest.mark.reliability

CODINGS = [coding for coding in vars(codings).values() if isinstance(coding, LabelCoding)]
COLOURED = [CITYSCAPES_IDS, GTAV, TRAIN_IDS]
# As documented: of two classes with one colour the scored one, and (20, 20, 20) has none.
TRAIN_ID_OF_COLOUR = {tuple(colour): IGNORE_LABEL for colour in [*LABEL_COLOURS.tolist(), [20, 20, 20]]}
TRAIN_ID_OF_COLOUR |= {tuple(colour): train_id for train_id, colour in enumerate(CITYSCAPES.palette.tolist())}

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9))
every_coding = pytest.mark.parametrize("coding", CODINGS, ids=lambda coding: coding.name)


def meaning(coding: LabelCoding) -> dict[int, int]:
    """Native id -> train id, from the coding's declaration alone."""
    return dict.fromkeys(coding.ignored, IGNORE_LABEL) | {
        value: train_id for train_id, values in coding.classes.items() for value in values
    }


def refusal(coding: LabelCoding, raw: np.ndarray) -> str:
    with pytest.raises(LabelValueError) as caught:
        coding.decode(raw)
    return str(caught.value)


def test_every_data_set_has_one_of_the_codings() -> None:
    assert {spec.coding for spec in CATALOG.values()} <= set(CODINGS)


@every_coding
def test_classes_and_ignored_values_do_not_overlap(coding: LabelCoding) -> None:
    values = [value for values in coding.classes.values() for value in values]
    assert len(set(values)) == len(values)
    # 255 is ignored by all that have it: it is what marks pixels without a class.
    assert not {IGNORE_LABEL, *coding.ignored} & set(values)


@every_coding
def test_every_value_a_file_can_hold(coding: LabelCoding) -> None:
    """All 256, or 65,536 of files of 16 bits: known ones are decoded, every other one is refused by name."""
    known = meaning(coding)
    values = np.arange(1 << coding.bits).astype(f"uint{coding.bits}")
    fits = np.isin(values, list(known))
    assert coding.decode(values[fits][None]).tolist() == [[known[value] for value in values[fits].tolist()]]
    for value in values[~fits].reshape(-1, 1, 1):
        with pytest.raises(LabelValueError) as caught:
            coding.decode(value)
        assert f"value {value.item()} at (0, 0)" in str(caught.value)


@every_coding
def test_wider_numbers_are_not_taken_for_others(coding: LabelCoding) -> None:
    """Signed numbers around the 256: -1 alone stands for one of them, 255, the licence plate's."""
    known = meaning(coding) | ({-1: IGNORE_LABEL} if 255 in meaning(coding) else {})
    for dtype in (np.int16, np.int32, np.int64):
        for value in range(-300, 600):
            raw = np.array([[value]], dtype=dtype)
            if value in known:
                assert coding.decode(raw).item() == known[value]
            else:
                assert f"value {value} at (0, 0)" in refusal(coding, raw)


@every_coding
@given(data=st.data())
def test_any_picture_of_known_values(coding: LabelCoding, data: st.DataObject) -> None:
    known = meaning(coding)
    dtype = data.draw(st.sampled_from([np.uint8, np.uint16, np.int32, np.int64]))
    raw = data.draw(arrays(dtype, SHAPES, elements=st.sampled_from(sorted(known))))
    decoded = coding.decode(raw)
    assert (decoded.dtype, decoded.shape) == (np.uint8, raw.shape)
    assert decoded.tolist() == [[known[value] for value in row] for row in raw.tolist()]
    # What is written back is the class's own native id, or an ignored one.
    assert (coding.decode(coding.native_ids[decoded]) == decoded).all()


@every_coding
@given(data=st.data())
def test_the_first_unknown_value_is_named_with_its_place(coding: LabelCoding, data: st.DataObject) -> None:
    known = meaning(coding)
    raw = data.draw(arrays(np.int32, SHAPES, elements=st.sampled_from(sorted(known))))
    unknown = st.integers(-(1 << 31), (1 << 31) - 1).filter(lambda value: value not in known and value != -1)
    places = st.lists(st.integers(0, raw.size - 1), min_size=1, max_size=3)
    for place in data.draw(places):
        raw.flat[place] = data.draw(unknown)
    first = next(i for i, value in enumerate(raw.ravel().tolist()) if value not in known)
    y, x = divmod(first, raw.shape[1])
    assert f"label value {raw[y, x]} at ({x}, {y}) is not in the {coding.name} coding" in refusal(coding, raw)


@pytest.mark.parametrize("coding", COLOURED, ids=lambda coding: coding.name)
@given(data=st.data())
def test_any_picture_of_the_official_colours(coding: LabelCoding, data: st.DataObject) -> None:
    colours = sorted(TRAIN_ID_OF_COLOUR)
    numbers = data.draw(arrays(np.intp, SHAPES, elements=st.integers(0, len(colours) - 1)))
    decoded = coding.decode(np.array(colours, dtype=np.uint8)[numbers], first_row=1)
    assert decoded.tolist() == [[TRAIN_ID_OF_COLOUR[colours[n]] for n in row] for row in numbers.tolist()]


@pytest.mark.parametrize("coding", COLOURED, ids=lambda coding: coding.name)
@given(data=st.data())
def test_any_other_colour_is_refused(coding: LabelCoding, data: st.DataObject) -> None:
    """Random colours, and those one level beside an official one."""
    official = st.sampled_from(sorted(TRAIN_ID_OF_COLOUR))
    step = st.integers(-1, 1)
    beside = st.builds(
        lambda colour, steps: tuple(min(max(c + s, 0), 255) for c, s in zip(colour, steps, strict=True)),
        official,
        st.tuples(step, step, step),
    )
    colour = data.draw(st.tuples(*[st.integers(0, 255)] * 3) | beside)
    assume(colour not in TRAIN_ID_OF_COLOUR)
    raw = np.full((*data.draw(SHAPES), 3), data.draw(official), dtype=np.uint8)
    y, x = (data.draw(st.integers(0, length - 1)) for length in raw.shape[:2])
    raw[y, x] = colour
    assert f"label value {colour} at ({x}, {y})" in refusal(coding, raw)


@pytest.mark.parametrize("coding", [c for c in CODINGS if not c.colours], ids=lambda coding: coding.name)
def test_codings_without_colours_refuse_colour_pictures(coding: LabelCoding) -> None:
    assert "a colour picture" in refusal(coding, LABEL_COLOURS[None])


@pytest.mark.parametrize("coding", [c for c in CODINGS if c.colours], ids=lambda coding: coding.name)
@given(data=st.data())
def test_any_palette_of_known_colours_is_read_by_them(coding: LabelCoding, data: st.DataObject) -> None:
    """In any order, with repetitions, with entries that nobody uses: the same train ids as of the colours."""
    palette = data.draw(st.lists(st.sampled_from(sorted(coding.colours)), min_size=1, max_size=256))
    indices = data.draw(arrays(np.uint8, SHAPES, elements=st.integers(0, len(palette) - 1)))
    known = [[coding.colours[palette[index]] for index in row] for row in indices.tolist()]
    # Greys may be values, and colours at the places of their own native ids say more than colours can.
    assume(any(len(set(palette[index])) > 1 for index in indices.flat))
    assume(not any(own == colour for own, colour in zip(coding.palette, palette, strict=False)))
    assert coding.decode_palette(indices, palette).tolist() == known


@pytest.mark.parametrize("classes", CITYSCAPES_SETS, ids=lambda classes: classes.name)
@every_coding
def test_native_values_to_the_network_and_back(coding: LabelCoding, classes: ClassSet) -> None:
    """Decoded, numbered for a network, and written again: the same class, or none."""
    native = np.array([sorted(meaning(coding))], dtype=np.uint8)
    train_ids = coding.decode(native)
    network_classes = classes.class_of_train_id[train_ids]
    back = classes.train_id_of_class[network_classes]
    kept = np.isin(train_ids, classes.train_ids)
    assert (back[kept] == train_ids[kept]).all()
    assert (back[~kept] == IGNORE_LABEL).all()
    assert (network_classes[kept] < len(classes.train_ids)).all()
