"""Maps with a model that takes the sun: the same however the work is cut; the report tells it."""

import json
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
import rasterio

import lulcmap
from lulcmap.blocks.dask import dask_engine
from lulcmap.catalog.period import make_period
from lulcmap.imagery.rules import CompositeRules
from lulcmap.model.contract import S1_INPUT, S2_INPUT, SUN_SCALAR
from lulcmap.output.assemble import assemble_run
from lulcmap.output.report import MapReport
from lulcmap.pipeline import map_area, map_shard
from lulcmap.planning.settings import Settings
from lulcmap.run import Shard
from lulcmap.simulation.build import Country, simulate
from tests.support.stubs import contract, make_model

RULES = CompositeRules(min_clear=3)
PERIOD = make_period(year=2024, today=date(2026, 1, 1))


def lit(country, name, zeniths):
    """The country's items, each scene of Sentinel-2 under a sun of its own."""
    collection = json.loads(country.items.read_text())
    s2 = [item for item in collection["features"] if "sentinel-2" in item["collection"]]
    for item, zenith in zip(s2, zeniths, strict=False):
        item["properties"]["s2:mean_solar_zenith"] = zenith
    path = country.items.with_name(name)
    path.write_text(json.dumps(collection))
    return path


@pytest.fixture(scope="module")
def country(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lit")
    made = simulate(folder, Country(seed=1, height=256, width=320, s2_dates=6, s1_dates=3))
    rng = np.random.default_rng(0)
    return replace(made, items=lit(made, "lit.json", rng.uniform(20, 80, 200).tolist()))


@pytest.fixture(scope="module")
def settings(country, tmp_path_factory):
    """Settings of a model that takes the sun, with windows that no block size divides."""
    with_sun = contract(scalars={"sun_zenith": SUN_SCALAR})
    path = make_model(tmp_path_factory.mktemp("model") / "sun.onnx", with_sun, kernel=8)

    def of(**changes):
        defaults = {"model": str(path), "catalog": str(country.items), "block_size": 96}
        return Settings(**{**defaults, "device": "cpu", "rules": RULES, **changes})

    return of


@pytest.fixture(scope="module")
def whole(country, settings, tmp_path_factory):
    """The report of the map as one process makes it, with its layers."""
    out = tmp_path_factory.mktemp("whole") / "map.tif"
    chosen = settings(probabilities=True)
    return map_area(str(country.aoi), out, period=PERIOD, settings=chosen)


def layers(report):
    folder = report.map.parent
    files = [report.map, *(folder / one.file for of in report.layers.values() for one in of)]
    found = []
    for path in files:
        with rasterio.open(path) as made:
            found.append(made.read())
    return np.concatenate(found)


@pytest.mark.parametrize("block_size", [48, 144, 480])
def test_the_map_does_not_depend_on_the_blocks(country, settings, whole, block_size, tmp_path):
    chosen = settings(block_size=block_size, probabilities=True)

    report = map_area(str(country.aoi), tmp_path / "map.tif", period=PERIOD, settings=chosen)

    np.testing.assert_array_equal(layers(report), layers(whole))
    assert report.sun_zenith == whole.sun_zenith


def test_another_sun_gives_another_map(country, settings, whole, tmp_path):
    other = lit(country, "other.json", [30.0] * 200)

    chosen = settings(catalog=str(other), probabilities=True)
    report = map_area(str(country.aoi), tmp_path / "map.tif", period=PERIOD, settings=chosen)

    assert report.sun_zenith == (30, 30)
    assert (layers(report) != layers(whole)).any()


def test_shards_and_dask_give_the_map_of_one_process(
    country, settings, whole, tmp_path, socket_enabled
):
    out = tmp_path / "map.tif"
    for number in (2, 1):
        chosen = settings(probabilities=True)
        shard = Shard(number, 2)
        map_shard(str(country.aoi), out, shard=shard, period=PERIOD, settings=chosen)
    sharded = assemble_run(tmp_path / "map.tif.run")
    on_dask = map_area(
        str(country.aoi),
        tmp_path / "dask.tif",
        period=PERIOD,
        settings=settings(probabilities=True),
        engine=dask_engine("local:1"),
    )

    for report in (sharded, on_dask):
        assert report.map.read_bytes() == whole.map.read_bytes()
        assert report.sun_zenith == whole.sun_zenith


def test_a_run_that_is_resumed_gives_the_same_map(country, settings, whole, tmp_path):
    out = tmp_path / "map.tif"
    chosen = settings(probabilities=True)
    map_shard(str(country.aoi), out, shard=Shard(1, 3), period=PERIOD, settings=chosen)

    report = map_area(str(country.aoi), out, period=PERIOD, settings=chosen)

    assert report.map.read_bytes() == whole.map.read_bytes()


def test_the_report_says_the_sun_s_range_and_reads_it_again(whole):
    low, high = whole.sun_zenith

    assert 20 <= low < high <= 80
    assert MapReport.read(whole.map, min_coverage=0).sun_zenith == (low, high)


def test_a_model_without_the_sun_says_nothing_of_it(country, settings, model, tmp_path):
    chosen, out = settings(model=str(model)), tmp_path / "map.tif"
    shard = Shard(1, 2)
    map_shard(str(country.aoi), out, shard=shard, period=PERIOD, settings=chosen)
    blocks = [path.read_bytes() for path in tmp_path.glob("map.tif.run/blocks/*.tif")]
    report = map_area(str(country.aoi), out, period=PERIOD, settings=chosen)

    assert blocks
    assert not any(b"sun_zenith" in block for block in blocks)
    assert "sun_zenith" not in report.to_json()


def test_the_python_interface_classifies_a_composite_under_its_sun(country, settings):
    chosen = settings()
    image = lulcmap.composite(str(country.aoi), year=2024, catalog=str(country.items), min_clear=3)

    opened = lulcmap.open_model(chosen.model, device="cpu")
    classified = opened.classify(image)
    elsewhere = opened.classify(replace(image, sun=np.where(image.has_s2, 3000, 65535)))

    assert image.sun.shape == image.grid.shape
    assert (classified.confidence != elsewhere.confidence).any()


def test_a_map_of_radar_alone_is_made_under_the_sun_that_stands_for_none(
    country, settings, tmp_path
):
    collection = json.loads(country.items.read_text())
    collection["features"] = [
        item for item in collection["features"] if "sentinel-1" in item["collection"]
    ]
    path = country.items.with_name("radar.json")
    path.write_text(json.dumps(collection))

    report = map_area(
        str(country.aoi),
        tmp_path / "map.tif",
        period=PERIOD,
        settings=settings(catalog=str(path)),
    )

    assert report.coverage > 0.9
    assert report.sun_zenith is None


def test_a_model_of_both_sensors_that_needs_both_counts_what_it_sees(country, settings, tmp_path):
    needs = {"s2": replace(S2_INPUT, optional=False), "s1": replace(S1_INPUT, optional=False)}
    path = make_model(
        tmp_path / "m.onnx", contract(inputs=needs, scalars={"sun_zenith": SUN_SCALAR}), kernel=8
    )
    reports = [
        map_area(
            str(country.aoi),
            tmp_path / f"{size}.tif",
            period=PERIOD,
            settings=settings(model=str(path), block_size=size, probabilities=True),
        )
        for size in (96, 480)
    ]

    np.testing.assert_array_equal(*map(layers, reports))
