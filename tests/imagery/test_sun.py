"""The sun over each pixel of a composite: against plain sums, and the same however it is cut."""

from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lulcmap.geo import overpass_time, solar_zenith
from lulcmap.imagery.composite import make_composite
from lulcmap.imagery.rules import CompositeRules
from lulcmap.imagery.sun import scene_zenith
from lulcmap.sensors import NO_SUN, S2_BANDS
from tests.imagery.test_composite import (
    GRID,
    SHAPE,
    Archive,
    country,
    make_scene,
    measured,
    observed,
    with_older,
)


def lit(scenes: dict, seed: int) -> dict:
    """The same scenes under a sun of their own each; some do not state it."""
    rng = np.random.default_rng(seed)
    dates = [
        tuple(
            replace(scene, sun_zenith=rng.choice([None, float(rng.uniform(0, 90)), 0.0, 90.0]))
            for scene in date
        )
        for date in scenes["s2_dates"]
    ]
    return {**scenes, "s2_dates": dates}


def plain_means(archive, datatakes, rules, image):
    """The rule, pixel by pixel, in plain Python."""
    observations = [observed(archive, datatake, rules) for datatake in datatakes]
    means = np.full(SHAPE, NO_SUN)
    for y, x in zip(*np.nonzero(image[0]), strict=True):
        tries, clear = 0, []
        for datatake, (source, is_clear) in zip(datatakes, observations, strict=True):
            index = source[y // 2, x // 2]
            if index >= 0 and tries < rules.max_scenes and len(clear) < rules.min_clear:
                tries += 1
                if is_clear[y // 2, x // 2]:
                    clear.append(datatake[index])
        zeniths = []
        for band in S2_BANDS:
            samples = [
                (max(int(raw) - scene.offset, 1), scene_zenith(scene))
                for scene in clear
                if (scene.id, band) not in archive.broken
                and (raw := archive.pixels[scene.id, band][y, x])
            ]
            counted = measured(sorted(value for value, _ in samples))
            zeniths += [zenith for value, zenith in samples if value in counted]
        means[y, x] = int(sum(zeniths) / len(zeniths) + 0.5)
    return means


@settings(max_examples=12, deadline=None)
@given(
    st.integers(0, 2**16),
    st.integers(1, 6),
    st.integers(0, 2),
    st.integers(3, 12),
    st.booleans(),
)
def test_a_pixel_s_sun_is_the_mean_of_its_samples(seed, min_clear, dilation, max_scenes, older):
    archive, scenes = country(seed)
    scenes = lit(with_older(scenes) if older else scenes, seed)
    rng = np.random.default_rng(seed)
    for key in archive.pixels:
        if key[1] in S2_BANDS[1:] and rng.random() < 0.05:
            archive.broken.add(key)
    rules = CompositeRules(min_clear=min_clear, mask_dilation=dilation, max_scenes=max_scenes)
    if older:
        archive.broken.clear()

    made = make_composite(archive.planes, GRID, **scenes, rules=rules, sun=True)
    without = make_composite(archive.planes, GRID, **scenes, rules=rules)

    np.testing.assert_array_equal(
        made.sun, plain_means(archive, scenes["s2_dates"], rules, made.s2)
    )
    assert without.sun is None
    for name in ("s2", "s1", "s2_count"):
        np.testing.assert_array_equal(getattr(made, name), getattr(without, name))


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**16),
    st.tuples(st.integers(0, 17), st.integers(0, 21)),
    st.tuples(st.integers(1, 20), st.integers(1, 24)),
)
def test_a_pixel_s_sun_does_not_depend_on_how_the_map_is_cut(seed, start, size):
    archive, scenes = country(seed, dates=5)
    scenes, rules = lit(scenes, seed), CompositeRules(min_clear=3)
    rows = slice(2 * start[0], min(2 * (start[0] + size[0]), SHAPE[0]))
    cols = slice(2 * start[1], min(2 * (start[1] + size[1]), SHAPE[1]))

    whole = make_composite(archive.planes, GRID, **scenes, rules=rules, sun=True)
    part = make_composite(archive.planes, GRID[rows, cols], **scenes, rules=rules, sun=True)

    np.testing.assert_array_equal(part.sun, whole.sun[rows, cols])


def test_dark_samples_that_count_as_missing_have_no_sun():
    scenes = [replace(make_scene(f"d{z}", assets=S2_BANDS), sun_zenith=z) for z in (20.0, 50.0)]
    archive = Archive()
    for scene, value in zip(scenes, (1, 2000), strict=True):  # 1 beside bright ones is nothing
        for band in S2_BANDS:
            archive.add(scene, band, np.full(SHAPE, value, np.uint16))

    made = make_composite(
        archive.planes, GRID, s2_dates=[(s,) for s in scenes], s1_passes=[], sun=True
    )

    assert (made.sun == 5000).all()


def test_without_any_scene_there_is_no_sun():
    made = make_composite(Archive().planes, GRID, s2_dates=[], s1_passes=[], sun=True)

    assert (made.sun == NO_SUN).all()


def test_a_scene_that_does_not_state_its_sun_has_that_of_its_date_and_place():
    scene = replace(
        make_scene("a"), acquired=datetime(2020, 6, 4, 5, 46, 39), bbox=(73.0, 29.9, 74.8, 30.9)
    )

    passed = overpass_time(scene.acquired, 73.9, 30.4)
    assert scene_zenith(scene) == round(100 * float(solar_zenith(passed, 73.9, 30.4)))
    assert scene_zenith(scene) == pytest.approx(1621, abs=200)  # what ESA states for the tile
    assert scene_zenith(replace(scene, sun_zenith=16.212)) == 1621


def test_a_scene_across_180_degrees_has_the_sun_of_its_middle():
    near = replace(make_scene("a"), bbox=(179.0, -17.0, -179.0, -16.0))
    west = replace(near, bbox=(179.9, -17.0, 180.0, -16.0))

    assert scene_zenith(near) == pytest.approx(scene_zenith(west), abs=50)


def test_a_sun_below_the_horizon_counts_as_on_it():
    polar = replace(make_scene("a"), acquired=datetime(2020, 12, 21), bbox=(20.0, 79, 22.0, 80))

    assert scene_zenith(polar) == 9000
