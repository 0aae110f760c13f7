import csv
import json

import numpy as np
import pyarrow
import pyarrow.parquet
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from click.testing import CliRunner
from pyproj import Transformer

from lulcmap.cli.evaluate import evaluate
from lulcmap.errors import UsageError
from lulcmap.evaluation.classmap import open_class_map
from lulcmap.evaluation.crosswalk import SHIPPED_CROSSWALKS, identity_crosswalk, load_crosswalk
from lulcmap.evaluation.evaluate import evaluate_map
from lulcmap.evaluation.regions import Regions
from lulcmap.evaluation.sample_file import write_sample
from lulcmap.evaluation.sampling import draw_sample
from lulcmap.legend import CLASSES, NAMES

LEGEND = {cover.id: cover.name for cover in CLASSES}
GRID = Affine(10, 0, 550_000, 0, -10, 6_344_000)


def write(path, values, *, epsg=32632, transform=GRID, nodata=255, tags=None, names=None):
    values = np.atleast_3d(np.asarray(values).T).T
    count, height, width = values.shape
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=count,
        height=height,
        width=width,
        dtype=values.dtype,
        crs=f"EPSG:{epsg}",
        transform=transform,
        nodata=nodata,
    ) as file:
        file.write(values)
        file.update_tags(1, **tags or {})
        file.descriptions = names or (None,) * count
    return path


def metrics_of(path, labels, *, crosswalk=None, label_column="label"):
    evaluation = evaluate_map(
        path, labels, crosswalk=crosswalk, label_column=label_column, regions=Regions()
    )
    return evaluation.to_json(draws=100)


@pytest.fixture
def values():
    rng = np.random.default_rng(6)
    values = rng.integers(0, 9, (150, 200)).astype(np.uint8)
    values[:, :10] = 255
    return values


@pytest.fixture
def class_map(tmp_path, values):
    return write(tmp_path / "map.tif", values)


# --- rasters of labels -----------------------------------------------------------------------


def test_labels_on_the_maps_own_grid_are_compared_pixel_by_pixel(class_map, values, tmp_path):
    truth = np.where(np.random.default_rng(1).random(values.shape) < 0.7, values, 3)
    truth = np.where(truth == 255, 4, truth).astype(np.uint8)
    truth[-5:] = 255

    metrics = metrics_of(class_map, write(tmp_path / "truth.tif", truth))

    counted = (truth != 255) & (values != 255)
    assert metrics["pixels"] == counted.sum()
    assert metrics["unmapped"] == 145 * 10
    assert metrics["scores"]["oa"]["value"] == (truth == values)[counted].mean()
    assert metrics["places"] == 3 * 4  # squares of 64 pixels
    assert metrics["classes"] == list(NAMES)


@pytest.mark.parametrize(
    ("epsg", "transform", "shape"),
    [
        (32633, Affine(10, 0, 187_900, 0, -10, 6_355_600), (200, 250)),
        (4326, Affine(0.0002, 0, 9.82, 0, -0.0001, 57.24), (150, 180)),
        (32632, Affine(30, 0, 549_985, 0, -30, 6_344_025), (40, 60)),
        (32632, Affine(3, 1, 550_100, 1, -3, 6_343_700), (200, 200)),
    ],
)
def test_labels_on_any_grid_are_compared_at_their_pixels_centres(
    class_map, values, tmp_path, epsg, transform, shape
):
    truth = np.random.default_rng(2).integers(0, 9, shape).astype(np.uint8)
    labels = write(tmp_path / "truth.tif", truth, epsg=epsg, transform=transform)

    metrics = metrics_of(class_map, labels)

    rows, cols = np.indices(shape)
    x, y = transform @ np.stack([cols.ravel() + 0.5, rows.ravel() + 0.5])
    x, y = Transformer.from_crs(epsg, 32632, always_xy=True).transform(x, y)
    row, col = np.floor((6_344_000 - y) / 10).astype(int), np.floor((x - 550_000) / 10).astype(int)
    inside = (row >= 0) & (row < 150) & (col >= 0) & (col < 200)
    predicted = values[row[inside], col[inside]]
    matrix = np.zeros((9, 9), int)
    np.add.at(matrix, (truth.ravel()[inside][predicted != 255], predicted[predicted != 255]), 1)
    assert matrix.sum() > 500
    np.testing.assert_array_equal(metrics["confusion"], matrix)


