"""The images of samples: one scene and the mean of its radar passes, or a composite of a period."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Self

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lulcmap.catalog import (
    Datatake,
    Period,
    S1Choice,
    Scene,
    choose_s1,
    own_grid_first,
    rank_s2,
    s1_period,
)
from lulcmap.dataset.sample import Image, Sample, SkippedError
from lulcmap.dataset.source import Archive, Orbit
from lulcmap.errors import NoScenesError, ReadError
from lulcmap.imagery import CompositeRules, Reader, make_composite, mean_backscatter
from lulcmap.sensors import S1_BANDS, S1_NODATA, S2_BANDS, S2_NODATA

_MAX_CLOUD = 95.0
"""Percent of cloud above which a composite leaves a scene out, as of ``lulcmap predict``."""

_ENOUGH = 0.5
"""Share of a tile that a datatake must show to be taken without looking at another of that day."""


@dataclass(frozen=True)
class TileImages:
    """The scene each tile was drawn on, and the mean of the radar passes around that day."""

    archive: Archive
    """Where they come from."""

    s1_days: int = 180
    """Days of Sentinel-1 on either side."""

    def settings(self) -> dict[str, Any]:
        """What decides the images."""
        return {"image": "scene", "s1_days": self.s1_days, **self.archive.source.settings()}

    def of(self, sample: Sample) -> Image:
        """The raw scene of the sample's day, clouds and all, and the mean of all radar passes."""
        day = sample.day
        if day is None:
            raise ValueError(f"{sample.name} has no day")
        reach = timedelta(days=self.s1_days)
        optical, radar = self.archive.find(sample.area(), (day, day), (day - reach, day + reach))
        s2, seen = self._optical(sample, optical, day)
        wanted = self.archive.source.orbit
        if wanted != "any":
            radar = [scene for scene in radar if scene.orbit_state in (wanted, None)]
        s1, used = self._radar(sample, radar)
        return Image(s2, s1, day, tuple(seen), *_radar_facts(used, wanted))

    def _optical(
        self, sample: Sample, scenes: list[Scene], day: date
    ) -> tuple[NDArray[np.uint16], list[str]]:
        """The datatake that shows most of a tile; the first in rank that shows half of it."""
        dates = own_grid_first(rank_s2(scenes, Period(day, day, day.isoformat()))[0], sample.epsg)
        if not dates:
            raise SkippedError(f"no Sentinel-2 scene of {day} was found")
        most, best = 0.0, None
        for group in dates:
            image, seen = raw(self.archive.reader, group, sample.grid)
            share = float((image[0] != S2_NODATA).mean())
            if share > most:
                most, best = share, (image, seen)
            if share >= _ENOUGH:
                break
        if best is None:
            raise SkippedError(f"the Sentinel-2 scenes of {day} have no data there")
        return best

    def _radar(self, sample: Sample, scenes: list[Scene]) -> tuple[NDArray[np.int16], list[Scene]]:
        """The mean of all passes, and the scenes in it."""
        source = self.archive.source
        passes: dict[str, list[Scene]] = {}
        for scene in sorted(scenes, key=lambda one: (one.acquired, one.id)):
            passes.setdefault(scene.datatake, []).append(scene)
        image, used, lost = mean_backscatter(
            self.archive.reader.planes, sample.grid, [tuple(one) for one in passes.values()]
        )
        if len(lost) > source.max_lost * len(S1_BANDS) * len(scenes):
            raise ReadError(f"{len(lost)} radar assets could not be read ({lost[0].reason})")
        if (image == S1_NODATA).all() and not source.keep_without_s1:
            which = "" if source.orbit == "any" else f"{source.orbit} "
            raise SkippedError(
                f"no {which}Sentinel-1 pass within {self.s1_days} days shows any of it"
            )
        gave = set(used)
        return image, [scene for scene in scenes if scene.id in gave]


