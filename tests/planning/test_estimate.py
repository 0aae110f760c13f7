"""Estimates of a map, compared with the map once it is made."""

import json
import threading
from collections import Counter
from dataclasses import replace
from datetime import date, datetime

import numpy as np
import pytest
import rasterio
import shapely
from click.testing import CliRunner

from lulcmap import pipeline
from lulcmap.blocks.line import Line
from lulcmap.catalog.period import make_period
from lulcmap.catalog.scene import Scene
from lulcmap.cli import main
from lulcmap.cli.plan import table
from lulcmap.errors import ProviderError
from lulcmap.geo import grid
from lulcmap.geo.area import load_area
from lulcmap.geo.tiling import Box
from lulcmap.geo.utm import ZonePart
from lulcmap.imagery.assets.fetch import Fetcher
from lulcmap.legend import NODATA
from lulcmap.model.inference import needed_windows
from lulcmap.model.session import Session
from lulcmap.pipeline import Settings, map_area
from lulcmap.planning.budget import MemoryBudget
from lulcmap.planning.estimate.costs import RATES
from lulcmap.planning.estimate.footprints import pixel_boxes
from lulcmap.planning.estimate.reads import block_windows
from lulcmap.planning.estimate.run import WindowTime, estimate_run
from lulcmap.planning.estimate.scenes import sample_points
from lulcmap.planning.planner import plan_map
from lulcmap.simulation.build import Country, simulate
from lulcmap.system import available_cores
from tests.support.stubs import contract, make_model

PERIOD = make_period(year=2024, today=date(2026, 1, 1))


@pytest.fixture(scope="module")
def country(tmp_path_factory):
    folder = tmp_path_factory.mktemp("country")
    return simulate(folder, Country(seed=1, height=256, width=320, s2_dates=6, s1_dates=3))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model") / "stub.onnx", contract(), kernel=8)


@pytest.fixture
def settings(country, model):
    def of(**changes):
        return Settings(
            **{
                "model": str(model),
                "catalog": str(country.items),
                "block_size": 96,
                "device": "cpu",
                **changes,
            }
        )

    return of


@pytest.fixture
def steady(monkeypatch):
    """No measured figure, so that two plans print the same."""
    monkeypatch.setattr(
        "lulcmap.planning.estimate.run.window_time", lambda *_, **__: WindowTime(0.5, 0.5)
    )
    monkeypatch.setattr("lulcmap.planning.estimate.run.inflate_seconds", lambda: RATES.inflate)
    monkeypatch.setattr("lulcmap.planning.estimate.run._free_bytes", lambda _: 1e12)


def planned_of(country, out, settings):
    area = load_area(str(country.aoi))
    return plan_map(area, out.with_name(f"{out.name}.run"), period=PERIOD, settings=settings)


def plan_for(country, out, settings):
    ticks = iter((0.0, 0.5))
    return estimate_run(
        planned_of(country, out, settings),
        out=out,
        folder=out.with_name(f"{out.name}.run"),
        clock=lambda: next(ticks),
    )


def items_of(country):
    return json.loads(country.items.read_text())


def changed(country, name, change):
    """A catalogue beside the country's, each of its items changed, or left out where None."""
    collection = items_of(country)
    items = [change(item) for item in collection["features"]]
    path = country.items.with_name(name)
    path.write_text(json.dumps(collection | {"features": [item for item in items if item]}))
    return path


def options(country, settings, out):
    return [
        *("--aoi", str(country.aoi), "--year", "2024", "--out", str(out)),
        *("--model", settings.model, "--catalog", settings.catalog),
        *("--block-size", str(settings.block_size), "--device", "cpu"),
    ]


def is_s1(item):
    return item["collection"] == "sentinel-1-rtc"