def test_a_large_raster_of_labels_has_larger_squares(class_map, values, tmp_path, monkeypatch):
    truth = write(tmp_path / "truth.tif", values)
    monkeypatch.setattr("lulcmap.evaluation.reference._MAX_SQUARES", 3)
    monkeypatch.setattr("lulcmap.evaluation.reference._TILE_PX", 64)

    metrics = metrics_of(class_map, truth)

    assert metrics["places"] == 2 * 2  # of 128 pixels a side, where 64 would be 3 * 4
    assert metrics["pixels"] == 150 * 190


def test_a_map_far_finer_than_the_labels_is_read_in_parts(class_map, tmp_path, monkeypatch):
    monkeypatch.setattr("lulcmap.evaluation.classmap.MAX_PIXELS", 300)
    truth = np.random.default_rng(2).integers(0, 9, (15, 20)).astype(np.uint8)
    labels = write(tmp_path / "truth.tif", truth, transform=GRID * Affine.scale(10))

    in_parts = metrics_of(class_map, labels)
    monkeypatch.undo()

    assert in_parts["confusion"] == metrics_of(class_map, labels)["confusion"]


def test_dynamic_worlds_codes_are_id_plus_one_and_0_and_10_are_nothing(class_map, values, tmp_path):
    codes = np.where(values == 255, 10, values + 1).astype(np.uint8)
    codes[:5] = 0
    path = tmp_path / "dw_9.8_57.2-20200601.tif"
    write(path, codes, nodata=None)

    metrics = metrics_of(class_map, path, crosswalk="dynamic-world")

    assert metrics["scores"]["oa"]["value"] == 1
    assert metrics["pixels"] == 145 * 190
    assert "Labels that match no class are not counted: 10 (1,450), 0 (1,000)." in metrics["notes"]
    with pytest.raises(UsageError, match=r"id \+ 1\. Give --crosswalk dynamic-world"):
        metrics_of(class_map, path)
    other = write(tmp_path / "tile.tif", codes, nodata=None)
    with pytest.raises(UsageError, match=r"match no class of the map: (9|10)"):
        metrics_of(class_map, other)


def test_real_labels_with_codes_of_their_own_are_compared_by_a_crosswalk(tmp_path, shared_data):
    """Land use of Denmark: water 1, trees 2, crops 4, built 5, rangeland 9."""
    labels = shared_data / "archive" / "labels" / "denmark.tif"
    with rasterio.open(labels) as file:
        codes, grid = file.read(1), file.transform
    values = np.select([codes == 4, codes == 5, codes == 9], [4, 6, 2], 1).astype(np.uint8)
    rangeland = np.argwhere(codes == 9)
    values[tuple(rangeland[:100].T)] = 5  # shrub is rangeland too
    values[tuple(rangeland[100:150].T)] = 8  # snow is none of these classes
    table = tmp_path / "landuse.csv"
    table.write_text(
        "code,name,map_classes\n1,water,water\n2,trees,trees\n4,crops,crops\n5,built,built\n"
        "9,rangeland,grass;shrub_and_scrub\n"
    )

    metrics = metrics_of(
        write(tmp_path / "map.tif", values, transform=grid), labels, crosswalk=str(table)
    )

    assert metrics["classes"] == ["water", "trees", "crops", "built", "rangeland", "other"]
    assert metrics["confusion"][4] == [0, 0, 0, 0, 3738, 50]
    assert np.trace(metrics["confusion"]) == codes.size - 50
    assert metrics["scores"]["oa"]["value"] == 1 - 50 / codes.size
    assert metrics["labels"]["crosswalk"] == "landuse.csv"


