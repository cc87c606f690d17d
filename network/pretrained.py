"""ImageNet weights for a network's backbone."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
import torchvision
from torch import Tensor

from network.backbone import create_backbone
from network.backbone.base import Backbone
from network.backbone.resnet import CAFFE_ENTRY_PREFIX
from network.backbone.timm import TimmModel
from network.input_spec import CAFFE, IMAGENET
from network.segmentor import SegmentationNet
from utils.distributed import main_process_first
from utils.errors import UserError
from utils.run.checkpoint import read_file
from utils.run.tensor_file import state_of

# Prefixes of entries that a file may also have: the classifiers of torchvision's networks and of DeepLabV2.
CLASSIFIERS = ("fc.", "classifier.", "layer5.")


def load_imagenet_weights(network: SegmentationNet, file: Path | None = None) -> None:
    """Fill the backbone of ``network`` with ImageNet weights, in place.

    Without ``file`` they are torchvision's ``IMAGENET1K_V1``, from which the RobustNet family trained, or
    timm's for a backbone of timm. They are downloaded once. The affine parameters of a layer at a site of the
    stem start from those of the BatchNorm that it replaces, as in the family. Other layers of sites keep
    their initial values. All other entries of the backbone must be in the file. It may have a classifier, but
    no other entries, because a file of a deeper network has all names of a shallower one.

    Args:
        network: a new network.
        file: a state dict with torchvision's names, like its downloads; or with ``Scale.`` before these
            names, like DeepLab_resnet_pretrained_init-f81d91e8.pth, from which AdaptSegNet starts. The two
            kinds expect different pictures: the first convolution of a Caffe ResNet is converted if need be.

    Raises:
        UserError: the file does not exist, is no state dict or is of another network, or the download failed;
            then the message says which file to put where.
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
            f"absent or of another shape (first: {missing[0]}); pass --backbone_weights with a file of "
            f"{backbone.name}"
        )
    if not isinstance(backbone, TimmModel) and (further := _further_entries(backbone, source)):
        raise UserError(
            f"{origin}: {len(further)} of its entries are not of {backbone.name} (first: {further[0]}), so "
            f"it is of another network; pass --backbone_weights with a file of {backbone.name}"
        )
    backbone.load_state_dict(state, strict=False)


def _weights(backbone: Backbone, file: Path | None) -> dict[str, Tensor]:
    if file is not None and not file.is_file():
        raise UserError(f"--backbone_weights {file}: no such file")
    if isinstance(backbone, TimmModel):
        with main_process_first():
            return backbone.pretrained_weights(file)
    if file is None:
        content = _download(backbone)
    else:
        try:
            content = state_of(read_file(file))
        except UserError as error:
            raise UserError(f"--backbone_weights {error}") from None
        if not content:
            raise UserError(f"--backbone_weights {file}: holds no state dict (names and tensors)")
    made_for = CAFFE if any(str(key).startswith(CAFFE_ENTRY_PREFIX) for key in content) else IMAGENET
    weights = {str(key).removeprefix(CAFFE_ENTRY_PREFIX): value for key, value in content.items()}
    return backbone.fit_to_input(weights, made_for)


def _further_entries(backbone: Backbone, source: Mapping[str, Tensor]) -> list[str]:
    """The entries of the file ``source`` that a plain ``backbone``, without sites, does not have."""
    with torch.device("meta"):
        plain = create_backbone(backbone.name, backbone.strides["layer4"])
    known = {plain.imagenet_key(key) for key in plain.state_dict()}
    return [key for key in source if key not in known and not key.startswith(CLASSIFIERS)]


def _download(backbone: Backbone) -> dict[str, Tensor]:
    if backbone.name == "resnet101_3x3stem":  # torchvision has no weights of it.
        raise UserError(
            f"{backbone.name}: its ImageNet weights cannot be downloaded by name; pass --backbone_weights "
            "FILE (resnet101-imagenet.pth of github.com/CSAILVision/semantic-segmentation-pytorch) or "
            "--no_pretrained"
        )
    url = torchvision.models.get_model_weights(backbone.torchvision_name)["IMAGENET1K_V1"].url
    folder, name = Path(torch.hub.get_dir()) / "checkpoints", url.rsplit("/", 1)[-1]
    try:
        with main_process_first():
            _check_cached(folder / name)
            return torch.hub.load_state_dict_from_url(
                url, str(folder), map_location="cpu", check_hash=True, weights_only=True
            )
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise UserError(
            f"could not get the ImageNet weights {url} ({error}); put {name} at {folder / name}, or pass "
            "--backbone_weights FILE, or --no_pretrained"
        ) from None


def _check_cached(file: Path) -> None:
    """Raise a UserError if ``file`` exists and does not have the digest that is in its name.

    torch checks the digest only of a file that it has just downloaded.
    """
    digest = torch.hub.HASH_REGEX.search(file.name)
    if digest is None or not file.is_file():
        return
    if not hashlib.sha256(file.read_bytes()).hexdigest().startswith(digest[1]):
        raise UserError(f"{file}: is damaged, or another file; delete it, so that it is downloaded again")
