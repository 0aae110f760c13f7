import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import Transformer

from lulcmap.errors import UsageError
from lulcmap.evaluation.classmap import ClassMap, open_class_map
from lulcmap.products.areas import measure_areas
from tests.products.maps import GRID, geodesic_m2, to_degrees, write_map, write_regions


def table_of(rows):
    return {(row.region, row.name): row for row in rows}


@pytest.fixture
def values():
    rng = np.random.default_rng(4)
    return rng.integers(0, 3, (120, 160)).astype(np.uint8)


@pytest.fixture
def small_windows(monkeypatch):
    """Many windows, cut ones among them."""
    monkeypatch.setattr("lulcmap.evaluation.classmap._WINDOW_PX", 48)


def star(lon, lat, size):
    """A ragged polygon with a hole around a place, degrees."""
    around = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    radius = size * np.random.default_rng(1).uniform(0.5, 1, 60)
    wide = 1 / np.cos(np.radians(lat))
    x, y = lon + radius * wide * np.cos(around), lat + radius * np.sin(around)
    hole = shapely.Point(lon, lat).buffer(size / 4)
    return shapely.Polygon(np.column_stack([x, y])) - hole


@pytest.mark.parametrize("latitude", [0, 45, 70])
@pytest.mark.parametrize("kind", ["utm", "laea", "degrees", "mercator"])
def test_areas_are_those_of_exact_polygons(kind, latitude, tmp_path, small_windows):
    lon = 11.5  # away from the middle of its zone, 9 degrees
    crs = {
        "utm": "EPSG:32632",
        "laea": f"+proj=laea +lat_0={latitude} +lon_0=9 +datum=WGS84",
        "degrees": "EPSG:4326",
        "mercator": "EPSG:3857",
    }[kind]
    forest, town = star(lon, latitude, 0.2), star(lon - 0.6, latitude + 0.1, 0.07)
    to_map = Transformer.from_crs(4326, crs, always_xy=True)
    around = shapely.transform(
        shapely.segmentize(shapely.box(lon - 1.5, latitude - 0.4, lon + 1.5, latitude + 0.4), 0.05),
        lambda xy: np.column_stack(to_map.transform(*xy.T)),
    )
    left, foot, right, top = around.bounds
    height, width = 300, 420
    transform = Affine((right - left) / width, 0, left, 0, (foot - top) / height, top)
    path = write_map(
        tmp_path / "map.tif", np.ones((height, width), np.uint8), crs=crs, transform=transform
    )
    regions = write_regions(
        tmp_path / "r.gpkg", [forest, town], crs="EPSG:4326", name=["forest", "town"]
    )

    rows = table_of(measure_areas(path, regions=regions).rows)

    for name, polygon in (("forest", forest), ("town", town)):
        row = rows[name, "trees"]
        assert row.ha * 1e4 == pytest.approx(geodesic_m2(polygon), rel=1e-5)
        assert (row.km2, row.percent) == (row.ha / 100, pytest.approx(100))


@pytest.mark.parametrize("kind", ["tiled", "striped"])
def test_regions_add_up_to_the_country(kind, tmp_path, values, small_windows):
    values[30:60, 40:90] = 255
    tiles = {"tiled": True, "blockxsize": 16, "blockysize": 16} if kind == "tiled" else {}
    path = write_map(tmp_path / "map.tif", values, **tiles)
    frame = shapely.box(550_000, 6_342_800, 551_600, 6_344_000)
    seeds = shapely.multipoints(np.random.default_rng(2).uniform(0, 1, (12, 2)) * (1600, 1200))
    moved = shapely.transform(seeds, lambda xy: xy + np.array([550_000, 6_342_800]))
    parts = shapely.get_parts(shapely.voronoi_polygons(moved, extend_to=frame))
    regions = write_regions(
        tmp_path / "r.gpkg",
        shapely.intersection(parts, frame),
        name=[f"district {i}" for i in range(len(parts))],
    )

    whole = table_of(measure_areas(path).rows)
    table = measure_areas(path, regions=regions)

    for name in ("water", "trees", "grass"):
        rows = [row for row in table.rows if row.name == name]
        assert len(rows) == 12
        assert sum(row.pixels for row in rows) == pytest.approx(whole["all", name].pixels)
        assert sum(row.ha for row in rows) == pytest.approx(whole["all", name].ha, rel=1e-9)
    missing = [row for row in table.rows if row.name == "not mapped"]
    assert sum(row.pixels for row in missing) == pytest.approx(1500)
    for rows in table.by_region().values():
        assert sum(row.percent or 0 for row in rows) == pytest.approx(100)


