"""Points to train with lie where labels help, and nothing is estimated from them."""

import json

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from lulcmap.cli.sample import sample
from lulcmap.errors import UsageError
from lulcmap.evaluation import (
    check_sample_path,
    draw_sample,
    draw_training_sample,
    evaluate_map,
    read_points,
    write_sample,
    write_training_sample,
)
from lulcmap.evaluation.regions import Regions
from lulcmap.evaluation.training_sample import spread

TRANSFORM = Affine(10, 0, 500_000, 0, -10, 6_400_000)
SIDE = 200


def write_layer(path, bands, names, *, transform=TRANSFORM, nodata=255):
    bands = np.asarray(bands)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype=bands.dtype,
        count=len(bands),
        height=bands.shape[1],
        width=bands.shape[2],
        crs="EPSG:32632",
        transform=transform,
        nodata=nodata,
    ) as file:
        file.write(bands)
        for number, name in enumerate(names, 1):
            file.set_band_description(number, name)
    return path


@pytest.fixture
def values():
    values = np.ones((SIDE, SIDE), np.uint8)  # trees
    values[:, 120:] = 4  # crops
    values[20:24, 20:24] = 6  # built: 16 pixels
    return values


@pytest.fixture
def class_map(tmp_path, values):
    return write_layer(tmp_path / "map.tif", values[None], ["class"])


@pytest.fixture
def margin(values):
    rng = np.random.default_rng(1)
    margin = rng.integers(70, 101, values.shape).astype(np.uint8)
    margin[100:140] = rng.integers(0, 20, (40, SIDE))  # a band that the model is unsure of
    return margin


