import json
import runpy
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rio_cogeo.cogeo import cog_validate

from lulcmap.catalog.providers import ITEM_COLLECTION
from lulcmap.catalog.scene import Scene
from lulcmap.legend import NAMES
from lulcmap.sensors import S1_NODATA, S2_BANDS
from lulcmap.simulation.archive import write_cog
from lulcmap.simulation.build import simulate, true_map
from lulcmap.simulation.clouds import make_atmosphere
from lulcmap.simulation.country import Country, SimulatedCountry
from lulcmap.simulation.land import Land, make_land
from lulcmap.simulation.noise import smooth
from lulcmap.simulation.overpasses import season_step
from lulcmap.simulation.signal import LOOKS, Swath, load_statistics, optical_scene, radar_scene

SMALL = Country(seed=7, height=128, width=160, s2_dates=3, s1_dates=2)
EVERYWHERE = Swath(edge=-1.0, slope=0.0, side=1)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> SimulatedCountry:
    return simulate(tmp_path_factory.mktemp("country"), SMALL)


def items(made: SimulatedCountry, sensor: str = "") -> list[dict]:
    features = json.loads(made.items.read_text())["features"]
    return [item for item in features if sensor in item["collection"]]


def pixels(made: SimulatedCountry, item: dict, key: str) -> np.ndarray:
    with rasterio.open(made.items.parent / item["assets"][key]["href"]) as file:
        return file.read(1)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def uniform(cover: int, shape: tuple[int, int]) -> Land:
    """Land of one class, all of it average."""
    zeros = np.zeros(shape, np.int8)
    kind = np.full(shape, cover, np.uint8)
    return Land(kind, kind, np.zeros((6, *shape), np.int8), zeros, zeros)


def average():
    table = load_statistics()
    return replace(table, spread=table.spread * 0, day=table.day * 0)


def test_the_same_country_gives_the_same_bytes_and_another_seed_others(made, tmp_path):
    again = simulate(tmp_path / "again", SMALL)
    other = simulate(tmp_path / "other", replace(SMALL, seed=8))
    assert contents(again.items.parent) == contents(made.items.parent)
    assert contents(other.items.parent) != contents(made.items.parent)


def test_every_class_covers_two_percent_of_a_country_of_the_demos_size():
    truth = true_map(Country(seed=0))
    shares = np.bincount(truth.ravel(), minlength=len(NAMES)) / truth.size
    assert len(shares) == len(NAMES)
    assert shares.min() >= 0.02
    assert shares.max() <= 0.35


def test_the_truth_is_of_regions_and_what_a_pixel_shows_is_often_another_class():
    land = make_land(np.uint64(5), (300, 300))
    same = (land.truth[:, 1:] == land.truth[:, :-1]).mean()
    assert same > 0.95
    assert 0.15 < (land.cover != land.truth).mean() < 0.45


def test_land_does_not_depend_on_the_bands_of_rows_it_is_made_in(monkeypatch):
    whole = make_land(np.uint64(5), (150, 90))
    monkeypatch.setattr("lulcmap.simulation.land._ROWS_AT_ONCE", 40)
    parts = make_land(np.uint64(5), (150, 90))
    assert np.array_equal(whole.truth, parts.truth)
    assert np.array_equal(whole.cover, parts.cover)
    assert np.array_equal(whole.latents, parts.latents)
    assert np.array_equal(whole.shade, parts.shade)
    assert whole.shade.any()


def test_pixels_do_not_depend_on_the_bands_of_rows_they_are_made_in(monkeypatch):
    land = make_land(np.uint64(5), (150, 90))
    air = make_atmosphere(np.uint64(1), (150, 90), cloud=0.3, haze=200)
    settings = {"step": 20, "atmosphere": air, "swath": EVERYWHERE, "offset": 0}
    whole = optical_scene(land, load_statistics(), np.uint64(1), **settings)
    monkeypatch.setattr("lulcmap.simulation.signal._ROWS_AT_ONCE", 16)
    parts = optical_scene(land, load_statistics(), np.uint64(1), **settings)
    for one, other in zip(whole, parts, strict=True):
        assert np.array_equal(one, other)


def test_smooth_noise_has_mean_zero_and_deviation_one():
    field = np.array([[smooth(np.uint64(3), y / 5, x / 5) for x in range(300)] for y in range(300)])
    assert abs(field.mean()) < 0.1
    assert abs(field.std() - 1) < 0.1


def test_assets_lie_as_on_planetary_computer(made):
    for item in items(made):
        radar_item = item["collection"] == "sentinel-1-rtc"
        keys = {"vv", "vh"} if radar_item else {*S2_BANDS, "SCL"}
        assert set(item["assets"]) == keys
        for key, asset in item["assets"].items():
            path = made.items.parent / asset["href"]
            assert asset["href"] == f"./{item['collection']}/{item['id']}/{key}.tif"
            fine = radar_item or key in ("B02", "B03", "B04", "B08")
            dtype = "float32" if radar_item else "uint8" if key == "SCL" else "uint16"
            with rasterio.open(path) as file:
                assert file.shape == ((128, 160) if fine else (64, 80))
                assert file.shape == tuple(asset["proj:shape"])
                assert file.res == ((10, 10) if fine else (20, 20))
                assert list(file.transform)[:6] == asset["proj:transform"]
                assert file.crs.to_epsg() == SMALL.epsg
                assert file.dtypes == (dtype,)
                assert file.nodata == (S1_NODATA if radar_item else 0)
                assert not any("DATE" in tag or "TIME" in tag for tag in file.tags())