def test_dates_and_passes_are_counted_as_the_items_are(country, settings, tmp_path):
    estimate = plan_for(country, tmp_path / "map.tif", settings())

    items = items_of(country)["features"]
    months = Counter(item["properties"]["datetime"][:7] for item in items if not is_s1(item))
    orbits = Counter(
        (item["properties"]["sat:relative_orbit"], item["properties"]["sat:orbit_state"])
        for item in items
        if is_s1(item)
    )
    assert {one.month: one.dates for one in estimate.s2 if one.dates} == months
    assert [one.month for one in estimate.s2] == [f"2024-{month:02d}" for month in range(1, 13)]
    assert set(estimate.gaps.months) == {one.month for one in estimate.s2} - set(months)
    assert {(one.orbit, one.direction): one.found for one in estimate.s1} == orbits
    assert {(one.orbit, one.direction): one.used for one in estimate.s1} == orbits
    assert all(one.only_where_lacking == (one.direction == "ascending") for one in estimate.s1)
    assert sum(estimate.platforms.values()) == len(items)


@pytest.mark.parametrize("crs", ["auto", "EPSG:3035"])
def test_the_map_has_the_pixels_that_were_estimated(country, settings, tmp_path, crs):
    out = tmp_path / "map.tif"
    estimate = plan_for(country, out, settings(crs=crs))

    map_area(str(country.aoi), out, period=PERIOD, settings=settings(crs=crs))

    with rasterio.open(out) as source:
        filled = (source.read(1) != NODATA).mean()
        assert (estimate.maps[0].height, estimate.maps[0].width) == source.shape
        assert estimate.maps[0].crs == source.crs.to_string()
    assert estimate.maps[0].filled == pytest.approx(filled, rel=0.01)
    assert estimate.km2 == pytest.approx(
        estimate.maps[0].pixels * estimate.maps[0].filled / 1e4, rel=0.003
    )


@pytest.mark.parametrize("block_size", [96, 480])
def test_the_windows_are_those_that_the_pixels_need(country, settings, tmp_path, block_size):
    planned = planned_of(country, tmp_path / "map.tif", settings(block_size=block_size))
    (zone,), agreed = planned.job.zones, planned.session.contract

    estimated = [
        [Box(row, col, agreed.window, agreed.window) for row, col in windows.tolist()]
        for windows in block_windows(zone, agreed, [box for _, box in zone.blocks])
    ]

    run = [
        needed_windows(
            grid.pixels_inside(zone.reach, grid.geobox(box, zone.epsg)),
            box,
            lattice=agreed.lattice,
            stride=agreed.stride,
        )
        for _, box in zone.blocks
    ]
    assert all(set(few) <= set(many) for few, many in zip(run, estimated, strict=True))
    assert sum(map(len, estimated)) <= 1.05 * sum(map(len, run))


@pytest.mark.parametrize(("block_size", "kept"), [(96, 1e9), (480, 1e9), (96, 0.0), (96, 5.0)])
def test_the_windows_of_a_plan_are_those_that_the_network_runs(
    country, settings, tmp_path, monkeypatch, block_size, kept
):
    """Whether all windows that blocks share are kept for the next, none, or five."""
    chosen = settings(block_size=block_size)
    window_bytes = planned_of(country, tmp_path / "map.tif", chosen).session.contract.window_bytes
    budget = MemoryBudget(2, 1, 4, 1, 1, kept=kept * window_bytes, peak=0.0)
    for module in "lulcmap.planning.estimate.run", "lulcmap.blocks.local":
        monkeypatch.setattr(f"{module}.blocks_budget", lambda *_: budget)
    estimate = plan_for(country, tmp_path / "map.tif", chosen)
    lock, shown = threading.Lock(), []
    run = Session.run

    def counting(session, s2, *args, **kwargs):
        with lock:
            shown.append(len(s2))
        return run(session, s2, *args, **kwargs)

    monkeypatch.setattr(Session, "run", counting)
    map_area(str(country.aoi), tmp_path / "map.tif", period=PERIOD, settings=chosen)

    (zone,) = estimate.zones
    assert sum(shown) <= zone.windows <= 1.1 * sum(shown)