def places(drawn):
    """Rows and columns of the points."""
    xs, ys = Transformer.from_crs(4326, 32632, always_xy=True).transform(drawn.lon, drawn.lat)
    return ((6_400_000 - ys) // 10).astype(int), ((xs - 500_000) // 10).astype(int)


def test_points_lie_where_the_margin_is_low(tmp_path, class_map, values, margin):
    write_layer(tmp_path / "map-quality.tif", [margin + 0, margin], ["confidence", "margin"])

    drawn = draw_training_sample(class_map, size=100, min_per_class=10)

    rows, cols = places(drawn)
    common = drawn.mapped != 6  # built has 16 pixels, which the model is sure of
    assert (margin[rows, cols] < 20)[common].mean() > 0.8  # 20 % of the map
    np.testing.assert_array_equal(values[rows, cols], drawn.mapped)
    np.testing.assert_allclose(
        drawn.unsureness, np.maximum(1 - margin[rows, cols] / 100, 0.02), atol=1e-9
    )
    assert drawn.source == "margin of map-quality.tif"
    assert len({*zip(rows.tolist(), cols.tolist(), strict=True)}) == 100


def test_rare_classes_get_more_than_their_share(class_map, values):
    drawn = draw_training_sample(class_map, size=100, min_per_class=12)

    assert np.count_nonzero(drawn.mapped == 6) == 12  # of 16 pixels in 40,000
    assert np.count_nonzero(drawn.mapped == 4) > 100 * np.mean(values == 4) * 0.95


def test_points_are_spread_over_the_map(class_map):
    drawn = draw_training_sample(class_map, size=96, min_per_class=4)

    rows, cols = places(drawn)
    held = np.unique(rows // 50 * 4 + cols // 50)
    assert len(held) == 16  # cells of 50 x 50 pixels, all of them
    common = drawn.mapped != 6
    at = np.stack([rows, cols])[:, common]
    nearest = np.sort(np.hypot(*(at[:, :, None] - at[:, None])), axis=0)[1]
    # pixels; the two classes meet, and there are no pairs where they do
    assert nearest.min() > 2
    assert np.median(nearest) > 8


def test_a_rare_spectrum_is_among_the_points(tmp_path, class_map, values):
    spectra = np.full((3, SIDE, SIDE), 1000, np.uint16)
    spectra += np.random.default_rng(3).integers(0, 50, spectra.shape).astype(np.uint16)
    odd = np.zeros(values.shape, bool)
    odd[60:70, 60:72] = True  # 0.5 % of the trees
    spectra[:, odd] = 4000

    def share(with_composite):
        composite = tmp_path / "map-composite.tif"
        composite.unlink(missing_ok=True)
        if with_composite:
            write_layer(composite, spectra, ["B04", "B03", "B02"], nodata=0)
        write_layer(
            tmp_path / "map-quality.tif", np.full((1, SIDE, SIDE), 50, np.uint8), ["margin"]
        )
        found = 0
        for seed in range(5):
            drawn = draw_training_sample(class_map, size=80, min_per_class=4, seed=seed)
            assert drawn.has_spectra == with_composite
            found += odd[places(drawn)].any()
        return found

    assert share(True) == 5
    assert share(False) <= 3


def test_every_class_is_spread_evenly_over_the_regions(class_map):
    to_degrees = Transformer.from_crs(32632, 4326, always_xy=True)
    north = shapely.box(500_000, 6_399_000, 502_000, 6_400_000)  # rows 0 to 99
    south = shapely.box(500_000, 6_398_000, 502_000, 6_399_000)
    shapes = [
        shapely.transform(
            shapely.segmentize(one, 10), lambda xy: np.column_stack(to_degrees.transform(*xy.T))
        )
        for one in (north, south)
    ]

    drawn = draw_training_sample(
        class_map,
        size=60,
        min_per_class=4,
        regions=Regions(np.array(shapes, object), ("north", "south")),
    )

    rows, _ = places(drawn)
    for value in (1, 4):
        in_north = np.count_nonzero(rows[drawn.mapped == value] < 100)
        assert abs(2 * in_north - np.count_nonzero(drawn.mapped == value)) <= 3


def test_without_a_layer_points_lie_at_boundaries_and_this_is_said(class_map, tmp_path, values):
    out = tmp_path / "training.gpkg"

    ran = CliRunner().invoke(
        sample,
        [str(class_map), "--size", "60", "--for", "training", "--out", str(out)],
    )

    assert ran.exit_code == 0
    assert "Chosen by boundaries between classes, spread over space." in ran.stdout
    assert "lulcmap predict --confidence" in ran.stderr
    layer = pyogrio.read_dataframe(out)
    assert set(layer["design"]) == {"training"}
    assert layer["unsureness"].eq(1).mean() > 0.3  # of 2 % of the map
    assert list(layer.columns[:4]) == ["id", "label", "lon", "lat"]
    assert layer.columns[-2] == "mapped"
    check_sample_path(out, overwrite=True)


def test_a_confidence_band_of_the_map_itself_is_taken(tmp_path, values, margin):
    path = write_layer(tmp_path / "map.tif", [values, margin], ["class", "confidence"])

    drawn = draw_training_sample(path, size=60, min_per_class=4)

    assert drawn.source == "confidence of map.tif"
    assert (margin[places(drawn)] < 20).mean() > 0.7


def test_the_same_seed_chooses_the_same_points(class_map):
    one, same, other = (
        draw_training_sample(class_map, size=60, min_per_class=10, seed=seed) for seed in (1, 1, 2)
    )

    np.testing.assert_array_equal(one.lon, same.lon)
    assert len(np.intersect1d(one.lon, other.lon)) < 40


def test_a_layer_of_another_map_is_refused(tmp_path, class_map, margin):
    moved = TRANSFORM @ Affine.translation(1, 0)
    write_layer(tmp_path / "map-quality.tif", margin[None], ["margin"], transform=moved)

    with pytest.raises(UsageError, match=r"map-quality.tif has other pixels than .*map.tif"):
        draw_training_sample(class_map, size=60, min_per_class=4)


def test_a_layer_without_margins_is_refused(tmp_path, class_map, margin):
    path = write_layer(tmp_path / "other.tif", margin[None], ["origin"])

    with pytest.raises(UsageError, match="no band margin or confidence; it has origin"):
        draw_training_sample(class_map, size=60, min_per_class=4, quality=path)


@pytest.mark.parametrize("option", ["--quality", "--composite", "--regions"])
def test_options_of_training_are_refused_for_accuracy(option, class_map, tmp_path):
    out = tmp_path / "sample.gpkg"
    ran = CliRunner().invoke(
        sample, [str(class_map), "--size", "60", "--out", str(out), option, str(class_map)]
    )

    assert ran.exit_code == 2
    assert "They are for --for training" in ran.output


def labelled(path, *, values=None):
    """The points of a file, with the mapped class as the label."""
    layer = pyogrio.read_dataframe(path)
    layer["label"] = "trees"
    return layer


def test_nothing_is_estimated_from_points_to_train_with(tmp_path, class_map):
    path = tmp_path / "training.gpkg"
    write_training_sample(path, draw_training_sample(class_map, size=60, min_per_class=4))
    pyogrio.write_dataframe(labelled(path), path, layer="sample")

    with pytest.raises(UsageError, match="has 60 of 60 labels chosen for training") as refused:
        evaluate_map(class_map, path, crosswalk=None, label_column=None, regions=Regions())
    with pytest.raises(UsageError, match="has 60 of 60 labels chosen for training"):
        read_points(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("ending", ["gpkg", "csv", "geojson"])
def test_nothing_is_estimated_from_a_mix(tmp_path, class_map, ending):
    pandas = pytest.importorskip("pandas")
    random, training = tmp_path / "sample.gpkg", tmp_path / "training.gpkg"
    write_sample(random, draw_sample(class_map, size=60, min_per_class=5))
    write_training_sample(training, draw_training_sample(class_map, size=20, min_per_class=4))
    mix = pandas.concat([labelled(random), labelled(training)])
    path = tmp_path / f"mix.{ending}"
    if ending == "csv":
        mix.drop(columns="geometry").to_csv(path, index=False)
    else:
        pyogrio.write_dataframe(mix, path)

    with pytest.raises(UsageError, match="has 20 of 80 labels chosen for training"):
        evaluate_map(class_map, path, crosswalk=None, label_column=None, regions=Regions())


def test_a_random_design_is_estimated_from(tmp_path, class_map):
    path = tmp_path / "sample.gpkg"
    write_sample(path, draw_sample(class_map, size=60, min_per_class=5))
    layer = labelled(path)
    layer["design"] = "random"
    pyogrio.write_dataframe(layer, path, layer="sample")

    result = evaluate_map(class_map, path, crosswalk=None, label_column=None, regions=Regions())

    assert result.adjusted is not None


def test_points_of_an_evaluation_with_rows_to_train_with_are_refused(tmp_path):
    (tmp_path / "points.csv").write_text(
        "lon,lat,stratum,stratum_area_km2,pixel_area_m2,mapped,true,design\n"
        "9,57,1,2,100,trees,trees,\n9,57,1,2,100,trees,trees,training\n"
    )

    with pytest.raises(UsageError, match="chosen for training"):
        read_points(tmp_path)


def test_json_says_what_the_points_are(class_map, tmp_path):
    ran = CliRunner().invoke(
        sample,
        [str(class_map), "--size=40", "--for=training", f"--out={tmp_path / 'a.gpkg'}", "--json"],
    )

    result = json.loads(ran.stdout)
    assert result["design"] == "training"
    assert sum(one["points"] for one in result["classes"]) == 40


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 30), st.integers(1, 40), st.integers(0, 2**16))
def test_spread_takes_each_candidate_at_most_once(n, number, seed):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 3)).round(1)
    regions = rng.choice(["a", "b", "c"], n)

    chosen = spread(features, rng.uniform(0.02, 1, n), number, regions=regions)

    assert len(np.unique(chosen)) == len(chosen) == min(n, number)
    sizes = {name: np.count_nonzero(regions == name) for name in set(regions.tolist())}
    taken = {name: np.count_nonzero(regions[chosen] == name) for name in sizes}
    largest = max(taken.values(), default=0)
    assert all(taken[name] >= min(sizes[name], largest - 1) for name in sizes)
