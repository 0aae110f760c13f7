"""The Python API: what `import lulcmap` offers, on a simulated country."""

import inspect
import json
import typing
from dataclasses import fields

import geopandas
import numpy as np
import pystac
import pytest
import rasterio
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

import lulcmap
from lulcmap import api
from lulcmap.geo import footprint
from lulcmap.output import assemble_run
from lulcmap.planning import RULES, Settings
from lulcmap.sensors import S2_BANDS

YEAR = 2024


@pytest.fixture
def options(country, model):
    return {"model": model, "catalog": country.items, "block_size": 480, "device": "cpu"}


def test_every_name_is_there_and_documented():
    for name in lulcmap.__all__:
        thing = getattr(lulcmap, name)
        assert inspect.getdoc(thing), name
    assert set(lulcmap.__all__) <= set(dir(lulcmap))
    with pytest.raises(AttributeError):
        lulcmap.nothing  # noqa: B018


def test_its_keywords_are_the_settings():
    names = {field.name for field in fields(Settings)} - {"rules"} | set(RULES)

    assert set(api.MapOptions.__annotations__) == names
    assert set(api.CompositeOptions.__annotations__) <= names
    hints = typing.get_type_hints(Settings)
    for name, hint in typing.get_type_hints(api.MapOptions).items():
        if name in hints and name not in ("catalog", "model"):
            assert hint == hints[name], name


def test_a_keyword_that_is_none_is_refused_by_name(country, options):
    with pytest.raises(TypeError, match="no setting is called min_claer"):
        lulcmap.map_area(country.aoi, year=YEAR, **options, min_claer=3)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"s1": "never"}, "s1 is 'never'; choose off, optional, required."),
        ({"max_cloud": -4}, "max_cloud is -4; it must be a number from 0 to 100."),
        ({"min_clear": 255}, "min_clear is 255; it must be a number from 1 to 254."),
        ({"patience": float("nan")}, "patience is nan; it must be a number from 0 up."),
        ({"workers": True}, "workers is True; it must be a number from 1 to 256."),
        ({"batch_size": 0}, "batch_size is 0; it must be a number from 1 up."),
    ],
)
def test_a_setting_that_cannot_be_is_refused(country, wrong, says):
    with pytest.raises(lulcmap.errors.UsageError) as refused:
        lulcmap.map_area(country.aoi, year=YEAR, **wrong)

    assert str(refused.value) == says


def test_defaults_of_assembling_are_the_settings():
    parameters = inspect.signature(assemble_run).parameters

    for name in ("min_coverage", "zones", "keep_run", "overwrite"):
        assert parameters[name].default == getattr(Settings(), name)


def areas(aoi):
    shape = shapely.from_geojson(aoi.read_text())
    frame = geopandas.read_file(aoi)
    return {
        "a path": aoi,
        "text": str(aoi),
        "a shapely geometry": shape,
        "a feature": frame.iloc[:1],
        "a frame in another CRS": frame.to_crs(32632),
    }


@pytest.mark.parametrize("kind", ["text", "a shapely geometry", "a feature"])
def test_an_area_in_any_form_gives_the_same_map(country, options, tmp_path, kind):
    first = lulcmap.map_area(country.aoi, tmp_path / "a.tif", year=YEAR, **options)
    second = lulcmap.map_area(areas(country.aoi)[kind], tmp_path / "b.tif", year=YEAR, **options)

    assert second.pixels == first.pixels
    with rasterio.open(first.map) as one, rasterio.open(second.map) as other:
        np.testing.assert_array_equal(one.read(1), other.read(1))


def test_an_area_in_another_crs_lies_in_the_same_place(country, options, tmp_path):
    first = lulcmap.plan_map(country.aoi, tmp_path / "a.tif", year=YEAR, **options)
    frame = areas(country.aoi)["a frame in another CRS"]
    second = lulcmap.plan_map(frame, tmp_path / "b.tif", year=YEAR, **options)

    assert second.km2 == pytest.approx(first.km2, rel=1e-3)
    assert second.zones[0].blocks == first.zones[0].blocks


def test_a_catalogue_in_memory_gives_the_map_of_its_file(country, options, tmp_path):
    values = json.loads(country.items.read_text())
    unrooted = pystac.ItemCollection.from_dict(values)
    rooted = pystac.ItemCollection.from_dict({**values, "lulcmap:root": str(country.items.parent)})

    first = lulcmap.map_area(country.aoi, tmp_path / "a.tif", year=YEAR, **options)
    second = lulcmap.map_area(
        country.aoi, tmp_path / "b.tif", year=YEAR, **{**options, "catalog": rooted}
    )

    with rasterio.open(first.map) as one, rasterio.open(second.map) as other:
        np.testing.assert_array_equal(one.read(1), other.read(1))
    with pytest.raises(lulcmap.errors.NoScenesError):  # a server may have made it
        lulcmap.plan_map(country.aoi, year=YEAR, **{**options, "catalog": unrooted})