def test_the_memory_is_what_the_blocks_are_given_with_the_windows_they_keep(
    country, settings, tmp_path, monkeypatch
):
    chosen = settings(block_size=96, max_memory=4 * 10**9)
    estimate = plan_for(country, tmp_path / "map.tif", chosen)
    given = []

    def line(planned, run, reader, todo, budget):
        given.append(budget)
        return Line(planned, run, reader, todo, budget)

    monkeypatch.setattr("lulcmap.blocks.local.Line", line)
    map_area(str(country.aoi), tmp_path / "map.tif", period=PERIOD, settings=chosen)

    assert [budget.peak for budget in given] == [estimate.memory]
    assert given[0].kept > 0


def test_what_is_read_is_within_a_factor_of_two(country, settings, tmp_path, monkeypatch):
    estimate = plan_for(country, tmp_path / "map.tif", settings(block_size=192))
    lock, read, hrefs = threading.Lock(), [], set()
    get = Fetcher.get

    def counting(fetcher, href, *args, **kwargs):
        body = get(fetcher, href, *args, **kwargs)
        with lock:
            read.append(len(body))
            hrefs.add(href)
        return body

    monkeypatch.setattr(Fetcher, "get", counting)
    map_area(
        str(country.aoi), tmp_path / "map.tif", period=PERIOD, settings=settings(block_size=192)
    )

    assert sum(read) / 2 < estimate.reads.bytes < 2 * sum(read)
    assert estimate.reads.requests >= len(hrefs)


def test_what_a_large_area_reads_is_that_of_some_blocks_scaled_up(
    country, settings, tmp_path, monkeypatch
):
    exact = plan_for(country, tmp_path / "map.tif", settings())

    monkeypatch.setattr("lulcmap.planning.estimate.run.MAX_COUNTED_BLOCKS", 5)
    sampled = plan_for(country, tmp_path / "map.tif", settings())

    assert exact.zones == sampled.zones
    assert sampled.reads != exact.reads
    assert sampled.reads.bytes == pytest.approx(exact.reads.bytes, rel=0.25)
    assert sampled.reads.requests == pytest.approx(exact.reads.requests, rel=0.25)
    notes = [note for note in sampled.notes if "for 5 of" in note]
    assert len(notes) == 1
    assert f" {exact.zones[0].blocks} blocks" in notes[0]
    assert not any("scaled up" in note for note in exact.notes)


@pytest.mark.parametrize(
    ("cloud", "min_clear", "max_scenes", "dates"),
    [(0, 2, 6, 2), (0, 5, 3, 3), (60, 1, 3, 3), (60, 1, 6, 6), (1, 1, 6, 2)],
)
def test_dates_are_read_until_hardly_a_pixel_can_lack_a_clear_one(
    country, settings, tmp_path, cloud, min_clear, max_scenes, dates
):
    def clouded(item):
        item["properties"]["eo:cloud_cover"] = cloud
        return item

    settings = settings(
        catalog=str(changed(country, "clouded.json", clouded)),
        rules=replace(settings().rules, min_clear=min_clear, max_scenes=max_scenes),
        s1="off",
    )
    middle = load_area(str(country.aoi)).polygon.centroid
    area = load_area(f"{middle.x - 0.003},{middle.y - 0.002},{middle.x + 0.003},{middle.y + 0.002}")
    out, folder = tmp_path / "map.tif", tmp_path / "map.tif.run"

    planned = plan_map(area, folder, period=PERIOD, settings=settings)
    estimate = estimate_run(planned, out=out, folder=folder)

    assert estimate.reads.requests == estimate.zones[0].blocks * dates * (1 + 9)


@pytest.mark.parametrize("sensor", ["s2", "s1"])
def test_half_an_area_without_scenes_is_reported(country, settings, tmp_path, sensor):
    area = load_area(str(country.aoi)).polygon
    west, south, east, north = area.bounds
    middle = (west + east) / 2

    def eastern(item):
        if is_s1(item) == (sensor == "s1"):
            _, low, right, high = item["bbox"]
            item["bbox"] = [middle, low, right, high]
            item["geometry"] = shapely.geometry.mapping(shapely.box(*item["bbox"]))
        return item

    catalog = str(changed(country, f"east_{sensor}.json", eastern))
    estimate = plan_for(country, tmp_path / "map.tif", settings(catalog=catalog))

    share = shapely.intersection(area, shapely.box(west, south, middle, north)).area / area.area
    lacking, whole = estimate.gaps.no_s2, estimate.gaps.no_s1
    if sensor == "s1":
        lacking, whole = whole, lacking
    assert lacking == pytest.approx(share, abs=0.03)
    assert whole == 0
    assert estimate.gaps.few_s2 >= estimate.gaps.no_s2


