"""The clearest dates of a place: what each one shows, and why the others are left out."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice, pairwise

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lulcmap.catalog import Datatake, Period, Scene, own_grid_first, rank_s2
from lulcmap.dataset.clearness import clear_by_classes, clear_by_colours
from lulcmap.dataset.images import read_datatake
from lulcmap.dataset.sample import Sample
from lulcmap.dataset.settings import LabelRequest
from lulcmap.errors import ReadError
from lulcmap.imagery import Reader, pixels_of, scene_zenith

MARGIN_PX = 32
"""Pixels around a chip that a teacher sees too; even, as the classification has pixels of 20 m."""

LOST = "lost"
"""Kind of the dates that could not be read."""

_CLEAR_ENOUGH = 0.99
"""Share of clear pixels at which no other date of the same part of the period is looked at."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What one Sentinel-2 date shows of a place."""

    datatake: Datatake
    """Scenes of the date."""

    image: NDArray[np.uint16]
    """(9, H, W) DN without offset, 0 nodata, over the place and ``MARGIN_PX`` around it."""

    ids: tuple[str, ...]
    """Ids of the scenes that pixels come from."""

    clear: NDArray[np.bool_]
    """(H, W) True where the place is seen, without the margin."""

    sun_zenith: float
    """Degrees between sun and zenith, 0 to 90."""

    @property
    def share(self) -> float:
        """Share of the place that is clear, 0 to 1."""
        return float(self.clear.mean())

    @property
    def stamp(self) -> str:
        """Day and minute of the date, UTC."""
        return stamp_of(self.datatake)


