"""Composite any area as a map of it would be composited: search, select, read, composite."""

from collections.abc import Iterable, Iterator

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


def composite_area(
    area: shapely.MultiPolygon,
    grid: GeoBox,
    *,
    period: Period,
    catalog: Catalog,
    profile: str | None = None,
    s1_catalog: str | None = None,
    fallback: str | None = None,
    s1: bool = True,
    max_cloud: float = 100.0,
    orbit: str = "descending",
    max_s1_scenes: int = 12,
    rules: CompositeRules | None = None,
    workers: int | None = None,
    patience: float = 300.0,
    sun: bool = False,
) -> Composite:
    """Composite an area as ``predict`` does before it classifies.

    Args:
        area: area in which to search for scenes; longitude, latitude, degrees.
        grid: 10 m grid in a UTM zone, of even height and width, edges on multiples of 20 m.
        period: period of the composite.
        catalog: catalogue, as for ``find_scenes``, like the next three.
        profile: provider whose layout an API or a file follows.
        s1_catalog: provider or API to take Sentinel-1 from.
        fallback: provider or API of the same products, for what ``catalog`` cannot give.
        s1: whether to use Sentinel-1.
        max_cloud: cloud cover above which a Sentinel-2 scene is skipped, percent.
        orbit: preferred Sentinel-1 orbit direction.
        max_s1_scenes: maximum Sentinel-1 dates per relative orbit.
        rules: rules of the Sentinel-2 composite; None for the defaults.
        workers: number of reader threads; None is what the cores take.
        patience: seconds to wait for a server that is busy or down.
        sun: whether the sun's zenith is wanted, for models that take it.

    Returns:
        The composite on ``grid``.

    Raises:
        UsageError: the catalogue is neither a known provider nor a readable ItemCollection.
        ProviderError: the provider failed.

    """
    return next(
        composite_grids(
            area,
            [grid],
            period=period,
            catalog=catalog,
            profile=profile,
            s1_catalog=s1_catalog,
            fallback=fallback,
            s1=s1,
            max_cloud=max_cloud,
            orbit=orbit,
            max_s1_scenes=max_s1_scenes,
            rules=rules,
            workers=workers,
            patience=patience,
            sun=sun,
        )
    )


def composite_grids(
    area: shapely.MultiPolygon,
    grids: Iterable[GeoBox],
    *,
    period: Period,
    catalog: Catalog,
    profile: str | None = None,
    s1_catalog: str | None = None,
    fallback: str | None = None,
    s1: bool = True,
    max_cloud: float = 100.0,
    orbit: str = "descending",
    max_s1_scenes: int = 12,
    rules: CompositeRules | None = None,
    workers: int | None = None,
    patience: float = 300.0,
    sun: bool = False,
) -> Iterator[Composite]:
    """Composite many grids of one area, one after the other, with one search.

    Args:
        area: area in which to search for scenes, as for ``composite_area``, like what follows.
        grids: grids, each as there.
        period: period of the composites.
        catalog: catalogue.
        profile: provider whose layout an API or a file follows.
        s1_catalog: provider or API to take Sentinel-1 from.
        fallback: provider or API of the same products.
        s1: whether to use Sentinel-1.
        max_cloud: cloud cover above which a Sentinel-2 scene is skipped, percent.
        orbit: preferred Sentinel-1 orbit direction.
        max_s1_scenes: maximum Sentinel-1 dates per relative orbit.
        rules: rules of the Sentinel-2 composite.
        workers: number of reader threads; None is what the cores take.
        patience: seconds to wait for a server that is busy or down.
        sun: whether the sun's zenith is wanted.

    Yields:
        The composite of each grid.

    Raises:
        UsageError: the catalogue is neither a known provider nor a readable ItemCollection.
        ProviderError: the provider failed.

    """
    scenes = find_scenes(
        area,
        s2_period=(period.start, period.end),
        s1_period=s1_period(period),
        catalog=catalog,
        profile=profile,
        s1_catalog=s1_catalog,
        fallback=fallback,
        s1=s1,
        max_cloud=max_cloud,
    )
    s2_ranked = rank_s2(scenes.of("s2"), period)
    s1_choice = choose_s1(scenes.of("s1"), period, orbit=orbit, max_scenes=max_s1_scenes)
    with Reader(
        workers=workers,
        sign=signer(*scenes.profiles),
        private=scenes.private,
        patience=patience,
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
                rules=rules,
                sun=sun,
            )
