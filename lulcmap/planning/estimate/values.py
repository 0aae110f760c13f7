"""What an estimate says: plain values, each with its unit."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class ZoneEstimate:
    """What is done in one UTM zone."""

    epsg: int
    """Of the zone."""

    blocks: int
    """With a pixel of the area."""

    done: int
    """Of them, those that the run folder holds already; their files are counted, not read."""

    windows: int
    """To be classified, in the blocks that are left."""


@dataclass(frozen=True, slots=True)
class MapEstimate:
    """A map's pixels."""

    crs: str
    """``"EPSG:<code>"`` or a PROJ string."""

    height: int
    """Rows."""

    width: int
    """Columns."""

    filled: float
    """Share of the pixels that lie in the area."""

    @property
    def pixels(self) -> int:
        """All of them, filled or not."""
        return self.height * self.width


@dataclass(frozen=True, slots=True)
class S2Month:
    """Sentinel-2 in one month of the period."""

    month: str
    """``"2024-07"``."""

    dates: int
    """Datatakes that see some part of the area."""

    scenes: int
    """Tiles of them."""

    cloud: float | None
    """Mean cloud cover of the scenes, percent; None where none says."""


@dataclass(frozen=True, slots=True)
class S1Orbit:
    """Sentinel-1 on one relative orbit."""

    orbit: int | None
    """Its number, where the items say."""

    direction: str | None
    """``"ascending"`` or ``"descending"``, where the items say."""

    found: int
    """Passes."""

    used: int
    """Passes that are averaged."""

    only_where_lacking: bool
    """Whether they serve only pixels that the preferred direction does not reach."""

    months: Mapping[str, int]
    """From ``"2024-07"`` to passes that are averaged."""


@dataclass(frozen=True, slots=True)
class Gaps:
    """Shares of the area that lack scenes, by the scenes' outlines at a sample of points."""

    points: int
    """In the sample, on a regular grid."""

    wanted: int
    """Dates of Sentinel-2: as many as clear observations are."""

    no_s2: float
    """Without any scene of Sentinel-2."""

    few_s2: float
    """With fewer dates of Sentinel-2 than are wanted; ``no_s2`` is in it."""

    no_s1: float | None
    """Without any scene of Sentinel-1; None where it is not used."""

    months: tuple[str, ...]
    """Of the period, those without any scene of Sentinel-2."""


@dataclass(frozen=True, slots=True)
class Reads:
    """What the blocks that are left read."""

    requests: int
    """Bands of scenes, each once a block."""

    bytes: float
    """Compressed, headers included."""

    samples: float
    """Pixels decoded, on the grid of the composites."""

    warped: float
    """Of them, those that come from another grid and must be resampled."""

    def __add__(self, other: "Reads") -> "Reads":
        """What both read."""
        return Reads(
            self.requests + other.requests,
            self.bytes + other.bytes,
            self.samples + other.samples,
            self.warped + other.warped,
        )


@dataclass(frozen=True, slots=True)
class Seconds:
    """How long it takes, of wall time."""

    read: float
    """Reading and compositing."""

    classify: float
    """The network, at the speed of one window that was run."""

    write: float
    """Joining the blocks, and writing and checking the COG."""

    total: float
    """Together: a block is composited while the one before is classified."""


@dataclass(frozen=True, slots=True)
class Disk:
    """Bytes on disk."""

    run: float
    """Most that the run folder takes."""

    map: float
    """The map, with what is needed to write it."""

    free_for_run: float
    """In the run folder's place."""

    free_for_map: float
    """In the map's; on one disk both share it."""


@dataclass(frozen=True, slots=True)
class Credential:
    """Whether the assets of a sensor can be opened."""

    sensor: str
    """``"s2"`` or ``"s1"``."""

    state: Literal["not needed", "present", "missing"]
    """Present: a signed URL was made."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why ``predict`` would refuse."""

    message: str
    """One line."""

    exit_code: int
    """Of ``predict``."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What making a map will take, known before any pixel is read."""

    area: str
    """Its name."""

    km2: float
    """Of the area on the WGS 84 ellipsoid."""

    period: tuple[str, str]
    """First and last day."""

    model: str
    """Its name."""

    classes: tuple[str, ...]
    """Of the map's legend, in the order of their ids."""

    device: str
    """Where it runs, and in which runtime."""

    catalogs: Mapping[str, str]
    """By sensor, where its scenes come from."""

    zones: tuple[ZoneEstimate, ...]
    """Those that the area is mapped in."""

    maps: tuple[MapEstimate, ...]
    """Their pixels, the largest part of the area first."""

    s2: tuple[S2Month, ...]
    """Every month of the period."""

    s1: tuple[S1Orbit, ...]
    """Every relative orbit found."""

    platforms: Mapping[str, int]
    """Scenes of each satellite."""

    skipped: Mapping[str, int]
    """Reasons, and how many items are skipped for each."""

    gaps: Gaps
    """What the scenes do not reach."""

    reads: Reads
    """What is read."""

    seconds: Seconds
    """How long it takes."""

    memory: float
    """Peak, bytes."""

    disk: Disk
    """What is needed, and what is free."""

    credentials: tuple[Credential, ...]
    """Of each sensor."""

    obstacles: tuple[Obstacle, ...]
    """Why ``predict`` would refuse; none is best."""

    notes: tuple[str, ...]
    """Sentences."""

    assumed: Mapping[str, float]
    """The figures behind the estimate that were not measured here, by name and unit."""

    def to_json(self) -> dict[str, Any]:
        """The estimate as plain JSON values."""
        plain = asdict(self)
        for one, on in zip(plain["maps"], self.maps, strict=True):
            one["pixels"] = on.pixels
        return plain
