"""A checkpoint as an object that segments pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from network.factory import stated_architecture
from network.restore import load_network
from network.segmentor import SegmentationNet
from network.sites import NUM_SITES
from utils.device import DEVICES, kind_of
from utils.errors import UserError
from utils.images import read_image, unreadable, upright_rgb
from utils.memory import enough_memory
from utils.scoring.classes import ClassSet
from utils.scoring.sliding_window import Inference, predict_picture, scaled_pictures
from utils.scoring.visualize import colour_picture, overlay_picture

Picture = Path | str | Image.Image | np.ndarray
WHOLE = Inference()


@dataclass(frozen=True)
class Segmentation:
    """What a network says about one picture of H x W pixels.

    Attributes:
        train_ids: uint8 H x W, the train id of every pixel: the number of its class in ``classes.of``.
        confidence: float32 H x W in 0..1, the probability of the chosen class.
        classes: the network's classes, with their names and colours.
    """

    train_ids: np.ndarray
    confidence: np.ndarray
    classes: ClassSet
    _image: Image.Image = field(repr=False)

    @cached_property
    def overlay(self) -> Image.Image:
        """The RGB picture with the colours of the classes laid over it; it is drawn when first asked for."""
        return overlay_picture(self._image, colour_picture(self.train_ids, self.classes.of.palette))


@dataclass(frozen=True)
class Segmenter:
    """A trained network in evaluation mode, on its device, for pictures of any size."""

    network: SegmentationNet
    device: torch.device

    def segment(self, picture: Picture) -> Segmentation:
        """Segment a picture as a whole, as ``infer.py`` does by default.

        Args:
            picture: the path of a picture file, a PIL picture, or RGB pixels, uint8 H x W x 3. A picture
                is first turned upright if its EXIF data say so.

        Raises:
            UserError: the picture cannot be read, or the memory is too small for it.
        """
        image = _rgb(picture)
        name = picture if isinstance(picture, (Path, str)) else f"a picture of {image.width} x {image.height}"
        with enough_memory(str(name), "use a smaller picture, or infer.py --inference_mode sliding"):
            prediction = predict_picture(
                self.network.predict,
                scaled_pictures(image, WHOLE),
                (image.height, image.width),
                WHOLE,
                self.device,
                with_confidence=True,
            )
        classes = self.network.classes
        train_ids = classes.train_id_of_class[prediction.classes]
        return Segmentation(train_ids, prediction.confidence, classes, image)


def load(
    path: Path | str,
    device: str | torch.device = "auto",
    *,
    arch: str | None = None,
    backbone: str | None = None,
    output_stride: int | None = None,
    wt_layer: Sequence[int] | None = None,
    deeplabv2_head: str | None = None,
    backbone_weights: Path | str | None = None,
) -> Segmenter:
    """The network of a checkpoint, ours or of another system (``network.legacy``), ready to segment pictures.

    Args:
        path: the checkpoint.
        device: as the flag ``--device``, or PyTorch's own name of a device, such as ``cuda:1``.
        arch, backbone, output_stride, wt_layer, deeplabv2_head: as the flags of these names. Some files of
            other systems do not tell them; the error then says which to give.
        backbone_weights: the file of the weights that a checkpoint of a tuned network was trained on, if they
            were of a file.

    Raises:
        UserError: a checkpoint that cannot be read, is of no system known here or contradicts the arguments,
            or a device that cannot be used.
    """
    if wt_layer is not None and len(wt_layer) != NUM_SITES:
        raise UserError(f"wt_layer {wt_layer}: give {NUM_SITES} codes")
    flags = {"arch": arch, "backbone": backbone, "output_stride": output_stride}
    flags |= {"wt_layer": wt_layer and list(wt_layer), "deeplabv2_head": deeplabv2_head}
    place = _usable(device)
    network, _ = load_network(path, stated_architecture(flags), backbone_weights=backbone_weights)
    return Segmenter(network.to(place), place)


def _usable(device: str | torch.device) -> torch.device:
    try:
        return torch.empty(0, device=kind_of(device) if device in DEVICES else device).device
    except (RuntimeError, AssertionError) as error:  # A PyTorch without CUDA raises the latter.
        reason = str(error).partition("\n")[0]
        raise UserError(f"device {device}: cannot be used ({reason}); use auto or cpu") from None


def _rgb(picture: Picture) -> Image.Image:
    """The picture as 8-bit RGB."""
    if isinstance(picture, (Path, str)):
        return read_image(Path(picture))
    if isinstance(picture, Image.Image):
        try:
            return upright_rgb(picture)
        except Exception as error:
            raise unreadable("picture", getattr(picture, "filename", "") or "a PIL picture", error) from error
    is_array = isinstance(picture, np.ndarray)
    if is_array and picture.dtype == np.uint8 and picture.shape[2:] == (3,) and picture.size:
        return Image.fromarray(picture)
    what = f"{picture.dtype} {picture.shape}" if is_array else type(picture).__name__
    raise UserError(
        f"a picture is a path, a PIL picture or an array of RGB pixels, uint8 H x W x 3; this is {what}"
    )