def test_an_area_that_is_covered_has_no_gap_and_too_few_dates_are_one(country, settings, tmp_path):
    rules = settings().rules
    enough, few = (
        plan_for(country, tmp_path / "map.tif", settings(rules=replace(rules, min_clear=n))).gaps
        for n in (6, 7)
    )

    assert (enough.no_s2, enough.few_s2, enough.no_s1) == (0, 0, 0)
    assert (few.no_s2, few.few_s2, few.wanted) == (0, 1, 7)


def test_a_single_date_is_no_gap(country, settings, tmp_path):
    first = next(item["id"] for item in items_of(country)["features"] if not is_s1(item))

    def alone(item):
        return item if is_s1(item) or item["id"] == first else None

    catalog = str(changed(country, "alone.json", alone))
    gaps = plan_for(country, tmp_path / "map.tif", settings(catalog=catalog)).gaps

    assert (gaps.no_s2, gaps.few_s2) == (0, 1)
    assert len(gaps.months) == 11


def test_without_sentinel_1_it_is_left_out(country, settings, tmp_path):
    estimate = plan_for(country, tmp_path / "map.tif", settings(s1="off"))

    assert estimate.s1 == ()
    assert estimate.gaps.no_s1 is None
    assert [one.sensor for one in estimate.credentials] == ["s2"]
    assert "Sentinel-1" not in table(estimate)


def test_blocks_that_are_done_are_not_counted_again(country, settings, tmp_path):
    out = tmp_path / "map.tif"
    map_area(str(country.aoi), out, period=PERIOD, settings=settings(keep_run=True))
    (tmp_path / "map.tif.run" / "blocks").glob("*.tif").__next__().unlink()

    estimate = plan_for(country, out, settings())

    (zone,) = estimate.zones
    assert zone.done == zone.blocks - 1
    assert 0 < zone.windows < 20
    assert any("nothing to do" in note for note in estimate.notes)
    assert estimate.obstacles == ()


@pytest.mark.parametrize(
    ("made", "is_kept"),
    [
        ([], False),
        (["other.tif", "ma.tif"], False),
        (["map.tif"], True),
        (["MAP-z32632.TIF"], True),
        (["map.tif.report.json"], True),
        (["elsewhere/map.tif.run/plan.json"], True),
    ],
)
def test_items_are_kept_only_where_there_may_be_a_map_or_a_run(tmp_path, made, is_kept):
    for name in made:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")

    out, run = tmp_path / "map.tif", tmp_path / "elsewhere" / "map.tif.run"

    assert pipeline._is_begun(out, run) == is_kept
    assert not pipeline._is_begun(tmp_path / "no" / "map.tif", tmp_path / "no" / "map.tif.run")


def test_a_run_that_begins_during_the_search_is_no_other_run(
    country, settings, tmp_path, monkeypatch
):
    out = tmp_path / "map.tif"
    map_area(str(country.aoi), out, period=PERIOD, settings=settings(keep_run=True))
    monkeypatch.setattr(pipeline, "_is_begun", lambda *_: False)  # as it was before the search

    estimate = pipeline.estimate_map(str(country.aoi), out, period=PERIOD, settings=settings())

    assert estimate.obstacles == ()


def test_what_predict_would_refuse_is_reported_with_its_exit_code(country, settings, tmp_path):
    out = tmp_path / "map.tif"
    map_area(str(country.aoi), out, period=PERIOD, settings=settings(keep_run=True))

    estimate = plan_for(country, out, settings(blend="centre"))
    nowhere = plan_for(country, tmp_path / "no" / "map.tif", settings())

    assert [one.exit_code for one in estimate.obstacles] == [7, 2]
    assert "--overwrite" in estimate.obstacles[0].message
    assert "another plan" in estimate.obstacles[1].message
    assert [one.exit_code for one in nowhere.obstacles] == [7]


