"""Small maps and regions for the tests of products."""

import numpy as np
import pyogrio
import rasterio
import shapely
from affine import Affine
from pyproj import Geod, Transformer

from lulcmap.legend import CLASS_TAG, CLASSES

GRID = Affine(10, 0, 550_000, 0, -10, 6_344_000)
GEOD = Geod(ellps="WGS84")


def write_map(path, values, *, crs="EPSG:32632", transform=GRID, nodata=255, names=None, **options):
    """A class map; Dynamic World's without names of its own."""
    names = {cover.id: cover.name for cover in CLASSES} if names is None else names
    profile = {"driver": "GTiff", "dtype": values.dtype, "count": 1, "nodata": nodata, **options}
    height, width = values.shape
    with rasterio.open(
        path, "w", height=height, width=width, crs=crs, transform=transform, **profile
    ) as file:
        file.write(values, 1)
        file.update_tags(1, **{f"{CLASS_TAG}{number}": name for number, name in names.items()})
        if nodata == 255 and names:
            file.write_colormap(1, {cover.id: cover.rgb for cover in CLASSES})
    return path


def write_regions(path, shapes, *, crs="EPSG:32632", layer=None, append=False, **columns):
    """A vector file with polygons."""
    pyogrio.raw.write(
        path,
        geometry=shapely.to_wkb(np.array(shapes, object)),
        field_data=[np.array(values) for values in columns.values()],
        fields=list(columns),
        geometry_type="MultiPolygon" if path.suffix == ".gpkg" else "Unknown",
        promote_to_multi=path.suffix == ".gpkg",
        crs=crs,
        layer=layer,
        append=append,
    )
    return path


def to_degrees(shape, crs):
    """A shape of a CRS in longitude and latitude, its edges cut into short ones."""
    there = Transformer.from_crs(crs, 4326, always_xy=True)
    return shapely.transform(shape, lambda xy: np.column_stack(there.transform(*xy.T)))


def geodesic_m2(polygon):
    """Square metres of a polygon in degrees, on the ellipsoid."""
    dense = shapely.segmentize(shapely.geometry.polygon.orient(polygon), 0.001)
    return GEOD.geometry_area_perimeter(dense)[0]
