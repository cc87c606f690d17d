"""Dilation instead of stride, for the blocks of any convolutional backbone."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn


def replace_stride_with_dilation(
    blocks: Iterable[nn.Module], dilation: int = 1, partial: bool = False
) -> int:
    """Change ``blocks`` (in order of execution) in place so that none of them reduces the resolution.

    From the first strided block on (with that block), every convolution larger than 1x1 is dilated, so that
    it sees the same part of the picture as with the stride (DeepLabV3, Chen et al. 2017, section 3.1, without
    multi-grid).

    Args:
        blocks: residual or inverted residual blocks, each with at most one stride on any path.
        dilation: that of the layers before.
        partial: dilate only the convolutions that had the stride, and no convolutions after them. The
            published MobileNetV2 and ShuffleNetV2 of RobustNet were trained like this.

    Returns:
        The dilation that layers after these blocks start with.
    """
    for block in blocks:
        convs = [m for m in block.modules() if isinstance(m, nn.Conv2d)]
        strided = [conv for conv in convs if conv.stride != (1, 1)]
        if strided:
            dilation *= strided[0].stride[0]
        for conv in strided if partial else convs:
            size = conv.kernel_size[0]
            conv.stride = (1, 1)
            if size > 1:
                conv.dilation = (dilation, dilation)
                conv.padding = (dilation * (size // 2),) * 2
    return dilation
