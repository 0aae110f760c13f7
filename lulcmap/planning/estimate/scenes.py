"""The scenes found, counted: by month, by orbit, by reason to skip them, and where they lack."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from lulcmap.catalog import Datatake, Period, Scene, SearchResult
from lulcmap.planning.estimate.footprints import Footprints, to_degrees
from lulcmap.planning.estimate.values import Gaps, S1Orbit, S2Month
from lulcmap.planning.job import Job

_SAMPLE = 1000
"""Points in the area."""

_TRIED = 1e6
"""Points of the grid around an area, inside or not; islands fill 0.1 % of it."""

_REASONS = (
    (r"its cloud cover is \S+ %, more than (.*)", r"cloud cover above \1"),
    (r"\S+ % of it is no data", "hardly any data"),
    (r"it was processed again, as .*", "processed again, the newer one is used"),
    (r"its polarizations are (.*), not VV and VH", r"polarizations \1, not VV and VH"),
    (r"its date is .*", "no date"),
    (r"the href of its \w+ (.*)", r"an href \1"),
    (r"it lacks .*", "a band is missing"),
)
"""What reasons to skip an item look like, and how they are counted together."""


def s2_months(job: Job, period: Period) -> tuple[S2Month, ...]:
    """Sentinel-2 in every month of the period."""
    dates: Counter[str] = Counter()
    scenes: defaultdict[str, list[Scene]] = defaultdict(list)
    for date in job.zones[0].s2_dates:
        month = _month(date)
        dates[month] += 1
        scenes[month] += date
    return tuple(
        S2Month(month, dates[month], len(scenes[month]), _mean_cloud(scenes[month]))
        for month in _months(period)
    )


def _months(period: Period) -> Iterator[str]:
    first = period.start.year * 12 + period.start.month - 1
    last = period.end.year * 12 + period.end.month - 1
    for number in range(first, last + 1):
        yield f"{number // 12}-{number % 12 + 1:02d}"


def _month(group: Datatake) -> str:
    return f"{min(scene.acquired for scene in group):%Y-%m}"


def _mean_cloud(scenes: Iterable[Scene]) -> float | None:
    clouds = [scene.cloud_cover for scene in scenes if scene.cloud_cover is not None]
    return sum(clouds) / len(clouds) if clouds else None


def s1_orbits(job: Job, found: SearchResult) -> tuple[S1Orbit, ...]:
    """Sentinel-1 on every relative orbit; those of the direction wanted are first."""
    passes: dict[str, list[Scene]] = {}
    for scene in found.scenes:
        if scene.sensor == "s1":
            passes.setdefault(scene.datatake, []).append(scene)
    seen = Counter(_orbit(group) for group in passes.values())
    used = {datatake: False for group in job.s1.passes for datatake in [group[0].datatake]}
    used |= {group[0].datatake: True for group in job.s1.others}
    months: defaultdict[tuple[int | None, str | None], Counter[str]] = defaultdict(Counter)
    others = set()
    for datatake, is_other in used.items():
        group = passes[datatake]
        months[_orbit(group)][_month(tuple(group))] += 1
        if is_other:
            others.add(_orbit(group))
    orbits = [
        S1Orbit(
            orbit,
            direction,
            n,
            sum(months[orbit, direction].values()),
            (orbit, direction) in others,
            dict(sorted(months[orbit, direction].items())),
        )
        for (orbit, direction), n in seen.items()
    ]
    orbits.sort(key=lambda one: (one.only_where_lacking, one.direction or "", one.orbit or 0))
    return tuple(orbits)


def _orbit(group: Iterable[Scene]) -> tuple[int | None, str | None]:
    scenes = list(group)
    state = next((scene.orbit_state for scene in scenes if scene.orbit_state), None)
    return scenes[0].orbit, state


def skipped(reasons: Iterable[str]) -> dict[str, int]:
    """How many items are skipped for each kind of reason, the most frequent first."""
    return dict(Counter(map(_kind, reasons)).most_common())


def _kind(reason: str) -> str:
    for pattern, kind in _REASONS:
        match = re.fullmatch(pattern, reason)
        if match:
            return match.expand(kind)
    return reason


def gaps(job: Job, found: SearchResult, outlines: Footprints, period: Period, *, s1: bool) -> Gaps:
    """What the scenes do not reach, at points on a regular grid in the area.

    Args:
        job: its dates and passes are what is used.
        found: the scenes.
        outlines: of the scenes.
        period: that is mapped.
        s1: whether Sentinel-1 is used.

    """
    points = sample([(zone.part, zone.epsg) for zone in job.zones])
    date_of = np.full(len(found.scenes), -1)
    for rank, date in enumerate(job.zones[0].s2_dates):
        date_of[[outlines.numbers["s2", scene.id] for scene in date]] = rank
    passes = [scene for group in (*job.s1.passes, *job.s1.others) for scene in group]
    point, scene = outlines.over(points)
    optical = date_of[scene] >= 0
    seen = np.unique(np.column_stack([point[optical], date_of[scene[optical]]]), axis=0)
    dates = np.bincount(seen[:, 0], minlength=len(points))
    radar = np.isin(scene, [outlines.numbers["s1", one.id] for one in passes])
    reached = len(np.unique(point[radar]))
    return Gaps(
        points=len(points),
        wanted=job.rules.slots,
        no_s2=float((dates == 0).mean()),
        few_s2=float((dates < job.rules.slots).mean()),
        no_s1=1 - reached / len(points) if s1 else None,
        months=tuple(one.month for one in s2_months(job, period) if not one.dates),
    )


def sample(parts: Sequence[tuple[shapely.MultiPolygon, int]]) -> NDArray[np.float64]:
    """About a thousand points of an area on a regular grid, (N, 2) degrees; at least one.

    Fewer of an area that is nearly nothing of its bounds, such as a strip along a power line.

    Args:
        parts: of the area, each in metres of a zone, with the zone's EPSG code.

    """
    around = sum(part.envelope.area for part, _ in parts)
    step = math.sqrt(max(sum(part.area for part, _ in parts) / _SAMPLE, around / _TRIED))
    found = []
    for part, zone in parts:
        left, bottom, right, top = part.bounds
        xs, ys = np.meshgrid(
            np.arange(left + step / 2, right, step), np.arange(bottom + step / 2, top, step)
        )
        shapely.prepare(part)
        inside = shapely.contains_xy(part, xs, ys)
        found.append(to_degrees(xs[inside], ys[inside], zone))
    points = np.concatenate(found)
    if len(points):
        return points
    part, zone = parts[0]
    middle = part.representative_point()
    return to_degrees(np.array([middle.x]), np.array([middle.y]), zone)
