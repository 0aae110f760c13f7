"""How a dataset is built: every option and its default."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lulcmap.model import Device

if TYPE_CHECKING:
    from lulcmap.catalog import Period
    from lulcmap.geo import AreaLike

Orbit = Literal["descending", "ascending", "any"]

Scheme = Literal["strict", "simple-majority", "consensus", "majority"]
"""How the votes of several annotators become one label."""


@dataclass(frozen=True, slots=True)
class ImageArchive:
    """Where scenes are searched, and how they are read."""

    catalog: str = "planetary-computer"
    """Catalogue, as in ``find_scenes``."""

    profile: str | None = None
    """Provider whose layout the catalogue has, as in ``find_scenes``."""

    s1_catalog: str | None = None
    """Another catalogue for Sentinel-1, as in ``find_scenes``."""

    orbit: Orbit = "descending"
    """Orbit direction of Sentinel-1."""

    keep_without_s1: bool = False
    """Whether a chip may have no radar."""

    max_lost: float = 0.1
    """Share of a sample's radar assets that may be unreadable."""

    workers: int = 4
    """Reader threads."""

    patience: float = 300.0
    """Seconds to wait for a server that does not answer."""


@dataclass(frozen=True)
class DatasetRequest:
    """Options of a build. The defaults are the command's."""

    labels: Path
    """Folder of Dynamic World's tiles, or a raster or vector file."""

    archive: ImageArchive = field(default_factory=ImageArchive)
    """Where the images come from."""

    classes: Path | None = None
    """CSV file of the legend; None takes Dynamic World's."""

    votes: Scheme = "consensus"
    """Scheme that merges the hold-out's votes into one label."""

    s1_days: int = 180
    """Days of Sentinel-1 before and after a tile's day."""

    period: "Period | None" = None
    """Period of the composites, for a raster or vector file."""

    attribute: str = "code"
    """Attribute of a vector file that holds the code."""

    layer: str | None = None
    """Layer of a vector file that has several."""

    validation: float = 0.1
    """Share of the places for validation, which decides when training stops."""

    test: float = 0.0
    """Share of the places for testing, besides the hold-out."""

    limit: int | None = None
    """Most chips to make."""


@dataclass(frozen=True)
class LabelRequest:
    """Options of labels that a model gives. The defaults are the command's."""

    teacher: str | Path
    """The model: a name from `lulcmap models`, or an ONNX file."""

    period: "Period"
    """Period of the images."""

    area: "AreaLike | None" = None
    """Area whose squares are the places, as in ``load_area``."""

    places: Path | None = None
    """File of points or polygons to centre places on, in place of an area."""

    layer: str | None = None
    """Layer of either file, where it has several."""

    archive: ImageArchive = field(default_factory=lambda: ImageArchive(keep_without_s1=True))
    """Where the images come from."""

    size: int = 448
    """Pixels a side of a chip, even: with its margin, one window of 512."""

    limit: int | None = None
    """Most places, drawn at random; a larger limit adds to those of a smaller one."""

    dates: int = 3
    """Dates of a place, the clearest of as many equal parts of the period."""

    average: bool = True
    """Whether the dates of a place share one label, the mean of theirs."""

    composites: bool = False
    """Whether a composite of the period becomes another chip of each place."""

    max_scenes: int = 12
    """Dates looked at for a place."""

    max_cloud: float = 95.0
    """Percent of cloud cover above which a scene is not looked at."""

    min_clear_share: float = 0.5
    """Share of a place that must be clear on a date."""

    max_sun_zenith: float = 65.0
    """Degrees between sun and zenith above which a date is left out."""

    min_margin: float = 0.0
    """Difference of the two largest probabilities below which a pixel has no label."""

    s1: Literal["off", "optional", "required"] = "optional"
    """Use of Sentinel-1; ``required`` skips places without it."""

    s1_days: int = 30
    """Days of Sentinel-1 before and after a date."""

    s1_dates: int = 4
    """Sentinel-1 dates averaged in a chip, the nearest to its day."""

    device: Device = "auto"
    """Device the model runs on."""

    batch_size: int = 8
    """Windows in one call of the model, on a GPU."""

    validation: float = 0.1
    """Share of the places for validation, which decides when training stops."""

    test: float = 0.0
    """Share of the places for testing."""