def test_the_confidence_of_a_block_of_a_run_is_calibrated(tmp_path, values):
    sure = np.where(values == 255, 255, 80).astype(np.uint8)
    path = write(tmp_path / "z.tif", np.stack([values, sure]), names=("class", "confidence"))

    metrics = metrics_of(path, write(tmp_path / "truth.tif", values))

    assert metrics["calibration"]["ece"] == pytest.approx(0.2)
    assert metrics["calibration"]["bins"][11]["pixels"] == 150 * 190


# --- crosswalks ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHIPPED_CROSSWALKS)
def test_the_shipped_crosswalks_name_dynamic_worlds_classes_once(name):
    walk = load_crosswalk(name, LEGEND)

    assert (walk.values[:9] < len(walk.classes) - 1).all()
    assert set(walk.names) <= {*NAMES, "rangeland"}


def test_codes_and_names_both_mean_a_class():
    walk = load_crosswalk("worldcover", LEGEND)

    classes = [
        walk.of_label(label) for label in (80, "80", 80.0, "water", " water ", 81, "sea", 0.5)
    ]

    water = walk.classes.index("water")
    assert classes == [water] * 5 + [None] * 3
    assert walk.codes[95] == walk.codes[90]
    np.testing.assert_array_equal(walk.of_codes(np.array([[80, 7]])), [[water, 255]])


def test_a_map_says_its_own_legend(tmp_path):
    tags = {"CLASS_0": "vines", "CLASS_1": "rest"}
    path = write(tmp_path / "map.tif", np.uint8([[0, 1], [7, 255]]), tags=tags)

    with open_class_map(path) as class_map:
        assert dict(class_map.legend) == {0: "vines", 1: "rest"}
    metrics = metrics_of(path, write(tmp_path / "truth.tif", np.uint8([[0, 1], [1, 1]])))
    assert metrics["classes"] == ["vines", "rest", "other"]
    assert metrics["confusion"][1] == [0, 1, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("code,name\n1,a\n", "no map_classes"),
        ("code,name,map_classes\n", "no rows"),
        ("code,name,map_classes\nx,a,water\n", "the code 'x'"),
        ("code,name,map_classes\n1,a, b,water\n", "Line 2 of .* has more values than the header"),
        ("code,name,map_classes\n1,a,sea\n", "names the map class 'sea'; the map has 0 water"),
        ("code,name,map_classes\n1,a,water\n2,b,water;trees\n", "class water of the map as both"),
        ("code,name,map_classes\n1,a,water\n1,b,trees\n", "code 1 two names"),
        ("code,name,map_classes\n1,other,water\n", "named 'other'"),
    ],
)
def test_a_crosswalk_that_cannot_be_is_refused(tmp_path, text, message):
    path = tmp_path / "table.csv"
    path.write_text(text)

    with pytest.raises(UsageError, match=message):
        load_crosswalk(str(path), LEGEND)


def test_a_crosswalk_that_is_not_there_is_refused_with_the_shipped_names():
    with pytest.raises(UsageError, match="neither a file nor one of dynamic-world, esri, worldc"):
        load_crosswalk("corine", LEGEND)