def test_a_disk_that_is_too_small_is_noted(country, settings, tmp_path, monkeypatch):
    monkeypatch.setattr("lulcmap.planning.estimate.run._free_bytes", lambda _: 10.0)

    estimate = plan_for(country, tmp_path / "map.tif", settings())

    assert any("0.0 GB free" in note for note in estimate.notes)


def test_the_time_is_that_of_the_windows_and_of_the_bytes(country, settings, tmp_path):
    estimate = plan_for(country, tmp_path / "map.tif", settings())

    (zone,) = estimate.zones
    assert estimate.seconds.classify == zone.windows * 0.5 / available_cores()  # as many at once
    assert estimate.seconds.total > estimate.seconds.classify + estimate.seconds.write


def test_a_purse_is_told_what_a_map_takes(country, settings, tmp_path):
    estimate = plan_for(country, tmp_path / "map.tif", settings())

    assert estimate.costs.gpu is None
    assert all(seconds > 0 for seconds in estimate.costs.cpu.values())
    assert estimate.reads.s1_bytes < estimate.reads.bytes
    (files,) = estimate.costs.egress
    assert files.bytes == estimate.reads.bytes
    shown = table(estimate)
    assert "\nCPU          about " in shown
    assert "\negress       file " in shown
    assert "GPU" not in shown


def test_cpu_hours_of_a_country_are_plain_numbers(country, settings, tmp_path):
    estimate = plan_for(country, tmp_path / "map.tif", settings())

    for seconds, said in ((400.0, "0.111 CPU-hours"), (9.1e6, "2,528 CPU-hours")):
        costs = replace(estimate.costs, cpu={"reading": seconds})
        assert f"\nCPU          about {said}: reading 100 %" in table(
            replace(estimate, costs=costs)
        )


def test_minutes_of_a_gpu_are_those_of_the_windows(country, settings, tmp_path):
    estimate = plan_for(country, tmp_path / "map.tif", settings())
    on_gpu = replace(estimate, costs=replace(estimate.costs, gpu=90.0))

    assert "\nGPU          about 1.5 minutes\n" in table(on_gpu)


def test_nothing_is_written(country, settings, tmp_path):
    before = sorted(country.items.parent.rglob("*"))

    result = CliRunner().invoke(main, ["plan", *options(country, settings(), tmp_path / "m.tif")])

    assert result.exit_code == 0, result.output
    assert list(tmp_path.iterdir()) == []
    assert sorted(country.items.parent.rglob("*")) == before


@pytest.mark.usefixtures("steady")
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_dry_run_prints_the_plan(country, settings, tmp_path, form):
    arguments = [*options(country, settings(), tmp_path / "map.tif"), *form]

    planned = CliRunner().invoke(main, ["plan", *arguments])
    dry = CliRunner().invoke(main, ["predict", "--dry-run", *arguments])

    assert planned.exit_code == dry.exit_code == 0
    assert dry.stdout == planned.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("steady")
def test_the_plan_as_json_is_the_estimate(country, settings, tmp_path):
    out = tmp_path / "map.tif"

    result = CliRunner().invoke(main, ["plan", *options(country, settings(), out), "--json"])

    printed = json.loads(result.stdout)
    estimate = plan_for(country, out, settings())
    assert printed == json.loads(json.dumps(estimate.to_json()))
    assert printed["maps"][0]["pixels"] == estimate.maps[0].height * estimate.maps[0].width
    assert printed["assumed"]["network_bytes_per_second"] == 25e6
    assert printed["seconds"]["total"] > 0