def test_the_whole_map_is_counted_pixel_by_pixel(tmp_path, values):
    values[:10] = 255
    path = write_map(tmp_path / "map.tif", values)

    table = measure_areas(path)

    assert [(row.region, row.class_id, row.name) for row in table.rows] == [
        ("all", 0, "water"),
        ("all", 1, "trees"),
        ("all", 2, "grass"),
    ]
    assert [row.pixels for row in table.rows] == np.bincount(values[10:].ravel()).tolist()
    outline = to_degrees(
        shapely.segmentize(shapely.box(550_000, 6_342_800, 551_600, 6_343_900), 10), "EPSG:32632"
    )
    assert sum(row.ha for row in table.rows) == pytest.approx(geodesic_m2(outline) / 1e4, rel=1e-6)
    assert table.notes == ()


@pytest.mark.parametrize(
    ("ending", "crs"),
    [
        ("geojson", "EPSG:4326"),
        *[("gpkg", f"EPSG:{code}") for code in (4326, 3035, 32632, 32633)],
        *[("shp", f"EPSG:{code}") for code in (4326, 3035, 32633)],
        ("fgb", "EPSG:3035"),
    ],
)
def test_regions_may_have_any_crs_and_format(crs, ending, tmp_path, values):
    path = write_map(tmp_path / "map.tif", values)
    shape = shapely.segmentize(shapely.Point(550_800, 6_343_400).buffer(431.7), 20)
    there = Transformer.from_crs("EPSG:32632", crs, always_xy=True)
    moved = shapely.transform(shape, lambda xy: np.column_stack(there.transform(*xy.T)))
    regions = write_regions(tmp_path / f"r.{ending}", [moved], crs=crs, NAME=["Ärea"])

    table = measure_areas(path, regions=regions)

    pixels = sum(row.pixels for row in table.rows)
    assert {row.region for row in table.rows} == {"Ärea"}
    assert pixels == pytest.approx(shape.area / 100, rel=1e-5)


def test_what_is_outside_or_not_mapped_is_told(tmp_path, values):
    values[:, 80:] = 255
    path = write_map(tmp_path / "map.tif", values)
    regions = write_regions(
        tmp_path / "r.gpkg",
        [
            shapely.box(550_000, 6_343_000, 551_200, 6_343_500),  # a third has no class
            shapely.box(549_000, 6_343_000, 551_000, 6_343_500),  # half lies beyond the map
            shapely.box(650_000, 6_343_000, 651_000, 6_343_500),
            shapely.box(550_100, 6_343_600, 550_300, 6_343_700),
        ],
        name=["inside", "partly", "far", "whole"],
    )

    table = measure_areas(path, regions=regions)

    rows = table_of(table.rows)
    assert rows["inside", "not mapped"].pixels == pytest.approx(40 * 50)
    assert rows["inside", "not mapped"].ha == pytest.approx(20, rel=2e-3)
    assert rows["inside", "not mapped"].percent is None
    assert rows["partly", "not mapped"].pixels is None
    assert rows["partly", "not mapped"].ha == pytest.approx(60, rel=2e-3)
    assert rows["far", "trees"].ha == 0
    assert rows["far", "trees"].percent is None
    assert rows["far", "not mapped"].ha == pytest.approx(50, rel=2e-3)
    assert ("whole", "not mapped") not in rows
    notes = " ".join(table.notes)
    assert "nothing is mapped (1): far." in notes
    assert "in part (2)" in notes
    assert "inside 66.7%" in notes