def raw(
    reader: Reader, group: Sequence[Scene], grid: GeoBox
) -> tuple[NDArray[np.uint16], list[str]]:
    """One datatake as it was seen: no cloud is masked.

    Args:
        reader: of the scenes.
        group: the scenes, in the order in which a pixel looks through them.
        grid: 10 m.

    Returns:
        (9, H, W) DN without offset, >= 1 where there is data, 0 where any band has none; and ids of
        the scenes that gave pixels.

    Raises:
        ReadError: a band could not be read.

    """
    image = np.zeros((len(S2_BANDS), *grid.shape), np.uint16)
    seen = []
    with closing(reader.planes([(scene, band) for scene in group for band in S2_BANDS], grid)) as s:
        for scene in group:
            planes = []
            for _ in S2_BANDS:
                plane = next(s)
                if isinstance(plane, ReadError):
                    raise plane
                planes.append(plane)
            stack = np.stack(planes)
            free = (image[0] == S2_NODATA) & (stack != S2_NODATA).all(axis=0)
            if free.any():
                there = stack[:, free].astype(np.int32) - scene.offset
                image[:, free] = np.maximum(there, 1).astype(np.uint16)
                seen.append(scene.id)
    return image, seen


def _radar_facts(
    scenes: Iterable[Scene], wanted: Orbit
) -> tuple[tuple[str, ...], tuple[str, ...], str | None]:
    """Ids, ISO dates and direction of radar scenes, by time."""
    ordered = sorted(scenes, key=lambda scene: (scene.acquired, scene.id))
    unsaid = None if wanted == "any" else wanted  # as ``choose_s1`` takes it
    states = {scene.orbit_state or unsaid for scene in ordered} - {None}
    return (
        tuple(scene.id for scene in ordered),
        tuple(scene.acquired.date().isoformat() for scene in ordered),
        "both" if len(states) > 1 else next(iter(states), None),
    )


@dataclass
class Composites:
    """The composites of one period, as a map of all samples together would be made from."""

    archive: Archive
    """Where they come from."""

    period: Period
    """That is shown."""

    rules: CompositeRules = field(default_factory=CompositeRules)
    """Of Sentinel-2."""

    _dates: tuple[Datatake, ...] = field(default=(), init=False)
    _s1: S1Choice = field(default=S1Choice((), (), None), init=False)

    def settings(self) -> dict[str, Any]:
        """What decides the images."""
        return {
            "image": "composite",
            "period": [self.period.start.isoformat(), self.period.end.isoformat()],
            "rules": self.rules.to_json(),
            **self.archive.source.settings(),
        }

    def find(self, samples: Sequence[Sample]) -> Self:
        """Look for the scenes of all samples, and rank them once, as for a map.

        Raises:
            NoScenesError: there are none.

        """
        boxes = [part for sample in samples for part in sample.area().geoms]
        parts = shapely.get_parts(shapely.union_all(boxes))
        optical, radar = self.archive.find(
            shapely.MultiPolygon(list(parts)),
            (self.period.start, self.period.end),
            s1_period(self.period),
            max_cloud=_MAX_CLOUD,
        )
        if not optical:
            raise NoScenesError(
                f"No Sentinel-2 scene of the labels was found from {self.period.start} to "
                f"{self.period.end}. Check the labels' place and the period, or try another "
                "--catalog."
            )
        self._dates = rank_s2(optical, self.period)[0]
        orbit = "descending" if self.archive.source.orbit == "any" else self.archive.source.orbit
        self._s1 = choose_s1(radar, self.period, orbit=orbit)
        return self

    def of(self, sample: Sample) -> Image:
        """The composite of a sample."""
        made = make_composite(
            self.archive.reader.planes,
            sample.grid,
            s2_dates=own_grid_first(self._dates, sample.epsg),
            s1_passes=self._s1.passes,
            s1_others=self._s1.others,
            rules=self.rules,
        )
        if len(made.lost) > self.archive.source.max_lost * made.opened:
            raise ReadError(
                f"{len(made.lost)} of {made.opened} assets could not be read "
                f"({made.lost[0].reason})"
            )
        if not made.s2_count.any():
            raise SkippedError("no clear Sentinel-2 observation was found")
        if not made.s1_count.any() and not self.archive.source.keep_without_s1:
            raise SkippedError("no Sentinel-1 pass shows any of it")
        used = set(made.used)
        groups = (*self._s1.passes, *self._s1.others)
        radar = [scene for group in groups for scene in group if scene.id in used]
        ids = {scene.id for scene in radar}
        middle = self.period.start + (self.period.end - self.period.start) / 2
        return Image(
            made.s2,
            made.s1,
            middle,
            tuple(name for name in made.used if name not in ids),
            *_radar_facts(radar, self.archive.source.orbit),
        )
