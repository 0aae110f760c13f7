"""From a polygon to its map, on a simulated country and with small stub models."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
import rasterio
import shapely
from rio_cogeo.cogeo import cog_validate

from lulcmap.catalog.period import make_period
from lulcmap.errors import ModelError, NoScenesError, OutputError, ProviderError, UsageError
from lulcmap.legend import CLASSES, NODATA
from lulcmap.model.contract import S1_INPUT, S2_INPUT
from lulcmap.output import assemble_run
from lulcmap.output.cog import plan_of
from lulcmap.pipeline import estimate_map, map_area, map_shard
from lulcmap.run import RunFolder, Shard
from lulcmap.simulation.build import Country, simulate
from tests.integration.servers import FileServer
from tests.support.beside import with_sidecars
from tests.support.searches import answer
from tests.support.stubs import contract, make_model

PERIOD = make_period(year=2024, today=date(2026, 1, 1))


def pixels(path):
    with rasterio.open(path) as source:
        return source.read(1)


def left_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_map_is_a_valid_cog_with_its_legend_and_its_origin(country, settings, tmp_path):
    report = map_area(str(country.aoi), tmp_path / "map.tif", period=PERIOD, settings=settings())

    valid, errors, warnings = cog_validate(report.map, strict=True)
    with rasterio.open(report.map) as made:
        palette, tags = made.colormap(1), made.tags()
        assert made.dtypes == ("uint8",)
        assert made.nodata == NODATA
        assert made.crs.to_epsg() == 32632
        assert made.transform.a == 10
        assert made.transform.c % 10 == made.transform.f % 10 == 0
    assert valid, (errors, warnings)
    assert all(palette[cover.id][:3] == cover.rgb for cover in CLASSES)
    assert "Contains modified Copernicus Sentinel data 2024" in tags["ATTRIBUTION"]
    assert tags["LULCMAP_MODEL"] == "stub"
    assert len(tags["LULCMAP_MODEL_SHA256"]) == len(tags["LULCMAP_PLAN"]) == 64
    assert left_in(tmp_path) == with_sidecars("map.tif")


def test_every_pixel_of_the_polygon_is_counted_and_none_outside_is_mapped(
    country, settings, tmp_path
):
    report = map_area(str(country.aoi), tmp_path / "map.tif", period=PERIOD, settings=settings())

    mapped = pixels(report.map) != NODATA
    assert report.total - report.pixels.get("not_mapped", 0) == mapped.sum()
    assert sum(report.classes.values()) == mapped.sum()
    assert 0.99 < report.coverage <= 1
    assert not mapped.all()


def test_the_map_does_not_depend_on_the_blocks_nor_on_the_workers(country, settings, tmp_path):
    one = map_area(
        str(country.aoi), tmp_path / "one.tif", period=PERIOD, settings=settings(block_size=480)
    )
    two = map_area(
        str(country.aoi),
        tmp_path / "two.tif",
        period=PERIOD,
        settings=settings(block_size=48, workers=1, batch_size=3),
    )

    np.testing.assert_array_equal(pixels(one.map), pixels(two.map))


def test_two_areas_that_overlap_agree_where_they_do(country, settings, tmp_path):
    with rasterio.open(country.truth) as truth:
        left, bottom, right, top = rasterio.warp.transform_bounds(
            truth.crs, "EPSG:4326", *truth.bounds
        )
    third = (right - left) / 3
    maps = []
    for name, west, east in (
        ("west", left + third / 4, right - third),
        ("east", left + third, right - third / 4),
    ):
        report = map_area(
            f"{west},{bottom + third / 4},{east},{top - third / 4}",
            tmp_path / f"{name}.tif",
            period=PERIOD,
            settings=settings(),
        )
        maps.append(rasterio.open(report.map))

    west, east = maps
    window = rasterio.windows.intersection(
        rasterio.windows.Window(0, 0, west.width, west.height),
        west.window(*east.bounds).round_offsets().round_lengths(),
    )
    one = west.read(1, window=window)
    two = east.read(1, window=east.window(*west.window_bounds(window)))
    both = (one != NODATA) & (two != NODATA)
    assert both.sum() > 5000
    np.testing.assert_array_equal(one[both], two[both])


def test_made_again_the_map_is_found_and_left_alone(country, settings, tmp_path):
    out = tmp_path / "map.tif"
    first = map_area(str(country.aoi), out, period=PERIOD, settings=settings())
    before = out.stat()

    second = map_area(str(country.aoi), out, period=PERIOD, settings=settings())

    assert second.already_made
    assert not first.already_made
    assert second.pixels == first.pixels
    assert (out.stat().st_mtime_ns, out.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_another_map_is_replaced_only_when_asked(country, settings, tmp_path):
    out = tmp_path / "map.tif"
    first = map_area(str(country.aoi), out, period=PERIOD, settings=settings(s1="off"))
    before = out.read_bytes()

    with pytest.raises(OutputError, match="--overwrite"):
        map_area(str(country.aoi), out, period=PERIOD, settings=settings())
    assert out.read_bytes() == before

    second = map_area(str(country.aoi), out, period=PERIOD, settings=settings(overwrite=True))
    assert first.plan != second.plan
    assert plan_of(out) == second.plan


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("by", ["path", "link", "hard link", "detour"])
@pytest.mark.parametrize("victim", ["aoi", "items", "asset", "model", "text"])
def test_a_file_that_lulcmap_did_not_write_is_never_replaced(
    country, model, settings, tmp_path, victim, by, overwrite
):
    """Found before the search, under whatever name."""
    asset = next(country.items.parent.rglob("B04.tif"))
    text = tmp_path / "thesis.tif"
    text.write_text("precious")
    source = {"aoi": country.aoi, "items": country.items, "asset": asset, "model": model}
    path = source.get(victim, text)
    before, state = path.read_bytes(), path.stat().st_ino
    (tmp_path / "folder").mkdir()
    out = {"path": path, "detour": path.parent / "." / ".." / path.parent.name / path.name}.get(
        by, tmp_path / "folder" / "map.tif"
    )
    if by == "link":
        out.symlink_to(path)
    elif by == "hard link":
        out.hardlink_to(path)

    with pytest.raises(OutputError, match="nor any made by lulcmap") as refused:
        map_area(str(country.aoi), out, period=PERIOD, settings=settings(overwrite=overwrite))

    assert "\n" not in str(refused.value)
    assert (path.read_bytes(), path.stat().st_ino) == (before, state)
    assert left_in(tmp_path / "folder") == (["map.tif"] if by in ("link", "hard link") else [])


def test_a_killed_run_goes_on_and_gives_the_same_bytes(country, model, settings, tmp_path):
    whole = map_area(str(country.aoi), tmp_path / "whole.tif", period=PERIOD, settings=settings())
    code = f"""
