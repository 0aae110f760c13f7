"""What is to be done, decided once a run: the period, the ranked dates, the plan and its hash.

Nothing here depends on how an area is cut into blocks, so the map does not either.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from lulcmap.catalog.scene import Scene
from lulcmap.errors import UsageError

FIRST_YEAR = 2015
"""Sentinel-2A was launched on 23 June 2015."""

_S1_REACH = timedelta(days=180)
"""Sentinel-1 is averaged this far on either side of the period's middle."""

_UNKNOWN_CLOUD = 50.0
"""Percent; of a scene that does not say."""

_NEARNESS = 20.0
"""Percent of cloud that a date at the period's edge counts more than one in its middle."""

_SAME_PLACE = 0.05
"""Degrees by which the footprints of one scene processed twice may differ."""

_PRODUCT = re.compile(
    r"^(?P<seen>S2[A-Z]_MSIL2A_\d{8}T\d{6})_(?:N\d{4}_)?"
    r"(?P<tile>R\d{3}_T\w{5})_(?P<processed>\d{8}T\d{6})"
)
"""ESA's product names; the Planetary Computer's ids leave the baseline N.... out, and Earth Search
has ids of its own."""

Pass = tuple[Scene, ...]
"""The scenes of one datatake, in the order in which a pixel looks through them."""


@dataclass(frozen=True, slots=True)
class Period:
    """The time that is mapped."""

    start: date
    """First day."""

    end: date
    """Last day, included."""

    label: str
    """For file names: ``"2024"`` or ``"2024-05-01_2024-08-31"``."""

    finished: bool = True
    """False where the last day is not over, and more scenes will come."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the report."""
        if self.finished:
            return ()
        return (f"The period ends on {self.end} and is not over; later scenes will be missing.",)


def make_period(
    *, year: int | None = None, start: date | None = None, end: date | None = None, today: date
) -> Period:
    """The period a user asks for: a year, or from a day to a day.

    Args:
        year: of the calendar.
        start: first day.
        end: last day, included.
        today: what day it is.

    Raises:
        UsageError: neither or both are given, the start is after the end, or no scene can be of
            that time.

    """
    if year is None and start is None and end is None:
        raise UsageError("No period was given. Give --year, or --start and --end.")
    if year is not None and (start or end):
        raise UsageError("Both --year and --start or --end were given. Give one of the two.")
    if year is not None:
        if not FIRST_YEAR <= year <= today.year:
            raise UsageError(
                f"The year is {year}; it can be {FIRST_YEAR}, when Sentinel-2 began, to "
                f"{today.year}, the current year."
            )
        end = date(year, 12, 31)
        return Period(date(year, 1, 1), end, str(year), finished=end < today)
    if start is None or end is None:
        raise UsageError("Of --start and --end only one was given. Give both, or --year.")
    if start > end:
        raise UsageError(f"The start, {start}, is after the end, {end}. Swap --start and --end.")
    if start.year < FIRST_YEAR or start > today:
        raise UsageError(
            f"The period starts on {start}; it can start in {FIRST_YEAR}, when Sentinel-2 began, "
            f"to today, {today}."
        )
    return Period(start, end, f"{start}_{end}", finished=end < today)


def _middle(start: date, end: date) -> datetime:
    """The moment halfway between the start of one day and the end of another."""
    first = datetime.combine(start, time())
    return first + (datetime.combine(end, time()) + timedelta(days=1) - first) / 2


def s1_period(period: Period) -> tuple[date, date]:
    """First and last day of Sentinel-1: 180 days on either side of the period's middle."""
    middle = _middle(period.start, period.end).date()
    return middle - _S1_REACH, middle + _S1_REACH


def _by_pass(scenes: Iterable[Scene]) -> list[list[Scene]]:
    passes: dict[str, list[Scene]] = {}
    for scene in sorted(scenes, key=lambda scene: scene.id):
        passes.setdefault(scene.datatake, []).append(scene)
    return [passes[datatake] for datatake in sorted(passes)]