def test_the_table_fits_a_screen(country, settings, tmp_path):
    estimate = plan_for(country, tmp_path / "map.tif", settings())

    many = replace(estimate, s1=estimate.s1[:1] * 40, skipped={f"reason {n}": n for n in range(30)})

    for shown in (estimate, many):
        lines = table(shown).splitlines()
        assert len(lines) <= 45
        assert max(map(len, lines)) <= 100
    assert "... and 28 more orbits" in table(many)


def test_a_missing_credential_is_reported_after_the_plan(country, settings, tmp_path, monkeypatch):
    def far(item):
        account = "s1" if is_s1(item) else "s2"
        for key, asset in item["assets"].items():
            asset["href"] = f"https://{account}.blob.core.windows.net/c/{item['id']}/{key}.tif"
        return item

    def signer(*_):
        def sign(href, *, anew=False):
            if "//s1." in href:
                raise ProviderError("PC_SDK_SUBSCRIPTION_KEY is not set.")
            return f"{href}?sig=secret"

        return sign

    monkeypatch.setattr("lulcmap.planning.estimate.run.signer", signer)
    catalog = str(changed(country, "far.json", far))
    arguments = options(country, settings(catalog=catalog), tmp_path / "map.tif")

    as_text = CliRunner().invoke(main, ["plan", *arguments])
    as_json = CliRunner().invoke(main, ["plan", *arguments, "--json"])

    assert as_text.exit_code == as_json.exit_code == 5
    assert "Sentinel-1 missing" in as_text.stdout
    assert "Sentinel-2 present" in as_text.stdout
    assert "PC_SDK_SUBSCRIPTION_KEY" in as_text.stdout
    assert "to read" in as_text.stdout
    assert "secret" not in as_text.output + as_json.output
    assert json.loads(as_json.stdout)["obstacles"][0]["exit_code"] == 5


def test_an_area_without_scenes_ends_as_predict_does(country, settings, tmp_path):
    arguments = options(country, settings(), tmp_path / "map.tif")
    arguments[1] = "20,50,20.1,50.1"

    result = CliRunner().invoke(main, ["plan", *arguments])

    assert result.exit_code == 3


def test_real_scenes_make_a_plan(shared_data, model, tmp_path):
    collection = json.loads((shared_data / "archive" / "items.json").read_text())
    (one,) = [item for item in collection["features"] if item["id"].startswith("S2_denmark")]
    area = load_area(",".join(map(str, one["bbox"])))
    period = make_period(year=2017, today=date(2026, 1, 1))
    settings = Settings(
        model=str(model),
        catalog=str(shared_data / "archive" / "items.json"),
        block_size=480,
        device="cpu",
    )

    planned = plan_map(area, tmp_path / "map.tif.run", period=period, settings=settings)
    estimate = estimate_run(planned, out=tmp_path / "map.tif", folder=tmp_path / "map.tif.run")

    assert sum(month.dates for month in estimate.s2) == 1
    assert estimate.gaps.no_s2 < 0.1
    assert estimate.reads.bytes < 2 * sum(
        path.stat().st_size for path in (shared_data / "archive").rglob("*denmark*/*.tif")
    )


def test_the_sample_of_an_area_is_regular_and_inside():
    polygon = shapely.MultiPolygon([shapely.box(500_000, 5_500_000, 560_000, 5_520_000)])

    points = sample_points([ZonePart(32632, polygon)])
    sliver = shapely.MultiPolygon([shapely.box(500_000, 0, 500_001, 1e-6)])
    tiny = sample_points([ZonePart(32632, sliver)])

    assert 900 < len(points) < 1100
    assert np.ptp(points[:, 0]) == pytest.approx(60 / 71.5, rel=0.05)
    assert len(tiny) == 1


def test_the_sample_of_a_strip_along_a_line_stays_small(monkeypatch):
    line = shapely.LineString([(300_000, 5_000_000), (700_000, 6_000_000)])
    tried = []
    inside = shapely.contains_xy
    monkeypatch.setattr(
        shapely, "contains_xy", lambda part, x, y: tried.append(x.size) or inside(part, x, y)
    )

    for width in (0.1, 10_000):
        points = sample_points([ZonePart(32632, shapely.MultiPolygon([line.buffer(width)]))])
        assert 1 <= len(points) < 1200
    assert max(tried) < 1.01e6


