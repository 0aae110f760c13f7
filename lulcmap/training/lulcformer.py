"""LULC-Former: a spectral and a SAR encoder that attend to each other, and one MLP decoder.

Built after the published description of Yu et al., "Synergistic Fusion of Sentinel-1 and Sentinel-2
for Global LULC Mapping: The Multimodal Network LULC-Former and Dynamic World+ Dataset", IEEE JSTARS
19 (2026), 2511-2524, doi 10.1109/JSTARS.2025.3641788. The authors' code and weights are not public;
where the paper is silent the choices are SegFormer's (Xie et al. 2021) or ours.

Feature maps are (B, h, w, C) between layers: normalisations and linears act on the last axis, and a
convolution sees the same memory as a channels-last image, so nothing is copied.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lulcmap.legend import CLASSES
from lulcmap.sensors import S1_BANDS, S2_BANDS

STRIDE = 4
"""Side of one cell of the logits, pixels."""

MULTIPLE = 32
"""Height and width of an image must be multiples of this: the coarsest stage's stride."""

Four = tuple[int, int, int, int]
"""One number per stage."""

Transform = Literal["standardised", "log-indices"]
"""How Sentinel-2 reaches the network: standardised bands, or logarithms and indices."""

S2_PLANES: Mapping[Transform, int] = {"standardised": len(S2_BANDS), "log-indices": 15}
"""Number of Sentinel-2 planes of each transform, without the validity plane."""

Inputs = tuple[Literal["s2", "s1"], ...]
"""Sensors a network takes, in order."""


@dataclass(frozen=True, slots=True)
class LulcFormerConfig:
    """The shape of a LULC-Former; saved in every checkpoint and export."""

    name: str
    """Name of the model."""

    s2_widths: Four
    """Channels of the spectral branch in each stage; three quarters of all in the paper."""

    s1_widths: Four
    """Channels of the SAR branch in each stage."""

    depths: Four
    """Blocks of each stage."""

    heads: Four
    """Attention heads of each stage, in both branches; divide both widths."""

    decoder_width: int
    """Channels of the decoder, at a quarter of the image's size."""

    reductions: Four = (8, 4, 2, 1)
    """Factor by which each stage shrinks the map for keys and values."""

    classes: int = len(CLASSES)
    """Number of classes: logits per cell."""

    dmem: bool = True
    """Whether each branch attends to the other; if not, there is self-attention only (the paper's
    ablation of the dual-modal enhancement module)."""

    mmam: bool = True
    """Whether the branches' maps are re-weighted and fused for the decoder; if not, they are
    concatenated (the paper's ablation of the mutual modal aggregation module)."""

    transform: Transform = "standardised"
    """How Sentinel-2 reaches the network."""

    kind: Literal["lulcformer"] = "lulcformer"
    """Kind of network."""

    @property
    def inputs(self) -> Inputs:
        """Sensors the network takes."""
        return "s2", "s1"


LULCFORMER = LulcFormerConfig(
    name="lulcformer",
    s2_widths=(48, 96, 240, 384),
    s1_widths=(16, 32, 80, 128),
    depths=(3, 4, 6, 3),
    heads=(1, 2, 5, 8),
    decoder_width=768,
)
"""LULC-Former with 26.76 M parameters (26.70 M published): SegFormer-B2's widths, split 3:1."""

LULCFORMER_TINY = LulcFormerConfig(
    name="lulcformer-tiny",
    s2_widths=(24, 48, 120, 192),
    s1_widths=(8, 16, 40, 64),
    depths=(2, 2, 2, 2),
    heads=(1, 1, 2, 4),
    decoder_width=128,
)
"""LULC-Former for a CPU: the same modules with SegFormer-B0's widths, split 3:1."""


class PatchEmbedding(nn.Module):
    """Overlapping patches to tokens: a strided convolution and a normalisation."""

    def __init__(self, channels: int, width: int, *, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, kernel, stride, padding=kernel // 2)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:  # (B, H, W, C) -> (B, H / stride, W / stride, D)
        """Shrink the map."""
        return self.norm(self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))


