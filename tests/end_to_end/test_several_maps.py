"""Areas that become several maps, maps that are nearly empty, and the native grids of zones."""

import json
from datetime import date

import numpy as np
import pytest
import rasterio
import shapely
from click.testing import CliRunner
from rio_cogeo.cogeo import cog_validate

from lulcmap.catalog.period import make_period
from lulcmap.cli import main
from lulcmap.errors import OutputError, UsageError
from lulcmap.legend import NODATA
from lulcmap.pipeline import Settings, map_area
from lulcmap.simulation.build import Country, simulate
from tests.support.beside import with_sidecars

PERIOD = make_period(year=2024, today=date(2026, 1, 1))


@pytest.fixture(scope="module")
def archipelago(tmp_path_factory):
    """Two simulated islands 670 km apart in one zone, and a third of each other's size."""
    folder = tmp_path_factory.mktemp("islands")
    items, outlines = [], []
    for name, size, north in (("small", 128, 4_660_000), ("large", 256, 5_330_000)):
        made = simulate(
            folder / name,
            Country(seed=2, height=size, width=size, s2_dates=2, s1_dates=2, north=north),
        )
        for item in json.loads(made.items.read_text())["features"]:
            item["id"] = f"{item['id']}_{name}"
            for asset in item["assets"].values():
                asset["href"] = f"./{name}/{asset['href'].removeprefix('./')}"
            items.append(item)
        outlines += shapely.get_parts(shapely.from_geojson(made.aoi.read_text())).tolist()
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    (folder / "aoi.geojson").write_text(shapely.to_geojson(shapely.MultiPolygon(outlines)))
    return folder


@pytest.fixture
def settings(archipelago, model):
    def of(**changes):
        defaults = {"model": str(model), "catalog": str(archipelago / "items.json")}
        return Settings(**{**defaults, "block_size": 96, "device": "cpu", **changes})

    return of


def read(path):
    with rasterio.open(path) as source:
        return source.read(1), source.bounds, source.crs, source.tags()


def test_parts_far_apart_become_maps_of_their_own(archipelago, settings, tmp_path):
    out = tmp_path / "map.tif"

    report = map_area(str(archipelago / "aoi.geojson"), out, period=PERIOD, settings=settings())
    again = map_area(str(archipelago / "aoi.geojson"), out, period=PERIOD, settings=settings())

    names = with_sidecars("map.tif", "map-2.tif")
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert [written.file for written in report.maps] == ["map.tif", "map-2.tif"]
    assert again.already_made
    total = 0
    for written in report.maps:
        values, bounds, crs, tags = read(tmp_path / written.file)
        assert cog_validate(tmp_path / written.file, strict=True, quiet=True)[0]
        assert bounds.top - bounds.bottom < 3000
        assert (crs.to_string(), values.shape) == (written.crs, (written.height, written.width))
        assert tags["LULCMAP_PLAN"] == report.plan
        total += (values != NODATA).sum()
    assert total == report.total - report.pixels.get("not_mapped", 0)
    assert read(out)[0].size > read(tmp_path / "map-2.tif")[0].size


def test_each_part_has_layers_of_its_own(archipelago, settings, tmp_path):
    layers = {"confidence": True, "probabilities": True, "save_composite": True}

    report = map_area(
        str(archipelago / "aoi.geojson"),
        tmp_path / "map.tif",
        period=PERIOD,
        settings=settings(**layers),
    )

    for written in report.maps:
        path = tmp_path / written.file
        values, bounds, crs, _ = read(path)
        item = json.loads(path.with_suffix(".json").read_bytes())
        for name, nodata in (("quality", 255), ("probabilities", 255), ("composite", 0)):
            layer = path.with_name(f"{path.stem}-{name}.tif")
            assert f"./{layer.name}" in {asset["href"] for asset in item["assets"].values()}
            with rasterio.open(layer) as source:
                assert (source.bounds, source.crs, source.shape) == (bounds, crs, values.shape)
                has_value = (source.read() != nodata).any(axis=0)
            np.testing.assert_array_equal(has_value[values != NODATA], True)


