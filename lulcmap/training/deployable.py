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
    """How one sensor's bands are standardised: one number per band, in the composite's order."""

    p01: tuple[float, ...]
    """First percentile of each band in the training set; smaller values are clipped to it."""

    p99: tuple[float, ...]
    """99th percentile of each band; larger values are clipped to it."""

    mean: tuple[float, ...]
    """Mean of each band's clipped values."""

    std: tuple[float, ...]
    """Standard deviation of each band's clipped values."""


@dataclass(frozen=True, slots=True)
class Normalisation:
    """How composites become the network's inputs: clip, subtract the mean, divide by std."""

    s2: BandStatistics | None
    """Statistics of Sentinel-2, DN without offset; None if the network needs none."""

    s1: BandStatistics | None
    """Statistics of Sentinel-1, hundredths of a decibel; None if the network needs none."""

    def to_dict(self) -> dict[str, Any]:
        """The normalisation as plain values, for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        """The normalisation of a checkpoint."""

        def of(sensor: dict[str, Any] | None) -> BandStatistics | None:
            if sensor is None:
                return None
            return BandStatistics(**{k: tuple(v) for k, v in sensor.items()})

        return cls(s2=of(fields["s2"]), s1=of(fields["s1"]))


class Standardise(nn.Module):
    """Turn one sensor's raw composite into the network's input and validity plane, in fp32."""

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

        A pixel is valid if none of its bands is nodata, which is the smallest value of its type.
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
"""Bands a and b of the normalised differences (a - b) / (a + b) added to the logarithms."""

LOG_FLOOR = 0.02
"""Added to reflectance before the logarithm, so that dark water is not all noise."""

LOG_CENTRE = 1.7
"""Added to the logarithm: typical land is then near 0, most of it within -2 to 2."""

REFLECTANCES = (0.0005, 2.0)
"""Range that reflectance is clipped to; saturated snow reaches 1.6."""

INDEX_FLOOR = 0.01
"""Added to the sum in an index, so that two dark bands do not give an index of noise."""


class LogIndices(nn.Module):
    """Sentinel-2 as logarithms of reflectance and normalised differences, in fp32.

    Twice as much light shifts all logarithms equally and hardly changes the indices. Nothing is
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
        minuends, subtrahends = (
            _select_bands(reflectance, [pair[i] for pair in INDICES]) for i in (0, 1)
        )
        indices = (minuends - subtrahends) / (minuends + subtrahends + INDEX_FLOOR)
        return torch.cat([logarithms, indices], 1) * valid, valid


def _select_bands(planes: Tensor, names: Sequence[str]) -> Tensor:
    """Some of the nine bands, sliced one by one: index tensors are slow in ONNX Runtime."""
    indices = [S2_BANDS.index(name) for name in names]
    return torch.cat([planes[:, place : place + 1] for place in indices], 1)


class DeployableNetwork(nn.Module):
    """A network as it is shipped: raw integer composites in, logits out.

    Training, evaluation and export all run this module, so they share one normalisation.
    """

    def __init__(self, network: Network, normalisation: Normalisation) -> None:
        super().__init__()
        self.normalisation = normalisation
        self.network = network
        self.sensors = nn.ModuleDict()
        for name in network.inputs:
            if name == "s2" and network.config.transform == "log-indices":
                self.sensors[name] = LogIndices()
                continue
            statistics = normalisation.s2 if name == "s2" else normalisation.s1
            if statistics is None:
                raise ValueError(
                    f"the network takes {name}, but the normalisation has no statistics of it"
                )
            self.sensors[name] = Standardise(statistics, S2_NODATA if name == "s2" else S1_NODATA)

    @property
    def inputs(self) -> Inputs:
        """Sensors the network takes, in order."""
        return self.network.inputs

    def forward(self, s2: Tensor | None, s1: Tensor | None) -> Tensor:
        """Class scores of every cell of ``stride`` x ``stride`` pixels.

        Args:
            s2: (B, 9, H, W) uint16 DN, 0 nodata; H and W multiples of 32. Ignored, and may be
                None, if the network does not take it.
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
    """A deployable network of one sensor, called with that sensor alone, as it is exported."""

    def __init__(self, deployable: DeployableNetwork) -> None:
        super().__init__()
        self.deployed = deployable

    def forward(self, composite: Tensor) -> Tensor:
        """As ``DeployableNetwork.forward``, with one composite."""
        s2 = self.deployed.inputs == ("s2",)
        return self.deployed(composite if s2 else None, None if s2 else composite)
