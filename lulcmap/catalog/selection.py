"""What is to be done, decided once a run: the period, the ranked dates, the plan and its hash.

Nothing here depends on how an area is cut into blocks, so the map does not either.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from lulcmap.catalog.period import Period, _middle, s1_period
from lulcmap.catalog.scene import Scene

_UNKNOWN_CLOUD_PERCENT = 50.0
"""Percent; of a scene that does not say."""

_DISTANCE_PENALTY_PERCENT = 20.0
"""Percent of cloud that a date at the period's edge counts more than one in its middle."""

_FOOTPRINT_TOLERANCE_DEGREES = 0.05
"""Degrees by which the footprints of one scene processed twice may differ."""

_PRODUCT = re.compile(
    r"^(?P<seen>S2[A-Z]_MSIL2A_\d{8}T\d{6})_(?:N\d{4}_)?"
    r"(?P<tile>R\d{3}_T\w{5})_(?P<processed>\d{8}T\d{6})"
)
"""ESA's product names; the Planetary Computer's ids leave the baseline N.... out, and Earth Search
has ids of its own."""

Datatake = tuple[Scene, ...]
"""The scenes of one datatake, in the order in which a pixel looks through them."""


def _by_datatake(scenes: Iterable[Scene]) -> list[list[Scene]]:
    passes: dict[str, list[Scene]] = {}
    for scene in sorted(scenes, key=lambda scene: scene.id):
        passes.setdefault(scene.datatake, []).append(scene)
    return [passes[datatake] for datatake in sorted(passes)]


def rank_s2(
    scenes: Iterable[Scene], period: Period
) -> tuple[tuple[Datatake, ...], tuple[tuple[str, str], ...]]:
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
        clouds = [_UNKNOWN_CLOUD_PERCENT if s.cloud_cover is None else s.cloud_cover for s in group]
        distance = abs(min(scene.acquired for scene in group) - middle) / half
        return sum(clouds) / len(clouds) + _DISTANCE_PENALTY_PERCENT * distance

    kept, superseded = _newest(scenes)
    ranked = sorted(_by_datatake(kept), key=lambda group: (score(group), group[0].datatake))
    return tuple(tuple(sorted(group, key=_latest_first)) for group in ranked), tuple(superseded)


def own_grid_first(dates: Iterable[Datatake], epsg: int) -> tuple[Datatake, ...]:
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
        west <= box[0] + _FOOTPRINT_TOLERANCE_DEGREES
        and south <= box[1] + _FOOTPRINT_TOLERANCE_DEGREES
        and east >= box[2] - _FOOTPRINT_TOLERANCE_DEGREES
        and north >= box[3] - _FOOTPRINT_TOLERANCE_DEGREES
    )


@dataclass(frozen=True, slots=True)
class S1Choice:
    """The passes of Sentinel-1 that are averaged."""

    passes: tuple[Datatake, ...]
    """Of the direction wanted (or of the other one where it has none at all), by time."""

    others: tuple[Datatake, ...]
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
    for group in _by_datatake(scenes):
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
) -> tuple[Datatake, ...]:
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