def test_overlaps_are_told_and_counted_in_each(tmp_path, values):
    path = write_map(tmp_path / "map.tif", values)
    boxes = [shapely.box(x, 6_343_000, x + 500, 6_343_500) for x in (550_000, 550_400, 550_900)]
    regions = write_regions(tmp_path / "r.gpkg", boxes, name=["a", "b", "c"])

    table = measure_areas(path, regions=regions)

    assert "Regions overlap, and what they share counts in each: a and b." in table.notes
    assert sum(row.pixels for row in table.rows) == pytest.approx(3 * 2500)


def test_one_name_is_one_region_and_the_unnamed_are_one(tmp_path, values):
    path = write_map(tmp_path / "map.tif", values)
    boxes = [shapely.box(x, 6_343_000, x + 200, 6_343_200) for x in (550_000, 550_100, 550_500)]
    regions = write_regions(
        tmp_path / "r.gpkg", [*boxes, boxes[2]], name=["east", "east", " ", None], code=[1, 2, 3, 4]
    )

    table = measure_areas(path, regions=regions)

    pixels = {name: sum(row.pixels for row in rows) for name, rows in table.by_region().items()}
    assert pixels == pytest.approx({"east": 600, "(no name)": 400})
    assert "Regions without a name, counted together as (no name): 2." in table.notes


def test_numbers_may_be_names(tmp_path, values):
    path = write_map(tmp_path / "map.tif", values)
    boxes = [shapely.box(x, 6_343_000, x + 200, 6_343_200) for x in (550_000, 550_300)]
    regions = write_regions(tmp_path / "r.gpkg", boxes, name=["a", "b"], code=[7.0, np.nan])

    table = measure_areas(path, regions=regions, region_column="code")

    assert list(table.by_region()) == ["7", "(no name)"]


def test_a_bow_tie_is_repaired_and_a_hole_stays_empty(tmp_path, values):
    path = write_map(tmp_path / "map.tif", values)
    x, y = 550_200, 6_343_200
    tie = shapely.Polygon([(x, y), (x + 100, y + 100), (x + 100, y), (x, y + 100)])
    ring = shapely.box(x + 200, y, x + 500, y + 300) - shapely.box(
        x + 300, y + 100, x + 400, y + 200
    )
    regions = write_regions(tmp_path / "r.gpkg", [tie, ring], name=["tie", "ring"])

    groups = measure_areas(path, regions=regions).by_region()

    assert sum(row.pixels for row in groups["tie"]) == pytest.approx(50, rel=1e-6)
    assert sum(row.pixels for row in groups["ring"]) == pytest.approx(800, rel=1e-6)


FIJI = shapely.box(179.5, -17.2, 180.4, -16.6)
"""A region across 180 degrees."""


def as_split():
    return shapely.MultiPolygon(
        [shapely.box(179.5, -17.2, 180, -16.6), shapely.box(-180, -17.2, -179.6, -16.6)]
    )


def as_jump():
    return shapely.Polygon([(179.5, -17.2), (-179.6, -17.2), (-179.6, -16.6), (179.5, -16.6)])


def as_steps():
    """With corners on 180 degrees themselves, on either side."""
    ends = [
        (180, -17.2),
        (-180, -17.2),
        (-179.6, -17.2),
        (-179.6, -16.6),
        (-180, -16.6),
        (180, -16.6),
    ]
    return shapely.Polygon([(179.5, -17.2), *ends, (179.5, -16.6)])


@pytest.mark.parametrize(
    "shape",
    [FIJI, as_split(), as_jump(), as_steps()],
    ids=["beyond", "split", "jump", "steps"],
)
@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32660", Affine(500, 0, 740_000, 0, -500, -1_800_000)),
        ("EPSG:32701", Affine(500, 0, 90_000, 0, -500, 8_230_000)),
        ("+proj=laea +lat_0=-17 +lon_0=180 +datum=WGS84", Affine(500, 0, -99e3, 0, -500, 99e3)),
        ("EPSG:3832", Affine(500, 0, 3_250_000, 0, -500, -1_800_000)),
        ("EPSG:4326", Affine(0.004, 0, 179.2, 0, -0.004, -16.3)),
        ("EPSG:4326", Affine(0.004, 0, -180.8, 0, -0.004, -16.3)),
    ],
)
def test_a_region_across_180_degrees_is_whole(shape, crs, transform, tmp_path):
    path = write_map(
        tmp_path / "map.tif", np.ones((400, 420), np.uint8), crs=crs, transform=transform
    )
    regions = write_regions(tmp_path / "r.gpkg", [shape], crs="EPSG:4326", name=["Fiji"])

    (row,) = measure_areas(path, regions=regions).rows

    assert row.ha * 1e4 == pytest.approx(geodesic_m2(FIJI), rel=2e-5)


