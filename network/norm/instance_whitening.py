"""Instance normalisation, the layer behind codes 1 to 4 of a normalisation site."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from utils.errors import UserError


class InstanceNormalisation(nn.InstanceNorm2d):
    """Standardises every channel of every picture: (x - mean) / sqrt(biased variance + 1e-5).

    It is the same in training and evaluation, and has no running statistics. Without affine parameters this
    is the "instance whitening" of RobustNet (Choi et al., CVPR 2021, section 3). The layer itself does not
    decorrelate channels; the loss in ``loss.whitening`` does. With affine parameters it is the normalisation
    of IBN-Net (Pan et al., ECCV 2018).
    """

    def __init__(self, channels: int, affine: bool = False) -> None:
        super().__init__(channels, eps=1e-5, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-2] * x.shape[-1] == 1:
            raise UserError(
                f"instance normalisation of {self.num_features} channels: a 1x1 map has no variance; use "
                "larger pictures (--crop_size), or no such layer there (--wt_layer, --snr_stages)"
            )
        # On CPUs the gradient of 16-bit maps in channels-last layout takes three times as long as that of
        # float32 maps. On GPUs autocast chooses float32 itself.
        values = x.float() if x.device.type == "cpu" and x.element_size() == 2 else x
        # This gives the same numbers as PyTorch's instance_norm, which copies maps in channels-last layout.
        normalised = functional.group_norm(values, self.num_features, self.weight, self.bias, self.eps)
        return normalised if values is x else normalised.to(x.dtype)
