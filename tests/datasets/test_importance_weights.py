"""Importance weights: their files, the pictures they are of, and draws by them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from datasets.sampling.importance_weights import (
    ImportanceWeights,
    content_digest,
    importance_draws,
    importance_weights,
    picture_probabilities,
    read_importance_weights,
    shares,
    shares_of,
    write_importance_weights,
)
from utils.errors import UserError

# Pictures x classes; nothing shows the last class.
PIXELS = np.array([[10, 0, 5, 0], [30, 0, 5, 0], [0, 7, 0, 0], [40, 0, 30, 0], [0, 0, 0, 0]])
NAMES = ["a/a_0", "a/a_1", "b/b_0", "b/b_1", "c/c_0"]


def test_shares_are_of_the_class() -> None:
    table = shares(PIXELS)
    assert table[:, 0].tolist() == [0.125, 0.375, 0, 0.5, 0]
    assert table.sum(0).tolist() == [1, 1, 1, 0]


def test_a_file_says_what_was_written(tmp_path: Path) -> None:
    weights = importance_weights(NAMES, PIXELS, "cityscapes", "train")
    write_importance_weights(tmp_path / "new" / "weights.json", weights)
    again = read_importance_weights(tmp_path / "new" / "weights.json")
    assert again == weights
    assert (again.dataset, again.split, again.num_classes) == ("cityscapes", "train", 4)
    assert (shares_of(again, NAMES, tmp_path) == shares(PIXELS)).all()
    assert (shares_of(again, NAMES[::-1], tmp_path) == shares(PIXELS)[::-1]).all()


@pytest.mark.parametrize("scalar", [float, np.float64, np.float32])
def test_published_files_are_read(tmp_path: Path, scalar: type) -> None:
    table = shares(PIXELS)
    pictures = [{np.uint8(c): scalar(row[c]) for c in np.flatnonzero(row)} for row in table]
    files = [f"{name.split('/')[1]}_gtFine_labelIds.png" for name in NAMES]
    path = tmp_path / "cs_weights_resnet101_gta.data"
    torch.save(dict(zip(files, pictures, strict=True)), path)
    read = shares_of(read_importance_weights(path), NAMES, path)
    assert read.shape == (5, 19)
    np.testing.assert_allclose(read[:, :4], table, rtol=1e-6)
    assert not read[:, 4:].any()


def test_files_are_told_apart_by_what_they_say() -> None:
    pictures = {"a": {3: 0.25, 7: 1.0}, "b": {3: 0.75}}
    digest = content_digest(ImportanceWeights(19, pictures))
    other_order = {"b": {3: 0.75, 5: 0.0}, "a": {7: 1.0, 3: 0.25}}
    assert content_digest(ImportanceWeights(19, other_order, "cityscapes", "train")) == digest
    others = [({**pictures, "b": {3: 0.5}}, 19), ({**pictures, "b": {4: 0.75}}, 19), (pictures, 16)]
    assert len({digest, *(content_digest(ImportanceWeights(n, each)) for each, n in others)}) == 4
    assert digest.isalnum() and len(digest) == 12


def test_pictures_and_entries_have_to_agree(tmp_path: Path) -> None:
    weights = importance_weights(NAMES, PIXELS, "cityscapes", "train")
    with pytest.raises(UserError, match=r"w\.json: has no entry for d/d_0 \(and 1 more\)"):
        shares_of(weights, [*NAMES, "d/d_0", "d/d_1"], Path("w.json"))
    with pytest.raises(UserError, match=r"w\.json: has an entry for, but the split no picture called c/c_0;"):
        shares_of(weights, NAMES[:-1], Path("w.json"))
    flat = importance_weights(["a_0"], PIXELS[:1], "cityscapes", "train")
    with pytest.raises(UserError, match=r"w\.json: has one entry for several pictures called a_0"):
        shares_of(flat, ["x/a_0", "y/a_0"], Path("w.json"))


def test_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    with pytest.raises(UserError, match="weights: no such file; make one with"):
        read_importance_weights(path)
    for content in (b"", b"{}", b"{", b'{"pictures": {"a": {"0": "x"}}, "num_classes": 1}', b"damaged"):
        path.write_bytes(content)
        with pytest.raises(UserError, match=f"--importance_weights {path}"):
            read_importance_weights(path)
    for picture in ('{"4": 0.5}', '{"-1": 0.5}', '{"0": 1.5}', '{"0": NaN}'):
        path.write_text(f'{{"num_classes": 4, "pictures": {{"a": {picture}}}}}')
        with pytest.raises(UserError, match="holds classes beyond its 4, or shares outside 0 to 1"):
            read_importance_weights(path)
    torch.save({"a": Path("code")}, path)
    with pytest.raises(UserError, match="refused to run code from it"):
        read_importance_weights(path)


def test_a_part_of_the_draws_is_uniform() -> None:
    probabilities = picture_probabilities(shares(PIXELS), 0.25)
    np.testing.assert_allclose(probabilities.sum(0), 1)
    np.testing.assert_allclose(probabilities[:, 0], 0.05 + 0.75 * np.array([0.125, 0.375, 0, 0.5, 0]))
    np.testing.assert_allclose(probabilities[:, 3], 0.2)
    assert (picture_probabilities(shares(PIXELS), 0)[:, 1] == [0, 0, 1, 0, 0]).all()
    np.testing.assert_allclose(picture_probabilities(shares(PIXELS), 1), 0.2)


def test_pictures_are_drawn_as_often_as_they_should() -> None:
    probabilities = picture_probabilities(shares(PIXELS), 0.25)
    drawn = np.zeros_like(probabilities)
    epochs = 8000
    for epoch in range(epochs):
        draws = importance_draws(probabilities, epoch)
        assert [draw.position for draw in draws] == [0, 1, 2, 3, 4]
        for draw in draws:
            drawn[draw.index, (epoch * 5 + draw.position) % 4] += 1
    assert (drawn.sum(0) == epochs * 5 / 4).all()
    frequencies = drawn / drawn.sum(0)
    deviations = np.sqrt(probabilities * (1 - probabilities) / (epochs * 5 / 4))
    assert (np.abs(frequencies - probabilities) <= 4 * deviations).all()


def test_draws_are_a_function_of_seed_and_epoch() -> None:
    probabilities = picture_probabilities(shares(np.random.default_rng(0).integers(1, 9, (50, 3))), 0.25)
    first = importance_draws(probabilities, 3, seed=7)
    assert importance_draws(probabilities, 3, seed=7) == first
    indices = [draw.index for draw in first]
    assert [draw.index for draw in importance_draws(probabilities, 3, seed=8)] != indices
    assert [draw.index for draw in importance_draws(probabilities, 4, seed=7)] != indices
    # A class that only one picture shows draws no other; probability 0 is never drawn.
    certain = picture_probabilities(np.eye(4), 0)
    assert [draw.index for draw in importance_draws(certain, 5)] == [0, 1, 2, 3]
