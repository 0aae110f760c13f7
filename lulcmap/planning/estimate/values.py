"""The values of an estimate, each with its unit."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class ZoneEstimate:
    """Work in one UTM zone."""

    epsg: int
    """EPSG code of the zone."""

    blocks: int
    """Blocks with a pixel of the area."""

    done: int
    """Blocks that the run folder already holds; their files are counted, not read."""

    windows: int
    """Windows to classify in the blocks that remain."""


@dataclass(frozen=True, slots=True)
class MapEstimate:
    """Grid of a map."""

    crs: str
    """CRS of the map, ``"EPSG:<code>"`` or a PROJ string."""

    height: int
    """Rows of the map."""

    width: int
    """Columns of the map."""

    filled: float
    """Share of the pixels that lie in the area."""

    @property
    def pixels(self) -> int:
        """Number of pixels, filled or not."""
        return self.height * self.width


@dataclass(frozen=True, slots=True)
class S2Month:
    """Sentinel-2 in one month of the period."""

    month: str
    """Month, ``"2024-07"``."""

    dates: int
    """Datatakes that show part of the area."""

    scenes: int
    """Scenes of these datatakes."""

    cloud: float | None
    """Mean cloud cover of the scenes, percent; None if none states it."""


@dataclass(frozen=True, slots=True)
class S1Orbit:
    """Sentinel-1 on one relative orbit."""

    orbit: int | None
    """Relative orbit number, if the items state it."""

    direction: str | None
    """Orbit direction, ``"ascending"`` or ``"descending"``, if the items state it."""

    found: int
    """Datatakes found."""

    used: int
    """Datatakes that are averaged."""

    only_where_lacking: bool
    """Whether they serve only pixels that the preferred direction does not reach."""

    months: Mapping[str, int]
    """From month, ``"2024-07"``, to the number of datatakes averaged."""


@dataclass(frozen=True, slots=True)
class Gaps:
    """Shares of the area that lack scenes, by the scenes' footprints at a sample of points."""

    points: int
    """Points in the sample, on a regular grid."""

    wanted: int
    """Datatakes of Sentinel-2 wanted: as many as clear observations."""

    no_s2: float
    """Share without any scene of Sentinel-2."""

    few_s2: float
    """Share with fewer datatakes of Sentinel-2 than wanted; includes ``no_s2``."""

    no_s1: float | None
    """Share without any scene of Sentinel-1; None if it is not used."""

    months: tuple[str, ...]
    """Months of the period without any scene of Sentinel-2."""


@dataclass(frozen=True, slots=True)
class Reads:
    """What the remaining blocks read."""

    requests: int
    """Bands of scenes, each counted once per block."""

    bytes: float
    """Compressed bytes, headers included."""

    samples: float
    """Pixels decoded, on the grid of the composites."""

    warped: float
    """Samples that come from another grid and must be resampled."""

    pixels: float
    """Pixels of the composites, those of windows around a block included."""

    s1_bytes: float
    """Compressed bytes of these that are Sentinel-1's."""

    def __add__(self, other: "Reads") -> "Reads":
        """Sum of both."""
        return Reads(
            self.requests + other.requests,
            self.bytes + other.bytes,
            self.samples + other.samples,
            self.warped + other.warped,
            self.pixels + other.pixels,
            self.s1_bytes + other.s1_bytes,
        )


@dataclass(frozen=True, slots=True)
class Seconds:
    """Wall time, seconds."""

    read: float
    """Time to read and composite."""

    classify: float
    """Time to run the model, from the measured time of one window."""

    write: float
    """Time to join the blocks, and to write and check the COG."""

    total: float
    """Time of all steps; a block is composited while the previous one is classified."""


@dataclass(frozen=True, slots=True)
class Egress:
    """What leaves a source of scenes for a run, and what that costs."""

    source: str
    """Name of the provider, the URL of a STAC API, or ``"file"``."""

    bytes: float
    """Compressed bytes read from it."""

    dollars: float | None
    """What it charges, US dollars; None where that is not known."""

    terms: str
    """On which terms."""

    reference: str | None
    """Where these are said, and when that was read."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What a run takes of a machine, and of a purse."""

    cpu: Mapping[str, float]
    """CPU-seconds, by what they are for."""

    gpu: float | None
    """Seconds of the GPU; None where the model runs on the CPU."""

    egress: tuple[Egress, ...]
    """What each source of scenes sends."""

    work: Mapping[str, Mapping[str, float]]
    """What ``cpu`` was computed from: amounts by stage and by the name of their rate."""

    @property
    def cpu_total(self) -> float:
        """CPU-seconds in all."""
        return sum(self.cpu.values())


@dataclass(frozen=True, slots=True)
class Disk:
    """Disk space, bytes."""

    run: float
    """Most that the run folder takes."""

    map: float
    """Size of the map, with what is needed to write it."""

    free_for_run: float
    """Free space on the run folder's disk."""

    free_for_map: float
    """Free space on the map's disk; the same space if both are on one disk."""


@dataclass(frozen=True, slots=True)
class Credential:
    """Whether the assets of a sensor can be opened."""

    sensor: str
    """Sensor, ``"s2"`` or ``"s1"``."""

    state: Literal["not needed", "present", "missing"]
    """State of the credential; present if a URL could be signed."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A reason why ``predict`` would refuse."""

    message: str
    """Error message, one line."""

    exit_code: int
    """Exit code of ``predict``."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What making a map will take, known before any pixel is read."""

    area: str
    """Name of the area."""

    km2: float
    """Size of the area on the WGS 84 ellipsoid, km2."""

    period: tuple[str, str]
    """First and last day, ISO 8601."""

    model: str
    """Name of the model."""

    classes: tuple[str, ...]
    """Classes of the map's legend, in the order of their ids."""

    device: str
    """Device and runtime of the model."""

    catalogs: Mapping[str, str]
    """From sensor to the catalogue of its scenes."""

    zones: tuple[ZoneEstimate, ...]
    """UTM zones in which the area is mapped."""

    maps: tuple[MapEstimate, ...]
    """Grids of the maps, the largest part of the area first."""

    s2: tuple[S2Month, ...]
    """Sentinel-2 in every month of the period."""

    s1: tuple[S1Orbit, ...]
    """Sentinel-1 on every relative orbit found."""

    platforms: Mapping[str, int]
    """From satellite to its number of scenes."""

    skipped: Mapping[str, int]
    """From kind of reason to the number of items skipped for it."""

    gaps: Gaps
    """Shares of the area that lack scenes."""

    reads: Reads
    """What the blocks read."""

    seconds: Seconds
    """Wall time."""

    costs: Costs
    """CPU and GPU time, and what providers charge."""

    memory: float
    """Peak memory, bytes; 0 if no block fits."""

    disk: Disk
    """Disk space needed and free."""

    credentials: tuple[Credential, ...]
    """Credential of each sensor."""

    obstacles: tuple[Obstacle, ...]
    """Reasons why ``predict`` would refuse; empty if it would not."""

    notes: tuple[str, ...]
    """Sentences for the user."""

    assumed: Mapping[str, float]
    """Figures behind the estimate that were not measured here, by name with unit."""

    def to_json(self) -> dict[str, Any]:
        """The estimate as plain JSON values."""
        plain = asdict(self)
        for values, grid in zip(plain["maps"], self.maps, strict=True):
            values["pixels"] = grid.pixels
        plain["costs"]["cpu_total"] = self.costs.cpu_total
        return plain
