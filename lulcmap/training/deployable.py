"""The network as it is shipped: raw integer composites in, logits out."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from lulcmap.sensors import S1_NODATA, S2_BANDS, S2_NODATA
from lulcmap.training.lulcformer import Inputs
from lulcmap.training.networks import Network


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

    s2: BandStatistics | None
    """DN: reflectance x 10000, offset removed. None if the network does not take the sensor."""

    s1: BandStatistics | None
    """Gamma0 in hundredths of a decibel. None if the network does not take the sensor."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        """The normalisation a checkpoint carries."""

        def of(sensor: dict[str, Any] | None) -> BandStatistics | None:
            if sensor is None:
                return None
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


INDICES = (
    ("B08", "B04"),  # NDVI: green leaves
    ("B03", "B08"),  # NDWI of McFeeters: open water
    ("B03", "B11"),  # NDSI, and MNDWI: snow, and water again
    ("B11", "B08"),  # NDBI: built and bare
    ("B12", "B11"),  # dry soil, roofs
    ("B06", "B05"),  # the red edge
)
"""Normalised differences (a - b) / (a + b) that stand beside the bands."""

LOG_FLOOR = 0.02
"""Added to reflectance before its logarithm, so that dark water is not all noise."""

LOG_CENTRE = 1.7
"""Added to the logarithm: usual land is then near 0, and most of it within -2 to 2."""

REFLECTANCES = (0.0005, 2.0)
"""What reflectance is clipped to: saturated pixels of snow reach 1.6."""

INDEX_FLOOR = 0.01
"""Added to the sum in an index, so that two dark bands make no index of noise."""


class LogIndices(nn.Module):
    """Sentinel-2 as logarithms of reflectance and normalised differences, in fp32.

    Light that is twice as strong moves all logarithms alike and the indices hardly. Nothing is
    fitted to a training set.
    """

    def forward(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Planes (B, 15, H, W), 0 where missing, and validity (B, 1, H, W).

        Args:
            raw: (B, 9, H, W) DN, 0 nodata.

        """
        x = raw.float()
        valid = (x.amin(1, keepdim=True) > S2_NODATA).float()
        reflectance = (x / 1e4).clamp(*REFLECTANCES)
        logarithms = torch.log(reflectance + LOG_FLOOR) + LOG_CENTRE
        one, other = (_bands(reflectance, [pair[i] for pair in INDICES]) for i in (0, 1))
        indices = (one - other) / (one + other + INDEX_FLOOR)
        return torch.cat([logarithms, indices], 1) * valid, valid


def _bands(planes: Tensor, names: Sequence[str]) -> Tensor:
    """Some of the nine bands; sliced one by one, as index tensors are slow in ONNX Runtime."""
    places = [S2_BANDS.index(name) for name in names]
    return torch.cat([planes[:, place : place + 1] for place in places], 1)


class DeployableNetwork(nn.Module):
    """The network as it is shipped: raw integer composites in, logits out.

    Training, measuring and export all run this module, so they share one normalisation.
    """

    def __init__(self, network: Network, normalisation: Normalisation) -> None:
        super().__init__()
        self.normalisation = normalisation
        self.network = network
        self.sensors = nn.ModuleDict()
        for name in network.inputs:
            statistics = normalisation.s2 if name == "s2" else normalisation.s1
            if statistics is None:
                raise ValueError(f"the network takes {name}, of which nothing is known")
            if name == "s2" and network.config.transform == "log-indices":
                self.sensors[name] = LogIndices()
                continue
            self.sensors[name] = Standardise(statistics, S2_NODATA if name == "s2" else S1_NODATA)

    @property
    def inputs(self) -> Inputs:
        """The sensors it takes, in order."""
        return self.network.inputs

    def forward(self, s2: Tensor | None, s1: Tensor | None) -> Tensor:
        """Class scores of every cell of ``stride`` x ``stride`` pixels.

        Args:
            s2: (B, 9, H, W) uint16 DN, 0 nodata; H and W multiples of 32. Not looked at, and may
                be None, if the network does not take it.
            s1: (B, 2, H, W) int16 hundredths of a decibel, -32768 nodata; as ``s2``.

        Returns:
            (B, K, H / stride, W / stride) logits, in the precision of the network's weights.

        """
        dtype = next(self.network.parameters()).dtype
        planes: dict[str, tuple[Tensor | None, Tensor | None]] = {}
        for name, raw in (("s2", s2), ("s1", s1)):
            planes[name] = (None, None)
            if name in self.sensors:
                bands, valid = self.sensors[name](raw)
                planes[name] = bands.to(dtype), valid.to(dtype)
        (bands2, valid2), (bands1, valid1) = planes["s2"], planes["s1"]
        return self.network(bands2, bands1, valid2, valid1)


class OneSensor(nn.Module):
    """A deployed network of one sensor, called with that alone: as it is exported."""

    def __init__(self, deployed: DeployableNetwork) -> None:
        super().__init__()
        self.deployed = deployed

    def forward(self, composite: Tensor) -> Tensor:
        """As ``Deployed.forward``, of the one composite."""
        s2 = self.deployed.inputs == ("s2",)
        return self.deployed(composite if s2 else None, None if s2 else composite)
