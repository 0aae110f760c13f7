"""The composite of any place, as a map of it would be made from."""

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
    s1: bool = True,
    max_cloud: float = 100.0,
    orbit: str = "descending",
    max_s1_scenes: int = 12,
    rules: CompositeRules | None = None,
    workers: int = 4,
    patience: float = 300.0,
) -> Composite:
    """The composite that a map shows the network.

    Args:
        area: area in which scenes are searched; longitude, latitude, degrees.
        grid: 10 m grid in a UTM zone, of even height and width, edges on multiples of 20 m.
        period: the period.
        catalog: the catalogue, as of ``find_scenes``, and so are the next two.
        profile: layout of an API or a file.
        s1_catalog: provider or API of Sentinel-1.
        s1: whether Sentinel-1 is wanted.
        max_cloud: percent of cloud cover above which a Sentinel-2 scene is skipped.
        orbit: preferred orbit direction of Sentinel-1.
        max_s1_scenes: Sentinel-1 dates of each relative orbit.
        rules: rules of the Sentinel-2 composite; None is the defaults.
        workers: reader threads.
        patience: seconds to wait for a server that is busy or down.

    Raises:
        UsageError: the catalogue is neither known nor a readable ItemCollection.
        ProviderError: the provider failed.

    """
    scenes = find_scenes(
        area,
        s2_period=(period.start, period.end),
        s1_period=s1_period(period),
        catalog=catalog,
        profile=profile,
        s1_catalog=s1_catalog,
        s1=s1,
        max_cloud=max_cloud,
    )
    zone = grid.crs.epsg if grid.crs else None
    if zone is None:
        raise ValueError("the grid has no EPSG code")
    dates = own_grid_first(rank_s2(scenes.of("s2"), period)[0], zone)
    radar = choose_s1(scenes.of("s1"), period, orbit=orbit, max_scenes=max_s1_scenes)
    with Reader(
        workers=workers,
        sign=signer(*scenes.profiles),
        private=scenes.private,
        patience=patience,
    ) as reader:
        return make_composite(
            reader.planes,
            grid,
            s2_dates=dates,
            s1_passes=radar.passes,
            s1_others=radar.others,
            rules=rules,
        )