def test_values_of_anybodys_map_can_be_named_by_number(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("code,name,map_classes\n1,a,40;41\n")

    assert load_crosswalk(str(path), LEGEND).values[[40, 41, 42]].tolist() == [0, 0, 1]


# --- points and polygons ---------------------------------------------------------------------


@pytest.fixture
def points(values):
    """Longitude, latitude and true label of some pixels, off their centres."""
    rng = np.random.default_rng(3)
    rows, cols = rng.integers(0, 150, 80), rng.integers(10, 200, 80)
    x, y = 550_000 + 10 * (cols + rng.random(80)), 6_344_000 - 10 * (rows + rng.random(80))
    lon, lat = Transformer.from_crs(32632, 4326, always_xy=True).transform(x, y)
    return lon, lat, values[rows, cols]


def write_points(path, lon, lat, labels):
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(
                [("lon", "lat", "label"), *zip(lon, lat, labels, strict=True)]
            )
    elif path.suffix == ".parquet":
        table = pyarrow.table({"lon": lon, "lat": lat, "label": labels})
        pyarrow.parquet.write_table(table, path)
    else:
        pyogrio.raw.write(
            path,
            geometry=shapely.to_wkb(shapely.points(lon, lat)),
            field_data=[np.array(labels)],
            fields=["label"],
            geometry_type="Point",
            crs="EPSG:4326",
        )
    return path


@pytest.mark.parametrize("kind", ["csv", "parquet", "gpkg", "geojson"])
@pytest.mark.parametrize("named", [True, False])
def test_points_of_any_file_are_compared_at_their_pixel(class_map, points, tmp_path, kind, named):
    lon, lat, ids = points
    labels = [NAMES[i] for i in ids] if named else ids.tolist()

    metrics = metrics_of(class_map, write_points(tmp_path / f"points.{kind}", lon, lat, labels))

    assert metrics["pixels"] == 80
    assert metrics["scores"]["oa"]["value"] == 1
    assert metrics["labels"]["kind"] == "points"
    assert 2 <= metrics["places"] <= 80


def test_points_off_the_map_or_without_a_label_are_not_counted(class_map, points, tmp_path):
    lon, lat, ids = points
    labels = ["", *(NAMES[i] for i in ids[1:])]
    path = write_points(tmp_path / "points.csv", [*lon, 50.0], [*lat, 0.0], [*labels, "water"])

    metrics = metrics_of(class_map, path)

    assert (metrics["pixels"], metrics["unmapped"]) == (79, 1)
    assert "Points without a label, not counted: 1." in metrics["notes"]


def test_points_that_nobody_has_labelled_yet_are_said_so(class_map, points, tmp_path):
    lon, lat, _ = points
    path = write_points(tmp_path / "points.csv", lon, lat, [""] * len(lon))

    with pytest.raises(UsageError, match=r"80 points have an empty column 'label'"):
        metrics_of(class_map, path)


def test_a_point_without_a_place_is_not_counted(class_map, points, tmp_path):
    lon, lat, ids = points
    path = write_points(tmp_path / "points.gpkg", lon, lat, ids.tolist())
    meta, _, blobs, fields = pyogrio.raw.read(path)
    blobs[3], blobs[4] = shapely.to_wkb(shapely.Point()), None
    options = {"fields": meta["fields"], "geometry_type": "Point", "crs": "EPSG:4326"}
    pyogrio.raw.write(tmp_path / "some.gpkg", geometry=blobs, field_data=fields, **options)

    assert metrics_of(class_map, tmp_path / "some.gpkg")["pixels"] == 78


def test_the_real_points_of_dynamic_world_are_read(shared_data, tmp_path):
    path = shared_data / "points" / "l1c_dynamicworld_points.parquet"
    grid = Affine(0.001, 0, -99.9, 0, -0.001, 38.1)
    flat = write(tmp_path / "map.tif", np.full((100, 100), 2, np.uint8), epsg=4326, transform=grid)

    metrics = metrics_of(flat, path, label_column="dynamic_world")

    table = pyarrow.parquet.read_table(path).to_pandas()
    near = table[table.lon.between(-99.9, -99.8) & table.lat.between(38.0, 38.1)]
    assert metrics["pixels"] == len(near) > 0
    assert metrics["scores"]["oa"]["value"] == (near.dynamic_world == 2).mean()


def test_polygons_are_compared_at_the_pixels_whose_centres_they_hold(class_map, values, tmp_path):
    rng = np.random.default_rng(1)
    middles = np.column_stack(
        [rng.uniform(550_300, 551_700, 6), rng.uniform(6_342_800, 6_343_700, 6)]
    )
    shapes = shapely.buffer(shapely.points(middles), rng.uniform(40, 200, 6))
    to_degrees = Transformer.from_crs(32632, 4326, always_xy=True)
    moved = shapely.transform(shapes, lambda xy: np.column_stack(to_degrees.transform(*xy.T)))
    path = tmp_path / "fields.gpkg"
    pyogrio.raw.write(
        path,
        geometry=shapely.to_wkb(moved),
        field_data=[np.array(["4", "1", "4", "1", "0", "2"])],
        fields=["label"],
        geometry_type="Polygon",
        crs="EPSG:4326",
    )

    metrics = metrics_of(class_map, path)

    rows, cols = np.indices(values.shape)
    centres = shapely.points(550_005 + 10 * cols, 6_343_995 - 10 * rows)
    matrix = np.zeros((9, 9), int)
    for shape, label in zip(shapes, (4, 1, 4, 1, 0, 2), strict=True):
        inside = values[shapely.contains(shape, centres) & (values != 255)]
        np.add.at(matrix, (label, inside), 1)
    assert np.abs(np.array(metrics["confusion"]) - matrix).sum() <= 2  # on an edge, to a micrometre
    assert metrics["places"] == 6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x,y,label\n1,2,water\n", "no column lon and lat"),
        ("lon,lat,label\nwest,2,water\n", "lon or lat that is not a number"),
        ("lon,lat,label\n9,83,57,23,water\n", "Line 2 of .* has more values than the header"),
        ("lon,lat,class\n1,2,water\n", "no column 'label'; it has lon, lat, class"),
        ("lon,lat,label\n9.83,57.23,sea\n", "no class of the map: sea"),
    ],
)
def test_points_that_cannot_be_read_are_refused(class_map, tmp_path, text, message):
    path = tmp_path / "points.csv"
    path.write_text(text)

    with pytest.raises(UsageError, match=message):
        metrics_of(class_map, path)


