"""Which scenes a map uses: Sentinel-2 ranked by datatake, Sentinel-1 chosen by orbit and date.

Nothing here depends on how an area is cut into blocks, so neither does the map.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta

from lulcmap.catalog.period import Period, s1_period
from lulcmap.catalog.scene import Scene

_UNKNOWN_CLOUD_PERCENT = 50.0
"""Cloud cover of a scene that does not state it, percent."""

_DISTANCE_PENALTY_PERCENT = 20.0
"""Percent of cloud cover added to a datatake at the period's edge, less towards its middle."""

_FOOTPRINT_TOLERANCE_DEGREES = 0.05
"""Degrees by which the footprints of a scene processed twice may differ."""

_PRODUCT = re.compile(
    r"^(?P<datatake>S2[A-Z]_MSIL2A_\d{8}T\d{6})_(?:N\d{4}_)?"
    r"(?P<tile>R\d{3}_T\w{5})_(?P<processed>\d{8}T\d{6})"
)
"""ESA's product names; the Planetary Computer's ids leave out the baseline N...., and Earth Search
has ids of its own."""

Datatake = tuple[Scene, ...]
"""The scenes of one datatake, in the order in which a pixel takes its value from them."""


def _by_datatake(scenes: Iterable[Scene]) -> list[list[Scene]]:
    """Scenes grouped by datatake, sorted by its key and by id."""
    datatakes: dict[str, list[Scene]] = {}
    for scene in sorted(scenes, key=lambda scene: scene.id):
        datatakes.setdefault(scene.datatake, []).append(scene)
    return [datatakes[key] for key in sorted(datatakes)]


def rank_s2(scenes: Iterable[Scene], period: Period) -> tuple[Datatake, ...]:
    """Rank the datatakes of Sentinel-2, the best first.

    The score of a datatake is the mean cloud cover of its scenes in percent, plus up to 20 for its
    distance from the middle of the period; the lowest is first. A scene processed several times
    counts by its newest product. The older ones stand behind, for they may be the other half of the
    tile, and the newest may be broken.

    Args:
        scenes: scenes of Sentinel-2.
        period: period to map.

    """
    half = period.middle - datetime.combine(period.start, time())

    def score(datatake: Sequence[Scene]) -> float:
        newest = [scene for scene in datatake if scene.behind is None]
        clouds = [
            _UNKNOWN_CLOUD_PERCENT if scene.cloud_cover is None else scene.cloud_cover
            for scene in newest
        ]
        distance = abs(min(scene.acquired for scene in newest) - period.middle) / half
        return sum(clouds) / len(clouds) + _DISTANCE_PENALTY_PERCENT * distance

    ranked = sorted(
        _by_datatake(_older_behind(scenes)),
        key=lambda datatake: (score(datatake), datatake[0].datatake),
    )
    return tuple(tuple(sorted(datatake, key=_order_in_datatake)) for datatake in ranked)


def own_grid_first(datatakes: Iterable[Datatake], epsg: int) -> tuple[Datatake, ...]:
    """Datatakes in which the scenes on a zone's own grid come first, the older ones last of all.

    Args:
        datatakes: datatakes, as ranked.
        epsg: EPSG code of the UTM zone to map.

    """
    return tuple(
        tuple(sorted(datatake, key=lambda scene: (scene.behind is not None, scene.epsg != epsg)))
        for datatake in datatakes
    )


def _order_in_datatake(scene: Scene) -> tuple[bool, str, int, str]:
    """Sort key: by tile, the newest product first; those that stand behind last of all."""
    tile, processed = _product(scene)
    return scene.behind is not None, tile or scene.id, -processed, scene.id


def _product(scene: Scene) -> tuple[str | None, int]:
    """Datatake and tile of a scene's product, and when it was processed; None and 0 if unknown."""
    match = _PRODUCT.match(scene.product or scene.id)
    if match is None:
        return None, 0
    return match["datatake"] + match["tile"], int(match["processed"].replace("T", ""))


