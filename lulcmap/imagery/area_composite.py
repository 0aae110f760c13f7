"""Composite any area as a map of it would be composited: search, select, read, composite."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import shapely
from odc.geo.geobox import GeoBox

from lulcmap.catalog import (
    Catalog,
    Period,
    choose_s1,
    find_scenes,
    own_grid_first,
    rank_s2,
    s1_period,
    signer,
)
from lulcmap.imagery.composite import Composite, make_composite
from lulcmap.imagery.reader import Reader
from lulcmap.imagery.rules import CompositeRules
from lulcmap.imagery.strips import strip_threads
from lulcmap.system import available_cores


@dataclass(frozen=True, slots=True)
class CompositeRequest:
    """What to composite an area from, and how."""

    period: Period
    """Period of the composite."""

    catalog: Catalog
    """Catalogue, as for ``find_scenes``, like the next three."""

    profile: str | None = None
    """Provider whose layout an API or a file follows."""

    s1_catalog: str | None = None
    """Provider or API to take Sentinel-1 from."""

    fallback: str | None = None
    """Provider or API of the same products, for what ``catalog`` cannot give."""

    s1: bool = True
    """Whether to use Sentinel-1."""

    max_cloud: float = 100.0
    """Cloud cover above which a Sentinel-2 scene is skipped, percent."""

    orbit: str = "descending"
    """Preferred Sentinel-1 orbit direction."""

    max_s1_scenes: int = 12
    """Maximum Sentinel-1 dates per relative orbit."""

    rules: CompositeRules | None = None
    """Rules of the Sentinel-2 composite; None for the defaults."""

    workers: int | None = None
    """Number of reader threads; None is what the cores take."""

    patience: float = 300.0
    """Seconds to wait for a server that is busy or down."""

    sun: bool = False
    """Whether the sun's zenith is wanted, for models that take it."""


def composite_area(
    area: shapely.MultiPolygon, grid: GeoBox, request: CompositeRequest
) -> Composite:
    """Composite an area as ``predict`` does before it classifies.

    Args:
        area: area in which to search for scenes; longitude, latitude, degrees.
        grid: 10 m grid in a UTM zone, of even height and width, edges on multiples of 20 m.
        request: what to composite it from.

    Returns:
        The composite on ``grid``.

    Raises:
        UsageError: the catalogue is neither a known provider nor a readable ItemCollection.
        ProviderError: the provider failed.

    """
    return next(composite_grids(area, [grid], request))


def composite_grids(
    area: shapely.MultiPolygon, grids: Iterable[GeoBox], request: CompositeRequest
) -> Iterator[Composite]:
    """Composite many grids of one area, one after the other, with one search.

    Args:
        area: area in which to search for scenes, as for ``composite_area``.
        grids: grids, each as there.
        request: what to composite them from.

    Yields:
        The composite of each grid.

    Raises:
        UsageError: the catalogue is neither a known provider nor a readable ItemCollection.
        ProviderError: the provider failed.

    """
    period = request.period
    scenes = find_scenes(
        area,
        s2_period=(period.start, period.end),
        s1_period=s1_period(period),
        catalog=request.catalog,
        profile=request.profile,
        s1_catalog=request.s1_catalog,
        fallback=request.fallback,
        s1=request.s1,
        max_cloud=request.max_cloud,
    )
    s2_ranked = rank_s2(scenes.of("s2"), period)
    s1_choice = choose_s1(
        scenes.of("s1"), period, orbit=request.orbit, max_scenes=request.max_s1_scenes
    )
    with Reader(
        workers=request.workers,
        sign=signer(*scenes.profiles),
        private=scenes.private,
        patience=request.patience,
    ) as reader:
        for grid in grids:
            zone = grid.crs.epsg if grid.crs else None
            if zone is None:
                raise ValueError("the grid has no EPSG code")
            yield make_composite(
                reader.planes,
                grid,
                s2_dates=own_grid_first(s2_ranked, zone),
                s1_passes=s1_choice.passes,
                s1_others=s1_choice.others,
                rules=request.rules,
                sun=request.sun,
                threads=strip_threads(available_cores()),
            )