def rank_s2(
    scenes: Iterable[Scene], period: Period
) -> tuple[tuple[Pass, ...], tuple[tuple[str, str], ...]]:
    """Sentinel-2's dates, the best first.

    A date's score is the mean cloud cover of its scenes in percent, plus up to 20 for its distance
    from the middle of the period; the lowest is first. A scene processed twice counts once, the
    newest processing.

    Args:
        scenes: of Sentinel-2.
        period: that is mapped.

    Returns:
        The dates; and pairs of id and reason for each scene that was put aside.

    """
    middle = _middle(period.start, period.end)
    half = middle - datetime.combine(period.start, time())

    def score(group: Sequence[Scene]) -> float:
        clouds = [_UNKNOWN_CLOUD if s.cloud_cover is None else s.cloud_cover for s in group]
        distance = abs(min(scene.acquired for scene in group) - middle) / half
        return sum(clouds) / len(clouds) + _NEARNESS * distance

    kept, superseded = _newest(scenes)
    ranked = sorted(_by_pass(kept), key=lambda group: (score(group), group[0].datatake))
    return tuple(tuple(sorted(group, key=_latest_first)) for group in ranked), tuple(superseded)


def own_grid_first(dates: Iterable[Pass], epsg: int) -> tuple[Pass, ...]:
    """Dates in which the scenes on a zone's own grid are looked through first.

    Args:
        dates: as they are ranked.
        epsg: of the UTM zone that is mapped.

    """
    return tuple(tuple(sorted(group, key=lambda scene: scene.epsg != epsg)) for group in dates)


def _latest_first(scene: Scene) -> tuple[str, int, str]:
    """A key by tile and, where a tile was delivered in several products, the newest first."""
    match = _PRODUCT.match(scene.product or scene.id)
    if match is None:
        return scene.id, 0, scene.id
    return match["seen"] + match["tile"], -int(match["processed"].replace("T", "")), scene.id


def _newest(scenes: Iterable[Scene]) -> tuple[list[Scene], list[tuple[str, str]]]:
    """Scenes without those of which a newer processing is there, and those.

    Two products of one tile and pass may also be its two halves, where a downlink was cut: the
    older one is left out only if the newer one covers its footprint.
    """
    kept: list[Scene] = []
    superseded = []
    newest: dict[str, list[Scene]] = {}
    for scene in sorted(scenes, key=_latest_first):
        match = _PRODUCT.match(scene.product or scene.id)
        newer = newest.setdefault(match["seen"] + match["tile"], []) if match else []
        by = next((other for other in newer if _covers(other, scene)), None)
        if by is None:
            kept.append(scene)
            newer.append(scene)
        else:
            superseded.append((scene.id, f"it was processed again, as {by.id}"))
    return kept, superseded


def _covers(one: Scene, other: Scene) -> bool:
    (west, south, east, north), box = one.bbox, other.bbox
    return (
        west <= box[0] + _SAME_PLACE
        and south <= box[1] + _SAME_PLACE
        and east >= box[2] - _SAME_PLACE
        and north >= box[3] - _SAME_PLACE
    )


@dataclass(frozen=True, slots=True)
class S1Choice:
    """The passes of Sentinel-1 that are averaged."""

    passes: tuple[Pass, ...]
    """Of the direction wanted (or of the other one where it has none at all), by time."""

    others: tuple[Pass, ...]
    """Of the other direction, for pixels that ``passes`` do not reach."""

    direction: str | None
    """Of ``passes``: ``"descending"`` or ``"ascending"``; None without passes."""

    notes: tuple[str, ...] = ()
    """Sentences for the report."""


def choose_s1(
    scenes: Iterable[Scene], period: Period, *, orbit: str = "descending", max_scenes: int = 12
) -> S1Choice:
    """The passes of Sentinel-1 to average: of each relative orbit, dates evenly spread.

    A relative orbit sees a place in the same geometry each time, so each place gets up to
    ``max_scenes`` of every relative orbit that reaches it, whatever the area around it is.

    Args:
        scenes: of Sentinel-1, in ``s1_period(period)``.
        period: that is mapped.
        orbit: the direction wanted, ``"descending"`` or ``"ascending"``. A scene that does not say
            its direction counts as of this one.
        max_scenes: most dates of one relative orbit.

    """
    wanted: dict[int | None, list[list[Scene]]] = {}
    other: dict[int | None, list[list[Scene]]] = {}
    unknown = 0
    for group in _by_pass(scenes):
        state = next((scene.orbit_state for scene in group if scene.orbit_state), None)
        unknown += state is None
        side = wanted if state in (orbit, None) else other
        side.setdefault(group[0].orbit, []).append(group)
    passes, others = (_spread(side, period, max_scenes=max_scenes) for side in (wanted, other))
    notes = []
    if unknown:
        notes.append(
            f"Sentinel-1 passes that do not say their orbit direction ({unknown}) were taken for "
            f"{orbit}."
        )
    if passes or not others:
        return S1Choice(passes, others, orbit if passes else None, tuple(notes))
    opposite = "ascending" if orbit == "descending" else "descending"
    notes.append(f"There is no {orbit} pass of Sentinel-1; the map uses {opposite} ones.")
    return S1Choice(others, (), opposite, tuple(notes))


