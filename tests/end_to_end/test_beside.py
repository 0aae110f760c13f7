"""What a run leaves beside its map: sidecars and layers, however it ends and is begun again."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox
from rio_cogeo.cogeo import cog_validate

from lulcmap import composite
from lulcmap.catalog import make_period
from lulcmap.errors import OutputError, UsageError
from lulcmap.evaluation import open_class_map, pixel_areas
from lulcmap.geo import even_grid
from lulcmap.output import assemble_run
from lulcmap.output import sidecars as module
from lulcmap.output.extras import Extras
from lulcmap.pipeline import map_area, map_shard
from lulcmap.run import Shard
from tests.planning.test_estimate import plan_for
from tests.support.beside import with_sidecars
from tests.support.stac import validate

PERIOD = make_period(year=2024)


@pytest.fixture(scope="module")
def kept(country, settings, tmp_path_factory) -> Path:
    """A map with its quality, and its run."""
    out = tmp_path_factory.mktemp("kept") / "map.tif"
    chosen = settings(confidence=True, keep_run=True, license="CC0-1.0")
    map_area(str(country.aoi), out, period=PERIOD, settings=chosen)
    return out


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def test_the_quality_is_that_of_the_blocks(kept):
    with rasterio.open(kept) as dataset:
        classes, grid = dataset.read(1), dataset.transform
    quality = kept.with_name("map-quality.tif")
    with rasterio.open(quality) as dataset:
        values, transform = dataset.read(), dataset.transform
        assert dataset.descriptions == ("confidence", "margin", "s2_count", "s1_count", "origin")
        assert dataset.units[:2] == ("percent", "percent")
        assert dataset.nodata == 255
    assert transform == grid
    assert cog_validate(quality, strict=True)[0]
    np.testing.assert_array_equal(values[4] == 255, classes == 255)
    for path in (kept.parent / "map.tif.run" / "blocks").iterdir():
        with rasterio.open(path) as block:
            expected = block.read()
            left, top = block.transform.c, block.transform.f
        row, col = round((transform.f - top) / 10), round((left - transform.c) / 10)
        rows = slice(max(row, 0), None), slice(max(-row, 0), None)
        cols = slice(max(col, 0), None), slice(max(-col, 0), None)
        ours, theirs = values[:, rows[0], cols[0]], expected[:, rows[1], cols[1]]
        height, width = np.minimum(ours.shape[1:], theirs.shape[1:])
        ours, theirs = ours[:, :height, :width], theirs[:, :height, :width]
        inside = ours[4] != 255
        np.testing.assert_array_equal(ours[:, inside], theirs[1:, inside])


def test_the_report_has_true_areas_beside_pixels(kept):
    report = json.loads(kept.with_name("map.tif.report.json").read_text())

    with open_class_map(kept) as made:
        areas = pixel_areas(made, (0, 0, *made.shape))
        classes = made.window(0, 0, *made.shape)
    assert report["hectares"] == {
        cover["name"]: pytest.approx(areas[classes == cover["id"]].sum() / 1e4, abs=0.006)
        for cover in report["legend"]
        if (classes == cover["id"]).any()
    }


def test_the_item_is_valid_and_names_the_quality(kept):
    item = json.loads(kept.with_name("map.json").read_bytes())

    validate(item)
    assert item["assets"]["quality"]["href"] == "./map-quality.tif"
    assert item["properties"]["license"] == "CC0-1.0"
    with rasterio.open(kept) as dataset:
        newest = dataset.tags()["TIFFTAG_DATETIME"].replace(":", "-", 2).replace(" ", "T")
        assert dataset.tags()["LICENSE"] == "CC0-1.0"
    assert item["properties"]["lulcmap:observed"][1] == f"{newest}Z"


def test_a_run_killed_between_a_map_and_its_sidecars_completes_them(
    country, settings, kept, tmp_path, monkeypatch
):
    out = tmp_path / "map.tif"

    def killed(*_: object) -> bytes:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "quick_look", killed)
        with pytest.raises(KeyboardInterrupt):
            map_area(str(country.aoi), out, period=PERIOD, settings=settings(license="CC0-1.0"))
    assert out.exists()
    assert not out.with_name("map.tif.report.json").exists()
    map_area(str(country.aoi), out, period=PERIOD, settings=settings(license="CC0-1.0"))

    assert names_in(tmp_path) == with_sidecars("map.tif")
    for name in ("map.tif", "map.qml", "map.png", "map.tif.aux.xml"):
        assert (tmp_path / name).read_bytes() == kept.with_name(name).read_bytes()


def test_a_finished_map_gets_the_sidecars_it_lacks(country, settings, tmp_path):
    out = tmp_path / "map.tif"
    map_area(str(country.aoi), out, period=PERIOD, settings=settings(sidecars=False))
    assert names_in(tmp_path) == ["map.tif", "map.tif.report.json"]

    assert map_area(str(country.aoi), out, period=PERIOD, settings=settings()).already_made

    assert names_in(tmp_path) == with_sidecars("map.tif")


def test_another_map_in_its_place_takes_the_sidecars_and_the_quality_along(
    country, settings, tmp_path
):
    out = tmp_path / "map.tif"
    map_area(str(country.aoi), out, period=PERIOD, settings=settings(confidence=True))
    old = (tmp_path / "map.json").read_bytes()

    other = settings(s1="off", overwrite=True)
    map_area(str(country.aoi), out, period=PERIOD, settings=other)

    assert names_in(tmp_path) == with_sidecars("map.tif")
    assert (tmp_path / "map.json").read_bytes() != old
    validate(json.loads((tmp_path / "map.json").read_bytes()))


def test_a_finished_map_keeps_its_licence(country, settings, tmp_path):
    out = tmp_path / "map.tif"
    map_area(str(country.aoi), out, period=PERIOD, settings=settings())

    with rasterio.open(out) as dataset:
        assert "LICENSE" not in dataset.tags()
    with pytest.raises(OutputError, match="was made without --license"):
        map_area(str(country.aoi), out, period=PERIOD, settings=settings(license="MIT"))


def test_a_file_of_the_quality_s_name_is_not_lost(country, settings, tmp_path):
    (tmp_path / "map-quality.tif").write_text("mine")
    chosen = settings(confidence=True, overwrite=True)

    with pytest.raises(OutputError, match="is not the quality of a map made by lulcmap"):
        map_area(str(country.aoi), tmp_path / "map.tif", period=PERIOD, settings=chosen)

    assert (tmp_path / "map-quality.tif").read_text() == "mine"


def test_the_quality_of_a_map_is_no_map(country, settings, kept):
    with pytest.raises(OutputError, match="nor any made by lulcmap"):
        map_area(
            str(country.aoi),
            kept.with_name("map-quality.tif"),
            period=PERIOD,
            settings=settings(overwrite=True),
        )


def test_assembling_gives_the_same_files(kept, tmp_path):
    out = tmp_path / "map.tif"
    run = kept.with_name("map.tif.run")

    assemble_run(run, out, keep_run=True, extras=Extras(license="CC0-1.0", layers=("quality",)))

    assert names_in(tmp_path) == sorted([*with_sidecars("map.tif"), "map-quality.tif"])
    for name in names_in(tmp_path):
        assert (tmp_path / name).read_bytes() == kept.with_name(name).read_bytes()


@pytest.fixture(scope="module")
def layered(country, settings, tmp_path_factory) -> Path:
    """A map with its probabilities and composite."""
    out = tmp_path_factory.mktemp("layered") / "map.tif"
    chosen = settings(probabilities=True, save_composite=True, keep_run=True)
    map_area(str(country.aoi), out, period=PERIOD, settings=chosen)
    return out


def test_the_probabilities_sum_to_100_and_agree_with_the_map(layered, kept):
    with rasterio.open(layered) as dataset:
        classes = dataset.read(1)
        names = [dataset.tags(1)[f"CLASS_{value}"] for value in range(9)]
    path = layered.with_name("map-probabilities.tif")
    with rasterio.open(path) as dataset:
        assert list(dataset.descriptions) == names
        assert set(dataset.units) == {"percent"}
        shares = dataset.read().astype(int)
    assert cog_validate(path, strict=True)[0]
    mapped = classes != 255
    assert (shares[:, ~mapped] == 255).all()
    assert abs(shares[:, mapped].sum(axis=0) - 100).max() <= 4  # each of nine is rounded
    own = np.take_along_axis(shares, np.where(mapped, classes, 0)[None].astype(int), 0)[0]
    assert (own == shares.max(axis=0))[mapped].all()
    with rasterio.open(kept.with_name("map-quality.tif")) as dataset:
        np.testing.assert_array_equal(own[mapped], dataset.read(1)[mapped])


def test_the_composite_is_the_one_that_the_map_was_made_from(layered, country):
    path = layered.with_name("map-composite.tif")
    with rasterio.open(path) as dataset:
        values, scales, offsets = dataset.read(), dataset.scales, dataset.offsets
        assert dataset.descriptions[:2] == ("B02", "B03")
        assert dataset.descriptions[9:] == ("VV", "VH")
        assert dataset.nodata == 0
        grid = GeoBox(dataset.shape, dataset.transform, dataset.crs)
    assert cog_validate(path, strict=True)[0]
    made = composite(even_grid(grid), year=2024, catalog=str(country.items), max_cloud=95)
    rows = round((made.grid.affine.f - grid.affine.f) / 10)
    cols = round((grid.affine.c - made.grid.affine.c) / 10)
    part = slice(rows, rows + grid.shape[0]), slice(cols, cols + grid.shape[1])
    with rasterio.open(layered) as dataset:
        inside = dataset.read(1) != 255
    np.testing.assert_array_equal(values[:9, inside], made.s2[:, *part][:, inside])
    s1, has_s1 = made.s1[:, *part][:, inside], made.has_s1[part][inside]
    decibels = values[9:, inside] * scales[9] + offsets[9]
    np.testing.assert_allclose(decibels[:, has_s1], s1[:, has_s1] / 100, atol=1e-9)
    assert (values[9:, inside][:, ~has_s1] == 0).all()
    assert (values[:, ~inside] == 0).all()


@pytest.mark.parametrize("of", ["layered", "kept"])
def test_a_plan_names_the_disk_that_a_map_takes(country, settings, of, request, tmp_path):
    out = request.getfixturevalue(of)
    layers = {"probabilities": True, "save_composite": True} if of == "layered" else {}
    chosen = settings(**layers, confidence=not layers)
    disk = plan_for(country, tmp_path / "map.tif", chosen).disk

    blocks = sum(one.stat().st_size for one in (out.parent / "map.tif.run" / "blocks").iterdir())
    files = [one.stat().st_size for one in out.parent.glob("map*.tif")]
    peak = sum(files) + max(files)  # while the largest is written, its tiles wait beside it

    assert blocks <= disk.run <= 2 * blocks
    assert peak <= disk.map <= 2 * peak


def test_a_run_that_keeps_no_layers_cannot_give_them(country, settings, kept, tmp_path):
    work = Path(shutil.copytree(kept.with_name("map.tif.run"), tmp_path / "map.tif.run"))
    out, chosen = tmp_path / "map.tif", settings(probabilities=True)

    with pytest.raises(UsageError, match="was begun without --probabilities"):
        map_area(str(country.aoi), out, period=PERIOD, settings=chosen)

    assert (work / "plan.json").exists()


def test_shards_keep_layers_and_assembling_writes_them(country, settings, layered, tmp_path):
    out, run = tmp_path / "map.tif", tmp_path / "map.tif.run"
    chosen = settings(probabilities=True, save_composite=True)
    for number in (2, 1):
        shard = Shard(number, 2)
        map_shard(str(country.aoi), out, shard=shard, period=PERIOD, settings=chosen)
    damaged = next((run / "blocks").glob("*.composite.tif"))
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-100])

    with pytest.raises(UsageError, match="damaged"):
        assemble_run(run)
    damaged.write_bytes(content)
    assemble_run(run)

    for name in ("map.tif", "map-composite.tif", "map-probabilities.tif"):
        assert (tmp_path / name).read_bytes() == layered.with_name(name).read_bytes()
    assert not run.exists()
