"""The images of samples: one scene and the mean of its radar datatakes, or a period's composite."""

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
from lulcmap.dataset.settings import Orbit
from lulcmap.dataset.source import OpenArchive, archive_settings
from lulcmap.errors import NoScenesError, ReadError
from lulcmap.imagery import (
    CompositeRules,
    LostAsset,
    Plane,
    Reader,
    make_composite,
    mean_backscatter,
    pixels_of,
)
from lulcmap.sensors import S1_BANDS, S2_BANDS, S2_NODATA

_MAX_CLOUD_PERCENT = 95.0
"""Percent of cloud above which a composite skips a scene, as in ``lulcmap predict``."""

_MIN_SHARE = 0.5
"""Share of a tile that a datatake must show to be taken without reading another of that day."""


@dataclass(frozen=True)
class SceneImages:
    """The scene that each tile was drawn on, and the mean of the radar datatakes around its day."""

    archive: OpenArchive
    """Archive that the scenes come from."""

    s1_days: int = 180
    """Days of Sentinel-1 before and after a tile's day."""

    def settings(self) -> dict[str, Any]:
        """Settings that decide the images, plain JSON."""
        return {"image": "scene", "s1_days": self.s1_days, **archive_settings(self.archive.options)}

    def read(self, sample: Sample) -> Image:
        """Read the raw scene of the sample's day, clouds and all, and the mean of all datatakes."""
        day = sample.day
        if day is None:
            raise ValueError(f"{sample.name} has no day")
        reach = timedelta(days=self.s1_days)
        s2_scenes, s1_scenes = self.archive.find(
            sample.area(), (day, day), (day - reach, day + reach)
        )
        s2, s2_ids = self._read_s2(sample, s2_scenes, day)
        options = self.archive.options
        s1, used, _ = read_s1(self.archive, sample.grid, of_orbit(s1_scenes, options.orbit))
        if not used and not options.keep_without_s1:
            orbit = "" if options.orbit == "any" else f"{options.orbit} "
            raise SkippedError(
                f"no {orbit}Sentinel-1 scene within {self.s1_days} days shows any of it"
            )
        return Image(s2, s1, day, tuple(s2_ids), *s1_summary(used, options.orbit))

    def _read_s2(
        self, sample: Sample, scenes: list[Scene], day: date
    ) -> tuple[NDArray[np.uint16], list[str]]:
        """The datatake that shows most of a tile; the first in rank that shows half of it."""
        ranked = rank_s2(scenes, Period(day, day, day.isoformat()))
        datatakes = own_grid_first(ranked, sample.epsg)
        if not datatakes:
            raise SkippedError(f"no Sentinel-2 scene of {day} was found")
        best_share, best = 0.0, None
        for datatake in datatakes:
            image, ids = read_datatake(self.archive.reader, datatake, sample.grid)
            share = float((image[0] != S2_NODATA).mean())
            if share > best_share:
                best_share, best = share, (image, ids)
            if share >= _MIN_SHARE:
                break
        if best is None:
            raise SkippedError(f"the Sentinel-2 scenes of {day} have no data there")
        return best


def read_s1(
    archive: OpenArchive, grid: GeoBox, scenes: Sequence[Scene]
) -> tuple[NDArray[np.int16], list[Scene], tuple[LostAsset, ...]]:
    """Read the mean of all datatakes of radar scenes.

    Args:
        archive: archive of the scenes.
        grid: grid of 10 m.
        scenes: the scenes.

    Returns:
        (2, H, W) hundredths of a decibel, -32768 nodata; the scenes in it; assets that could not be
        read.

    Raises:
        ReadError: too many assets could not be read.

    """
    datatakes: dict[str, list[Scene]] = {}
    for scene in sorted(scenes, key=lambda one: (one.acquired, one.id)):
        datatakes.setdefault(scene.datatake, []).append(scene)
    image, used, lost = mean_backscatter(
        archive.reader.planes, grid, [tuple(one) for one in datatakes.values()]
    )
    if len(lost) > archive.options.max_lost * len(S1_BANDS) * len(scenes):
        raise ReadError(f"{len(lost)} radar assets could not be read ({lost[0].reason})")
    ids = set(used)
    return image, [scene for scene in scenes if scene.id in ids], lost


def of_orbit(scenes: Sequence[Scene], orbit: Orbit) -> list[Scene]:
    """The radar scenes of an orbit direction, and those that do not state theirs."""
    return [scene for scene in scenes if orbit == "any" or scene.orbit_state in (orbit, None)]


def read_datatake(
    reader: Reader, datatake: Datatake, grid: GeoBox
) -> tuple[NDArray[np.uint16], list[str]]:
    """Read one Sentinel-2 datatake as it was taken: clouds are not masked.

    Args:
        reader: reader of the scenes.
        datatake: scenes, in the order in which a pixel looks through them.
        grid: grid of 10 m.

    Returns:
        (9, H, W) DN without offset, >= 1 where there is data, 0 where any band has none; and ids of
        the scenes that pixels come from.

    Raises:
        ReadError: a band could not be read.

    """
    image = np.zeros((len(S2_BANDS), *grid.shape), np.uint16)
    ids: list[str] = []
    lost: dict[str, ReadError] = {}
    newest = [scene for scene in datatake if scene.behind is None]
    with closing(reader.planes([(s, band) for s in newest for band in S2_BANDS], grid)) as stream:
        for scene in newest:
            _fill(image, scene, [next(stream) for _ in S2_BANDS], ids, lost)
    for scene in datatake:
        if scene.behind is not None and (image[0] == S2_NODATA).any():
            with closing(reader.planes([(scene, band) for band in S2_BANDS], grid)) as stream:
                if _fill(image, scene, list(stream), ids, lost):
                    lost.pop(scene.behind, None)
    if lost:
        raise next(iter(lost.values()))
    return image, ids