def _spread(
    orbits: Mapping[int | None, list[list[Scene]]], period: Period, *, max_scenes: int
) -> tuple[Pass, ...]:
    """At most ``max_scenes`` passes of each relative orbit, by time."""
    chosen = [
        group for groups in orbits.values() for group in _evenly(groups, period, count=max_scenes)
    ]
    chosen.sort(key=lambda group: (group[0].acquired, group[0].datatake))
    return tuple(tuple(group) for group in chosen)


def _evenly(groups: list[list[Scene]], period: Period, *, count: int) -> list[list[Scene]]:
    """The passes nearest to the middles of ``count`` equal parts of Sentinel-1's period.

    The parts are of the calendar, not of the dates found, so that one more date in a larger area
    does not move all the others.
    """
    if len(groups) <= count:
        return groups
    first, last = s1_period(period)
    part = (last + timedelta(days=1) - first) / count
    left = list(groups)
    chosen = []
    for index in range(count):
        target = datetime.combine(first, time()) + part * (index + 0.5)
        nearest = min(left, key=lambda group: (abs(group[0].acquired - target), group[0].datatake))
        left.remove(nearest)
        chosen.append(nearest)
    return chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that decides a map's pixels, and nothing else: no time, host, path or worker."""

    version: str
    """Of lulcmap."""

    period: tuple[str, str]
    """First and last day, ISO 8601."""

    area: str
    """SHA-256 of the polygon's WKB."""

    crs: tuple[str, ...]
    """Of each map: ``"EPSG:<code>"`` or a PROJ string."""

    lattice: tuple[int, int]
    """Size and step of the windows, pixels."""

    block_size: int
    """Pixels a side of a block."""

    blocks: tuple[tuple[int, int, int], ...]
    """Numbers of the blocks: UTM zone (EPSG code), row and column there."""

    boxes: tuple[tuple[int, int, int, int], ...]
    """Of each block, its first row and column in the zone's pixels, its height and width."""

    s2_dates: tuple[tuple[str, ...], ...]
    """Ids of Sentinel-2's scenes, the best date first; within a date each zone begins with those on
    its own grid."""

    s1_passes: tuple[tuple[str, ...], ...]
    """Ids of Sentinel-1's scenes, pass by pass."""

    s1_others: tuple[tuple[str, ...], ...]
    """The same of the other orbit direction."""

    rules: Mapping[str, Any]
    """Of the composite, plain JSON."""

    s1: str
    """``"off"``, ``"optional"`` or ``"required"``."""

    blend: str
    """How windows are joined."""

    prior: str
    """How common classes are taken to be."""

    model: str
    """Name of the model."""

    model_sha256: str
    """Of the model's file."""

    items: str
    """SHA-256 of the frozen items."""

    sources: Mapping[str, Sequence[str]]
    """By sensor, the provider's name or the API's URL, and its profile."""

    max_cloud: float
    """Percent of cloud cover above which scenes of Sentinel-2 were skipped."""

    def to_json(self) -> dict[str, Any]:
        """The plan as plain JSON values: what comes back when it is written and read."""
        return json.loads(json.dumps(asdict(self)))

    @property
    def digest(self) -> str:
        """SHA-256 of the plan, hexadecimal: equal where the map is."""
        return _digest(self.to_json())

    @property
    def request(self) -> str:
        """SHA-256 of what was asked for: the plan without the scenes that were found."""
        found = {"items", "s2_dates", "s1_passes", "s1_others"}
        return _digest({key: value for key, value in self.to_json().items() if key not in found})


def _digest(value: Mapping[str, Any]) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