import os, lulcmap.pipeline as pipeline
from datetime import date
from lulcmap.catalog import make_period
write, count = pipeline.RunFolder.write_block, []
def dies(self, *args, **kwargs):
    count.append(1)
    if len(count) == 4:
        os.kill(os.getpid(), 9)
    return write(self, *args, **kwargs)
pipeline.RunFolder.write_block = dies
pipeline.map_area({str(country.aoi)!r}, pipeline.Path("map.tif"),
    period=make_period(year=2024, today=date(2026, 1, 1)),
    settings=pipeline.Settings(model={str(model)!r}, catalog={str(country.items)!r},
        block_size=96, device="cpu"))
"""
    killed = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)
    blocks = tmp_path / "map.tif.run" / "blocks"
    times = {path.name: path.stat().st_mtime_ns for path in blocks.glob("*.tif")}

    report = map_area(
        str(country.aoi), tmp_path / "map.tif", period=PERIOD, settings=settings(keep_run=True)
    )

    assert killed.returncode == -9
    assert len(times) == 3
    assert all((blocks / name).stat().st_mtime_ns == time for name, time in times.items())
    assert report.map.read_bytes() == whole.map.read_bytes()


def test_the_frozen_items_of_a_run_make_the_same_map(country, settings, tmp_path):
    kept = map_area(
        str(country.aoi), tmp_path / "one.tif", period=PERIOD, settings=settings(keep_run=True)
    )
    items = tmp_path / "one.tif.run" / "items.json"

    again = map_area(
        str(country.aoi), tmp_path / "two.tif", period=PERIOD, settings=settings(catalog=str(items))
    )

    assert again.map.read_bytes() == kept.map.read_bytes()


def test_another_crs_shows_the_same_classes_at_the_same_places(country, settings, tmp_path):
    native = map_area(str(country.aoi), tmp_path / "utm.tif", period=PERIOD, settings=settings())

    other = map_area(
        str(country.aoi), tmp_path / "laea.tif", period=PERIOD, settings=settings(crs="EPSG:3035")
    )

    with rasterio.open(other.map) as laea, rasterio.open(native.map) as utm:
        assert laea.crs.to_epsg() == 3035
        classes = laea.read(1)
        rows, cols = np.nonzero(classes != NODATA)
        xs, ys = rasterio.transform.xy(laea.transform, rows, cols)
        xs, ys = rasterio.warp.transform(laea.crs, utm.crs, xs, ys)
        seen = np.array([value[0] for value in utm.sample(zip(xs, ys, strict=True))])
    assert (seen == classes[rows, cols]).mean() > 0.995  # at the border a pixel may lie outside


def test_without_sentinel_1_the_map_says_so(country, settings, tmp_path):
    report = map_area(
        str(country.aoi), tmp_path / "map.tif", period=PERIOD, settings=settings(s1="off")
    )

    assert set(report.pixels) <= {"s2_only", "not_mapped"}
    assert any("Sentinel-2 alone" in warning for warning in report.warnings)


def test_sentinel_1_that_is_required_and_not_there_ends_the_run(model, settings, tmp_path):
    made = simulate(tmp_path / "bare", Country(seed=2, height=64, width=64, s2_dates=2, s1_dates=0))

    with pytest.raises(NoScenesError, match="Sentinel-1"):
        map_area(
            str(made.aoi),
            tmp_path / "map.tif",
            period=PERIOD,
            settings=settings(catalog=str(made.items), s1="required"),
        )


def test_broken_assets_are_named_and_the_rest_goes_on(settings, tmp_path):
    made = simulate(
        tmp_path / "country",
        Country(seed=3, height=128, width=128, s2_dates=4, s1_dates=2, missing=1, truncated=1),
    )
    lost = settings(catalog=str(made.items), max_lost=0.2)

    report = map_area(str(made.aoi), tmp_path / "map.tif", period=PERIOD, settings=lost)
    with pytest.raises(ProviderError, match="--max-lost"):
        map_area(
            str(made.aoi),
            tmp_path / "other.tif",
            period=PERIOD,
            settings=settings(catalog=str(made.items), max_lost=0.0),
        )

    assert {band for _, band, _ in report.lost} == {"B03", "B04"}
    assert left_in(tmp_path) == ["country", *with_sidecars("map.tif"), "other.tif.run"]


def test_an_area_where_nothing_was_seen_has_no_scenes(country, settings, tmp_path):
    with pytest.raises(NoScenesError, match="Check the area's coordinates"):
        map_area("20,50,20.1,50.1", tmp_path / "map.tif", period=PERIOD, settings=settings())

    assert left_in(tmp_path) == []


def test_a_model_that_knows_simulated_land_is_no_worry_on_simulated_land(
    country, settings, tmp_path
):
    report = map_area(str(country.aoi), tmp_path / "map.tif", period=PERIOD, settings=settings())

    assert not any("simulated" in warning for warning in report.warnings)


def test_the_same_model_on_another_catalogue_marks_map_and_report(country, settings, tmp_path):
    collection = json.loads(country.items.read_text())
    for item in collection["features"]:
        del item["properties"]["lulcmap:simulated"]
    real = country.items.with_name("real.json")
    real.write_text(json.dumps(collection))

    report = map_area(
        str(country.aoi), tmp_path / "map.tif", period=PERIOD, settings=settings(catalog=str(real))
    )

    with rasterio.open(report.map) as made:
        assert "simulated landscapes only" in made.tags()["LULCMAP_WARNINGS"]
    assert any("simulated landscapes only" in warning for warning in report.warnings)


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"block_size": 100}, UsageError, "multiple of the model's step, 48"),
        ({"crs": "EPSG:99999"}, UsageError, "EPSG code"),
        ({"crs": "mercator"}, UsageError, "EPSG code"),
        ({"model": "no-such-model"}, ModelError, "no-such-model"),
        ({"catalog": "nowhere.json"}, UsageError, "nowhere.json"),
    ],
)
def test_a_wrong_setting_ends_in_one_message_and_leaves_nothing(
    country, settings, tmp_path, changes, error, says
):
    with pytest.raises(error, match=says):
        map_area(
            str(country.aoi), tmp_path / "map.tif", period=PERIOD, settings=settings(**changes)
        )

    assert left_in(tmp_path) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to_is_refused(country, settings, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)

    with pytest.raises(OutputError, match="cannot be written"):
        map_area(str(country.aoi), closed / "map.tif", period=PERIOD, settings=settings())


def test_a_folder_that_is_not_there_is_named(country, settings, tmp_path):
    with pytest.raises(OutputError, match="No folder"):
        map_area(str(country.aoi), tmp_path / "no" / "map.tif", period=PERIOD, settings=settings())


def test_a_report_that_was_lost_is_made_again(country, settings, tmp_path):
    out = tmp_path / "map.tif"
    first = map_area(str(country.aoi), out, period=PERIOD, settings=settings())
    before = out.read_bytes()
    (tmp_path / "map.tif.report.json").write_text("{}")

    again = map_area(str(country.aoi), out, period=PERIOD, settings=settings())

    assert again.pixels == first.pixels
    assert json.loads((tmp_path / "map.tif.report.json").read_text())["coverage"] == first.coverage
    assert out.read_bytes() == before


def test_scenes_just_beyond_the_border_are_seen_by_the_windows_that_reach_them(
    country, settings, tmp_path
):
    # the country's western and eastern halves as two scenes of one datatake: an area that ends at
    # the cut and one that reaches across it must agree
    collection = json.loads(country.items.read_text())
    with rasterio.open(country.truth) as truth:
        bounds, crs = truth.bounds, truth.crs
    middle = (bounds.left + bounds.right) / 2
    halves = []
    for item in collection["features"]:
        for side, left, right in (("w", bounds.left, middle), ("e", middle, bounds.right)):
            assets = {}
            for key, asset in item["assets"].items():
                target = country.items.parent / "halves" / f"{item['id']}{side}" / f"{key}.tif"
                target.parent.mkdir(parents=True, exist_ok=True)
                with rasterio.open(country.items.parent / asset["href"]) as source:
                    window = source.window(left, bounds.bottom, right, bounds.top)
                    profile = source.profile | {
                        "driver": "GTiff",
                        "width": round(window.width),
                        "height": round(window.height),
                        "transform": source.window_transform(window),
                    }
                    with rasterio.open(target, "w", **profile) as part:
                        part.write(source.read(window=window))
                assets[key] = asset | {"href": f"./{target.relative_to(country.items.parent)}"}
            box = rasterio.warp.transform_bounds(
                crs, "EPSG:4326", left, bounds.bottom, right, bounds.top
            )
            outline = shapely.geometry.mapping(shapely.box(*box))
            changed = {"id": item["id"] + side, "bbox": list(box), "geometry": outline}
            halves.append({**item, **changed, "assets": assets})
    catalog = country.items.parent / "halves.json"
    catalog.write_text(json.dumps(collection | {"features": halves}))
    west, south, east, north = rasterio.warp.transform_bounds(
        crs, "EPSG:4326", bounds.left + 500, bounds.bottom + 500, middle - 60, bounds.top - 500
    )
    maps = [
        map_area(
            f"{west},{south},{edge},{north}",
            tmp_path / f"{name}.tif",
            period=PERIOD,
            settings=settings(catalog=str(catalog)),
        ).map
        for name, edge in (("short", east), ("long", east + 0.01))
    ]

    with rasterio.open(maps[0]) as short, rasterio.open(maps[1]) as long:
        window = rasterio.windows.Window(0, 20, short.width, short.height - 40)
        one = short.read(1, window=window)
        left, bottom, right, top = short.window_bounds(window)
        two = long.read(1, window=long.window(left, bottom, right, top).round_offsets())
    both = (one != NODATA) & (two[:, : one.shape[1]] != NODATA)
    assert both.sum() > 1000
    np.testing.assert_array_equal(one[both], two[:, : one.shape[1]][both])


def test_what_the_model_cannot_do_without_is_not_left_out(country, settings, tmp_path):
    needs = replace(S1_INPUT, optional=False)
    model = make_model(tmp_path / "m.onnx", contract(inputs={"s2": S2_INPUT, "s1": needs}))

    with pytest.raises(ModelError, match="cannot do without Sentinel-1"):
        map_area(
            str(country.aoi),
            tmp_path / "map.tif",
            period=PERIOD,
            settings=settings(model=str(model), s1="off"),
        )


def test_a_model_of_one_sensor_cannot_have_the_other_required(country, settings, tmp_path):
    model = make_model(tmp_path / "m.onnx", contract(inputs={"s2": S2_INPUT}))

    with pytest.raises(ModelError, match="has no Sentinel-1 input"):
        map_area(
            str(country.aoi),
            tmp_path / "map.tif",
            period=PERIOD,
            settings=settings(model=str(model), s1="required"),
        )


def test_a_scene_whose_classification_is_lost_gives_no_pixel(country, settings, tmp_path):
    copy = tmp_path / "country"
    shutil.copytree(country.items.parent, copy)
    item = next(
        item
        for item in json.loads(country.items.read_text())["features"]
        if "SCL" in item["assets"]
    )
    (copy / item["assets"]["SCL"]["href"]).write_bytes(b"II*\0")

    report = map_area(
        str(country.aoi),
        tmp_path / "map.tif",
        period=PERIOD,
        settings=settings(catalog=str(copy / "items.json"), max_lost=0.5),
    )

    assert [(scene, band) for scene, band, _ in report.lost] == [(item["id"], "SCL")]
    assert item["id"] in report.unused
    assert not report.unmasked


def test_an_area_that_is_all_cloud_makes_no_map(country, settings, tmp_path):
    every_code = replace(settings().rules, mask_codes=tuple(range(12)))

    with pytest.raises(NoScenesError, match="No pixel of aoi could be mapped"):
        map_area(
            str(country.aoi),
            tmp_path / "map.tif",
            period=PERIOD,
            settings=settings(s1="off", rules=every_code),
        )

    assert left_in(tmp_path) == []


@pytest.fixture
def api(country, monkeypatch, socket_enabled):
    """A STAC API, as far as the pipeline sees it: its name, and items whose assets are served."""
    with FileServer(country.items.parent).running() as files:
        collection = json.loads(country.items.read_text())
        for item in collection["features"]:
            for asset in item["assets"].values():
                asset["href"] = f"{files.url}/{asset['href'].removeprefix('./')}"

        def ask(url, wanted, area, period, *, keep, progress):
            files.asked.append(wanted)
            items = (item for item in collection["features"] if item["collection"] == wanted)
            return answer(*sorted(items, key=lambda item: item["id"]))(keep=keep)

        files.asked, files.collection = [], collection
        monkeypatch.setattr("lulcmap.catalog.search.query_items", ask)
        yield files


def test_a_run_that_goes_on_keeps_the_scenes_it_began_with(
    api, country, settings, tmp_path, monkeypatch
):
    served = settings(catalog=f"{api.url}/stac")
    whole = map_area(str(country.aoi), tmp_path / "whole.tif", period=PERIOD, settings=served)
    write, count = RunFolder.write_block, []

    def dies(self, *args, **kwargs):
        count.append(1)
        if len(count) == 4:
            raise KeyboardInterrupt
        return write(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "write_block", dies)
        with pytest.raises(KeyboardInterrupt):
            map_area(str(country.aoi), tmp_path / "map.tif", period=PERIOD, settings=served)
    api.asked.clear()

    report = map_area(str(country.aoi), tmp_path / "map.tif", period=PERIOD, settings=served)

    assert api.asked == []
    assert report.map.read_bytes() == whole.map.read_bytes()


def test_a_map_is_left_alone_though_the_provider_has_other_scenes_now(
    api, country, settings, tmp_path
):
    served = settings(catalog=f"{api.url}/stac")
    out = tmp_path / "map.tif"
    first = map_area(str(country.aoi), out, period=PERIOD, settings=served)
    content = out.read_bytes()
    gone = api.collection["features"].pop()

    second = map_area(str(country.aoi), out, period=PERIOD, settings=served)
    with pytest.raises(OutputError, match="is not this map"):
        map_area(
            str(country.aoi),
            out,
            period=PERIOD,
            settings=replace(served, max_s1_scenes=1, s1="off"),
        )
    assert out.read_bytes() == content
    third = map_area(str(country.aoi), out, period=PERIOD, settings=replace(served, overwrite=True))

    assert gone["id"] in {scene for group in first.scenes.values() for scene in group} | set(
        first.unused
    )
    assert second.already_made
    assert "other scenes now" in second.warnings[-1]
    assert not third.already_made


def test_predict_plan_and_assemble_agree_on_whether_a_map_is_made(api, country, settings, tmp_path):
    """Of the same request to a provider that has other scenes now, and of another request."""
    served, out = settings(catalog=f"{api.url}/stac"), tmp_path / "map.tif"
    area = str(country.aoi)
    shard = {"shard": Shard(1, 1), "period": PERIOD}
    (tmp_path / "runs").mkdir()
    elsewhere = replace(served, workdir=tmp_path / "runs")
    gone = api.collection["features"].pop()
    map_shard(area, out, settings=elsewhere, **shard)  # a run to assemble, of fewer scenes
    api.collection["features"].append(gone)
    map_area(area, out, period=PERIOD, settings=served)
    content = out.read_bytes()

    again = estimate_map(area, out, period=PERIOD, settings=elsewhere)
    run = tmp_path / "runs" / "map.tif.run"
    assembled = assemble_run(run, out)
    left = len(list(run.glob("blocks/*.tif")))
    made = map_area(area, out, period=PERIOD, settings=elsewhere)
    other = estimate_map(area, out, period=PERIOD, settings=replace(served, s1="off"))

    assert again.obstacles == ()
    assert any("is already made" in note for note in again.notes)
    assert assembled.already_made
    assert left == again.zones[0].blocks  # they made no map, so they stay
    assert made.already_made
    assert out.read_bytes() == content
    assert [obstacle.exit_code for obstacle in other.obstacles] == [7]


@pytest.mark.parametrize(
    "changed", [{"profile": "earth-search"}, {"max_cloud": 50.0}, {"s1_catalog": "http://10.0.0.1"}]
)
def test_a_run_begun_with_other_sources_is_refused(
    api, country, settings, tmp_path, monkeypatch, changed
):
    served = settings(catalog=f"{api.url}/stac")
    with monkeypatch.context() as patch:
        patch.setattr("lulcmap.blocks.line.finish_block", lambda *_, **__: 1 / 0)
        patch.setattr(RunFolder, "remove", lambda _: None)
        with pytest.raises(ZeroDivisionError):
            map_area(str(country.aoi), tmp_path / "map.tif", period=PERIOD, settings=served)

    with pytest.raises(UsageError, match="begun for another"):
        map_area(
            str(country.aoi),
            tmp_path / "map.tif",
            period=PERIOD,
            settings=replace(served, **changed),
        )