def test_files_that_are_nothing_are_refused(class_map, tmp_path):
    path = tmp_path / "labels.gpkg"
    path.write_text("no")
    far = write(
        tmp_path / "far.tif", np.zeros((3, 3), np.uint8), transform=Affine(10, 0, 0, 0, -10, 0)
    )

    with pytest.raises(UsageError, match=r"labels.gpkg cannot be read"):
        metrics_of(class_map, path)
    with pytest.raises(UsageError, match="not a readable raster"):
        metrics_of(path, class_map)
    with pytest.raises(UsageError, match="lies on a mapped pixel"):
        metrics_of(class_map, far)
    wide = write(tmp_path / "wide.tif", np.zeros((3, 3), np.int16))
    with pytest.raises(UsageError, match="values of int16; a class map has uint8"):
        metrics_of(wide, class_map)


# --- a stratified sample ---------------------------------------------------------------------


def labelled(sample, path, ids):
    """Write a sample again with its labels, as QGIS would."""
    meta, _, blobs, fields = pyogrio.raw.read(sample)
    names = meta["fields"].tolist()
    fields[names.index("label")] = np.array([None if i is None else NAMES[i] for i in ids], object)
    pyogrio.raw.write(
        path,
        geometry=blobs,
        field_data=fields,
        fields=names,
        geometry_type="Point",
        crs="EPSG:4326",
    )
    return path


@pytest.fixture
def country(tmp_path):
    """A map and its truth: a fifth of the crops are grass."""
    rng = np.random.default_rng(11)
    values = rng.choice(np.uint8([1, 4, 6]), (400, 400), p=[0.55, 0.4, 0.05])
    truth = np.where((values == 4) & (rng.random(values.shape) < 0.2), 2, values).astype(np.uint8)
    return write(tmp_path / "map.tif", values), truth