def test_a_frame_of_the_world_is_the_world(tmp_path):
    path = write_map(
        tmp_path / "map.tif",
        np.ones((180, 360), np.uint8),
        crs="EPSG:4326",
        transform=Affine(1, 0, -180, 0, -1, 90),
    )
    hemispheres = [shapely.box(-180, 0, 180, 90), shapely.box(-180, -90, 180, 0)]
    regions = write_regions(
        tmp_path / "r.gpkg", hemispheres, crs="EPSG:4326", name=["north", "south"]
    )

    rows = measure_areas(path, regions=regions).rows

    assert [row.pixels for row in rows] == pytest.approx([90 * 360] * 2)
    assert sum(row.km2 for row in rows) == pytest.approx(510_065_622, rel=5e-5)


def test_mercator_ends_at_180_degrees(tmp_path):
    left = 19_900_000
    path = write_map(
        tmp_path / "map.tif",
        np.ones((300, 560), np.uint8),
        crs="EPSG:3857",
        transform=Affine(500, 0, left, 0, -500, -1_830_000),
    )
    regions = write_regions(tmp_path / "r.gpkg", [FIJI], crs="EPSG:4326", name=["Fiji"])

    rows = table_of(measure_areas(path, regions=regions).rows)

    west = geodesic_m2(shapely.box(179.5, -17.2, 180, -16.6))
    assert rows["Fiji", "trees"].ha * 1e4 == pytest.approx(west, rel=1e-5)
    assert rows["Fiji", "not mapped"].ha * 1e4 == pytest.approx(geodesic_m2(FIJI) - west, rel=1e-4)


def test_parts_of_a_region_far_away_do_no_harm(tmp_path, values):
    path = write_map(tmp_path / "map.tif", values)
    here = to_degrees(shapely.box(550_100, 6_343_100, 550_400, 6_343_400), "EPSG:32632")
    parts = [here, shapely.box(-62, -22, -52, 6), shapely.box(150, -40, 170, -10)]
    regions = write_regions(
        tmp_path / "r.gpkg", [shapely.MultiPolygon(parts)], crs="EPSG:4326", name=["France"]
    )

    rows = measure_areas(path, regions=regions).rows

    assert sum(row.pixels for row in rows if row.class_id is not None) == pytest.approx(
        900, rel=1e-4
    )


def test_files_of_one_map_are_added_up(tmp_path, values):
    first = write_map(tmp_path / "map.tif", values)
    second = write_map(
        tmp_path / "map-2.tif", values, crs="EPSG:32628", transform=GRID @ Affine.translation(9, 7)
    )
    far = to_degrees(shapely.box(550_090, 6_342_730, 550_590, 6_343_230), "EPSG:32628")
    near = to_degrees(shapely.box(550_000, 6_343_000, 550_500, 6_343_500), "EPSG:32632")
    regions = write_regions(
        tmp_path / "r.gpkg", [shapely.MultiPolygon([near, far])], crs="EPSG:4326", name=["both"]
    )

    table = measure_areas([first, second])
    both = measure_areas([first, second], regions=regions)

    assert [row.pixels for row in table.rows] == (2 * np.bincount(values.ravel())).tolist()
    assert sum(row.pixels for row in both.rows) == pytest.approx(5000, rel=1e-3)
    assert all(row.class_id is not None for row in both.rows)
    assert table.title == "map.tif, map-2.tif"


def test_two_years_are_not_added_up(tmp_path, values):
    first = write_map(tmp_path / "map-2023.tif", values)
    second = write_map(
        tmp_path / "map-2024.tif",
        np.ones((99, 99), np.uint8),
        crs="EPSG:3857",
        transform=Affine(30, 0, 1_094_100, 0, -30, 7_808_500),
    )
    third = write_map(tmp_path / "other.tif", values, names={0: "forest"})

    with pytest.raises(UsageError, match="map the same place, which would count twice"):
        measure_areas([first, second])
    with pytest.raises(UsageError, match="have other classes"):
        measure_areas([first, third])


