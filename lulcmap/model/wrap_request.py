"""What a user says of a foreign network."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from lulcmap.legend import LandCover
from lulcmap.model.transform import Layout, Returns


@dataclass(frozen=True, slots=True)
class WrapRequest:
    """What the user says of a network; None or empty where nothing."""

    classes: tuple[LandCover, ...] = ()
    """Classes; one named ``-`` is never mapped."""

    codes: Mapping[str, int] | None = None
    """Position in ``classes`` by code, the number of a channel or an id; None for 0, 1, ..."""

    inputs: tuple[str, ...] = ()
    """Sensors of the network's inputs, in its order, or ``name=s2``."""

    bands: tuple[str, ...] = ()
    """Bands in the network's order."""

    scale: float | None = None
    """Factor of DN."""

    offset: float = 0.0
    """What is added to the scaled DN."""

    reflectance: tuple[float, float] | None = None
    """The network's numbers for reflectance 0 and 1, instead of scale and offset."""

    clip: tuple[float, float] | None = None
    """Smallest and largest number of Sentinel-2, before mean and deviation."""

    s1: Literal["db", "linear"] | None = None
    """Unit of Sentinel-1."""

    s1_clip: tuple[float, float] | None = None
    """Smallest and largest number of Sentinel-1, before mean and deviation."""

    mean: tuple[float, ...] = ()
    """Mean of each band, or of all."""

    std: tuple[float, ...] = ()
    """Standard deviation of each band, or of all."""

    layout: Layout | None = None
    """Order of the axes."""

    missing: Mapping[str, float] | None = None
    """The network's number for a missing pixel, by sensor; the others are required."""

    window: int | None = None
    """Side of a window, pixels."""

    step: int | None = None
    """Distance from one window to the next, pixels."""

    stride: int | None = None
    """Side of a cell of the output, pixels; compared with what is seen."""

    output: str | None = None
    """Output to map from."""

    returns: Returns | None = None
    """What it returns."""

    resolution: float | None = None
    """Pixel size, metres."""

    name: str | None = None
    """Name of the model."""

    license: str = ""
    """Licence of the weights."""

    trained_on: str = ""
    """Data it was trained on: ``simulated``, ``real`` or a description."""

    quality: str = ""
    """Quality by its makers' word, one line."""
