"""Compositing: against the plain reference on every pixel, and the same however the map is cut."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from rasterio.transform import Affine

from lulcmap.catalog.providers import ITEM_COLLECTION
from lulcmap.catalog.scene import Scene
from lulcmap.catalog.selection import Datatake
from lulcmap.errors import ReadError
from lulcmap.imagery import kernels
from lulcmap.imagery.composite import Composite, make_composite
from lulcmap.imagery.reader import Reader
from lulcmap.imagery.rules import CompositeRules
from lulcmap.sensors import S1_BANDS, S2_BANDS, SCL_DILATED

SHAPE = (40, 48)
CORNER = (600_000.0, 5_000_040.0)
GRID = GeoBox(SHAPE, Affine(10, 0, CORNER[0], 0, -10, CORNER[1]), "EPSG:32632")


def make_scene(name: str, sensor="s2", *, offset=0, assets: Sequence[str] = ()) -> Scene:
    return Scene(
        id=name,
        sensor=sensor,
        acquired=datetime(2024, 6, 1),
        datatake=name,
        bbox=(10.2, 45.1, 10.4, 45.2),
        epsg=32632,
        orbit=None,
        orbit_state=None,
        cloud_cover=None,
        offset=offset,
        assets={band: f"/{name}/{band}.tif" for band in assets},
    )


@dataclass
class Archive:
    """Scenes in memory, over ``GRID``; reads planes on any grid with the same pixels."""

    pixels: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    broken: set[tuple[str, str]] = field(default_factory=set)
    requests: list[tuple[str, str]] = field(default_factory=list)

    def add(self, scene: Scene, band: str, pixels: np.ndarray) -> None:
        self.pixels[scene.id, band] = pixels

    def planes(self, requests, grid):
        size = grid.resolution.x
        row, col = (
            round((CORNER[1] - grid.affine.f) / size),
            round((grid.affine.c - CORNER[0]) / size),
        )
        for scene, band in requests:
            self.requests.append((scene.id, band))
            if (scene.id, band) in self.broken:
                yield ReadError(f"Scene {scene.id}: {band} could not be read: broken")
                continue
            whole = self.pixels[scene.id, band]
            far = np.pad(whole, 100)
            yield far[100 + row :, 100 + col :][: grid.shape[0], : grid.shape[1]].copy()


def optical(archive: Archive, rng, name: str, *, classified=True, everywhere=False) -> Scene:
    """A scene with random clouds, gaps and offset; its bands have gaps of their own."""
    offset = int(rng.choice([0, 1000]))
    scene = make_scene(name, offset=offset, assets=(*S2_BANDS, *["SCL"] * classified))
    half = (SHAPE[0] // 2, SHAPE[1] // 2)
    valid = np.ones(half, bool) if everywhere else rng.random(half) < 0.8
    if not everywhere:
        valid[:, : rng.integers(0, half[1])] = False  # the edge of the swath
    if classified:
        codes = rng.choice([4, 5, 6, 11, 3, 8, 10, 1], half, p=[0.8, 0.05, 0.05, 0.06, *[0.01] * 4])
        archive.add(scene, "SCL", (codes * valid).astype(np.uint8))
    for band in S2_BANDS:
        raw = rng.integers(2, 4000, SHAPE) + rng.choice([0, 1000, 26_000], p=[0.5, 0.4, 0.1])
        gap = rng.random(SHAPE) < 0.02
        archive.add(scene, band, (raw * np.kron(valid, np.ones((2, 2))) * ~gap).astype(np.uint16))
    return scene


def radar(archive: Archive, rng, name: str) -> Scene:
    scene = make_scene(name, "s1", assets=S1_BANDS)
    edge = rng.integers(0, SHAPE[1])
    for band in S1_BANDS:
        power = rng.gamma(4, 0.02, SHAPE).astype(np.float32)
        power[rng.random(SHAPE) < 0.1] = 0
        power[:, edge:] = 0
        archive.add(scene, band, power)
    return scene


def country(seed: int, *, dates=8, passes=4) -> tuple[Archive, dict]:
    """An archive, and the datatakes to composite."""
    rng = np.random.default_rng(seed)
    archive = Archive()
    s2 = [
        tuple(
            optical(archive, rng, f"d{d}s{s}", classified=rng.random() < 0.8)
            for s in range(1 + d % 3)
        )
        for d in range(dates)
    ]
    preferred = [
        tuple(radar(archive, rng, f"p{p}s{s}") for s in range(1 + p % 2)) for p in range(passes)
    ]
    others = [(radar(archive, rng, f"o{p}"),) for p in range(2)]
    return archive, {"s2_dates": s2, "s1_passes": preferred, "s1_others": others}


def grown(mask: np.ndarray, reach: int) -> np.ndarray:
    far = np.pad(mask, reach)
    size = 2 * reach + 1
    return np.lib.stride_tricks.sliding_window_view(far, (size, size)).any((2, 3))


def observed(
    archive: Archive, datatake: Datatake, rules: CompositeRules
) -> tuple[np.ndarray, np.ndarray]:
    """(h, w) index of the scene that a pixel takes, -1 none; (h, w) where it is clear."""
    source = np.full((SHAPE[0] // 2, SHAPE[1] // 2), -1)
    codes = np.zeros(source.shape, int)
    unmasked = np.zeros(source.shape, bool)
    for index, scene in enumerate(datatake):
        if (scene.id, "SCL") in archive.broken:
            continue
        if "SCL" in scene.assets:
            scl = archive.pixels[scene.id, "SCL"]
            here = scl != 0
            codes = np.where(codes == 0, scl, codes)
        else:
            blue = archive.pixels[scene.id, "B02"]
            here = blue.reshape(source.shape[0], 2, source.shape[1], 2).max((1, 3)) > 0
            unmasked |= here & (source == -1)
        source[here & (source == -1)] = index
    dilated = [code for code in SCL_DILATED if code in rules.mask_codes]
    clouds = grown(np.isin(codes, dilated), rules.mask_dilation)
    return source, ~(np.isin(codes, rules.mask_codes) | clouds) | unmasked


def measured(samples: list[int]) -> list[int]:
    """Samples of one band, in order, without those of 1 beside bright ones."""
    others = [sample for sample in samples if sample > 1]
    return others if others and min(others) >= 500 else samples


def settled(values: list[int], count: int) -> tuple[list[int], int]:
    """A pixel's bands, and its count: nodata if one is missing, unless it is dark water."""
    present = [value for value in values if value]
    is_dark = max(values[:4]) < 2000 and max(values[4:]) < 1000
    if max(values) <= 1 or (count == 0 and not (len(present) >= 5 and is_dark)):
        return [0] * len(values), 0
    return [max(value, 1) for value in values], max(count, 1)