def test_a_labelled_sample_gives_true_areas(country, tmp_path):
    path, truth = country
    drawn = draw_sample(path, size=900, min_per_class=100)
    write_sample(tmp_path / "sample.gpkg", drawn)
    x, y = Transformer.from_crs(4326, 32632, always_xy=True).transform(drawn.lon, drawn.lat)
    ids = truth[((6_344_000 - y) // 10).astype(int), ((x - 550_000) // 10).astype(int)]

    metrics = metrics_of(path, labelled(tmp_path / "sample.gpkg", tmp_path / "done.gpkg", ids))

    adjusted = {row["class"]: row for row in metrics["area_adjusted"]["per_class"]}
    pixel = drawn.pixel_m2.mean() / 1e6
    for name, value in (("trees", 1), ("grass", 2), ("crops", 4), ("built", 6)):
        area = adjusted[name]["area_km2"]
        assert area["value"] == pytest.approx(
            (truth == value).sum() * pixel, abs=1.5 * area["margin"] + 1e-3
        )
    assert adjusted["grass"]["area_km2"]["margin"] > 0.05
    assert adjusted["crops"]["users_accuracy"]["value"] == pytest.approx(0.8, abs=0.06)
    assert adjusted["crops"]["producers_accuracy"] == {"value": 1, "margin": 0}
    assert adjusted["grass"]["users_accuracy"]["value"] is None
    assert adjusted["trees"]["mapped_km2"] == pytest.approx(drawn.strata[0].km2)
    assert any("stratified sample" in note for note in metrics["notes"])


def test_a_sample_of_which_too_little_is_labelled_says_what_is_missing(country, tmp_path):
    path, _ = country
    drawn = draw_sample(path, size=60, min_per_class=10)
    write_sample(tmp_path / "sample.gpkg", drawn)
    ids = [1 if stratum else None for stratum in drawn.stratum]

    with pytest.raises(UsageError, match="Fewer than two points are labelled in the strata 1 of"):
        metrics_of(path, labelled(tmp_path / "sample.gpkg", tmp_path / "done.gpkg", ids))


def test_a_labelled_point_counts_as_the_area_of_its_pixel(tmp_path):
    flat = write(tmp_path / "map.tif", np.full((50, 50), 2, np.uint8))
    path = tmp_path / "points.csv"
    rows = ["9.83,57.2340,grass,2,80,3", "9.83,57.2342,grass,2,80,3"]
    rows += ["9.83,57.2344,water,2,80,1", "9.83,57.2346,water,2,80,1"]
    path.write_text("\n".join(["lon,lat,label,stratum,stratum_area_km2,pixel_area_m2", *rows]))

    metrics = metrics_of(flat, path)["area_adjusted"]

    assert metrics["overall_accuracy"]["value"] == pytest.approx(0.75)
    assert metrics["per_class"][0]["area_km2"]["value"] == pytest.approx(20)


def test_strata_whose_areas_were_changed_are_refused(tmp_path, class_map):
    path = tmp_path / "points.csv"
    path.write_text(
        "lon,lat,label,stratum,stratum_area_km2\n9.83,57.23,water,1,5\n9.83,57.23,water,1,6\n"
    )

    with pytest.raises(UsageError, match="strata without one area each"):
        metrics_of(class_map, path)


# --- the command -----------------------------------------------------------------------------


def test_the_command_prints_tables_and_writes_the_folder(country, tmp_path):
    path, _ = country
    drawn = draw_sample(path, size=300, min_per_class=50)
    write_sample(tmp_path / "sample.gpkg", drawn)
    ids = np.array([one.value for one in drawn.strata])[drawn.stratum]
    done = labelled(tmp_path / "sample.gpkg", tmp_path / "done.gpkg", ids)
    out = tmp_path / "scores"

    result = CliRunner().invoke(
        evaluate, [str(path), "--labels", str(done), "--out", str(out)], catch_exceptions=False
    )

    assert "overall accuracy 100.0% +- 0.0%" in result.output
    assert "Of the points themselves:" in result.output
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["area_adjusted"]["overall_accuracy"]["value"] == pytest.approx(1)
    assert not (out / "reliability.png").exists()


def test_labels_in_the_maps_values_need_no_crosswalk():
    walk = identity_crosswalk({0: "water", 1: "trees", 4: "water"})

    assert walk.classes == ("water", "trees", "other")
    assert walk.values[[0, 1, 2, 4, 255]].tolist() == [0, 1, 2, 0, 255]
