"""The network as it is shipped: raw integer composites in, logits out."""

from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from lulcmap.sensors import S1_NODATA, S2_NODATA
from lulcmap.training.network import LulcFormer


@dataclass(frozen=True, slots=True)
class BandStatistics:
    """How one sensor's bands are standardised; one number a band, in the composite's order."""

    p01: tuple[float, ...]
    """First percentile of the training set: smaller values are clipped to it."""

    p99: tuple[float, ...]
    """99th percentile: larger values are clipped to it."""

    mean: tuple[float, ...]
    """Of the clipped values."""

    std: tuple[float, ...]
    """Of the clipped values."""


@dataclass(frozen=True, slots=True)
class Normalisation:
    """How composites become the network's inputs: clip, subtract the mean, divide by std."""

    s2: BandStatistics
    """DN: reflectance x 10000, offset removed."""

    s1: BandStatistics
    """Gamma0 in hundredths of a decibel."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        """The normalisation a checkpoint carries."""

        def of(sensor: dict[str, Any]) -> BandStatistics:
            return BandStatistics(**{k: tuple(v) for k, v in sensor.items()})

        return cls(s2=of(fields["s2"]), s1=of(fields["s1"]))


class Standardise(nn.Module):
    """One sensor's raw composite to the network's input and validity plane, in fp32."""

    lowest: Tensor
    highest: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, statistics: BandStatistics, nodata: int) -> None:
        super().__init__()
        self.nodata = nodata

        def plane(values: tuple[float, ...]) -> Tensor:
            return torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1)

        self.register_buffer("lowest", plane(statistics.p01))
        self.register_buffer("highest", plane(statistics.p99))
        self.register_buffer("mean", plane(statistics.mean))
        self.register_buffer("scale", plane(tuple(1 / std for std in statistics.std)))

    def forward(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Standardised bands (B, C, H, W), 0 where missing, and validity (B, 1, H, W).

        A pixel is there when none of its bands is nodata, which is the smallest value of its kind.
        """
        x = raw.float()
        valid = (x.amin(1, keepdim=True) > self.nodata).float()
        clipped = torch.maximum(torch.minimum(x, self.highest), self.lowest)
        return (clipped - self.mean) * self.scale * valid, valid


class Deployed(nn.Module):
    """The network as it is shipped: raw integer composites in, logits out.

    Training, measuring and export all run this module, so they share one normalisation.
    """

    def __init__(self, network: LulcFormer, normalisation: Normalisation) -> None:
        super().__init__()
        self.normalisation = normalisation
        self.s2 = Standardise(normalisation.s2, S2_NODATA)
        self.s1 = Standardise(normalisation.s1, S1_NODATA)
        self.network = network

    def forward(self, s2: Tensor, s1: Tensor) -> Tensor:
        """Class scores of every cell of 4 x 4 pixels.

        Args:
            s2: (B, 9, H, W) uint16 DN, 0 nodata; H and W multiples of 32.
            s1: (B, 2, H, W) int16 hundredths of a decibel, -32768 nodata.

        Returns:
            (B, K, H / 4, W / 4) logits, in the precision of the network's weights.

        """
        dtype = self.network.decoder.classify.weight.dtype
        s2, s2_valid = self.s2(s2)
        s1, s1_valid = self.s1(s1)
        return self.network(s2.to(dtype), s1.to(dtype), s2_valid.to(dtype), s1_valid.to(dtype))
