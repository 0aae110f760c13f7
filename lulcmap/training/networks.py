"""Networks that can be trained, by name, and the paper's variants of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lulcmap.errors import UsageError
from lulcmap.training.baselines import SegFormer, SegFormerConfig, UNet, UNetConfig
from lulcmap.training.lulcformer import (
    LULCFORMER,
    LULCFORMER_TINY,
    Four,
    Inputs,
    LulcFormer,
    LulcFormerConfig,
    Transform,
)

NetworkConfig = LulcFormerConfig | SegFormerConfig | UNetConfig
"""Shape of any network."""

Network = LulcFormer | SegFormer | UNet
"""Any network."""

SEGFORMER = SegFormerConfig(
    name="segformer",
    widths=(64, 128, 320, 512),
    depths=(3, 4, 6, 3),
    heads=(1, 2, 5, 8),
    decoder_width=768,
)
"""SegFormer-B2, whose widths LULC-Former splits: 27.4 M parameters."""

SEGFORMER_TINY = SegFormerConfig(
    name="segformer-tiny",
    widths=(32, 64, 160, 256),
    depths=(2, 2, 2, 2),
    heads=(1, 2, 5, 8),
    decoder_width=128,
)
"""SegFormer-B0 with a decoder half as wide: the nearest to lulcformer-tiny's shape."""

UNET = UNetConfig(name="unet", width=60)
"""U-Net of LULC-Former's size: 27.3 M parameters."""

UNET_TINY = UNetConfig(name="unet-tiny", width=22)
"""U-Net of lulcformer-tiny's size: 3.7 M parameters."""

NETWORKS: Mapping[str, NetworkConfig] = {
    config.name: config
    for config in (LULCFORMER, LULCFORMER_TINY, SEGFORMER, SEGFORMER_TINY, UNET, UNET_TINY)
}
"""Shapes of the networks that can be trained, by name."""


def network_config(
    model: str,
    *,
    classes: int,
    modalities: Sequence[str] = ("s2", "s1"),
    allocation: str = "3:1",
    dmem: bool = True,
    mmam: bool = True,
    transform: Transform = "standardised",
) -> NetworkConfig:
    """The shape of a network, or of one of the paper's variants of LULC-Former.

    With one sensor LULC-Former has one branch with all channels, nothing to attend to and nothing
    to fuse: it is a SegFormer of its widths, depths and decoder.

    Args:
        model: name of a network, a key of ``NETWORKS``.
        classes: number of classes.
        modalities: sensors the network takes, ``"s2"``, ``"s1"`` or both.
        allocation: channels of the spectral branch to those of the SAR branch, such as ``"3:1"``.
        dmem: whether the branches attend to each other.
        mmam: whether their maps are re-weighted before they are fused.
        transform: how Sentinel-2 reaches the network.

    Raises:
        UsageError: no such network or variant.

    """
    if model not in NETWORKS:
        raise UsageError(f"No model {model!r}. Choose one of {', '.join(NETWORKS)}.")
    inputs = _parse_modalities(modalities)
    base = replace(NETWORKS[model], transform=transform)
    is_variant = not (dmem and mmam and allocation == "3:1")
    if is_variant and not (isinstance(base, LulcFormerConfig) and len(inputs) == 2):
        raise UsageError(
            "--allocation, --no-dmem and --no-mmam apply to LULC-Former with two sensors, not to "
            f"{model} with {' and '.join(inputs)}. Leave them out."
        )
    if not isinstance(base, LulcFormerConfig):
        return replace(base, inputs=inputs, classes=classes)
    if len(inputs) == 1:
        return _one_branch_config(base, inputs, classes=classes)
    s2, s1 = _split_widths(base, allocation)
    return replace(base, s2_widths=s2, s1_widths=s1, classes=classes, dmem=dmem, mmam=mmam)


def _parse_modalities(modalities: Sequence[str]) -> Inputs:
    both: Inputs = ("s2", "s1")
    if not modalities or set(modalities) - set(both) or len(set(modalities)) != len(modalities):
        raise UsageError(f"--modalities is {','.join(modalities)!r}; give s2, s1 or s2,s1.")
    return tuple(name for name in both if name in modalities)


def _one_branch_config(base: LulcFormerConfig, inputs: Inputs, *, classes: int) -> SegFormerConfig:
    s2, s1 = base.s2_widths, base.s1_widths
    widths = (s2[0] + s1[0], s2[1] + s1[1], s2[2] + s1[2], s2[3] + s1[3])
    return SegFormerConfig(
        name=f"{base.name}-{inputs[0]}",
        widths=widths,
        depths=base.depths,
        heads=base.heads,
        decoder_width=base.decoder_width,
        inputs=inputs,
        reductions=base.reductions,
        classes=classes,
        transform=base.transform,
    )


def _split_widths(base: LulcFormerConfig, allocation: str) -> tuple[Four, Four]:
    """Widths of both branches: the sum of each stage, split by the allocation, in whole heads."""
    parts = allocation.split(":")
    if len(parts) != 2 or not all(word.isdigit() and int(word) for word in parts):
        raise UsageError(f"--allocation is {allocation!r}; give two whole numbers such as 3:1.")
    share = int(parts[0]) / (int(parts[0]) + int(parts[1]))
    s2, s1 = [], []
    for s2_width, s1_width, heads in zip(base.s2_widths, base.s1_widths, base.heads, strict=True):
        total = s2_width + s1_width
        width = heads * min(max(round(share * total / heads), 1), total // heads - 1)
        s2.append(width)
        s1.append(total - width)
    return (s2[0], s2[1], s2[2], s2[3]), (s1[0], s1[1], s1[2], s1[3])


def config_from_json(fields: Mapping[str, Any]) -> NetworkConfig:
    """The shape of a network, from a checkpoint (its sequences may be lists).

    Raises:
        TypeError: it has other fields.
        KeyError: the kind of network is unknown.

    """
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()
    }
    kinds: dict[str, type[NetworkConfig]] = {
        "lulcformer": LulcFormerConfig,
        "segformer": SegFormerConfig,
        "unet": UNetConfig,
    }
    return kinds[values.get("kind", "lulcformer")](**values)


def build_network(config: NetworkConfig) -> Network:
    """Build a network of this shape, with random weights."""
    if isinstance(config, SegFormerConfig):
        return SegFormer(config)
    if isinstance(config, UNetConfig):
        return UNet(config)
    return LulcFormer(config)