def test_one_grid_for_all_is_made_only_if_it_is_wanted(archipelago, settings, tmp_path):
    aoi, out = str(archipelago / "aoi.geojson"), tmp_path / "map.tif"
    one = settings(crs="EPSG:32632")

    with pytest.raises(UsageError, match=r"Only 0\.\d+% of .* lie in the area\. Give --yes"):
        map_area(aoi, out, period=PERIOD, settings=one)
    report = map_area(aoi, out, period=PERIOD, settings=settings(crs="EPSG:32632", sparse=True))
    two = map_area(aoi, tmp_path / "two.tif", period=PERIOD, settings=settings())

    assert [written.file for written in report.maps] == ["map.tif"]
    assert report.classes == two.classes
    whole, bounds, *_ = read(out)
    part, inner, *_ = read(tmp_path / "two.tif")
    row, col = round((bounds.top - inner.top) / 10), round((inner.left - bounds.left) / 10)
    height, width = part.shape
    np.testing.assert_array_equal(whole[row : row + height, col : col + width], part)
    assert out.stat().st_size < 300_000  # of 5 million pixels, nearly all in empty tiles


def test_another_file_of_a_map_s_name_is_not_replaced(archipelago, settings, tmp_path):
    (tmp_path / "map-2.tif").write_text("mine")

    with pytest.raises(OutputError, match=r"map-2\.tif exists and is not this map"):
        map_area(
            str(archipelago / "aoi.geojson"),
            tmp_path / "map.tif",
            period=PERIOD,
            settings=settings(),
        )

    assert (tmp_path / "map-2.tif").read_text() == "mine"


@pytest.fixture(scope="module")
def borderland(tmp_path_factory):
    """A country on both sides of 12 degrees east."""
    return simulate(
        tmp_path_factory.mktemp("borderland"),
        Country(
            seed=4, height=256, width=256, west=723_040, north=5_306_000, s2_dates=2, s1_dates=2
        ),
    )


def test_zones_are_written_on_their_own_grids_too(borderland, model, tmp_path):
    settings = Settings(
        model=str(model),
        catalog=str(borderland.items),
        block_size=96,
        device="cpu",
        zones=True,
        crs="EPSG:3035",
    )

    report = map_area(str(borderland.aoi), tmp_path / "map.tif", period=PERIOD, settings=settings)

    files = {written.file: written.crs for written in report.maps}
    assert files == {
        "map.tif": "EPSG:3035",
        "map-z32632.tif": "EPSG:32632",
        "map-z32633.tif": "EPSG:32633",
    }
    counts = np.zeros(256, int)
    for name, crs in list(files.items())[1:]:
        values, bounds, found, _ = read(tmp_path / name)
        assert found.to_string() == crs
        assert bounds.left % 10 == bounds.top % 10 == 0
        counts += np.bincount(values.ravel(), minlength=256)
    assert counts[:NODATA].sum() == report.total - report.pixels.get("not_mapped", 0)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--max-memory", "100MB"], 2),
        (["--max-memory", "a lot"], 2),
        (["--max-memory", "1.5 GiB"], 0),
        (["--timeout", "0"], 2),
        (["--min-coverage", "1.5"], 2),
        (["--shard", "5/4"], 2),
        (["--dask", "nowhere"], 2),
    ],
)
def test_options_of_long_runs_are_refused_in_one_line(borderland, model, tmp_path, words, code):
    command = ["predict", "--aoi", str(borderland.aoi), "--year", "2024", "--model", str(model)]
    command += ["--catalog", str(borderland.items), "--block-size", "96", "--device", "cpu"]

    result = CliRunner().invoke(main, [*command, "--out", str(tmp_path / "map.tif"), *words])

    assert result.exit_code == code, result.output
    if code:
        assert words[0] in result.output
        assert len(result.output.strip().splitlines()) == 1
        assert list(tmp_path.iterdir()) == []