def _fill(
    image: NDArray[np.uint16],
    scene: Scene,
    planes: Sequence[Plane],
    ids: list[str],
    lost: dict[str, ReadError],
) -> bool:
    """Write a scene's pixels where an image has none; return whether all its bands could be read.

    Args:
        image: (9, H, W) DN without offset; written.
        scene: the scene.
        planes: its nine bands (H, W), raw, or the errors.
        ids: ids of the scenes that pixels come from; written.
        lost: errors of the scenes that could not be read, by id; written.

    """
    error = next((plane for plane in planes if isinstance(plane, ReadError)), None)
    if error is not None:
        lost[scene.id] = error
        return False
    stack = np.stack([pixels_of(plane) for plane in planes])
    new = (image[0] == S2_NODATA) & (stack != S2_NODATA).all(axis=0)
    if new.any():
        values = stack[:, new].astype(np.int32) - scene.offset
        image[:, new] = np.maximum(values, 1).astype(np.uint16)
        ids.append(scene.id)
    return True


def s1_summary(
    scenes: Iterable[Scene], orbit: Orbit
) -> tuple[tuple[str, ...], tuple[str, ...], str | None]:
    """Ids, ISO dates and orbit direction of radar scenes, by time."""
    ordered = sorted(scenes, key=lambda scene: (scene.acquired, scene.id))
    default = None if orbit == "any" else orbit  # as in ``choose_s1``
    states = {scene.orbit_state or default for scene in ordered} - {None}
    return (
        tuple(scene.id for scene in ordered),
        tuple(scene.acquired.date().isoformat() for scene in ordered),
        "both" if len(states) > 1 else next(iter(states), None),
    )


@dataclass
class CompositeImages:
    """The composites of one period, as a map of all samples together would be made from."""

    archive: OpenArchive
    """Archive that the scenes come from."""

    period: Period
    """Period of the composites."""

    rules: CompositeRules = field(default_factory=CompositeRules)
    """Rules of the Sentinel-2 composite."""

    _s2: tuple[Datatake, ...] = field(default=(), init=False)
    _s1: S1Choice = field(default=S1Choice((), (), None), init=False)

    def settings(self) -> dict[str, Any]:
        """Settings that decide the images, plain JSON."""
        return {
            "image": "composite",
            "period": [self.period.start.isoformat(), self.period.end.isoformat()],
            "rules": self.rules.to_json(),
            **archive_settings(self.archive.options),
        }

    def find(self, samples: Sequence[Sample]) -> Self:
        """Find the scenes of all samples, and rank them once, as for a map.

        Raises:
            NoScenesError: there are none.

        """
        boxes = [part for sample in samples for part in sample.area().geoms]
        parts = shapely.get_parts(shapely.union_all(boxes))
        s2_scenes, s1_scenes = self.archive.find(
            shapely.MultiPolygon(list(parts)),
            (self.period.start, self.period.end),
            s1_period(self.period),
            max_cloud=_MAX_CLOUD_PERCENT,
        )
        if not s2_scenes:
            raise NoScenesError(
                f"No Sentinel-2 scene of the labels was found from {self.period.start} to "
                f"{self.period.end}. Check where the labels lie and the period, or try another "
                "--catalog."
            )
        self._s2 = rank_s2(s2_scenes, self.period)
        orbit = self.archive.options.orbit
        self._s1 = choose_s1(
            s1_scenes, self.period, orbit="descending" if orbit == "any" else orbit
        )
        return self

    def read(self, sample: Sample) -> Image:
        """Make the composite of a sample."""
        image, _ = read_composite(
            self.archive, sample, self._s2, self._s1, period=self.period, rules=self.rules
        )
        return image


def read_composite(
    archive: OpenArchive,
    sample: Sample,
    s2: Sequence[Datatake],
    s1: S1Choice,
    *,
    period: Period,
    rules: CompositeRules,
) -> tuple[Image, tuple[LostAsset, ...]]:
    """Make the composite of a sample as a map is made from.

    Args:
        archive: archive of the scenes.
        sample: the sample.
        s2: Sentinel-2 datatakes, as ranked.
        s1: Sentinel-1 datatakes.
        period: period of the composite.
        rules: rules of its Sentinel-2 part.

    Returns:
        The composite, and the assets that could not be read.

    Raises:
        SkippedError: nothing is clear, or there is no radar and it is wanted.
        ReadError: too many assets could not be read.

    """
    composite = make_composite(
        archive.reader.planes,
        sample.grid,
        s2_dates=own_grid_first(s2, sample.epsg),
        s1_passes=s1.passes,
        s1_others=s1.others,
        rules=rules,
    )
    options, lost = archive.options, composite.lost
    if len(lost) - composite.replaced > options.max_lost * composite.opened:
        raise ReadError(
            f"{len(lost)} of {composite.opened} assets could not be read ({lost[0].reason})"
        )
    if not composite.s2_count.any():
        raise SkippedError("no clear Sentinel-2 observation was found")
    if not composite.s1_count.any() and not options.keep_without_s1:
        raise SkippedError("no Sentinel-1 scene shows any of it")
    used = set(composite.used)
    datatakes = (*s1.passes, *s1.others)
    s1_scenes = [scene for datatake in datatakes for scene in datatake if scene.id in used]
    s1_ids = {scene.id for scene in s1_scenes}
    middle = period.start + (period.end - period.start) / 2
    image = Image(
        composite.s2,
        composite.s1,
        middle,
        tuple(name for name in composite.used if name not in s1_ids),
        *s1_summary(s1_scenes, options.orbit),
    )
    return image, lost