def reference(archive: Archive, datatakes: list[Datatake], rules: CompositeRules):
    """The rule, pixel by pixel, in plain Python."""
    observations = [observed(archive, datatake, rules) for datatake in datatakes]
    image, count = np.zeros((len(S2_BANDS), *SHAPE), int), np.zeros(SHAPE, int)
    for y, x in np.ndindex(*SHAPE):
        tries, clear = 0, []
        for datatake, (source, is_clear) in zip(datatakes, observations, strict=True):
            index = source[y // 2, x // 2]
            if index >= 0 and tries < rules.max_scenes and len(clear) < rules.min_clear:
                tries += 1
                if is_clear[y // 2, x // 2]:
                    clear.append(datatake[index])
        samples = [
            measured(
                sorted(
                    max(int(raw) - scene.offset, 1)
                    for scene in clear
                    if (scene.id, band) not in archive.broken
                    and (raw := archive.pixels[scene.id, band][y, x])
                )
            )
            for band in S2_BANDS
        ]
        values = [(s[(len(s) - 1) // 2] + s[len(s) // 2] + 1) // 2 if s else 0 for s in samples]
        image[:, y, x], count[y, x] = settled(values, min(map(len, samples)))
    return image, count


def run(archive: Archive, scenes: dict, *, grid: GeoBox = GRID, **rules) -> Composite:
    return make_composite(archive.planes, grid, **scenes, rules=CompositeRules(**rules))


@pytest.mark.parametrize("min_clear", [1, 2, 3, 4, 5, 6, 12])
@pytest.mark.parametrize(("dilation", "max_scenes"), [(0, 12), (2, 4), (3, 7)])
def test_every_pixel_equals_the_plain_reference(min_clear, dilation, max_scenes):
    archive, scenes = country(min_clear)
    rules = CompositeRules(min_clear=min_clear, mask_dilation=dilation, max_scenes=max_scenes)

    composite = make_composite(archive.planes, GRID, **scenes, rules=rules)

    image, count = reference(archive, scenes["s2_dates"], rules)
    np.testing.assert_array_equal(composite.s2_count, count)
    np.testing.assert_array_equal(composite.s2, image)
    assert 0 < (count > 0).mean() < 1


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**16),
    st.tuples(st.integers(0, 17), st.integers(0, 21)),
    st.tuples(st.integers(1, 20), st.integers(1, 24)),
    st.integers(0, 3),
)
def test_a_pixel_does_not_depend_on_how_the_map_is_cut(seed, start, size, dilation):
    archive, scenes = country(seed, dates=5)
    rows = slice(2 * start[0], min(2 * (start[0] + size[0]), SHAPE[0]))
    cols = slice(2 * start[1], min(2 * (start[1] + size[1]), SHAPE[1]))

    whole = run(archive, scenes, min_clear=3, mask_dilation=dilation)
    part = run(archive, scenes, grid=GRID[rows, cols], min_clear=3, mask_dilation=dilation)

    for name in ("s2", "s1", "s2_count", "s1_count", "s1_other"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[..., rows, cols])


def with_older(scenes: dict) -> dict:
    """The same datatakes, in which every scene but the first stands behind it."""
    dates = [
        (date[0], *(replace(s, behind=date[0].id, datatake=date[0].datatake) for s in date[1:]))
        for date in scenes["s2_dates"]
    ]
    return {**scenes, "s2_dates": dates}


@pytest.mark.parametrize("seed", range(6))
def test_an_older_product_fills_in_where_the_newer_has_nothing(seed):
    archive, scenes = country(seed)
    rules = CompositeRules(min_clear=3, mask_dilation=seed % 3)

    composite = make_composite(archive.planes, GRID, **with_older(scenes), rules=rules)

    image, count = reference(archive, scenes["s2_dates"], rules)
    np.testing.assert_array_equal(composite.s2, image)
    np.testing.assert_array_equal(composite.s2_count, count)
    assert composite.replaced == 0


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**16),
    st.tuples(st.integers(0, 17), st.integers(0, 21)),
    st.tuples(st.integers(1, 20), st.integers(1, 24)),
    st.integers(0, 3),
)
def test_older_products_do_not_depend_on_how_the_map_is_cut(seed, start, size, dilation):
    archive, scenes = country(seed, dates=5)
    for name, band in [key for key in archive.pixels if key[1] == "SCL" and key[0].endswith("s0")]:
        archive.pixels[name, band][: seed % 20] = 5  # nothing is missing there
    rows = slice(2 * start[0], min(2 * (start[0] + size[0]), SHAPE[0]))
    cols = slice(2 * start[1], min(2 * (start[1] + size[1]), SHAPE[1]))

    older = with_older(scenes)
    whole = run(archive, older, min_clear=3, mask_dilation=dilation)
    part = run(archive, older, grid=GRID[rows, cols], min_clear=3, mask_dilation=dilation)

    for name in ("s2", "s2_count"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[..., rows, cols])


def test_a_cloud_of_an_older_product_masks_across_the_edge_of_a_block():
    archive, rng = Archive(), np.random.default_rng(3)
    newer, older = (optical(archive, rng, name, everywhere=True) for name in ("newer", "older"))
    archive.pixels["newer", "SCL"][:] = 4
    archive.pixels["newer", "SCL"][:, 12] = 0
    archive.pixels["older", "SCL"][:] = 9
    dates = {"s2_dates": [(newer, replace(older, behind="newer"))], "s1_passes": []}

    whole = run(archive, dates, mask_dilation=3)
    part = run(archive, dates, grid=GRID[:, :24], mask_dilation=3)

    np.testing.assert_array_equal(part.s2_count, whole.s2_count[:, :24])
    assert not part.s2_count[:, 18:].any()
    assert part.s2_count[8:-8, 8:16].any()


def upper(pixels: np.ndarray) -> np.ndarray:
    return pixels[: len(pixels) // 2]


def lower(pixels: np.ndarray) -> np.ndarray:
    return pixels[len(pixels) // 2 :]


def halves(*, classified=True) -> tuple[Archive, Scene, Scene, Scene]:
    """A scene everywhere; and the same as two products, the newer above and the older below."""
    archive, rng = Archive(), np.random.default_rng(7)
    whole = optical(archive, rng, "whole", everywhere=True, classified=classified)
    newer, older = replace(whole, id="newer"), replace(whole, id="older", behind="newer")
    for name, band in list(archive.pixels):
        for half, part in ((newer, lower), (older, upper)):
            pixels = archive.pixels[name, band].copy()
            part(pixels)[:] = 0
            archive.add(half, band, pixels)
    return archive, whole, newer, older


@pytest.mark.parametrize("classified", [True, False])
def test_two_halves_of_a_tile_give_what_the_whole_gives(classified):
    archive, whole, newer, older = halves(classified=classified)

    both = run(archive, {"s2_dates": [(newer, older)], "s1_passes": []})
    one = run(archive, {"s2_dates": [(whole,)], "s1_passes": []})

    np.testing.assert_array_equal(both.s2, one.s2)
    assert both.used == ("newer", "older")


@pytest.mark.parametrize("classified", [True, False])
def test_an_older_product_is_not_opened_where_the_newer_has_all(classified):
    archive, whole, _, older = halves(classified=classified)
    behind = replace(older, behind=whole.id)
    inner = GRID[10:30, 10:38]

    composite = run(archive, {"s2_dates": [(whole, behind)], "s1_passes": []}, grid=inner)

    assert composite.used == ("whole",)
    assert {name for name, _ in archive.requests} == {"whole"}


@pytest.mark.parametrize("broken", [("SCL",), ("B05",), S2_BANDS])
def test_a_broken_newest_product_does_not_hide_a_good_older_one(broken):
    archive, whole, newer, _ = halves()
    good = replace(whole, behind="newer")
    archive.broken = {("newer", band) for band in broken}
    for (name, band), pixels in list(archive.pixels.items()):
        if name == "whole":
            archive.add(newer, band, pixels)

    composite = run(archive, {"s2_dates": [(newer, good)], "s1_passes": []})

    one = run(archive, {"s2_dates": [(whole,)], "s1_passes": []})
    np.testing.assert_array_equal(composite.s2, one.s2)
    assert {(lost.scene, lost.band) for lost in composite.lost} == archive.broken
    assert composite.replaced == len(composite.lost)
    assert "whole" in composite.used


@pytest.mark.parametrize("size", range(1, 25))
def test_the_median_of_any_number_of_dates_ignores_what_is_missing(size):
    rng = np.random.default_rng(size)
    stack = rng.integers(1, 65536, (size, 7, 301)).astype(np.uint16)
    stack[:, :, ::7] = rng.choice([1, 2, 65534, 65535], (size, 7, 43))
    stack[rng.random(stack.shape) < rng.random(stack.shape[1:])] = 0
    out, fewest = np.zeros(stack.shape[1:], np.uint16), np.full(stack.shape[1:], 255, np.uint8)

    kernels.median(stack, kernels.sorting_network(size), out, fewest, 0, len(out))

    others = np.where(stack > 1, stack, 65535).min(0)
    stack[(stack == 1) & (others >= 500) & (others < 65535)] = 0  # missing beside bright samples
    number = (stack > 0).sum(0)
    with_nan = np.where(stack > 0, stack, np.nan)
    with_nan[0, number == 0] = 0
    np.testing.assert_array_equal(out, np.floor(np.nanmedian(with_nan, axis=0) + 0.5))
    np.testing.assert_array_equal(fewest, number)


WATER = [300, 250, 200, 150, 100, 80, 60, 40, 30]
LAND = [400, 600, 700, 1100, 2000, 2400, 2500, 2200, 1400]


def one_pixel(*dates: list[int], offset=0, scl=(4,)) -> tuple[list[int], int]:
    """The bands and the count of the composite of a land of equal pixels, from raw DN by date."""
    archive, datatakes = Archive(), []
    for number, values in enumerate(dates):
        scene = make_scene(f"d{number}", offset=offset, assets=(*S2_BANDS, "SCL"))
        half = (SHAPE[0] // 2, SHAPE[1] // 2)
        archive.add(scene, "SCL", np.full(half, scl[number % len(scl)], np.uint8))
        for band, value in zip(S2_BANDS, values, strict=True):
            archive.add(scene, band, np.full(SHAPE, value, np.uint16))
        datatakes.append((scene,))
    composite = run(archive, {"s2_dates": datatakes, "s1_passes": []})
    assert (composite.s2 == composite.s2[:, :1, :1]).all()
    return composite.s2[:, 0, 0].tolist(), int(composite.s2_count[0, 0])


def without(values: list[int], *bands: str, put=0) -> list[int]:
    return [put if band in bands else v for band, v in zip(S2_BANDS, values, strict=True)]


@pytest.mark.parametrize(
    "bands", [("B02",), ("B08",), ("B12",), ("B08", "B11", "B12"), ("B02", "B08", "B11", "B12")]
)
def test_a_lake_that_is_too_dark_for_a_band_is_kept(bands):
    assert one_pixel(without(WATER, *bands)) == (without(WATER, *bands, put=1), 1)
    assert one_pixel(*[without(WATER, *bands)] * 3) == (without(WATER, *bands, put=1), 1)


@pytest.mark.parametrize("bands", [("B02",), ("B08",), ("B12",), ("B05", "B11", "B12")])
def test_the_ragged_edge_of_a_swath_stays_out(bands):
    assert one_pixel(without(LAND, *bands)) == ([0] * 9, 0)


def test_a_pixel_that_lacks_most_bands_stays_out():
    assert one_pixel(without(WATER, "B02", "B03", "B04", "B05", "B12")) == ([0] * 9, 0)


def test_saturated_snow_that_lacks_a_band_is_not_water():
    snow = [9000, 9000, 9000, 9000, 0, 0, 0, 400, 300]

    assert one_pixel(snow) == ([0] * 9, 0)


def test_the_other_bands_of_an_observation_with_a_zero_count():
    first, second = without(LAND, "B08"), [value + 100 for value in LAND]

    values, count = one_pixel(first, second)

    wanted = [value + 50 for value in LAND]
    wanted[S2_BANDS.index("B08")] = second[S2_BANDS.index("B08")]
    assert (values, count) == (wanted, 1)


def test_the_edge_of_a_swath_of_ones_is_no_observation():
    edge = [1] * 9

    assert one_pixel(edge) == ([0] * 9, 0)
    bright = [value + 500 for value in LAND]
    assert one_pixel(edge, bright) == (bright, 1)
    assert one_pixel(bright, edge, bright) == (bright, 2)


def test_a_band_of_ones_is_kept_where_it_may_be_dark():
    forest = without(LAND, "B02", put=1)  # the haze of which was overestimated, as in old products

    assert one_pixel(forest) == (forest, 1)
    assert one_pixel(forest, [max(v, 100) for v in forest])[0][0] == 51
    assert one_pixel(without(WATER, *S2_BANDS[1:], put=1))[1] == 1


def test_no_more_dates_are_read_than_are_needed():
    archive, rng = Archive(), np.random.default_rng(0)
    datatakes = [(optical(archive, rng, f"d{n}", everywhere=True),) for n in range(9)]
    for (scene,) in datatakes:
        archive.pixels[scene.id, "SCL"][:] = 4
    archive.pixels["d1", "SCL"][:] = 9

    composite = run(archive, {"s2_dates": datatakes, "s1_passes": []}, min_clear=2)

    assert composite.used == ("d0", "d2")
    assert {name for name, band in archive.requests if band == "B08"} == {"d0", "d2"}
    assert composite.opened == 3 + 2 * len(S2_BANDS)


def test_scenes_off_the_grid_are_not_read():
    archive, scenes = country(1)
    far = replace(make_scene("far", assets=(*S2_BANDS, "SCL")), bbox=(30.0, 45.1, 31.0, 45.2))
    with_far = {**scenes, "s2_dates": [(far,), *scenes["s2_dates"]]}

    composite = run(archive, with_far)

    np.testing.assert_array_equal(composite.s2, run(archive, scenes).s2)
    assert "far" not in {name for name, _ in archive.requests}


@pytest.mark.parametrize("bbox", [(179.5, -17.0, -179.5, -16.0), (-180.0, -17.0, -179.0, -16.0)])
def test_scenes_across_180_degrees_are_found(bbox):
    grid = GeoBox((20, 20), Affine(10, 0, 822_000, 0, -10, 8_174_000), "EPSG:32760")
    read = []

    def planes(requests, grid):
        read.extend(requests)
        for _ in requests:
            yield np.zeros(grid.shape, np.uint8)

    scene = replace(make_scene("fiji", assets=(*S2_BANDS, "SCL")), bbox=bbox)
    make_composite(planes, grid, s2_dates=[(scene,)], s1_passes=[])

    assert read == [(scene, "SCL")]


def test_lost_assets_are_named_and_the_rest_is_composited():
    archive, scenes = country(3)
    dates = scenes["s2_dates"]
    classified = [s.id for date in dates for s in date if "SCL" in s.assets]
    archive.broken = {(classified[0], "B05"), (classified[1], "SCL"), ("p0s0", "VH")}

    composite = run(archive, scenes, min_clear=3)

    image, count = reference(archive, dates, CompositeRules(min_clear=3))
    np.testing.assert_array_equal(composite.s2, image)
    np.testing.assert_array_equal(composite.s2_count, count)
    assert {(lost.scene, lost.band) for lost in composite.lost} == archive.broken
    assert all("broken" in lost.reason for lost in composite.lost)
    assert classified[1] not in {*composite.unmasked, *composite.used}
    assert "p0s0" not in composite.used


def test_a_scene_of_which_nothing_could_be_read_does_not_count_as_used():
    archive, scenes = country(3)
    name = scenes["s2_dates"][1][0].id
    archive.broken = {(name, band) for band in S2_BANDS}

    assert name not in run(archive, scenes).used


def test_backscatter_is_the_mean_power_of_the_preferred_orbit_else_of_the_other():
    archive, scenes = country(5)

    composite = run(archive, scenes)

    for y, x in np.ndindex(*SHAPE):
        powers = []
        for datatakes in (scenes["s1_passes"], scenes["s1_others"]):
            for datatake in datatakes:
                pairs = [[archive.pixels[s.id, b][y, x] for b in S1_BANDS] for s in datatake]
                powers += [pair for pair in pairs if min(pair) > 0][:1]
            if powers:
                break
        other = datatakes is scenes["s1_others"]
        assert composite.s1_count[y, x] == len(powers)
        assert composite.s1_other[y, x] == (other and bool(powers))
        if powers:
            level = 1000 * np.log10(np.mean(powers, axis=0, dtype=np.float64))
            assert np.abs(composite.s1[:, y, x] - level).max() <= 0.51
        else:
            assert (composite.s1[:, y, x] == -32768).all()
    assert composite.s1_other.any()
    assert not composite.s1_other.all()


def test_the_other_orbit_is_read_only_where_it_is_needed():
    archive, scenes = country(5)
    for band in S1_BANDS:
        archive.pixels["p0s0", band][:] = 0.1

    composite = run(archive, scenes)

    assert not any(name.startswith("o") for name, _ in archive.requests)
    assert not composite.s1_other.any()


def test_backscatter_has_a_floor_and_a_ceiling():
    archive = Archive()
    scene = make_scene("p", "s1", assets=S1_BANDS)
    archive.add(scene, "VV", np.full(SHAPE, 1e-9, np.float32))
    archive.add(scene, "VH", np.full(SHAPE, 1e35, np.float32))  # no reader gives so much

    composite = run(archive, {"s2_dates": [], "s1_passes": [(scene,)]})

    assert set(np.unique(composite.s1[0])) == {kernels.S1_FLOOR}
    assert set(np.unique(composite.s1[1])) == {32767}


def test_without_any_scene_all_is_nodata():
    composite = run(Archive(), {"s2_dates": [], "s1_passes": []})

    assert composite.s2.shape == (9, *SHAPE)
    assert composite.s2.dtype == np.uint16
    assert not composite.s2.any()
    assert composite.s1.dtype == np.int16
    assert (composite.s1 == -32768).all()
    for name in ("s2_count", "s1_count", "s1_other"):
        assert not getattr(composite, name).any()
    assert composite.used == composite.lost == composite.unmasked == ()
    assert composite.opened == 0


def test_a_grid_off_20_m_is_refused():
    for grid in (GRID[:21], GRID[1:21], GRID[:, 3:23]):
        with pytest.raises(ValueError, match="20 m"):
            make_composite(Archive().planes, grid, s2_dates=[], s1_passes=[])


def test_has_s2_and_has_s1_are_the_pixels_with_observations():
    archive, scenes = country(2)

    composite = run(archive, scenes)

    np.testing.assert_array_equal(composite.has_s2, composite.s2_count > 0)
    np.testing.assert_array_equal(composite.has_s1, composite.s1_count > 0)
    assert 0 < composite.has_s2.mean() < 1
    assert 0 < composite.has_s1.mean() < 1


def test_a_dataset_of_a_composite_has_its_bands_grid_and_counts():
    archive, scenes = country(4)
    composite = run(archive, scenes)

    dataset = composite.to_xarray()

    assert dict(dataset.sizes) == {"s2_band": 9, "s1_band": 2, "y": SHAPE[0], "x": SHAPE[1]}
    assert tuple(dataset.s2_band.values) == S2_BANDS
    assert tuple(dataset.s1_band.values) == S1_BANDS
    for name in ("s2", "s1", "s2_count", "s1_count"):
        np.testing.assert_array_equal(dataset[name], getattr(composite, name))
        assert dataset[name].dtype == getattr(composite, name).dtype
    assert dataset.odc.geobox == GRID
    assert (float(dataset.x[0]), float(dataset.y[0])) == (CORNER[0] + 5, CORNER[1] - 5)


def test_a_decoded_dataset_is_in_reflectance_and_decibels_with_nan_for_nodata():
    archive, scenes = country(4)
    composite = run(archive, scenes)

    decoded = xarray.decode_cf(composite.to_xarray())

    reflectance = np.where(composite.has_s2, composite.s2 * 1e-4, np.nan)
    np.testing.assert_allclose(decoded.s2, reflectance, rtol=1e-6)
    decibels = np.where(composite.has_s1, composite.s1 * 0.01, np.nan)
    np.testing.assert_allclose(decoded.s1, decibels, rtol=1e-6)


def save(folder: Path, archive: Archive, scene: Scene) -> Scene:
    """A scene of the archive as files, its red-edge and short-wave bands at 20 m."""
    hrefs = {}
    for band in scene.assets:
        pixels = archive.pixels[scene.id, band]
        coarse = band in ("B05", "B06", "B07", "B11", "B12")
        pixels = pixels[::2, ::2] if coarse else pixels
        size = 20.0 if coarse or band == "SCL" else 10.0
        path = folder / f"{scene.id}_{band}.tif"
        hrefs[band] = str(path)
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            height=pixels.shape[0],
            width=pixels.shape[1],
            count=1,
            dtype=pixels.dtype,
            crs="EPSG:32632",
            transform=Affine(size, 0, CORNER[0], 0, -size, CORNER[1]),
            nodata=-32768 if band in S1_BANDS else 0,
        ) as target:
            target.write(pixels, 1)
    return replace(scene, assets=hrefs)


def test_files_through_the_reader_give_the_same_whatever_the_number_of_workers(tmp_path):
    archive, scenes = country(7, dates=4, passes=2)
    files = {
        kind: [tuple(save(tmp_path, archive, scene) for scene in one) for one in datatakes]
        for kind, datatakes in scenes.items()
    }
    broken = files["s2_dates"][2][0]
    data = Path(broken.assets["B08"]).read_bytes()
    Path(broken.assets["B08"]).write_bytes(data[:600])

    composites = []
    for workers in (1, 3):
        with Reader(workers=workers) as reader:
            composites.append(
                make_composite(reader.planes, GRID, **files, rules=CompositeRules(min_clear=3))
            )

    archive.broken = {(broken.id, "B08")}
    image, _ = reference(archive, scenes["s2_dates"], CompositeRules(min_clear=3))
    fine = [S2_BANDS.index(band) for band in ("B02", "B03", "B04", "B08")]
    valid = (composites[0].s2_count > 0) & (image[0] > 0)
    np.testing.assert_array_equal(composites[0].s2[fine][:, valid], image[fine][:, valid])
    np.testing.assert_array_equal(composites[0].s1, run(archive, scenes).s1)
    assert [(lost.scene, lost.band) for lost in composites[0].lost] == [(broken.id, "B08")]
    for name in ("s2", "s1", "s2_count", "s1_count", "s1_other"):
        np.testing.assert_array_equal(getattr(composites[0], name), getattr(composites[1], name))
    for name in ("used", "lost", "unmasked", "opened"):
        assert getattr(composites[0], name) == getattr(composites[1], name)


def real_scenes(shared_data: Path) -> dict[str, Scene]:
    folder = shared_data / "archive"
    items = json.loads((folder / "items.json").read_text())["features"]
    scenes = [Scene.from_item(item, ITEM_COLLECTION) for item in items]
    return {
        s.id: replace(s, assets={b: str((folder / h).resolve()) for b, h in s.assets.items()})
        for s in scenes
    }


def test_the_offset_of_a_real_scene_of_2022_is_removed(shared_data):
    scene = next(s for s in real_scenes(shared_data).values() if "20220706T085611" in s.id)
    grid = GeoBox((400, 400), Affine(10, 0, 822_000, 0, -10, 8_000), "EPSG:32633")

    with Reader(workers=2) as reader:
        composite = make_composite(reader.planes, grid, s2_dates=[(scene,)], s1_passes=[])
        raw = np.stack([reader.read(scene, band, grid) for band in S2_BANDS])

    valid = (raw > 0).all(0)
    assert valid.mean() > 0.9
    wanted = np.where(valid, np.maximum(raw.astype(int) - 1000, 1), 0)
    np.testing.assert_array_equal(composite.s2, wanted)
    assert composite.unmasked == (scene.id,)


def test_two_real_dates_of_a_geographic_archive_meet_on_one_grid(shared_data):
    scenes = [s for s in real_scenes(shared_data).values() if 73 < s.bbox[0] < 74]
    dates = [(s,) for s in scenes if s.sensor == "s2"]
    down = [(s,) for s in scenes if s.orbit_state == "descending"]
    up = [(s,) for s in scenes if s.orbit_state == "ascending"]
    grid = GeoBox((240, 240), Affine(10, 0, 336_000, 0, -10, 3_372_000), "EPSG:32643")

    with Reader(workers=2) as reader:
        composite = make_composite(
            reader.planes, grid, s2_dates=dates, s1_passes=down, s1_others=up
        )

    both = composite.s2_count == 2
    assert both.mean() > 0.5
    assert 1500 < np.median(composite.s2[6][both]) < 4500  # near infrared of fields, in DN
    has_radar = composite.s1_count > 0
    assert has_radar.mean() > 0.5
    assert -1600 < np.median(composite.s1[0][has_radar]) < -500
    assert math.isclose(np.median(composite.s1[0][has_radar]), -970, abs_tol=150)