def test_errors_name_keywords_and_not_the_command_s_options(country, options, tmp_path):
    lulcmap.map_area(country.aoi, tmp_path / "map.tif", year=YEAR, **options)

    with pytest.raises(lulcmap.errors.OutputError) as refused:
        lulcmap.map_area(country.aoi, tmp_path / "map.tif", year=YEAR, **options, min_clear=1)
    with pytest.raises(lulcmap.errors.UsageError) as nothing:
        lulcmap.map_area(country.aoi, tmp_path / "map.tif", **options)
    with pytest.raises(lulcmap.errors.UsageError) as wrong:
        lulcmap.plan_map(country.aoi, year=YEAR, **{**options, "block_size": 500})

    assert "Give overwrite=True to replace it, or choose another out." in str(refused.value)
    assert "Give year, month, season, last, or start and end." in str(nothing.value)
    assert str(wrong.value).startswith("block_size is 500")


def test_a_day_may_be_text_or_a_date(country, options, tmp_path):
    estimate = lulcmap.plan_map(
        country.aoi, tmp_path / "a.tif", start="2024-01-01", end="2024-12-31", **options
    )

    assert estimate.period == ("2024-01-01", "2024-12-31")
    with pytest.raises(lulcmap.errors.UsageError, match="ISO 8601"):
        lulcmap.plan_map(country.aoi, start="May", end="June", **options)


def test_a_composite_classified_is_the_map(country, options, tmp_path):
    """Away from the edges, beyond which the composite knows nothing."""
    report = lulcmap.map_area(country.aoi, tmp_path / "map.tif", year=YEAR, **options)
    with rasterio.open(country.truth) as truth:
        grid = GeoBox(truth.shape, truth.transform, truth.crs)
    image = lulcmap.composite(grid, year=YEAR, catalog=country.items)

    classified = lulcmap.open_model(options["model"], device="cpu").classify(image)
    mapped = lulcmap.open_map(report.map)

    dataset = classified.to_xarray()
    part = mapped.sel(x=slice(*mapped.x[60:-60:1][[0, -1]]), y=slice(*mapped.y[60:-60:1][[0, -1]]))
    both = dataset.classes.sel(x=part.x, y=part.y)
    inside = part.values != 255
    assert inside.sum() > 5000
    np.testing.assert_array_equal(both.values[inside], part.values[inside])
    assert dataset.confidence.attrs["units"] == "percent"


def test_a_composite_of_an_area_covers_it(country, options):
    image = lulcmap.composite(country.aoi, year=YEAR, catalog=country.items)

    dataset = image.to_xarray()
    west, south, east, north = shapely.from_geojson(country.aoi.read_text()).bounds
    assert tuple(dataset.s2.s2_band.values) == S2_BANDS
    assert dataset.s2.dims == ("s2_band", "y", "x")
    assert image.has_s2.mean() > 0.5
    left, bottom, right, top = footprint(image.grid)
    assert left <= west < east <= right
    assert bottom <= south < north <= top


def test_a_grid_that_no_composite_can_have_is_refused(country):
    askew = GeoBox((100, 100), Affine(10, 0, 500_005, 0, -10, 5_500_000), "EPSG:32632")

    with pytest.raises(lulcmap.errors.UsageError, match="edges on multiples of 20 m"):
        lulcmap.composite(askew, year=YEAR, catalog=country.items)
    with pytest.raises(lulcmap.errors.UsageError, match="more than 100,000,000"):
        lulcmap.composite((5, 45, 7, 47), year=YEAR, catalog=country.items)


def test_a_map_says_its_classes_in_cf_attributes(country, options, tmp_path):
    report = lulcmap.map_area(country.aoi, tmp_path / "map.tif", year=YEAR, **options)

    mapped = lulcmap.open_map(report.map)

    assert mapped.name == "land_cover"
    assert list(mapped.flag_values) == list(range(9))
    assert mapped.flag_meanings.split()[:2] == ["water", "trees"]
    assert mapped.flag_colors.split()[0].startswith("#")
    assert mapped.spatial_ref.attrs["crs_wkt"]
    with rasterio.open(report.map) as file:
        np.testing.assert_array_equal(mapped.values, file.read(1))
        x, y = file.xy(0, 0)
    assert (float(mapped.x[0]), float(mapped.y[0])) == (x, y)
    with pytest.raises(lulcmap.errors.UsageError, match="cannot be read as a map"):
        lulcmap.open_map(country.aoi)
    with pytest.raises(lulcmap.errors.UsageError, match="has no class names"):
        lulcmap.open_map(country.truth)


def test_models_are_listed_and_found_by_name():
    names = [model.name for model in lulcmap.list_models()]

    assert "lulcformer-tiny" in names
    model = lulcmap.open_model("lulcformer-tiny", device="cpu")
    assert model.contract.trained_on == "simulated"
    with pytest.raises(lulcmap.errors.ModelError, match="neither a file nor an available model"):
        lulcmap.open_model("lulcformer-huge")
