"""The head of DIIA: domain-invariant information aggregation (Liao et al., Neurocomputing 2023)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from loss.precision import without_autocast
from network.backbone.base import Backbone
from network.head.coarse_layout import coarse_layout
from network.head.deeplabv3plus import AtrousPyramid, DeepLabV3Plus
from network.head.layers import conv_norm_relu, double_convolution, initialise_head, resize, resize_scores

AGGREGATED_CHANNELS = 128
COARSE_WEIGHT = 0.5
CODE_CHANNELS = 256
ATTENTION_DEVIATION = 0.01


class AggregationHead(nn.Module):
    """A coarse head on layer4, two reconstruction branches, an attention over these, and a final DeepLabV3+.

    The coarse head's prediction is a layout of classes. In the attention the layout is the query, the edges
    are the key, and layer4 is the value. The result takes the place of layer4 in the final head. The
    prediction is 0.5 x coarse logits + final logits, in training and in evaluation. With output stride 16 and
    layer1 at stride 4 this is the published network. At other strides the branches have more or fewer strided
    convolutions, so that they end on the grid of layer4.
    """

    auxiliary_weight = 0.4
    learning_rate_factor = 1.0
    smallest_batch = 2

    def __init__(self, backbone: Backbone, num_classes: int) -> None:
        super().__init__()
        channels, strides = backbone.channels, backbone.strides
        self.aspp = AtrousPyramid(channels["layer4"], strides["layer4"])
        self.aspp_projection = conv_norm_relu(self.aspp.out_channels, 256)
        self.decoder = double_convolution(256)
        self.classifier = nn.Conv2d(256, num_classes, 1)
        factor = strides["layer4"] // strides["layer1"]
        self.edges = EdgeReconstruction(channels["layer1"], num_classes, factor)
        self.layout = LayoutReconstruction(num_classes, strides["layer4"])
        initialise_head(self)
        # These two initialise themselves, so they are created after initialise_head.
        self.attention = LayoutEdgeAttention(channels["layer4"], channels=AGGREGATED_CHANNELS)
        self.final = DeepLabV3Plus(backbone, num_classes, AGGREGATED_CHANNELS)
        self.embedding_channels = dict(self.final.embedding_channels)

    def forward(self, features: dict[str, Tensor], size: tuple[int, int]) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits at ``size``, and taps. These are the taps of the final head and:

        * ``coarse_logits``, ``final_logits``: the two parts of the logits, B x classes x ``size``;
        * ``layout``: int64 B x ``size``, 255 where ignored, without gradient. Its thresholds are medians over
          the batch in training, and over each picture in evaluation;
        * ``layout_logits``, ``edge_logits``: those of the branches, B x classes x ``size``, only in training;
        * ``edges``: B x 1 x ``size``, an estimate of the picture's edges in [0, 255], only in training.
        """
        content = features["layer4"]
        grid = (content.shape[-2], content.shape[-1])
        coarse = self.decoder(self.aspp_projection(self.aspp(content)))
        coarse_logits = resize_scores(self.classifier(coarse), size)
        layout = coarse_layout(coarse_logits, per_image=not self.training)
        layout_code = on_grid(self.layout(layout), grid)
        edges, edge_code = self.edges(features["layer1"])
        edge_code = on_grid(edge_code, grid)
        aggregated = self.attention(content, layout_code, edge_code)
        final_logits, taps = self.final({**features, "layer4": aggregated}, size)
        # PyTorch 2.6 cannot compile ``|=``.
        taps.update({"coarse_logits": coarse_logits, "final_logits": final_logits, "layout": layout})
        if self.training:
            taps["layout_logits"] = self.layout.segment(layout_code, size)
            taps["edge_logits"] = self.edges.segment(edge_code, size)
            taps["edges"] = resize(edges.mean(dim=1, keepdim=True), size)
        return COARSE_WEIGHT * coarse_logits + final_logits, taps


def on_grid(x: Tensor, grid: tuple[int, int]) -> Tensor:
    """``x`` resized to height and width ``grid``; this is needed if a backbone rounds sizes down."""
    return x if (x.shape[-2], x.shape[-1]) == grid else resize(x, grid)