def test_every_file_is_a_valid_cog(made):
    files = list(made.items.parent.rglob("*.tif"))
    assert len(files) == 1 + 3 * 10 + 2 * 2
    for path in files:
        assert cog_validate(path, strict=True) == (True, [], [])


def test_a_large_file_has_tiles_of_512_and_overviews(tmp_path):
    path = tmp_path / "large.tif"
    plane = np.arange(1100 * 1100, dtype=np.uint16).reshape(1100, 1100)
    write_cog(path, plane, transform=Affine(10, 0, 0, 0, -10, 0), epsg=32632, nodata=0)
    with rasterio.open(path) as file:
        assert file.block_shapes == [(512, 512)]
        assert file.overviews(1) == [2, 4]
        assert file.compression.name == "deflate"
        assert file.tags(ns="IMAGE_STRUCTURE")["PREDICTOR"] == "2"
        assert np.array_equal(file.read(1), plane)


def test_items_are_scenes_with_their_offset_orbit_and_direction(made):
    scenes = [Scene.from_item(item, ITEM_COLLECTION) for item in items(made)]
    optical_scenes = [scene for scene in scenes if scene.sensor == "s2"]
    assert len({scene.datatake for scene in scenes}) == 5
    assert {scene.epsg for scene in scenes} == {SMALL.epsg}
    assert {scene.offset for scene in optical_scenes} == {0, 1000}
    assert len({scene.orbit for scene in optical_scenes}) == 2
    assert {s.orbit_state for s in scenes if s.sensor == "s1"} == {"descending", "ascending"}
    assert {"proj:epsg", "proj:code"} <= {key for item in items(made) for key in item["properties"]}
    assert all(item["properties"]["lulcmap:simulated"] is True for item in items(made))


def test_the_bbox_of_an_item_is_where_its_pixels_are(made):
    for item in items(made):
        with rasterio.open(made.items.parent / next(iter(item["assets"].values()))["href"]) as file:
            corners = rasterio.warp.transform_bounds(file.crs, 4326, *file.bounds, densify_pts=2)
        assert item["bbox"] == pytest.approx(corners, abs=1e-4)
        assert shapely.from_geojson(json.dumps(item["geometry"])).bounds == tuple(item["bbox"])


def test_the_offset_of_new_baselines_is_exactly_1000_where_there_is_data(tmp_path):
    old, new = (
        simulate(tmp_path / str(share), replace(SMALL, old_baseline=share, s1_dates=0))
        for share in (1.0, 0.0)
    )
    for before, after in zip(items(old), items(new), strict=True):
        for band in ("B02", "B11"):
            was, now = pixels(old, before, band), pixels(new, after, band)
            seen = was > 0
            assert np.array_equal(now[seen], was[seen] + 1000)
            assert not now[~seen].any()


def test_the_second_orbit_ends_inside_the_country_in_all_bands_alike(made):
    inside = {}
    for item in items(made, "sentinel-2"):
        unseen = pixels(made, item, "SCL") == 0
        assert np.array_equal(unseen, pixels(made, item, "B12") == 0)
        assert np.array_equal(unseen.repeat(2, 0).repeat(2, 1), pixels(made, item, "B04") == 0)
        inside[item["properties"]["sat:relative_orbit"]] = unseen.mean()
    assert inside[65] == 0
    assert 0.1 < inside[22] < 0.6


def test_clouds_cover_what_was_asked_for_and_are_bright():
    dates = 5
    shape = (300, 300)
    land = uniform(1, shape)
    covered = []
    for number in range(dates):
        air = make_atmosphere(np.uint64(number), shape, cloud=0.4, haze=0)
        fine, _, scl = optical_scene(
            land, average(), np.uint64(9), step=20, atmosphere=air, swath=EVERYWHERE, offset=0
        )
        covered.append((air.cloud > 0).mean())
        blue = fine[0, ::2, ::2]
        assert blue[scl == 9].mean() > 3 * blue[scl == 4].mean()
        assert blue[scl == 3].mean() < 0.9 * blue[scl == 4].mean()
    assert np.mean(covered) == pytest.approx(0.4, abs=0.02)


def test_haze_brightens_blue_more_than_infrared():
    shape = (64, 64)
    seen = []
    for haze in (0.0, 300.0):
        air = make_atmosphere(np.uint64(1), shape, cloud=0, haze=haze)
        seen.append(
            optical_scene(
                uniform(1, shape),
                average(),
                np.uint64(9),
                step=20,
                atmosphere=air,
                swath=EVERYWHERE,
                offset=0,
            )[0].mean(axis=(1, 2))
        )
    rise = seen[1] - seen[0]
    assert rise[0] > 100
    assert rise[3] < 0.5 * rise[0]


