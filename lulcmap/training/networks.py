"""The networks that can be trained, by name, and the paper's variants of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lulcmap.errors import UsageError
from lulcmap.training.baselines import SegFormer, SegFormerConfig, UNet, UNetConfig
from lulcmap.training.lulcformer import (
    LULCFORMER,
    LULCFORMER_TINY,
    Config,
    Four,
    Inputs,
    LulcFormer,
    Transform,
)

NetworkConfig = Config | SegFormerConfig | UNetConfig
Network = LulcFormer | SegFormer | UNet

SEGFORMER = SegFormerConfig(
    name="segformer",
    widths=(64, 128, 320, 512),
    depths=(3, 4, 6, 3),
    heads=(1, 2, 5, 8),
    decoder_width=768,
)
"""SegFormer-B2, whose budget LULC-Former splits: 27.4 M parameters."""

SEGFORMER_TINY = SegFormerConfig(
    name="segformer-tiny",
    widths=(32, 64, 160, 256),
    depths=(2, 2, 2, 2),
    heads=(1, 2, 5, 8),
    decoder_width=128,
)
"""SegFormer-B0 with a decoder half as wide: what is nearest to lulcformer-tiny's shape."""

UNET = UNetConfig(name="unet", width=60)
"""27.3 M parameters."""

UNET_TINY = UNetConfig(name="unet-tiny", width=22)
"""3.7 M parameters."""

NETWORKS: Mapping[str, NetworkConfig] = {
    config.name: config
    for config in (LULCFORMER, LULCFORMER_TINY, SEGFORMER, SEGFORMER_TINY, UNET, UNET_TINY)
}
"""What can be trained, by name."""


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

    With one sensor LULC-Former has one branch with the whole budget, nothing to attend to and
    nothing to fuse: a SegFormer of its widths, depths and decoder.

    Args:
        model: a key of ``NETWORKS``.
        classes: K.
        modalities: sensors it takes, ``"s2"``, ``"s1"`` or both.
        allocation: channels of the spectral to those of the SAR branch, such as ``"3:1"``.
        dmem: whether the branches attend to each other.
        mmam: whether their maps are re-weighted before they are fused.
        transform: of Sentinel-2, in the deployed graph.

    Raises:
        UsageError: there is no such model or variant.

    """
    if model not in NETWORKS:
        raise UsageError(f"There is no model {model!r}; there are {', '.join(NETWORKS)}.")
    inputs = _parse_modalities(modalities)
    base = replace(NETWORKS[model], transform=transform)
    varied = not (dmem and mmam and allocation == "3:1")
    if varied and not (isinstance(base, Config) and len(inputs) == 2):
        raise UsageError(
            f"An allocation, --no-dmem and --no-mmam are of LULC-Former with two sensors, not of "
            f"{model} with {' and '.join(inputs)}. Leave them out."
        )
    if not isinstance(base, Config):
        return replace(base, inputs=inputs, classes=classes)
    if len(inputs) == 1:
        return _one_branch_config(base, inputs, classes=classes)
    s2, s1 = _split_widths(base, allocation)
    return replace(base, s2_widths=s2, s1_widths=s1, classes=classes, dmem=dmem, mmam=mmam)


def _parse_modalities(modalities: Sequence[str]) -> Inputs:
    both: Inputs = ("s2", "s1")
    if not modalities or set(modalities) - set(both) or len(set(modalities)) != len(modalities):
        raise UsageError(f"The modalities are s2, s1 or s2,s1, not {','.join(modalities)!r}.")
    return tuple(name for name in both if name in modalities)


def _one_branch_config(base: Config, inputs: Inputs, *, classes: int) -> SegFormerConfig:
    one, other = base.s2_widths, base.s1_widths
    widths = (one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] + other[3])
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


def _split_widths(base: Config, allocation: str) -> tuple[Four, Four]:
    """Both branches' widths: the sum of each stage, split as asked, in whole heads."""
    words = allocation.split(":")
    if len(words) != 2 or not all(word.isdigit() and int(word) for word in words):
        raise UsageError(f"The allocation is two whole numbers such as 3:1, not {allocation!r}.")
    share = int(words[0]) / (int(words[0]) + int(words[1]))
    s2, s1 = [], []
    for one, other, heads in zip(base.s2_widths, base.s1_widths, base.heads, strict=True):
        total = one + other
        width = heads * min(max(round(share * total / heads), 1), total // heads - 1)
        s2.append(width)
        s1.append(total - width)
    return (s2[0], s2[1], s2[2], s2[3]), (s1[0], s1[1], s1[2], s1[3])


def config_from_json(fields: Mapping[str, Any]) -> NetworkConfig:
    """The shape a checkpoint carries (its sequences may be lists).

    Raises:
        TypeError: there are other fields.
        KeyError: the kind of network is not known.

    """
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()
    }
    kinds: dict[str, type[NetworkConfig]] = {
        "lulcformer": Config,
        "segformer": SegFormerConfig,
        "unet": UNetConfig,
    }
    return kinds[values.get("kind", "lulcformer")](**values)


def build_network(config: NetworkConfig) -> Network:
    """A network of this shape, with random weights."""
    if isinstance(config, SegFormerConfig):
        return SegFormer(config)
    if isinstance(config, UNetConfig):
        return UNet(config)
    return LulcFormer(config)
