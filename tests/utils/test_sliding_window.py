from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from host_waits import CPU, META, NoHostWaits, forbid_reading
from hypothesis import given, settings
from hypothesis import strategies as st
from live_memory import MostBytes
from PIL import Image
from torch import Tensor
from torch.nn import functional

from utils.errors import UserError
from utils.scoring import sliding_window
from utils.scoring.sliding_window import (
    MODES,
    AxisPart,
    Inference,
    averaged,
    axis_parts,
    mean_scores,
    predict_picture,
    scaled_pictures,
    tile_starts,
)


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def pixelwise(batch: Tensor) -> Tensor:
    """A network that looks at single pixels: tiles cannot change what it says."""
    weights = torch.linspace(-1, 1, 15).view(5, 3, 1, 1).sin()
    return functional.conv2d(batch.float() / 64, weights)


def neighbourly(batch: Tensor) -> Tensor:
    """A network with a field of view, whose answers depend on where a tile begins."""
    weights = torch.sin(torch.arange(5 * 3 * 9.0)).view(5, 3, 3, 3)
    return functional.conv2d(batch.float() / 255, weights, padding=1)


def predict(network, image: Image.Image, settings: Inference, confidence: bool = True):
    size = (image.height, image.width)
    return predict_picture(network, scaled_pictures(image, settings), size, settings, CPU, confidence)


def sums(parts: list[AxisPart], length: int) -> np.ndarray:
    total = np.zeros(length)
    for part in parts:
        total[part.target] += part.weights[0].numpy() + part.weights[1].numpy()
    return total


@pytest.mark.parametrize(
    ("scale", "columns", "rows"),
    [(0.5, [0], [0]), (1.0, [0, 683, 1024], [0]), (2.0, [0, 1366, 2048], [0])],
)
def test_tiles_of_the_published_setting(scale: float, columns: list[int], rows: list[int]) -> None:
    side = Inference("sliding", crop_size=1024).tile_side(scale)
    assert side == (2048 if scale == 2 else 1024)
    assert tile_starts(int(2048 * scale), min(side, int(2048 * scale)), 1 / 3) == columns
    assert tile_starts(int(1024 * scale), min(side, int(1024 * scale)), 1 / 3) == rows


def test_the_published_setting_is_fourteen_forwards_of_these_sizes() -> None:
    seen = []

    def network(batch: Tensor) -> Tensor:
        seen.extend([tuple(batch.shape[2:])] * len(batch))
        return batch[:, :2].float()

    # An eighth of 2048 x 1024 and of the crop: the same tiles in small.
    settings = Inference("sliding", 128, 1 / 3, (0.5, 1.0, 2.0), flip=True)
    predict(network, picture(256, 128), settings)
    assert seen == [(64, 128)] * 2 + [(128, 128)] * 6 + [(256, 256)] * 6


@given(
    length=st.integers(1, 300),
    scaled=st.integers(1, 600),
    tile=st.integers(1, 200),
    overlap=st.floats(0, 0.9),
    mirrored=st.booleans(),
)
@settings(max_examples=200)
def test_weights_sum_to_one_and_stay_inside_the_tile(
    length: int, scaled: int, tile: int, overlap: float, mirrored: bool
) -> None:
    parts = axis_parts(length, scaled, tile, overlap, mirrored)
    np.testing.assert_allclose(sums(parts, length), 1, atol=1e-5)
    for part in parts:
        assert 0 <= part.start <= scaled - min(tile, scaled)
        for neighbours in part.neighbours:
            assert ((neighbours >= 0) & (neighbours < min(tile, scaled))).all()


@given(length=st.integers(1, 3000), tile=st.integers(1, 1500), overlap=st.floats(0, 0.95))
@settings(max_examples=200)
def test_tiles_cover_everything(length: int, tile: int, overlap: float) -> None:
    starts = tile_starts(length, tile, overlap)
    assert starts[0] == 0
    assert starts[-1] == max(0, length - tile)
    assert all(0 <= b - a <= tile for a, b in zip(starts, starts[1:], strict=False))