class Attention(nn.Module):
    """Efficient attention: queries from one map, keys and values from a shrunken context map.

    With the map itself as context it is SegFormer's self-attention. With the other branch's map it
    is the cross-attention of the dual-modal enhancement module, and projects keys and values from
    that branch's width to this one's.
    """

    def __init__(self, width: int, context_width: int, *, heads: int, reduction: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(context_width, 2 * width)
        self.out = nn.Linear(width, width)
        self.reduce = PatchReduction(context_width, reduction) if reduction > 1 else nn.Identity()

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Let ``x`` (B, h, w, C) attend to ``context`` (B, h, w, D); shape of ``x``."""
        key, value = self.key_value(self.reduce(context).flatten(1, 2)).chunk(2, -1)  # (B, M, C)
        read = F.scaled_dot_product_attention(
            self.by_head(self.query(x).flatten(1, 2)), self.by_head(key), self.by_head(value)
        )  # (B, heads, N, d)
        return self.out(read.transpose(1, 2).reshape(x.shape))

    def by_head(self, tokens: Tensor) -> Tensor:  # (B, N, C) -> (B, heads, N, C / heads)
        """Split the channels over the heads."""
        return torch.unflatten(tokens, -1, (self.heads, -1)).transpose(1, 2)


class PatchReduction(PatchEmbedding):
    """Shrink a map for keys and values: patches without overlap."""

    def __init__(self, width: int, ratio: int) -> None:
        nn.Module.__init__(self)
        self.conv = nn.Conv2d(width, width, ratio, ratio)
        self.norm = nn.LayerNorm(width)


class MixFFN(nn.Module):
    """SegFormer's feed-forward layer; its 3x3 depthwise convolution encodes position."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = 4 * width
        self.widen = nn.Linear(width, hidden)
        self.mix = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.narrow = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:  # (B, h, w, C) -> (B, h, w, C)
        """Mix channels and neighbours."""
        x = self.mix(self.widen(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.narrow(F.gelu(x))


class StreamBlock(nn.Module):
    """Block of one branch: self-attention, cross-attention if ``other`` is given, feed-forward."""

    def __init__(self, width: int, other: int | None, *, heads: int, reduction: int) -> None:
        super().__init__()
        self.norm_self = nn.LayerNorm(width)
        self.self_attention = Attention(width, width, heads=heads, reduction=reduction)
        if other is not None:
            self.norm_cross = nn.LayerNorm(width)
            self.cross_attention = Attention(width, other, heads=heads, reduction=reduction)
        self.norm_ffn = nn.LayerNorm(width)
        self.ffn = MixFFN(width)

    def forward(self, x: Tensor) -> Tensor:  # (B, h, w, C) -> (B, h, w, C)
        """SegFormer's block: the stream by itself."""
        own = self.norm_self(x)
        x = x + self.self_attention(own, own)
        return x + self.ffn(self.norm_ffn(x))


class TwoBlocks(nn.Module):
    """Blocks of both branches, without cross-attention."""

    def __init__(self, s2_width: int, s1_width: int, *, heads: int, reduction: int) -> None:
        super().__init__()
        self.s2 = StreamBlock(s2_width, None, heads=heads, reduction=reduction)
        self.s1 = StreamBlock(s1_width, None, heads=heads, reduction=reduction)

    def forward(self, s2: Tensor, s1: Tensor) -> tuple[Tensor, Tensor]:
        """Both streams, (B, h, w, C2) and (B, h, w, C1); the same shapes back."""
        return self.s2(s2), self.s1(s1)


class DualBlock(nn.Module):
    """The dual-modal enhancement module (DMEM): self-attention, then cross-attention."""

    def __init__(self, s2_width: int, s1_width: int, *, heads: int, reduction: int) -> None:
        super().__init__()
        self.s2 = StreamBlock(s2_width, s1_width, heads=heads, reduction=reduction)
        self.s1 = StreamBlock(s1_width, s2_width, heads=heads, reduction=reduction)

    def forward(self, s2: Tensor, s1: Tensor) -> tuple[Tensor, Tensor]:
        """Both streams enhanced, (B, h, w, C2) and (B, h, w, C1); the same shapes back."""
        own2, own1 = self.s2.norm_self(s2), self.s1.norm_self(s1)
        s2 = s2 + self.s2.self_attention(own2, own2)
        s1 = s1 + self.s1.self_attention(own1, own1)
        from2, from1 = self.s2.norm_cross(s2), self.s1.norm_cross(s1)
        s2 = s2 + self.s2.cross_attention(from2, from1)
        s1 = s1 + self.s1.cross_attention(from1, from2)
        return s2 + self.s2.ffn(self.s2.norm_ffn(s2)), s1 + self.s1.ffn(self.s1.norm_ffn(s1))


class Aggregation(nn.Module):
    """The mutual modal aggregation module (MMAM): re-weight both streams by channel, fuse them."""

    def __init__(self, s2_width: int, s1_width: int) -> None:
        super().__init__()
        width = s2_width + s1_width

        def gate(out: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, out), nn.Sigmoid()
            )

        self.gate2, self.gate1 = gate(s2_width), gate(s1_width)
        self.fuse = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, s2: Tensor, s1: Tensor) -> Tensor:
        """Fuse (B, h, w, C2) and (B, h, w, C1) to (B, h, w, C2 + C1)."""
        both = torch.cat([s2, s1], -1)
        pooled = torch.cat([both.mean((1, 2), keepdim=True), both.amax((1, 2), keepdim=True)], -1)
        gated = [s2 * (1 + self.gate2(pooled)), s1 * (1 + self.gate1(pooled))]
        return self.fuse(torch.cat(gated, -1))


class Concatenation(nn.Module):
    """Both streams concatenated along the channels: replaces MMAM."""

    def forward(self, s2: Tensor, s1: Tensor) -> Tensor:
        """Concatenate (B, h, w, C2) and (B, h, w, C1) to (B, h, w, C2 + C1)."""
        return torch.cat([s2, s1], -1)


class Stage(nn.Module):
    """One resolution: patches, dual-modal blocks, and the fused map for the decoder."""

    def __init__(self, config: LulcFormerConfig, index: int) -> None:
        super().__init__()
        s2, s1 = config.s2_widths[index], config.s1_widths[index]
        # one more channel per input marks its valid pixels: missing is not the mean
        bands2 = config.s2_widths[index - 1] if index else S2_PLANES[config.transform] + 1
        bands1 = config.s1_widths[index - 1] if index else len(S1_BANDS) + 1
        kernel, stride = (3, 2) if index else (7, 4)
        self.embed2 = PatchEmbedding(bands2, s2, kernel=kernel, stride=stride)
        self.embed1 = PatchEmbedding(bands1, s1, kernel=kernel, stride=stride)
        block = DualBlock if config.dmem else TwoBlocks
        self.blocks = nn.ModuleList(
            block(s2, s1, heads=config.heads[index], reduction=config.reductions[index])
            for _ in range(config.depths[index])
        )
        self.norm2, self.norm1 = nn.LayerNorm(s2), nn.LayerNorm(s1)
        self.aggregate = Aggregation(s2, s1) if config.mmam else Concatenation()

    def forward(self, s2: Tensor, s1: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Both streams, which stay separate, and the fused map; all (B, h, w, C)."""
        s2, s1 = self.embed2(s2), self.embed1(s1)
        for block in self.blocks:
            s2, s1 = block(s2, s1)
        s2, s1 = self.norm2(s2), self.norm1(s1)
        return s2, s1, self.aggregate(s2, s1)


class Decoder(nn.Module):
    """SegFormer's all-MLP decoder: a linear layer per stage, upsample, fuse, classify.

    The published order is linear, upsample, concatenate, fuse. A 1x1 convolution commutes with
    bilinear upsampling and is a sum over its slices, so each stage's slice of the fusion is applied
    at that stage's own resolution: the same parameters and the same function, a third of the work.
    """

    def __init__(self, widths: Sequence[int], width: int, *, classes: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList(nn.Linear(stage, width) for stage in widths)
        self.fuse = nn.Linear(len(widths) * width, width, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.classify = nn.Conv2d(width, classes, 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Logits (B, K, H / 4, W / 4) from the four fused maps (B, h, w, C), finest first."""
        slices = self.fuse.weight.chunk(len(maps), 1)
        parts = [
            F.linear(stage(x), part)
            for x, stage, part in zip(maps, self.stages, slices, strict=True)
        ]
        return self.classify(F.relu(self.norm(add_upsampled(parts))))

    def folded(self) -> "FoldedDecoder":
        """The same function with one linear layer per stage; for a decoder in eval mode only."""
        if self.training:
            raise ValueError("a decoder in training has no fixed batch norm to fold")
        return FoldedDecoder(self)


class FoldedDecoder(nn.Module):
    """A trained decoder whose stage linear, fusion and batch norm are one linear layer."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        norm, fuse = decoder.norm, decoder.fuse.weight.detach().double()
        variance = norm.get_buffer("running_var").double()
        scale = norm.weight.detach().double() / (variance + norm.eps).sqrt()
        shift = norm.bias.detach().double() - norm.get_buffer("running_mean").double() * scale
        self.stages = nn.ModuleList()
        for stage, part in zip(decoder.stages, fuse.chunk(len(decoder.stages), 1), strict=True):
            own = {name: value.double() for name, value in stage.state_dict().items()}
            weight = scale[:, None] * (part @ own["weight"])
            shift = shift + scale * (part @ own["bias"])
            linear = nn.Linear(weight.shape[1], weight.shape[0], bias=not len(self.stages))
            linear.weight = nn.Parameter(weight.float())
            self.stages.append(linear)
        self.stages[0].bias = nn.Parameter(shift.float())
        self.classify = decoder.classify

    def forward(self, maps: list[Tensor]) -> Tensor:
        """As ``Decoder.forward``."""
        parts = [stage(x) for x, stage in zip(maps, self.stages, strict=True)]
        return self.classify(F.relu(add_upsampled(parts)))


def add_upsampled(maps: list[Tensor]) -> Tensor:
    """Sum of maps (B, h, w, C), each half the size of the one before, as (B, C, H, W)."""
    total = maps[0].permute(0, 3, 1, 2)
    for index, x in enumerate(maps[1:], 1):
        total = total + F.interpolate(
            x.permute(0, 3, 1, 2), scale_factor=float(2**index), mode="bilinear"
        )
    return total


class LulcFormer(nn.Module):
    """Normalised composites in, logits at a quarter of the size out."""

    decoder: Decoder | FoldedDecoder
    """Decoder; folded only for export."""

    inputs: Inputs = ("s2", "s1")
    stride = STRIDE

    def __init__(self, config: LulcFormerConfig) -> None:
        super().__init__()
        self.config = config
        self.stages = nn.ModuleList(Stage(config, index) for index in range(4))
        widths = [a + b for a, b in zip(config.s2_widths, config.s1_widths, strict=True)]
        self.decoder = Decoder(widths, config.decoder_width, classes=config.classes)
        self.apply(initialise_weights)
        initialise_classifier(self.decoder.classify)

    def forward(self, s2: Tensor, s1: Tensor, s2_valid: Tensor, s1_valid: Tensor) -> Tensor:
        """Class scores of every cell of 4 x 4 pixels.

        Args:
            s2: (B, P, H, W) planes of the transform, 0 where missing; H and W multiples of 32.
            s1: (B, 2, H, W) standardised backscatter, 0 where missing.
            s2_valid: (B, 1, H, W) 1 where ``s2`` is valid, else 0.
            s1_valid: (B, 1, H, W) 1 where ``s1`` is valid, else 0.

        Returns:
            (B, K, H / 4, W / 4) logits.

        """
        s2 = torch.cat([s2, s2_valid], 1).permute(0, 2, 3, 1)  # (B, H, W, 10)
        s1 = torch.cat([s1, s1_valid], 1).permute(0, 2, 3, 1)  # (B, H, W, 3)
        fused = []
        for stage in self.stages:
            s2, s1, both = stage(s2, s1)  # (B, h, w, C), h = H / 4, 8, 16, 32
            fused.append(both)
        return self.decoder(fused)


def initialise_classifier(classify: nn.Conv2d) -> None:
    """Initialise a classifier so that its first logits differ by about 1, whatever its width.

    With SegFormer's initialisation, which scales by the fan-out, they differ by 3 to 9, and the
    first steps only correct that. Much smaller weights would pass on hardly any gradient.
    """
    nn.init.normal_(classify.weight, std=classify.in_channels**-0.5)


def initialise_weights(module: nn.Module) -> None:
    """SegFormer's initialisation: small linear layers, convolutions scaled by their fan-out."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        fan_out = module.weight[0, 0].numel() * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=(2 / fan_out) ** 0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