def test_items_that_are_skipped_are_counted_by_kind_of_reason(country, settings, tmp_path):
    s2, s1 = (
        [item["id"] for item in items_of(country)["features"] if is_s1(item) == wanted]
        for wanted in (False, True)
    )

    def broken(item):
        facts, assets = item["properties"], item["assets"]
        if item["id"] in s2[:2]:
            facts["eo:cloud_cover"] = 96 + s2.index(item["id"])
        elif item["id"] == s2[2]:
            facts["s2:nodata_pixel_percentage"] = 99.95
        elif item["id"] == s2[3]:
            del assets["B08"]
        elif item["id"] == s2[4]:
            assets["B02"]["href"] = "ftp://example.com/B02.tif"
        elif item["id"] == s1[0]:
            facts["sar:polarizations"] = ["HH", "HV"]
        elif item["id"] == s1[1]:
            facts["sar:instrument_mode"] = "EW"
        return item

    catalog = str(changed(country, "broken.json", broken))
    estimate = plan_for(country, tmp_path / "map.tif", settings(catalog=catalog))

    assert estimate.skipped == {
        "cloud cover above 95 %": 2,
        "hardly any data": 1,
        "a band is missing": 1,
        "an href is on ftp://; only http(s), s3 and az are read": 1,
        "polarizations HH and HV, not VV and VH": 1,
        "its mode is EW, not IW": 1,
    }
    assert "cloud cover above 95 %: 2" in table(estimate)
    assert "2 more reasons" in table(estimate)


def test_a_count_of_one_has_a_singular_noun(country, settings, tmp_path):
    estimate = plan_for(country, tmp_path / "map.tif", settings(block_size=480))
    one = replace(
        estimate,
        zones=(replace(estimate.zones[0], blocks=1, windows=1),),
        s2=(replace(estimate.s2[0], dates=1, scenes=1),),
        s1=(replace(estimate.s1[0], found=1, used=1),) * 13,
        skipped={f"reason {n}": 1 for n in range(5)},
        gaps=replace(estimate.gaps, wanted=1, points=1, months=("2024-01",)),
        reads=replace(estimate.reads, requests=1),
    )

    shown = table(one)

    for words in (
        "1 block, 1 window to classify",
        "1 scene of 1 date",
        "... and 1 more orbit;",
        "; 1 more reason\n",
        "fewer than 1 date of it",
        "(at 1 point of the area)",
        "1 month without",
        "in 1 band of",
    ):
        assert words in shown


def test_a_scene_with_a_broken_outline_is_where_its_footprint_is(country, settings, tmp_path):
    """As the catalogue has it: a bow tie is two triangles, and without a geometry the bbox is."""

    def tied(item):
        west, south, east, north = item["bbox"]
        ring = [(west, south), (east, north), (east, south), (west, north), (west, south)]
        item["geometry"] = shapely.geometry.mapping(shapely.Polygon(ring))
        return item

    def boxed(item):
        return {**item, "geometry": None}

    ties, boxes = (
        plan_for(country, tmp_path / "map.tif", settings(catalog=str(changed(country, *change))))
        for change in (("tied.json", tied), ("boxed.json", boxed))
    )

    assert 0.2 < ties.gaps.no_s2 < 0.8
    assert boxes.gaps.no_s2 == 0


def test_a_scene_that_crosses_180_degrees_has_a_box_of_its_size():
    scene = Scene(
        id="x",
        sensor="s2",
        acquired=datetime(2024, 1, 1),
        datatake="x",
        bbox=(179.5, -17.0, -179.5, -16.0),
        epsg=None,
        orbit=None,
        orbit_state=None,
        cloud_cover=None,
        offset=0,
        assets={},
    )

    ((row, col, stop_row, stop_col),) = pixel_boxes([scene], 32760)

    assert stop_col - col == pytest.approx(10_700, rel=0.02)
    assert stop_row - row == pytest.approx(11_100, rel=0.02)
