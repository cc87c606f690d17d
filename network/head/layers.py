"""Layers and functions that several heads use, and the auxiliary head of most."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from loss.precision import at_least_float32
from network.backbone.base import Backbone
from network.head.atrous import AtrousConvolution
from utils.errors import UserError


def initialise_head(module: nn.Module) -> None:
    """Kaiming-normal convolutions (fan in, ReLU; He et al., ICCV 2015), zero biases, BatchNorm weights 1."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)


class AuxiliaryHead(nn.Sequential):
    """The head of the auxiliary loss (deep supervision; PSPNet, Zhao et al., CVPR 2017).

    layer3 B x channels x h x w -> logits B x ``num_classes`` x h x w, not resized to the picture.
    """

    def __init__(self, backbone: Backbone, num_classes: int) -> None:
        super().__init__(
            nn.Conv2d(backbone.channels["layer3"], 512, 3, padding=1),
            nn.BatchNorm2d(512),
            nn.ReLU(inplace=True),
            nn.Dropout2d(0.1),
            nn.Conv2d(512, num_classes, 1),
        )
        initialise_head(self)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        return super().forward(x)


def conv_norm_relu(before: int, after: int, size: int = 1, dilation: int = 1) -> nn.Sequential:
    """A convolution without bias that keeps the resolution, BatchNorm, ReLU; dilated if it is 3x3."""
    if dilation > 1:
        convolution = AtrousConvolution(before, after, dilation, bias=False)
    else:
        convolution = nn.Conv2d(before, after, size, padding=size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU(inplace=True))


def double_convolution(before: int) -> nn.Sequential:
    """Two 3x3 convolutions to 256 channels, each with BatchNorm and ReLU."""
    return nn.Sequential(*conv_norm_relu(before, 256, 3), *conv_norm_relu(256, 256, 3))


def resize_between_centres(x: Tensor, size: tuple[int, int]) -> Tensor:
    """``x`` resized bilinearly between pixel centres, as published transformers do it."""
    return F.interpolate(x, size, mode="bilinear", align_corners=False)


def scores_between_centres(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Logits resized like this in float32 at least, for the reason of :func:`resize_scores`."""
    return resize_between_centres(at_least_float32(logits), size)


def check_image_pooling(norm: nn.Module, x: Tensor) -> None:
    """Raise a UserError if ``norm`` trains on ``x`` pooled to one value, and ``x`` is one picture."""
    if norm.training and x.shape[0] == 1 and not isinstance(norm, nn.SyncBatchNorm):
        raise UserError(
            "a training batch of one picture per process: BatchNorm of the image pooling branch has one "
            "value per picture and needs two; raise --bs_mult"
        )


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """``x`` resized bilinearly with aligned corners, the only interpolation of maps in RobustNet's family."""
    return F.interpolate(x, size, mode="bilinear", align_corners=True)


def resize_scores(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Logits resized in float32 at least: 16 bits are too coarse for the best class between two pixels."""
    return resize(at_least_float32(logits), size)