class LayoutEdgeAttention(nn.Module):
    """``gamma * attention(query=layout, key=edges, value=content) + projected content``.

    The attention has one head over all pixels. Products are not divided by the square root of their length,
    and ``gamma`` starts at zero. The attention is computed block by block, so that memory grows with the
    number of pixels and not with its square. It is computed in the precision of the parameters, also under
    autocast, because unscaled products need all their digits.
    """

    def __init__(self, content_channels: int, code_channels: int = 256, channels: int = 128) -> None:
        """``code_channels``: channels of layout and edges; ``channels``: channels of the output."""
        super().__init__()
        self.query = nn.Conv2d(code_channels, channels, 1)
        self.key = nn.Conv2d(code_channels, channels, 1)
        self.value = nn.Conv2d(content_channels, channels, 1)
        self.content = nn.Conv2d(content_channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))
        for convolution in (self.query, self.key, self.value, self.content):
            nn.init.normal_(convolution.weight, std=ATTENTION_DEVIATION)

    def forward(self, content: Tensor, layout: Tensor, edges: Tensor) -> Tensor:
        """B x channels x H x W from three maps with the same B, H and W."""
        projected, value = self.content(content), self.value(content)
        precision = self.gamma.dtype
        with without_autocast(content):
            query, key = self.query(layout.to(precision)), self.key(edges.to(precision))
            sequences = (pixel_sequence(x) for x in (query, key, value.to(precision)))
            attended = F.scaled_dot_product_attention(*sequences, scale=1.0)
        return self.gamma * attended.squeeze(1).transpose(1, 2).reshape(projected.shape) + projected


def pixel_sequence(x: Tensor) -> Tensor:
    """B x C x H x W -> B x 1 x HW x C, contiguous: the memory-saving attention kernels require this."""
    return x.flatten(2).transpose(1, 2).unsqueeze(1).contiguous()


def reducing_convolutions(before: int, between: int, factor: int) -> list[nn.Module]:
    """3x3 convolutions, ``before`` -> ``between`` -> 256 channels, with BatchNorm and ReLU between them.

    The first ones have stride 2, so that the output is ``factor`` (a power of two) times smaller. The
    published network has two convolutions, which reduce by 4; a factor of 8 adds a third one.
    """
    halvings = factor.bit_length() - 1
    channels = [before, between, *[CODE_CHANNELS] * max(1, halvings - 1)]
    layers: list[nn.Module] = []
    for number, (inputs, outputs) in enumerate(zip(channels, channels[1:], strict=False)):
        if layers:
            layers += [nn.BatchNorm2d(inputs), nn.ReLU(inplace=True)]
        layers.append(nn.Conv2d(inputs, outputs, 3, stride=2 if number < halvings else 1, padding=1))
    return layers


class ReconstructionBranch(nn.Module):
    """The common part of the branches for edges and layout. These two differ little between domains.

    Each encodes its map into 256 channels on the grid of layer4. Only training segments this code.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.refinement = double_convolution(CODE_CHANNELS)
        self.classifier = nn.Conv2d(CODE_CHANNELS, num_classes, 1)

    def segment(self, code: Tensor, size: tuple[int, int]) -> Tensor:
        """Logits of the code, B x 256 x h x w -> B x classes x ``size``."""
        # 16 bits are enough: only a loss reads these logits, and nothing takes the best class of them.
        return resize(self.classifier(self.refinement(code)), size)


class EdgeReconstruction(ReconstructionBranch):
    """Edges from layer1, and their code (the paper's edge reconstruction module)."""

    def __init__(self, channels: int, num_classes: int, factor: int) -> None:
        """``channels``: channels of layer1; ``factor``: the grid of layer4 is so many times smaller."""
        super().__init__(num_classes)
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, 128, 1),
            nn.BatchNorm2d(128),
            nn.ReLU(inplace=True),
            nn.Conv2d(128, 64, 3, padding=1),
        )
        self.decoder = nn.Sequential(*reducing_convolutions(64, 256, factor))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """layer1 -> edges B x 64 x size of layer1, and their code B x 256 x size of layer4."""
        edges = self.encoder(x)
        return edges, self.decoder(edges)


class LayoutReconstruction(ReconstructionBranch):
    """The code of a semantic layout (the paper's semantic layout reconstruction module)."""

    def __init__(self, num_classes: int, stride: int) -> None:
        """``stride``: picture pixels per pixel of layer4, at least 4."""
        super().__init__(num_classes)
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 64, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
            *reducing_convolutions(64, 128, stride // 4),
        )

    def forward(self, layout: Tensor) -> Tensor:
        """Layout int64 B x H x W (train ids and 255, used as numbers) -> code B x 256 x size of layer4."""
        return self.encoder(layout.unsqueeze(1).to(self.classifier.weight.dtype))
