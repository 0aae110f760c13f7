import numpy as np
import pytest
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from lulcmap.geo.tiling import Box
from lulcmap.geo.transform import fill_from_zone, pixel_zones, zone_pixels
from lulcmap.geo.utm import utm_zone

ZONE = 32632


@pytest.mark.parametrize("shape", [(1, 1), (1, 200), (65, 2), (70, 300)])
@pytest.mark.parametrize(("crs", "pixel"), [(3035, 10), (4326, 1 / 12000), (3413, 10), (32633, 10)])
def test_a_pixels_place_in_the_zone_is_exact(shape, crs, pixel):
    corner = Transformer.from_crs(4326, crs, always_xy=True).transform(9.3, 47.2)
    right, bottom = corner[0] + shape[1] * pixel, corner[1] - shape[0] * pixel
    grid = GeoBox.from_bbox(
        (corner[0], bottom, right, corner[1]), f"EPSG:{crs}", shape=shape, tight=True
    )
    to_zone = Transformer.from_crs(crs, ZONE, always_xy=True)

    rows, cols = zone_pixels(grid, to_zone)

    row, col = np.indices(shape)
    easting, northing = to_zone.transform(
        grid.affine.c + (col + 0.5) * grid.affine.a, grid.affine.f + (row + 0.5) * grid.affine.e
    )
    np.testing.assert_array_equal(rows, np.floor(-northing / 10))
    np.testing.assert_array_equal(cols, np.floor(easting / 10))


class Numbered:
    """A raster of two bands whose pixels have values of their own."""

    def __init__(self, extent: Box) -> None:
        self.extent = extent

    def read(self, box: Box) -> np.ndarray:
        row, col = np.indices(box.shape)
        return self.at(row + box.row, col + box.col)

    def at(self, row: np.ndarray, col: np.ndarray) -> np.ndarray:
        return np.stack([row * 31 + col * 7, row * 3 - col]).astype(np.uint8)


@pytest.mark.parametrize("missing", [0, 0.1, 1])
@pytest.mark.parametrize(("crs", "pixel"), [(3035, 10), (4326, 1 / 12000), (3413, 10), (32633, 10)])
def test_a_pixel_takes_the_value_of_the_zone_at_its_centre(crs, pixel, missing):
    shape = (90, 300)
    corner = Transformer.from_crs(4326, crs, always_xy=True).transform(9.3, 47.2)
    right, bottom = corner[0] + shape[1] * pixel, corner[1] - shape[0] * pixel
    grid = GeoBox.from_bbox(
        (corner[0], bottom, right, corner[1]), f"EPSG:{crs}", shape=shape, tight=True
    )
    to_zone = Transformer.from_crs(crs, ZONE, always_xy=True)
    rows, cols = zone_pixels(grid, to_zone)
    place = (int(rows[20, 30]), int(cols[20, 30]))
    source = Numbered(Box(*place, 41, 203))
    mask = np.random.default_rng(0).random(shape) >= missing
    mask[:, 130:220] |= missing < 1  # cells of knots with and without holes

    out = np.full((2, *shape), 99, np.uint8)
    fill_from_zone(grid, to_zone, mask, source, out)

    held = mask & (rows >= place[0]) & (rows < place[0] + 41)
    held &= (cols >= place[1]) & (cols < place[1] + 203)
    assert held.any() == (missing < 1)
    np.testing.assert_array_equal(out, np.where(held, source.at(rows, cols), 99))


@pytest.mark.parametrize(
    ("crs", "corner", "pixel", "zones"),
    [
        (32632, (716_000, 5_310_000), 120, {32632, 32633}),
        (3035, (4_450_000, 2_700_000), 150, {32632, 32633}),
        (4326, (31.99, 0.02), 1 / 3000, {32636, 32736}),
        (4326, (2.9, 64.1), 1 / 900, {32631, 32632}),  # Norway's zone 32 is wider
        (32633, (100_000, 8_020_000), 500, {32631, 32632, 32633}),  # 72 N, where Svalbard's begin
        (3832, (3_325_000, -1_900_000), 150, {32701, 32760}),  # 180 degrees in its middle
    ],
)
def test_a_pixels_zone_is_that_of_its_centre(crs, corner, pixel, zones):
    grid = GeoBox.from_bbox(
        (corner[0], corner[1] - 150 * pixel, corner[0] + 200 * pixel, corner[1]),
        f"EPSG:{crs}",
        shape=(150, 200),
        tight=True,
    )

    found = pixel_zones(grid)

    row, col = np.indices(grid.shape)
    lon, lat = Transformer.from_crs(crs, 4326, always_xy=True).transform(
        grid.affine.c + (col + 0.5) * grid.affine.a, grid.affine.f + (row + 0.5) * grid.affine.e
    )
    np.testing.assert_array_equal(found, np.vectorize(utm_zone)(lon, lat))
    assert set(np.unique(found)) <= zones
    assert len(np.unique(found)) > 1


def test_a_place_beyond_utm_is_in_no_zone():
    grid = GeoBox.from_bbox((10, 83.9, 10.2, 84.5), "EPSG:4326", shape=(60, 2), tight=True)

    found = pixel_zones(grid)

    assert (found[:50] == 0).all()
    assert (found[-10:] == 32633).all()
