"""The composite of any place, as a map of it would be made from."""

import shapely
from odc.geo.geobox import GeoBox

from lulcmap.catalog.search import search
from lulcmap.catalog.selection import Period, choose_s1, own_grid_first, rank_s2, s1_period
from lulcmap.catalog.signing import signer
from lulcmap.imagery.composite import Composite, composite
from lulcmap.imagery.reader import Reader


def composite_of(
    area: shapely.MultiPolygon, on: GeoBox, *, period: Period, catalog: str, workers: int = 4
) -> Composite:
    """The composite that ``pipeline.map_area`` shows the network, with its default rules.

    Args:
        area: whose scenes are looked for; longitude, latitude, degrees.
        on: 10 m grid in a UTM zone, of even height and width, edges on multiples of 20 m.
        period: that is mapped.
        catalog: as of ``survey.Settings``.
        workers: threads that read.

    """
    found = search(
        area,
        s2_period=(period.start, period.end),
        s1_period=s1_period(period),
        catalog=catalog,
        s1=True,
    )
    zone = on.crs.epsg if on.crs else None
    if zone is None:
        raise ValueError("the grid has no EPSG code")
    sensors = {
        sensor: [scene for scene in found.scenes if scene.sensor == sensor]
        for sensor in ("s2", "s1")
    }
    dates = own_grid_first(rank_s2(sensors["s2"], period)[0], zone)
    s1 = choose_s1(sensors["s1"], period)
    with Reader(workers=workers, sign=signer(*found.profiles), private=found.private) as reader:
        return composite(
            reader.planes, on, s2_dates=dates, s1_passes=s1.passes, s1_others=s1.others
        )
