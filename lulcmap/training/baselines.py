"""Baselines for LULC-Former: SegFormer and U-Net, with one encoder over all bands.

Both take the same normalised composites and validity planes as LULC-Former, concatenated (early
fusion), or those of one sensor alone.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lulcmap.legend import CLASSES
from lulcmap.sensors import S1_BANDS
from lulcmap.training.lulcformer import (
    S2_PLANES,
    STRIDE,
    Decoder,
    FoldedDecoder,
    Four,
    Inputs,
    PatchEmbedding,
    StreamBlock,
    Transform,
    initialise_classifier,
    initialise_weights,
)


@dataclass(frozen=True, slots=True)
class SegFormerConfig:
    """The shape of a SegFormer (Xie et al. 2021); saved in every checkpoint and export."""

    name: str
    """Name of the model."""

    widths: Four
    """Channels of each stage."""

    depths: Four
    """Blocks of each stage."""

    heads: Four
    """Attention heads of each stage."""

    decoder_width: int
    """Channels of the decoder, at a quarter of the image's size."""

    inputs: Inputs = ("s2", "s1")
    """Sensors the network takes."""

    reductions: Four = (8, 4, 2, 1)
    """Factor by which each stage shrinks the map for keys and values."""

    classes: int = len(CLASSES)
    """Number of classes: logits per cell."""

    transform: Transform = "standardised"
    """How Sentinel-2 reaches the network."""

    kind: Literal["segformer"] = "segformer"
    """Kind of network."""


@dataclass(frozen=True, slots=True)
class UNetConfig:
    """The shape of a U-Net (Ronneberger et al. 2015); saved in every checkpoint and export."""

    name: str
    """Name of the model."""

    width: int
    """Channels at full size; doubled at each of the four halvings."""

    inputs: Inputs = ("s2", "s1")
    """Sensors the network takes."""

    classes: int = len(CLASSES)
    """Number of classes: logits per pixel."""

    transform: Transform = "standardised"
    """How Sentinel-2 reaches the network."""

    kind: Literal["unet"] = "unet"
    """Kind of network."""


class SegFormer(nn.Module):
    """Normalised composites in, logits at a quarter of the size out."""

    decoder: Decoder | FoldedDecoder
    """Decoder; folded only for export."""

    stride = STRIDE

    def __init__(self, config: SegFormerConfig) -> None:
        super().__init__()
        self.config, self.inputs = config, config.inputs
        widths = (count_planes(config.inputs, config.transform), *config.widths)
        self.embeddings = nn.ModuleList(
            PatchEmbedding(
                widths[i], widths[i + 1], kernel=3 if i else 7, stride=2 if i else STRIDE
            )
            for i in range(4)
        )
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(
                    StreamBlock(
                        config.widths[i],
                        None,
                        heads=config.heads[i],
                        reduction=config.reductions[i],
                    )
                    for _ in range(config.depths[i])
                ),
                nn.LayerNorm(config.widths[i]),
            )
            for i in range(4)
        )
        self.decoder = Decoder(config.widths, config.decoder_width, classes=config.classes)
        self.apply(initialise_weights)
        initialise_classifier(self.decoder.classify)

    def forward(
        self,
        s2: Tensor | None,
        s1: Tensor | None,
        s2_valid: Tensor | None,
        s1_valid: Tensor | None,
    ) -> Tensor:
        """Class scores (B, K, H / 4, W / 4); arguments as of ``LulcFormer.forward``."""
        x = concatenate(s2, s1, s2_valid, s1_valid).permute(0, 2, 3, 1)  # (B, H, W, C)
        maps = []
        for embed, stage in zip(self.embeddings, self.stages, strict=True):
            x = stage(embed(x))  # (B, h, w, C), h = H / 4, 8, 16, 32
            maps.append(x)
        return self.decoder(maps)


class DoubleConv(nn.Sequential):
    """Twice a 3x3 convolution, batch norm and ReLU: (B, C, h, w) -> (B, D, h, w)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(
            nn.Conv2d(channels, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )


class UNet(nn.Module):
    """Normalised composites in, logits of every pixel out."""

    stride = 1

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config, self.inputs = config, config.inputs
        bands = count_planes(config.inputs, config.transform)
        widths = [config.width << level for level in range(5)]
        self.down = nn.ModuleList(
            DoubleConv(bands if i == 0 else widths[i - 1], widths[i]) for i in range(5)
        )
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(widths[i + 1], widths[i], 2, 2) for i in reversed(range(4))
        )
        self.join = nn.ModuleList(DoubleConv(2 * widths[i], widths[i]) for i in reversed(range(4)))
        self.classify = nn.Conv2d(config.width, config.classes, 1)

    def forward(
        self,
        s2: Tensor | None,
        s1: Tensor | None,
        s2_valid: Tensor | None,
        s1_valid: Tensor | None,
    ) -> Tensor:
        """Class scores (B, K, H, W); arguments as of ``LulcFormer.forward``."""
        x = self.down[0](concatenate(s2, s1, s2_valid, s1_valid))
        passed = [x]
        for down in self.down[1:]:
            x = down(F.max_pool2d(x, 2))
            passed.append(x)
        for up, join, skipped in zip(self.up, self.join, passed[-2::-1], strict=True):
            x = join(torch.cat([skipped, up(x)], 1))
        return self.classify(x)


def count_planes(inputs: Inputs, transform: Transform) -> int:
    """Number of input channels: the planes of each sensor and its validity plane."""
    planes = {"s2": S2_PLANES[transform] + 1, "s1": len(S1_BANDS) + 1}
    return sum(planes[name] for name in inputs)


def concatenate(*planes: Tensor | None) -> Tensor:
    """Join the planes that are not None along the channels: (B, C, H, W)."""
    return torch.cat([plane for plane in planes if plane is not None], 1)
