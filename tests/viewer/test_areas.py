"""Areas of a view against those of ``lulcmap areas`` in the same outline."""

import itertools

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod

from lulcmap.errors import UsageError
from lulcmap.products import measure_areas
from lulcmap.viewer import areas
from lulcmap.viewer.areas import areas_within, view_box
from lulcmap.viewer.maps import open_maps
from tests.products.maps import GRID, write_map, write_regions
from tests.viewer.maps import patches, write_whole


def by_class(path, box, folder):
    regions = write_regions(folder / "view.gpkg", [box], crs="EPSG:4326", name=["view"])
    table = measure_areas(path, regions=regions)
    return {row.class_id: row.ha for row in table.rows if row.class_id is not None}


@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:3035", "EPSG:4326"])
def test_areas_of_a_view_are_those_of_the_command(tmp_path, crs):
    transform = GRID
    if crs == "EPSG:4326":
        transform = type(GRID)(1e-4, 0, 9.8, 0, -1e-4, 57.2)
    path = write_map(tmp_path / "m.tif", patches((300, 420)), crs=crs, transform=transform)
    (one,) = open_maps([path])
    west, south, east, north = one.bounds
    box = view_box(
        (
            west + 0.3 * (east - west),
            south + 0.25 * (north - south),
            west + 0.71 * (east - west),
            south + 0.83 * (north - south),
        )
    )

    found = areas_within(one, box)

    wanted = by_class(path, box, tmp_path)
    assert found.coarseness == 1
    for value in range(9):
        assert found.square_metres[value] / 1e4 == pytest.approx(
            wanted.get(value, 0), rel=1e-5, abs=1e-3
        )


def test_a_view_of_everything_has_the_areas_of_the_whole_map(tmp_path):
    path = write_map(tmp_path / "m.tif", patches((300, 420)))
    (one,) = open_maps([path])

    found = [
        areas_within(one, view_box(bounds)).square_metres[:9] / 1e4
        for bounds in ((-180, -85, 180, 85), (-900, -85, 900, 85), (300, 0, 400, 80))
    ]

    rows = {row.class_id: row.ha for row in measure_areas(path).rows}
    wanted = [rows.get(value, 0) for value in range(9)]
    for each in found:
        assert each == pytest.approx(wanted, rel=1e-6)


def test_a_large_view_is_measured_on_an_overview_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(areas, "MAX_PIXELS", 250_000)
    path = write_whole(tmp_path / "m.tif", patches((2048, 1500), side=64))
    (one,) = open_maps([path])

    found = areas_within(one, view_box((-180, -85, 180, 85)))

    rows = {row.class_id: row.ha for row in measure_areas(path).rows}
    assert found.coarseness in one.parts[0].overviews
    for value in range(9):
        assert found.square_metres[value] / 1e4 == pytest.approx(rows.get(value, 0), rel=0.03)
    total = sum(ha for value, ha in rows.items() if value is not None)
    assert found.square_metres[:9].sum() / 1e4 == pytest.approx(total, rel=0.005)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(0.02, 0.98), min_size=2, max_size=4, unique=True))
def test_views_side_by_side_add_up(tmp_path_factory, cuts):
    path = tmp_path_factory.mktemp("m") / "m.tif"
    (one,) = open_maps([write_map(path, patches((60, 80)))])
    west, south, east, north = one.bounds
    edges = [west - 1, *(west + cut * (east - west) for cut in sorted(cuts)), east + 1]

    parts = sum(
        areas_within(one, shapely.box(a, south - 1, b, north + 1)).square_metres
        for a, b in itertools.pairwise(edges)
    )

    whole = areas_within(one, shapely.box(west - 1, south - 1, east + 1, north + 1)).square_metres
    assert parts == pytest.approx(whole, rel=1e-6, abs=1e-3)


def test_a_region_at_a_pole_is_not_cut_where_the_screen_ends(tmp_path):
    values = np.repeat(np.arange(9, dtype=np.uint8), 100)[:, None] * np.ones(900, np.uint8)
    grid = Affine(1000, 0, -450_000, 0, -1000, 450_000)
    path = write_map(tmp_path / "m.tif", values, crs="EPSG:3413", transform=grid)
    (one,) = open_maps([path])

    found = areas_within(one, shapely.box(-180, 60, 180, 90)).square_metres[:9] / 1e4

    rows = {row.class_id: row.ha for row in measure_areas(path).rows}
    assert found == pytest.approx([rows[value] for value in range(9)], rel=1e-3)


def test_a_parallel_around_a_pole_is_a_circle(tmp_path):
    grid = Affine(1000, 0, -450_000, 0, -1000, 450_000)
    values = np.full((900, 900), 3, np.uint8)
    (one,) = open_maps([write_map(tmp_path / "m.tif", values, crs="EPSG:3413", transform=grid)])
    lon = np.linspace(-180, 180, 20_001)[:-1]
    cap, _ = Geod(ellps="WGS84").polygon_area_perimeter(lon, np.full(lon.shape, 87.0))

    found = areas_within(one, shapely.box(-180, 87, 180, 90)).square_metres

    assert found[3] == pytest.approx(cap, rel=1e-4)


def test_a_view_elsewhere_has_nothing(tmp_path):
    (one,) = open_maps([write_map(tmp_path / "m.tif", patches((60, 80)))])

    assert not areas_within(one, view_box((-70, -20, -60, -10))).square_metres.any()


@pytest.mark.parametrize("bounds", [(1, 0, 0, 1), (0, 1, 1, 0), (-1e9, 0, 1, 1)])
def test_a_view_that_is_none_is_refused(bounds):
    with pytest.raises(UsageError, match="A view has"):
        view_box(bounds)


def test_the_map_s_own_nodata_is_no_class(tmp_path):
    values = np.full((64, 64), 3, np.uint8)
    values[:, 32:] = 0
    (one,) = open_maps([write_map(tmp_path / "m.tif", values, nodata=0)])

    found = areas_within(one, view_box((-180, -85, 180, 85))).square_metres

    assert found[0] == 0
    assert found[3] == pytest.approx(64 * 32 * 100, rel=2e-3)