@dataclass(slots=True)
class DateChoice:
    """The dates of a place that are labelled, and the others."""

    dates: list[Observation] = field(default_factory=list)
    """Dates to label, by time."""

    left_out: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Kind and reason by date that is left out."""

    tries: int = 0
    """Dates that may still be read."""


def stamp_of(datatake: Datatake) -> str:
    """Day and minute of a datatake, UTC, as in the names of chips."""
    return f"{datatake[0].acquired:%Y%m%dT%H%M}"


def choose_dates(
    reader: Reader, place: Sample, scenes: Sequence[Scene], request: LabelRequest
) -> DateChoice:
    """Choose the dates of a place: the clearest of each of several equal parts of the period.

    Where parts have none, the clearest that are left of the other parts make up for them.

    Args:
        reader: reader of the scenes.
        place: the place.
        scenes: Sentinel-2 scenes of the place in the period.
        request: number of dates, and what they must meet.

    """
    choice = DateChoice(tries=request.max_scenes)
    parts = parts_of(request.period, request.dates)
    tries = -(-request.max_scenes // len(parts))
    looks = [
        _looked_at(reader, place, _ranked(scenes, part, place.epsg), request, choice)
        for part in parts
    ]
    spare: list[Observation] = []
    for look in looks:
        usable = sorted(_until_clear(islice(look, tries)), key=lambda one: -one.share)
        choice.dates += usable[:1]
        spare += usable[1:]
    missing = request.dates - len(choice.dates)
    rest = (seen for look in looks for seen in look if seen is not None)
    spare += islice(rest, max(missing - len(spare), 0))
    spare.sort(key=lambda one: (-one.share, one.stamp))
    choice.dates += spare[:missing]
    for one in spare[missing:]:
        choice.left_out[one.stamp] = "less clear", f"{one.share:.0%} of it is clear, others more"
    choice.dates.sort(key=lambda one: one.stamp)
    return choice


def _until_clear(looks: Iterable[Observation | None]) -> Iterator[Observation]:
    """The usable dates, until one is entirely clear."""
    for seen in looks:
        if seen is not None:
            yield seen
            if seen.share >= _CLEAR_ENOUGH:
                return


def _ranked(scenes: Sequence[Scene], part: Period, epsg: int) -> list[Datatake]:
    """The datatakes of a part of the period, best first, one of each minute, as chips are named."""
    inside = [one for one in scenes if part.start <= one.acquired.date() <= part.end]
    by_minute: dict[str, Datatake] = {}
    for datatake in own_grid_first(rank_s2(inside, part), epsg):
        by_minute.setdefault(stamp_of(datatake), datatake)
    return list(by_minute.values())


def parts_of(period: Period, count: int) -> list[Period]:
    """Equal parts of a period, in whole days; fewer where it is too short."""
    days = (period.end - period.start).days + 1
    count = min(count, days)
    edges = [period.start + timedelta(days=days * i // count) for i in range(count + 1)]
    return [Period(start, end - timedelta(days=1), period.label) for start, end in pairwise(edges)]


def _looked_at(
    reader: Reader,
    place: Sample,
    datatakes: Sequence[Datatake],
    request: LabelRequest,
    choice: DateChoice,
) -> Iterator[Observation | None]:
    """Each date that is read, while tries are left; None and a reason where it is left out."""
    for datatake in datatakes:
        stamp = stamp_of(datatake)
        sun = scene_zenith(datatake[0]) / 100
        if sun > request.max_sun_zenith:
            choice.left_out[stamp] = (
                "low sun",
                f"the sun is {sun:.0f} degrees from the zenith, more than "
                f"{request.max_sun_zenith:g}",
            )
            continue
        if choice.tries == 0:
            return
        choice.tries -= 1
        seen: Observation | tuple[str, str]
        try:
            seen = observe(reader, datatake, place.grid, sun, request.min_clear_share)
        except ReadError as error:
            seen = LOST, str(error)
        if isinstance(seen, Observation):
            yield seen
        else:
            choice.left_out[stamp] = seen
            yield None


def observe(
    reader: Reader, datatake: Datatake, grid: GeoBox, sun_zenith: float, min_clear: float
) -> Observation | tuple[str, str]:
    """Read what a date shows, unless its classification says already that it is too cloudy.

    Args:
        reader: reader of the scenes.
        datatake: scenes of the date.
        grid: grid of the place.
        sun_zenith: degrees between sun and zenith.
        min_clear: share of the place that must be clear.

    Returns:
        The date, or the kind and the reason for which it is left out.

    Raises:
        ReadError: a band or the classification could not be read.

    """
    wide = grid.pad(MARGIN_PX)
    inner = (slice(MARGIN_PX, -MARGIN_PX), slice(MARGIN_PX, -MARGIN_PX))
    codes = _classification(reader, datatake, wide)
    clear = np.ones(wide.shape, bool) if codes is None else clear_by_classes(codes)
    if clear[inner].mean() < min_clear:
        return _too_cloudy(clear[inner].mean())
    image, ids = read_datatake(reader, datatake, wide)
    if not image[0][inner].any():
        return "no data", "it has no data there"
    clear &= clear_by_colours(image, codes)
    if clear[inner].mean() < min_clear:
        return _too_cloudy(clear[inner].mean())
    return Observation(datatake, image, tuple(ids), clear[inner], sun_zenith)


def _too_cloudy(share: float | np.floating) -> tuple[str, str]:
    return "too little clear", f"only {share:.0%} of it is clear"


def _classification(reader: Reader, datatake: Datatake, grid: GeoBox) -> NDArray[np.uint8] | None:
    """(H, W) classification on a grid, 0 where no scene has one; None if none has any."""
    having = [scene for scene in datatake if "SCL" in scene.assets]
    if not having:
        return None
    codes = np.zeros(tuple(size // 2 for size in grid.shape), np.uint8)
    newest = [scene for scene in having if scene.behind is None]
    with closing(reader.planes([(one, "SCL") for one in newest], grid.zoom_out(2))) as stream:
        for plane in stream:
            codes = np.where(codes == 0, pixels_of(plane), codes)
    return codes.repeat(2, axis=0).repeat(2, axis=1)