def test_a_piece_of_a_map_is_not_added_to_it_in_either_order(tmp_path):
    whole = write_map(tmp_path / "whole.tif", np.ones((400, 400), np.uint8))
    piece = write_map(
        tmp_path / "piece.tif",
        np.ones((20, 20), np.uint8),
        transform=GRID * Affine.translation(50, 50),
    )

    for paths in ([whole, piece], [piece, whole]):
        with pytest.raises(UsageError, match="map the same place, which would count twice"):
            measure_areas(paths)


def test_values_without_a_name_are_called_by_their_number(tmp_path, values):
    named = write_map(tmp_path / "own.tif", values + 10, names={10: "Wald", 11: "=2+3\n"})
    bare = write_map(tmp_path / "dw.tif", values, names={})
    foreign = write_map(tmp_path / "esa.tif", values * 10, names={})

    assert [row.name for row in measure_areas(named).rows] == ["Wald", "=2+3", "class 12"]
    assert [row.name for row in measure_areas(bare).rows] == ["water", "trees", "grass"]
    assert "read as Dynamic World's, 0 water to 8 snow_and_ice" in measure_areas(bare).notes[0]
    table = measure_areas(foreign)
    assert [row.name for row in table.rows] == ["class 0", "class 10", "class 20"]
    assert "called by their values" in table.notes[0]


def test_windows_beside_all_regions_are_not_read(tmp_path, values, small_windows, monkeypatch):
    path = write_map(tmp_path / "map.tif", values, tiled=True, blockxsize=16, blockysize=16)
    regions = write_regions(
        tmp_path / "r.gpkg", [shapely.box(550_000, 6_343_800, 550_200, 6_343_990)], name=["corner"]
    )
    read, window = [], ClassMap.window
    monkeypatch.setattr(
        ClassMap, "window", lambda self, *box: read.append(box) or window(self, *box)
    )

    measure_areas(path, regions=regions)

    assert read == [(0, 0, 48, 48)]


def test_a_striped_file_is_read_in_bands(tmp_path, values, small_windows):
    path = write_map(tmp_path / "map.tif", values)
    tiled = write_map(tmp_path / "tiled.tif", values, tiled=True, blockxsize=16, blockysize=16)

    with open_class_map(path) as striped, open_class_map(tiled) as blocks:
        assert {box[3] for box in striped.boxes()} == {160}
        assert {box[2:] for box in blocks.boxes()} == {(48, 48), (48, 16), (24, 48), (24, 16)}
        for boxes in (striped.boxes(), blocks.boxes()):
            seen = np.zeros(values.shape, int)
            for row, col, height, width in boxes:
                seen[row : row + height, col : col + width] += 1
            assert (seen == 1).all()


def test_the_progress_counts_windows(tmp_path, values, small_windows):
    path = write_map(tmp_path / "map.tif", values, tiled=True, blockxsize=16, blockysize=16)
    calls = []

    measure_areas(path, progress=lambda *call: calls.append(call))

    assert calls[0] == ("measuring", 1, 12)
    assert calls[-1] == ("measuring", 12, 12)


