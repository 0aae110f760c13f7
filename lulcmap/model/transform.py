"""What is around a foreign network: how pixels become its numbers, and its output logits."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lulcmap.model.contract import ModelInput
from lulcmap.model.foreign import Port

Layout = Literal["nchw", "nhwc"]
"""Order of the axes of an image: bands first or last."""

Returns = Literal["logits", "probabilities", "classes"]
"""What a network returns."""

TYPES: dict[int, type[np.generic]] = {
    **{1: np.float32, 10: np.float16, 11: np.float64},
    **{2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16, 6: np.int32, 7: np.int64},
}
"""Data types of images, by ``onnx.TensorProto.DataType``."""


@dataclass(frozen=True, slots=True)
class Unit:
    """How the pixels of one sensor become the network's numbers, before mean and deviation."""

    scale: float = 1.0
    """Factor of DN (Sentinel-2), or of hundredths of a decibel (Sentinel-1)."""

    offset: float = 0.0
    """What is added then."""

    clip: tuple[float, float] | None = None
    """Smallest and largest number then."""

    linear: bool = False
    """Whether decibels become linear power, of Sentinel-1."""

    fill: float = 0.0
    """The network's number for a missing pixel, after mean and deviation."""


@dataclass(frozen=True, slots=True)
class Channels:
    """What one input of the network takes."""

    port: Port
    """The input."""

    bands: tuple[str, ...]
    """Bands along its channel axis."""

    mean: tuple[float, ...]
    """Mean of each, subtracted."""

    std: tuple[float, ...]
    """Standard deviation of each, to divide by."""

    layout: Layout
    """Order of its axes."""


@dataclass(frozen=True, slots=True)
class Transform:
    """Everything before the network."""

    inputs: Mapping[str, ModelInput]
    """Inputs of the wrapped model."""

    units: Mapping[str, Unit]
    """Units, by input of the wrapped model."""

    channels: tuple[Channels, ...]
    """Channels of the network's inputs."""

    window: int
    """Side of a window, pixels."""

    fixed: bool
    """Whether the network takes no other windows."""

    one: bool
    """Whether the network takes one window at a time."""

    sun: bool = False
    """Whether it takes the sun's zenith."""


@dataclass(frozen=True, slots=True)
class Head:
    """Everything after the network."""

    returns: Returns
    """What the network returns."""

    layout: Layout
    """Order of the output's axes."""

    axes: int
    """Number of the output's axes: 4, or 3 without an axis of channels."""

    codes: tuple[int, ...]
    """Channels of the output, or ids in it, in the order of ``classes``."""

    classes: tuple[int, ...]
    """Position of each code's class in the contract; -1 if it is never mapped."""

    n_classes: int
    """Number of classes in the contract."""

    channels: int
    """Channels of the output; 1 is a network of one class against the rest, or of ids."""


def is_image_type(port: Port) -> bool:
    """Whether a port has numbers that pixels can become."""
    return port.dtype in TYPES


def is_whole_type(port: Port) -> bool:
    """Whether a port has whole numbers."""
    return port.dtype in TYPES and np.issubdtype(TYPES[port.dtype], np.integer)