def naive(network, image: Image.Image, settings: Inference) -> Tensor:
    """The published procedure step by step: stitch logits at each scale, un-mirror, resize, average."""
    answers = []
    for scale in settings.scales:
        resampling = Image.Resampling.BICUBIC if settings.mode == "pooling" else Image.Resampling.BILINEAR
        resized = image.resize((int(image.width * scale), int(image.height * scale)), resampling)
        for mirrored in (False, True) if settings.flip else (False,):
            tensor = torch.from_numpy(np.array(resized)).permute(2, 0, 1)[None]
            tensor = tensor.flip(3) if mirrored else tensor
            height, width = tensor.shape[2:]
            side = (
                int(settings.crop_size * max(scale, 1)) if settings.mode == "sliding" else max(height, width)
            )
            stride = math.ceil(side * (1 - settings.overlap))
            logits, count = torch.zeros(1, 5, height, width), torch.zeros(height, width)
            for row in range(max(0, math.ceil((height - side) / stride)) + 1):
                for column in range(max(0, math.ceil((width - side) / stride)) + 1):
                    bottom, right = min(row * stride + side, height), min(column * stride + side, width)
                    place = (..., slice(max(0, bottom - side), bottom), slice(max(0, right - side), right))
                    logits[place] += network(tensor[place])
                    count[place] += 1
            logits = (logits / count).flip(3) if mirrored else logits / count
            logits = functional.interpolate(logits, (image.height, image.width), mode="bilinear")
            answers.append(logits.softmax(1) if settings.mode == "pooling" else logits)
    return torch.stack(answers).mean(0)[0]


@pytest.mark.parametrize("mode", ["whole", "sliding", "pooling"])
@pytest.mark.parametrize("scales", [(1.0,), (0.5, 1.0, 2.0), (0.7, 1.9)])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("size", [(61, 40), (16, 90), (33, 32)])
def test_equals_the_published_procedure_step_by_step(
    mode: str, scales: tuple[float, ...], flip: bool, size: tuple[int, int]
) -> None:
    settings = Inference(mode, 24, 1 / 3, scales, flip)
    image = picture(*size)
    expected = naive(neighbourly, image, settings)
    prediction = predict(neighbourly, image, settings)
    probabilities = expected if mode == "pooling" else expected.softmax(0)
    np.testing.assert_allclose(prediction.confidence, probabilities.max(0).values, atol=1e-4)
    chosen = probabilities.gather(0, torch.from_numpy(prediction.classes).long()[None])[0]
    np.testing.assert_allclose(chosen, probabilities.max(0).values, atol=1e-4)


@given(width=st.integers(1, 70), height=st.integers(1, 70), crop=st.integers(1, 40), flip=st.booleans())
@settings(max_examples=40)
def test_tiles_do_not_change_a_pixelwise_network(width: int, height: int, crop: int, flip: bool) -> None:
    image = picture(width, height)
    whole = predict(pixelwise, image, Inference())
    sliding = predict(pixelwise, image, Inference("sliding", crop, 1 / 3, flip=flip, tile_batch=7))
    np.testing.assert_allclose(sliding.confidence, whole.confidence, atol=1e-4)
    assert whole.classes.shape == sliding.classes.shape == (height, width)


def test_mirroring_makes_the_answer_symmetric() -> None:
    image, settings = picture(41, 30), Inference("sliding", 16, 1 / 3, (1.0,), flip=True)
    mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    one, other = predict(neighbourly, image, settings), predict(neighbourly, mirrored, settings)
    np.testing.assert_allclose(one.confidence, other.confidence[:, ::-1], atol=1e-5)