class TestMistakes:
    @pytest.fixture
    def path(self, tmp_path, values):
        return write_map(tmp_path / "map.tif", values)

    def regions(self, tmp_path, *, shapes=None, **columns):
        shapes = shapes or [shapely.box(550_000, 6_343_000, 550_500, 6_343_500)] * 2
        return write_regions(tmp_path / "r.gpkg", shapes, **columns)

    def test_a_column_that_is_missing_is_named_with_the_others(self, path, tmp_path):
        regions = self.regions(tmp_path, name=["a", "b"], code=[1, 2])

        with pytest.raises(UsageError, match="no column 'nom'; it has name, code"):
            measure_areas(path, regions=regions, region_column="nom")

    def test_a_column_that_cannot_be_guessed_is_asked_for(self, path, tmp_path):
        regions = self.regions(tmp_path, NAME_1=["Vientiane", "b"], NAME_2=["c", "d"])

        with pytest.raises(UsageError, match=r"--region-column: NAME_1 \(Vientiane, ...\), NAME_2"):
            measure_areas(path, regions=regions)

    def test_the_only_text_is_the_name(self, path, tmp_path):
        regions = self.regions(tmp_path, NOM_DEPT=["a", "b"], code=[1, 2])

        table = measure_areas(path, regions=regions)

        assert list(table.by_region()) == ["a", "b"]
        assert table.notes[0] == "Regions are named by the column 'NOM_DEPT' of r.gpkg."

    def test_one_of_several_layers_is_asked_for(self, path, tmp_path):
        box = [shapely.box(550_000, 6_343_000, 550_500, 6_343_500)]
        regions = write_regions(tmp_path / "r.gpkg", box, layer="states", name=["a"])
        write_regions(regions, box, layer="districts", name=["b"])

        with pytest.raises(UsageError, match=r"several layers: states, districts\..*--layer"):
            measure_areas(path, regions=regions)
        with pytest.raises(UsageError, match="no layer 'x'; it has states, districts"):
            measure_areas(path, regions=regions, layer="x")
        assert [*measure_areas(path, regions=regions, layer="districts").by_region()] == ["b"]

    def test_points_are_no_regions(self, path, tmp_path):
        regions = write_regions(tmp_path / "r.geojson", [shapely.Point(9, 57)], name=["a"])

        with pytest.raises(UsageError, match="1 Point; regions are polygons"):
            measure_areas(path, regions=regions)

    def test_regions_elsewhere_are_refused(self, path, tmp_path):
        regions = self.regions(tmp_path, shapes=[shapely.box(0, 0, 5, 5)] * 2, name=["a", "b"])

        with pytest.raises(UsageError, match=r"No region of .*r.gpkg lies on a mapped pixel"):
            measure_areas(path, regions=regions)

    def test_coordinates_that_no_crs_has_are_refused(self, path, tmp_path):
        regions = write_regions(
            tmp_path / "r.gpkg", [shapely.box(5e5, 6e6, 6e5, 7e6)], crs="EPSG:4326", name=["a"]
        )

        with pytest.raises(UsageError, match="coordinates that do not exist in its CRS"):
            measure_areas(path, regions=regions)

    def test_a_region_round_a_pole_is_refused(self, path, tmp_path):
        pole = shapely.Point(0, 0).buffer(1_000_000)
        regions = write_regions(tmp_path / "r.gpkg", [pole], crs="EPSG:3031", name=["a"])

        with pytest.raises(UsageError, match="round a pole"):
            measure_areas(path, regions=regions)

    def test_a_region_that_was_cut_wrongly_at_180_degrees_is_refused(self, path, tmp_path):
        spike = [(178.7, -17.0), (-179.9, -16.9), (177.5, -17.1), (178, -16.8), (178.9, -17.2)]
        regions = write_regions(
            tmp_path / "r.gpkg", [shapely.Polygon(spike)], crs="EPSG:4326", name=["a"]
        )

        with pytest.raises(UsageError, match=r"border crosses itself. Split it there"):
            measure_areas(path, regions=regions)

    def test_a_picture_is_no_class_map(self, tmp_path):
        import rasterio

        path = tmp_path / "rgb.tif"
        with rasterio.open(
            path, "w", driver="GTiff", height=9, width=9, count=3, dtype="uint8", crs="EPSG:32632",
            transform=GRID, photometric="rgb",
        ) as file:  # fmt: skip
            file.write(np.zeros((3, 9, 9), np.uint8))

        with pytest.raises(UsageError, match="is a picture with red, green and blue"):
            measure_areas(path)

    def test_an_empty_map_is_refused(self, tmp_path):
        path = write_map(tmp_path / "map.tif", np.full((9, 9), 255, np.uint8))

        with pytest.raises(UsageError, match="no pixel with a class"):
            measure_areas(path)

    def test_a_sample_belongs_to_one_file(self, path, tmp_path):
        with pytest.raises(UsageError, match="A sample belongs to one file of a map"):
            measure_areas([path, path], accuracy=tmp_path)
