"""How a dataset is built: every option and its default."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from lulcmap.catalog import Period

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