@pytest.mark.parametrize("tile_batch", [1, 2, 5, 100])
def test_batches_hold_so_many_tiles_and_change_nothing(tile_batch: int) -> None:
    sizes = []

    def network(batch: Tensor) -> Tensor:
        sizes.append(len(batch))
        return neighbourly(batch)

    image = picture(50, 40)
    prediction = predict(network, image, Inference("sliding", 20, 0.5, tile_batch=tile_batch))
    assert sum(sizes) == 4 * 3
    assert max(sizes) == min(tile_batch, 12)
    single = predict(neighbourly, image, Inference("sliding", 20, 0.5, tile_batch=1))
    np.testing.assert_array_equal(prediction.classes, single.classes)


@pytest.mark.parametrize("scale", [0.4, 1.0, 2.0])
@pytest.mark.parametrize("mode", ["sliding", "pooling"])
def test_strips_and_memory_layout_change_nothing(
    scale: float, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other_layout(batch: Tensor) -> Tensor:
        return neighbourly(batch).contiguous(memory_format=torch.channels_last)

    image, settings = picture(50, 40), Inference(mode, 20, 1 / 3, (scale,), flip=True)
    whole = predict(neighbourly, image, settings)
    monkeypatch.setattr(sliding_window, "STRIP_VALUES", 5 * 50 * 3)
    strips = predict(other_layout, image, settings)
    np.testing.assert_array_equal(strips.classes, whole.classes)
    np.testing.assert_allclose(strips.confidence, whole.confidence, atol=1e-6)


@pytest.mark.parametrize("device", [CPU, META], ids=str)
@pytest.mark.parametrize("mode", MODES)
def test_nothing_waits_for_the_device_before_the_result(
    mode: str, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = picture(40, 30)
    settings = Inference(mode, 16, scales=(0.5, 1.0), flip=True)
    pictures = scaled_pictures(image, settings)
    batch = torch.zeros(2, 3, 30, 40, dtype=torch.uint8, device=device)

    def network(batch: Tensor) -> Tensor:
        return batch[:, :2].float()

    def scores() -> None:
        mean_scores(network, pictures, (30, 40), settings, device)
        averaged(network, Inference(mode, 16, flip=True))(batch)

    scores()  # The tiles of a size are sent to the device once.
    forbid_reading(monkeypatch)
    with NoHostWaits(device):
        scores()


def test_a_result_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its classes and, if asked for, its confidence, after all has been computed."""
    settings, reads = Inference("sliding", 16, flip=True), []
    pictures, to_host = scaled_pictures(picture(40, 30), settings), Tensor.cpu
    predict_picture(pixelwise, pictures, (30, 40), settings, CPU)  # The tiles are sent once.
    monkeypatch.setattr(Tensor, "cpu", lambda values: reads.append(values) or to_host(values))
    for with_confidence in (False, True):
        with NoHostWaits():
            predict_picture(lambda tiles: tiles.float(), pictures, (30, 40), settings, CPU, with_confidence)
    assert [values.dtype for values in reads] == [torch.uint8, torch.uint8, torch.float32]


def test_memory_is_that_of_the_tiles_and_one_score_volume(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture of 8 megapixels in the published setting, all sides an eighth, and the strips with them."""

    def network(batch: Tensor) -> Tensor:
        """19 classes; what it holds is little more than their logits, real networks hold much more."""
        return batch[:, :1].float().expand(-1, 19, -1, -1).contiguous()

    monkeypatch.setattr(sliding_window, "STRIP_VALUES", sliding_window.STRIP_VALUES // 32)
    height, width, scales = 256, 512, (0.5, 1.0, 2.0)
    settings = Inference("sliding", 128, scales=scales, flip=True)
    shapes = [(3, int(height * scale), int(width * scale)) for scale in scales]
    pictures = [torch.zeros(shape, dtype=torch.uint8) for shape in shapes]
    tiles = torch.zeros(settings.tile_batch, 3, 128, 128, dtype=torch.uint8)
    with MostBytes() as of_tiles:
        network(tiles)
    axis_parts.cache_clear()
    with MostBytes() as of_all:
        mean_scores(network, pictures, (height, width), settings, CPU)
    volume = 19 * height * width * 4
    assert volume < of_all.most <= volume + 1.25 * of_tiles.most


def test_half_precision_logits_are_averaged_in_single_precision() -> None:
    image = picture(30, 20)
    prediction = predict(lambda batch: pixelwise(batch).half(), image, Inference("sliding", 8, flip=True))
    assert prediction.confidence.dtype == np.float32
    np.testing.assert_allclose(
        prediction.confidence, predict(pixelwise, image, Inference()).confidence, atol=1e-2
    )


def test_confidence_only_on_request() -> None:
    assert predict(pixelwise, picture(4, 4), Inference(), confidence=False).confidence is None


@pytest.mark.parametrize("scale", [0.01, 0.3, 3.0])
def test_a_picture_of_one_pixel(scale: float) -> None:
    prediction = predict(pixelwise, picture(1, 1), Inference("sliding", 8, scales=(scale,), flip=True))
    assert prediction.classes.shape == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [
        ({"mode": "other"}, "--inference_mode"),
        ({"crop_size": 0}, "--crop_size"),
        ({"overlap": 1.0}, "--sliding_overlap"),
        ({"overlap": -0.1}, "--sliding_overlap"),
        ({"overlap": math.nan}, "--sliding_overlap"),
        ({"scales": ()}, "--scales"),
        ({"scales": (1.0, 0.0)}, "--scales"),
        ({"scales": (math.inf,)}, "--scales"),
        ({"scales": (math.nan,)}, "--scales"),
        ({"tile_batch": 0}, "--tile_batch"),
    ],
)
def test_impossible_windows_are_refused(arguments: dict, flag: str) -> None:
    with pytest.raises(UserError, match=flag):
        Inference(**arguments)


def test_scores_of_a_batch_are_means_of_probabilities_over_mirroring() -> None:
    batch = torch.stack([torch.from_numpy(np.array(picture(40, 24, seed))) for seed in (0, 1)])
    batch = batch.permute(0, 3, 1, 2)
    mirrored = neighbourly(batch.flip(3)).softmax(1).flip(3)
    expected = (neighbourly(batch).softmax(1) + mirrored) / 2
    scores = averaged(neighbourly, Inference("pooling", flip=True))(batch)
    torch.testing.assert_close(scores, expected)


def test_scores_of_a_batch_are_means_of_probabilities_over_scales() -> None:
    images = [picture(40, 24, seed) for seed in (0, 1)]
    batch = torch.stack([torch.from_numpy(np.array(image)) for image in images]).permute(0, 3, 1, 2)
    settings = Inference("pooling", scales=(0.5, 1.0, 1.5), flip=True)
    scores = averaged(neighbourly, settings)(batch)
    assert scores.shape == (2, 5, 24, 40)
    torch.testing.assert_close(scores.sum(1), torch.ones(2, 24, 40))
    small = [scaled_pictures(image, Inference("pooling", scales=(0.5,)))[0] for image in images]
    smaller = functional.interpolate(neighbourly(torch.stack(small)), size=(24, 40), mode="bilinear")
    alone = averaged(neighbourly, Inference("pooling", scales=(0.5,)))(batch)
    torch.testing.assert_close(alone, smaller.softmax(1))
    for image, volume in zip(images, scores, strict=True):
        assert np.array_equal(predict(neighbourly, image, settings).classes, volume.argmax(0))


def test_a_picture_alone_needs_no_average() -> None:
    assert averaged(neighbourly, Inference("pooling")) is neighbourly
    assert Inference("pooling").description == ""
    assert Inference("pooling", scales=(0.5, 1.0), flip=True).description == "scales 0.5 1, flip"
    assert Inference("pooling", flip=True).description == "flip"
    assert Inference("sliding", 512, 0.375).description == "windows of 512 at every 320"
