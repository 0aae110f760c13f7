"""Counts of the scenes by month, by orbit and by reason to skip them, and where scenes lack."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from lulcmap.catalog import Datatake, Period, Scene, SearchResult
from lulcmap.geo import ZonePart
from lulcmap.planning.estimate.footprints import Footprints, to_degrees
from lulcmap.planning.estimate.values import Gaps, S1Orbit, S2Month
from lulcmap.planning.job import Job

_SAMPLE_POINTS = 1000
"""Points sampled in an area."""

_MAX_GRID_POINTS = 1e6
"""Most points of the grid around an area, inside or outside; islands fill 0.1 % of it."""


def s2_months(job: Job, period: Period) -> tuple[S2Month, ...]:
    """Datatakes, scenes and cloud cover of Sentinel-2 in every month of the period."""
    dates: Counter[str] = Counter()
    scenes: defaultdict[str, list[Scene]] = defaultdict(list)
    for datatake in job.zones[0].s2_dates:
        month = _month(datatake)
        dates[month] += 1
        scenes[month] += [scene for scene in datatake if scene.behind is None]
    return tuple(
        S2Month(month, dates[month], len(scenes[month]), _mean_cloud(scenes[month]))
        for month in _months(period)
    )


def _months(period: Period) -> Iterator[str]:
    first = period.start.year * 12 + period.start.month - 1
    last = period.end.year * 12 + period.end.month - 1
    for number in range(first, last + 1):
        yield f"{number // 12}-{number % 12 + 1:02d}"


def _month(datatake: Datatake) -> str:
    return f"{min(scene.acquired for scene in datatake):%Y-%m}"


def _mean_cloud(scenes: Iterable[Scene]) -> float | None:
    clouds = [scene.cloud_cover for scene in scenes if scene.cloud_cover is not None]
    return sum(clouds) / len(clouds) if clouds else None


def s1_orbits(job: Job, scenes: SearchResult) -> tuple[S1Orbit, ...]:
    """Datatakes of Sentinel-1 on every relative orbit; the preferred direction comes first."""
    datatakes: dict[str, list[Scene]] = {}
    for scene in scenes.of("s1"):
        datatakes.setdefault(scene.datatake, []).append(scene)
    counts = Counter(_orbit(datatake) for datatake in datatakes.values())
    used = {datatake[0].datatake: False for datatake in job.s1.passes}
    used |= {datatake[0].datatake: True for datatake in job.s1.others}
    months: defaultdict[tuple[int | None, str | None], Counter[str]] = defaultdict(Counter)
    others = set()
    for key, is_other in used.items():
        datatake = datatakes[key]
        months[_orbit(datatake)][_month(tuple(datatake))] += 1
        if is_other:
            others.add(_orbit(datatake))
    orbits = [
        S1Orbit(
            orbit,
            direction,
            n,
            sum(months[orbit, direction].values()),
            (orbit, direction) in others,
            dict(sorted(months[orbit, direction].items())),
        )
        for (orbit, direction), n in counts.items()
    ]
    orbits.sort(key=lambda each: (each.only_where_lacking, each.direction or "", each.orbit or 0))
    return tuple(orbits)


def _orbit(datatake: Sequence[Scene]) -> tuple[int | None, str | None]:
    """Relative orbit and direction, where the items state them."""
    state = next((scene.orbit_state for scene in datatake if scene.orbit_state), None)
    return datatake[0].orbit, state


def find_gaps(
    job: Job, scenes: SearchResult, footprints: Footprints, period: Period, *, s1: bool
) -> Gaps:
    """Shares of the area that lack scenes, at points on a regular grid.

    Args:
        job: job with the datatakes used.
        scenes: scenes of the map.
        footprints: footprints of the scenes.
        period: period to map.
        s1: whether Sentinel-1 is used.

    """
    points = sample_points([ZonePart(zone.epsg, zone.part) for zone in job.zones])
    rank_of = np.full(len(scenes.scenes), -1)
    for rank, datatake in enumerate(job.zones[0].s2_dates):
        rank_of[[footprints.numbers["s2", scene.id] for scene in datatake]] = rank
    radar = [scene for datatake in (*job.s1.passes, *job.s1.others) for scene in datatake]
    point, scene = footprints.over(points)
    is_optical = rank_of[scene] >= 0
    pairs = np.unique(np.column_stack([point[is_optical], rank_of[scene[is_optical]]]), axis=0)
    dates = np.bincount(pairs[:, 0], minlength=len(points))
    is_radar = np.isin(scene, [footprints.numbers["s1", each.id] for each in radar])
    reached = len(np.unique(point[is_radar]))
    return Gaps(
        points=len(points),
        wanted=job.rules.slots,
        no_s2=float((dates == 0).mean()),
        few_s2=float((dates < job.rules.slots).mean()),
        no_s1=1 - reached / len(points) if s1 else None,
        months=tuple(each.month for each in s2_months(job, period) if not each.dates),
    )


def sample_points(parts: Sequence[ZonePart]) -> NDArray[np.float64]:
    """About 1000 points on a regular grid in an area, (N, 2) longitude, latitude; at least one.

    An area that fills nearly nothing of its bounds, such as a strip along a power line, gets fewer.

    Args:
        parts: parts of the area, each in metres of its zone.

    """
    bounds_area = sum(part.polygon.envelope.area for part in parts)
    part_area = sum(part.polygon.area for part in parts)
    step = math.sqrt(max(part_area / _SAMPLE_POINTS, bounds_area / _MAX_GRID_POINTS))
    samples = []
    for part in parts:
        left, bottom, right, top = part.polygon.bounds
        xs, ys = np.meshgrid(
            np.arange(left + step / 2, right, step), np.arange(bottom + step / 2, top, step)
        )
        shapely.prepare(part.polygon)
        inside = shapely.contains_xy(part.polygon, xs, ys)
        samples.append(to_degrees(xs[inside], ys[inside], part.epsg))
    points = np.concatenate(samples)
    if len(points):
        return points
    middle = parts[0].polygon.representative_point()
    return to_degrees(np.array([middle.x]), np.array([middle.y]), parts[0].epsg)