def _older_behind(scenes: Iterable[Scene]) -> list[Scene]:
    """Scenes, those marked that stand behind a newer product of the same tile and datatake.

    Two products of one tile and datatake may also be its two halves, split between downlinks. If
    the boxes tell them apart, neither stands behind the other.
    """
    marked = []
    newest: dict[str, list[Scene]] = {}
    for scene in sorted(scenes, key=_order_in_datatake):
        tile, _ = _product(scene)
        newer = newest.setdefault(tile, []) if tile else []
        first = next((other for other in newer if _covers(other, scene)), None)
        if first is None:
            newer.append(scene)
            marked.append(scene)
        else:
            marked.append(replace(scene, behind=first.id, datatake=first.datatake))
    return marked


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
    """The datatakes of Sentinel-1 to average."""

    passes: tuple[Datatake, ...]
    """Datatakes of the preferred direction, by time; of the other one if there are none."""

    others: tuple[Datatake, ...]
    """Datatakes of the other direction, for pixels that ``passes`` do not reach."""

    direction: str | None
    """Orbit direction of ``passes``: ``"descending"`` or ``"ascending"``; None without passes."""

    notes: tuple[str, ...] = ()
    """Sentences for the report."""


def choose_s1(
    scenes: Iterable[Scene], period: Period, *, orbit: str = "descending", max_scenes: int = 12
) -> S1Choice:
    """Choose the datatakes of Sentinel-1 to average, evenly spread in each relative orbit.

    A relative orbit sees a place in the same geometry each time, so each place gets up to
    ``max_scenes`` datatakes of every relative orbit that reaches it, whatever the area around it.

    Args:
        scenes: scenes of Sentinel-1, in ``s1_period(period)``.
        period: period to map.
        orbit: preferred direction, ``"descending"`` or ``"ascending"``. A scene that does not state
            its direction counts as of this one.
        max_scenes: most datatakes of one relative orbit.

    """
    preferred: dict[int | None, list[list[Scene]]] = {}
    opposite: dict[int | None, list[list[Scene]]] = {}
    unknown = 0
    for datatake in _by_datatake(scenes):
        state = next((scene.orbit_state for scene in datatake if scene.orbit_state), None)
        unknown += state is None
        orbits = preferred if state in (orbit, None) else opposite
        orbits.setdefault(datatake[0].orbit, []).append(datatake)
    passes = _spread(preferred, period, max_scenes=max_scenes)
    others = _spread(opposite, period, max_scenes=max_scenes)
    notes = []
    if unknown:
        notes.append(
            f"Sentinel-1 passes that do not say their orbit direction ({unknown}) were taken for "
            f"{orbit}."
        )
    if passes or not others:
        return S1Choice(passes, others, orbit if passes else None, tuple(notes))
    direction = "ascending" if orbit == "descending" else "descending"
    notes.append(f"Sentinel-1 has no {orbit} pass; the map uses {direction} ones.")
    return S1Choice(others, (), direction, tuple(notes))


def _spread(
    orbits: Mapping[int | None, list[list[Scene]]], period: Period, *, max_scenes: int
) -> tuple[Datatake, ...]:
    """At most ``max_scenes`` datatakes of each relative orbit, by time."""
    chosen = [
        datatake
        for datatakes in orbits.values()
        for datatake in _evenly(datatakes, period, count=max_scenes)
    ]
    chosen.sort(key=lambda datatake: (datatake[0].acquired, datatake[0].datatake))
    return tuple(tuple(datatake) for datatake in chosen)


def _evenly(datatakes: list[list[Scene]], period: Period, *, count: int) -> list[list[Scene]]:
    """The datatakes nearest to the middles of ``count`` equal parts of Sentinel-1's period.

    The parts divide the calendar, not the datatakes, so that one more datatake in a larger area
    does not move all the others.
    """
    if len(datatakes) <= count:
        return datatakes
    first, last = s1_period(period)
    part = (last + timedelta(days=1) - first) / count
    left = list(datatakes)
    chosen = []
    for index in range(count):
        target = datetime.combine(first, time()) + part * (index + 0.5)
        nearest = min(
            left, key=lambda datatake: (abs(datatake[0].acquired - target), datatake[0].datatake)
        )
        left.remove(nearest)
        chosen.append(nearest)
    return chosen
