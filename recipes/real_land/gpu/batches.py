"""Batches cut, turned, lit and shifted on the GPU itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lulcmap.legend import NAMES
from lulcmap.sensors import S1_NODATA, S2_BANDS
from recipes.real_land.wild.make import HAZE_COLOUR

COARSE = [S2_BANDS.index(band) for band in ("B05", "B06", "B07", "B11", "B12")]
"""The 20 m bands."""

MISSING_S2, MISSING_S1 = 0.05, 0.4
"""Shares of the samples without a sensor."""

GAIN, BAND_GAIN, HAZE_DN, S1_SHIFT, S1_BAND_SHIFT = 0.12, 0.04, 130.0, 90.0, 60.0
"""Deviations of light, haze and backscatter; as of ``lulcmap train --augmentation strong``."""

SHIFTED = 0.5
"""Share of the samples whose sensors are moved against the label by up to half a pixel."""


@dataclass(frozen=True)
class Source:
    """Chips of one kind on the GPU."""

    s2: Tensor
    """(N, 9, H, W) int16 DN, 0 nodata."""

    s1: Tensor
    """(N, 2, H, W) int16."""

    label: Tensor
    """(N, H, W) uint8."""

    probabilities: Tensor | None = None
    """(N, 9, H, W) uint8 percent."""

    weight: Tensor | None = None
    """(N, H, W) uint8 percent."""

    is_nearest: bool = False
    """Whether 20 m bands are by nearest neighbour, and may be smoothed to bilinear ones."""

    @classmethod
    def of(
        cls, chips: Mapping[str, NDArray[np.generic]], device: torch.device, *, is_nearest: bool
    ) -> "Source":
        """Put chips onto the GPU."""
        planes = dict(chips)
        planes["s2"] = np.minimum(chips["s2"], np.uint16(32767)).astype(np.int16)
        tensors = {name: torch.from_numpy(np.ascontiguousarray(x)) for name, x in planes.items()}
        on_device = {name: tensor.to(device) for name, tensor in tensors.items()}
        return cls(**on_device, is_nearest=is_nearest)


@dataclass(frozen=True)
class Batch:
    """Samples of one step."""

    s2: Tensor
    """(B, 9, C, C) float DN, whole numbers."""

    s1: Tensor
    """(B, 2, C, C) float."""

    label: Tensor
    """(B, C, C) int64."""

    probabilities: Tensor
    """(B, 9, C, C) uint8 percent, 0 where a label is certain."""

    weight: Tensor
    """(B, C, C) uint8 percent."""


def draw_batch(
    sources: Sequence[Source],
    shares: Sequence[float],
    rng: np.random.Generator,
    *,
    size: int,
    crop: int,
) -> Batch:
    """Draw samples from the sources by their shares."""
    chosen = rng.choice(len(sources), size, p=np.array(shares) / sum(shares))
    parts = [_cut(sources[number], rng, crop) for number in chosen]
    s2, s1, label, soft, weight = (torch.stack(planes) for planes in zip(*parts, strict=True))
    smooth = torch.tensor(
        [sources[number].is_nearest and rng.random() < 0.5 for number in chosen], device=s2.device
    )
    s2, s1 = s2.float(), s1.float()
    s2 = torch.where(smooth[:, None, None, None], _bilinear(s2), s2)
    s2, s1 = _shifted(s2, rng, nodata=0), _shifted(s1, rng, nodata=S1_NODATA)
    s2, s1 = _relit(s2), _moved(s1)
    draw = torch.rand(size, device=s2.device)[:, None, None, None]
    s2 = torch.where(draw < MISSING_S2, 0.0, s2)
    is_blind = (draw >= MISSING_S2) & (draw < MISSING_S2 + MISSING_S1)
    s1 = torch.where(is_blind, float(S1_NODATA), s1)
    return Batch(s2, s1, label.long(), soft, weight)


def _cut(source: Source, rng: np.random.Generator, crop: int) -> tuple[Tensor, ...]:
    """A turned crop of a random chip."""
    chip = int(rng.integers(len(source.s2)))
    row, col = (int(rng.integers(side - crop + 1)) for side in source.label.shape[1:])
    window = np.s_[..., row : row + crop, col : col + crop]
    label = source.label[chip][window]
    soft, weight = source.probabilities, source.weight
    planes = (
        source.s2[chip][window],
        source.s1[chip][window],
        label,
        label.new_zeros(len(NAMES), crop, crop) if soft is None else soft[chip][window],
        torch.full_like(label, 100) if weight is None else weight[chip][window],
    )
    quarters, is_mirrored = int(rng.integers(4)), bool(rng.integers(2))
    turned = (torch.rot90(plane, quarters, (-2, -1)) for plane in planes)
    return tuple(plane.flip(-1) if is_mirrored else plane for plane in turned)


def _bilinear(s2: Tensor) -> Tensor:
    """The 20 m bands as if resampled bilinearly: nearest ones under a kernel of 1, 2, 1."""
    kernel = torch.tensor([1.0, 2.0, 1.0], device=s2.device) / 4
    coarse = s2[:, COARSE]
    weights = (kernel[:, None] * kernel[None]).expand(len(COARSE), 1, 3, 3)
    edged = F.pad(coarse, (1, 1, 1, 1), mode="replicate")
    smoothed = s2.clone()
    smoothed[:, COARSE] = F.conv2d(edged, weights, groups=len(COARSE)).round()
    return torch.where((s2 > 0).all(1, keepdim=True), smoothed.clamp(min=1), 0.0)


def _shifted(planes: Tensor, rng: np.random.Generator, *, nodata: int) -> Tensor:
    """Some of the samples moved by up to half a pixel, bilinearly; beside nodata nothing moves."""
    moved = torch.from_numpy(rng.random(len(planes)) < SHIFTED).to(planes.device)
    by = torch.from_numpy(rng.uniform(-0.5, 0.5, (len(planes), 2)).astype(np.float32))
    down, along = (by[:, axis].to(planes.device)[:, None, None, None] for axis in (0, 1))

    def between(values: Tensor, share: Tensor, axis: int) -> Tensor:
        ahead = torch.where(share > 0, values.roll(-1, axis), values.roll(1, axis))
        return values + share.abs() * (ahead - values)

    edged = F.pad(planes, (1, 1, 1, 1), mode="replicate")
    blended = between(between(edged, down, -2), along, -1)[..., 1:-1, 1:-1].round()
    seen = (planes != nodata).all(1, keepdim=True)
    whole = -F.max_pool2d(-seen.float(), 3, 1, 1) > 0
    return torch.where(moved[:, None, None, None] & whole, blended, planes)


def _relit(s2: Tensor) -> Tensor:
    """Light and haze of each sample; nodata stays 0, and only nodata."""
    one, bands = (len(s2), 1, 1, 1), (len(s2), s2.shape[1], 1, 1)
    device = s2.device
    gain = GAIN * torch.randn(one, device=device) + BAND_GAIN * torch.randn(bands, device=device)
    colour = torch.from_numpy(HAZE_COLOUR).to(device)[None, :, None, None]
    colour = colour * torch.exp(0.2 * torch.randn(bands, device=device))
    lit = s2 * torch.exp(gain) + HAZE_DN * torch.randn(one, device=device) * colour
    return torch.where(s2 > 0, lit.round().clamp(1, 32767), 0.0)


def _moved(s1: Tensor) -> Tensor:
    """Backscatter of each sample moved as a whole; nodata stays."""
    one, bands = (len(s1), 1, 1, 1), (len(s1), s1.shape[1], 1, 1)
    shift = S1_SHIFT * torch.randn(one, device=s1.device)
    shift = shift + S1_BAND_SHIFT * torch.randn(bands, device=s1.device)
    moved = (s1 + shift).round().clamp(S1_NODATA + 1, 32767)
    return torch.where(s1 == S1_NODATA, float(S1_NODATA), moved)