def test_an_average_pixel_has_the_tables_reflectance():
    table = average()
    air = make_atmosphere(np.uint64(1), (64, 64), cloud=0, haze=0)
    fine, coarse, scl = optical_scene(
        uniform(4, (64, 64)),
        table,
        np.uint64(9),
        step=20,
        atmosphere=air,
        swath=EVERYWHERE,
        offset=0,
    )
    wanted = np.exp(table.mean[20, 4, :9])
    assert fine.mean(axis=(1, 2)) == pytest.approx(wanted[[0, 1, 2, 6]], rel=0.005)
    assert coarse.mean(axis=(1, 2)) == pytest.approx(wanted[[3, 4, 5, 7, 8]], rel=0.005)
    assert set(np.unique(scl)) <= {4, 5}


def test_speckle_has_the_looks_it_says_and_keeps_the_mean():
    table = average()
    rng = np.random.default_rng(1)
    gamma0 = radar_scene(
        uniform(1, (400, 400)), table, rng, np.uint64(2), step=20, swath=EVERYWHERE
    ).astype(np.float64)
    mean, spread = gamma0.mean(axis=(1, 2)), gamma0.std(axis=(1, 2))
    assert (mean / spread) ** 2 == pytest.approx([LOOKS, LOOKS], rel=0.03)
    assert np.log(mean) == pytest.approx(table.mean[20, 1, 9:], abs=0.06)  # a day's gain


def test_radar_has_nodata_outside_its_swath_only(made):
    for item in items(made, "sentinel-1"):
        for key in ("vv", "vh"):
            gamma0 = pixels(made, item, key)
            unseen = gamma0 == S1_NODATA
            assert 0 < unseen.mean() < 0.35
            assert gamma0[~unseen].min() >= 0


def test_fields_are_greener_in_july_than_in_january_and_the_south_is_half_a_year_off():
    table = load_statistics()
    north, south = Country(seed=1), Country(seed=1, epsg=32732)
    july, january = datetime(2024, 7, 15), datetime(2024, 1, 15)
    index = [
        np.subtract(*table.mean[season_step(moment, north), 4, [6, 2]])
        for moment in (july, january)
    ]
    assert index[0] > index[1] + 0.3
    assert abs(season_step(july, south) - season_step(january, north)) <= 1


def test_flaws_come_as_asked(tmp_path):
    wrong = replace(SMALL, without_scl=1, missing=1, truncated=1, shift=4.0, s1_dates=0)
    made = simulate(tmp_path, wrong)
    first, second, third = items(made)
    assert not (tmp_path / first["assets"]["B03"]["href"]).exists()
    with pytest.raises(rasterio.errors.RasterioIOError):
        pixels(made, second, "B04")
    assert "SCL" not in third["assets"]
    assert not (tmp_path / "sentinel-2-l2a" / third["id"] / "SCL.tif").exists()
    assert third["assets"]["B02"]["proj:transform"][2] == SMALL.west + 4
    with rasterio.open(made.truth) as file:
        assert file.transform.c == SMALL.west


def test_the_border_is_one_polygon_inside_the_country(made):
    (feature,) = json.loads(made.aoi.read_text())["features"]
    border = shapely.from_geojson(json.dumps(feature["geometry"]))
    whole = shapely.from_geojson(json.dumps(items(made)[0]["geometry"]))
    assert border.is_valid
    assert border.exterior.is_ccw
    assert whole.contains(border)
    assert 0.7 < border.area / whole.area < 0.98


@pytest.mark.parametrize(
    "wrong",
    [
        {"height": 8},
        {"west": 440_005},
        {"cloud": 1.0},
        {"haze": -0.1},
        {"s2_dates": 0, "s1_dates": 0},
        {"s1_dates": -1},
        {"missing": 2, "truncated": 7},
    ],
)
def test_impossible_countries_are_refused(wrong):
    with pytest.raises(ValueError, match=r"."):
        Country(seed=1, **wrong)


def test_the_table_of_statistics_is_what_the_real_samples_give(shared_data, tmp_path, monkeypatch):
    out = tmp_path / "statistics.json"
    script = Path(__file__).parents[2] / "recipes" / "simulated" / "class_statistics.py"
    monkeypatch.setattr("sys.argv", [str(script), str(shared_data), str(out)])
    runpy.run_path(str(script), run_name="__main__")
    committed = Path(__file__).parents[2] / "lulcmap" / "simulation" / "statistics.json"
    fresh, kept = json.loads(out.read_text()), json.loads(committed.read_text())
    assert fresh["source"] == kept["source"]
    for name in NAMES:
        for moment in ("mean", "between", "within"):
            found, wanted = (np.array(t["classes"][name][moment]) for t in (fresh, kept))
            assert found == pytest.approx(wanted, abs=2e-3)
