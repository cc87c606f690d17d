"""ImageNet weights for a network's backbone."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
import torchvision
from torch import Tensor

from network.backbone.base import Backbone
from network.backbone.timm import TimmBackbone
from network.input_spec import CAFFE, IMAGENET
from network.segmentor import SegmentationNet
from utils.distributed import main_process_first
from utils.errors import UserError
from utils.legacy_deeplabv2 import CAFFE_PREFIX

# The backbones whose weights torchvision does not have -> the file the RobustNet family uses.
FILE_ONLY = {
    "resnet101_3x3stem": "resnet101-imagenet.pth of github.com/CSAILVision/semantic-segmentation-pytorch"
}


def load_imagenet_weights(network: SegmentationNet, file: Path | None = None) -> None:
    """Fill the backbone of ``network`` with ImageNet weights, in place.

    Without ``file`` they are torchvision's ``IMAGENET1K_V1`` (what the RobustNet family trained from),
    downloaded once. A stem's normalisation with affine parameters starts from those of the BatchNorm that
    it replaces, as in the family; other layers of sites keep their initial values. Everything else of the
    backbone must be there.

    Args:
        network: a new network.
        file: a state dict with the library's names, as torchvision's downloads; or with ``Scale.`` before
            them, as in DeepLab_resnet_pretrained_init-f81d91e8.pth, from which AdaptSegNet starts. Each
            expects pictures of its own: in a Caffe ResNet for others, the first convolution is converted.

    Raises:
        UserError: no such file, not a state dict, of another network, or the download failed; the message
            says which file to put where.
    """
    backbone = network.backbone
    origin = str(file) if file is not None else f"ImageNet weights of {backbone.name}"
    source = _weights(backbone, None if file is None else Path(file))
    state, missing = {}, []
    for key, tensor in backbone.state_dict().items():
        value = source.get(backbone.imagenet_key(key))
        if isinstance(value, Tensor) and value.shape == tensor.shape:
            state[key] = value
        elif not (backbone.is_site_key(key) or key.endswith("num_batches_tracked")):
            missing.append(backbone.imagenet_key(key))
    if missing:
        raise UserError(
            f"{origin}: {len(missing)} of {len(backbone.state_dict())} entries of {backbone.name} are "
            f"absent or of another shape (first: {missing[0]}); pass --backbone_weights a file of this one"
        )
    backbone.load_state_dict(state, strict=False)


def _weights(backbone: Backbone, file: Path | None) -> dict[str, Tensor]:
    if file is not None and not file.is_file():
        raise UserError(f"--backbone_weights {file}: no such file")
    if isinstance(backbone, TimmBackbone):
        with main_process_first():
            return backbone.download(file)
    content = _download(backbone) if file is None else _read(file)
    made_for = CAFFE if any(str(key).startswith(CAFFE_PREFIX) for key in content) else IMAGENET
    weights = {str(key).removeprefix(CAFFE_PREFIX): value for key, value in content.items()}
    return backbone.fit_to_input(weights, made_for)


def _read(file: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError, KeyError):
        raise UserError(
            f"--backbone_weights {file}: not a file of weights saved by torch, or damaged"
        ) from None
    if not isinstance(content, dict):
        raise UserError(f"--backbone_weights {file}: holds no state dict (names and tensors)")
    return content


def _download(backbone: Backbone) -> dict[str, Tensor]:
    if backbone.name in FILE_ONLY:
        raise UserError(
            f"{backbone.name}: its ImageNet weights cannot be downloaded by name; pass --backbone_weights "
            f"FILE ({FILE_ONLY[backbone.name]}) or --no_pretrained"
        )
    url = torchvision.models.get_model_weights(backbone.torchvision_name)["IMAGENET1K_V1"].url
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    try:
        with main_process_first():
            return torch.hub.load_state_dict_from_url(
                url, str(folder), map_location="cpu", check_hash=True, weights_only=True
            )
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        name = url.rsplit("/", 1)[-1]
        raise UserError(
            f"could not get the ImageNet weights {url} ({error}); put {name} at {folder / name}, or pass "
            "--backbone_weights FILE, or --no_pretrained"
        ) from None
