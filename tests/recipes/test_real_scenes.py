"""Version 2's real scenes: places, skies, the teacher's labels, and what becomes of them."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from lulcmap.legend import NAMES, NODATA
from lulcmap.sensors import S1_NODATA
from recipes.real_land import labelled, places
from recipes.real_land.atmosphere import Atmosphere, Sky
from recipes.real_land.corine import ALLOWED, allowed_ids, prior, share_found
from recipes.real_land.corrections import without_bright_forest
from recipes.real_land.labelled import SoftLabel, composite, label_place, labelled_tiles, weight_of
from recipes.real_land.places import LINK_KM, Place, load_places, make_places
from recipes.real_land.real_scenes import RealScene, _doubled, _doubled_smoothly, real_scenes
from recipes.real_land.scenes import load_items, read_optical
from recipes.real_land.teacher import Teacher
from recipes.real_land.textures import training_textures
from recipes.real_land.told import told
from recipes.real_land.usable import clear

TREES, CROPS, SHRUB = (NAMES.index(name) for name in ("trees", "crops", "shrub_and_scrub"))


def scene(*, sun=40.0, corine=(), value=600, side=16, place="here", name="x"):
    s2 = np.full((9, side, side), value, np.uint16)
    return RealScene(
        name,
        Place(name, place, 0, 0, 0, 0, "train"),
        s2,
        s2.copy(),
        np.full((2, side, side), S1_NODATA, np.int16),
        Sky(sun),
        datetime(2020, 6, 1, 10),
        50.0,
        10.0,
        corine,
    )


@pytest.fixture
def said(monkeypatch):
    """What the teacher says of every scene by its name: probabilities of each class."""
    opinions: dict[str, dict[int, float]] = {}

    def taught(_, of):
        probabilities = np.full((9, *of.s2.shape[1:]), 0.0, np.float32)
        for cover, share in opinions[of.name].items():
            probabilities[cover] = share
        return probabilities

    monkeypatch.setattr(labelled, "taught", taught)
    return opinions


def test_no_place_is_on_both_sides():
    uses = {}
    for place in load_places():
        uses.setdefault(place.place, set()).add(place.use)

    assert all(len(use - {"aside"}) <= 1 for use in uses.values())
    assert {"train", "held-out"} <= set().union(*uses.values())
    parts = [place for place in load_places() if place.bottom]
    for one in parts:
        for other in parts:
            if one.scene == other.scene and one.use != other.use:
                assert max(one.top, other.top) - min(one.bottom, other.bottom) >= places.GAP_PX


def test_the_places_follow_their_rule(shared_data: Path):
    assert load_places() == make_places(shared_data)


def test_patches_that_chain_together_are_one_place():
    step = 0.9 * LINK_KM / 111.2
    at = {0: (10.0, 20.0), 1: (10.0 + 2 * step, 20.0), 2: (10.0 + step, 20.0), 3: (11.0, 20.0)}

    assert places._linked(at) == {0: 0, 1: 0, 2: 0, 3: 3}


def test_training_patches_lie_far_from_held_out_ones(shared_data: Path):
    sides = {use: list(real_scenes(shared_data, use=use)) for use in ("train", "held-out")}
    for one in sides["train"]:
        for other in sides["held-out"]:
            if one.place.scene != other.place.scene and one.source == "bigearthnet":
                at = (one.lat, one.lon), (other.lat, other.lon)
                assert places._km(*at) >= LINK_KM


def test_light_goes_through_the_air_and_back(shared_data: Path):
    atmosphere = Atmosphere(shared_data / "teacher")
    rng = np.random.default_rng(0)
    dn = rng.uniform(50, 6000, (9, 8, 8))
    for sun in (10.0, 45.0, 72.0):
        sky = Sky.over(sun, 50.0, 6)
        assert atmosphere.to_surface(atmosphere.to_toa(dn, sky), sky) == pytest.approx(dn, rel=1e-2)
    dark = np.full((9, 1, 1), 100)
    low, high = (atmosphere.to_toa(dark, Sky(sun))[0, 0, 0] for sun in (70.0, 20.0))
    assert low > high > 500  # the air itself is blue, and more of it is lit by a low sun


def test_the_teacher_does_not_depend_on_the_parts_a_scene_is_labelled_in(
    shared_data: Path, monkeypatch
):
    archive = shared_data / "archive"
    items = load_items(archive)
    s2 = read_optical(archive, items["S2_denmark_20171030"])
    teacher = Teacher(shared_data / "teacher")

    whole = teacher.probabilities(s2, Sky(71.0), flips=1)
    monkeypatch.setattr("recipes.real_land.teacher.STRIP_PX", 96)
    parts = teacher.probabilities(s2, Sky(71.0), flips=1)

    assert whole.sum(0) == pytest.approx(1, abs=1e-4)
    assert (whole.argmax(0) == parts.argmax(0)).mean() > 0.995
    assert np.abs(whole - parts).max() < 0.05


def test_coarse_bands_double_in_both_ways():
    coarse = np.arange(12, dtype=np.float32).reshape(1, 3, 4) ** 2

    near, smooth = _doubled(coarse), _doubled_smoothly(coarse)

    assert near.shape == smooth.shape == (1, 6, 8)
    assert (near[0, ::2, ::2] == coarse[0]).all()
    # bilinear is nearest under a kernel of 1, 2, 1, which the training on a GPU relies on
    edged = np.pad(near[0], 1, mode="edge")
    rows = (edged[:-2] + 2 * edged[1:-1] + edged[2:]) / 4
    assert smooth[0] == pytest.approx((rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 4)


def test_clouds_and_haze_are_left_out_and_snow_is_not():
    cloudy = scene(side=64)
    cloudy.s2_smooth[:, 20:40, 20:40] = 4000
    snowy = scene(side=64)
    snowy.s2[:7], snowy.s2[7:] = 6000, 800
    snowy.s2_smooth[:] = snowy.s2

    seen = clear(cloudy)

    assert not seen[20:40, 20:40].any()
    assert not seen[12, 30]
    assert seen[0, 0]
    assert clear(snowy).all()
    assert not clear(scene(value=1500)).any()  # all of it under haze


def test_dates_of_a_place_are_averaged_and_low_sun_is_not_asked(said):
    dates = [scene(name="a"), scene(name="b"), scene(name="c", sun=70.0)]
    said |= {"a": {TREES: 0.8, CROPS: 0.2}, "b": {TREES: 0.4, CROPS: 0.6}, "c": {SHRUB: 1.0}}

    high, _, low = label_place(dates, Path())

    assert high.probabilities[TREES] == pytest.approx(0.6)
    assert high.probabilities[CROPS] == pytest.approx(0.4)
    assert high.weight == pytest.approx(weight_of(high.probabilities))
    assert (low.weight == 0).all()


def test_fields_under_a_low_sun_are_labelled_where_corine_names_nothing_else(said):
    fields, wood = (
        scene(name="a", sun=70.0, corine=("Arable land",)),
        scene(name="b", sun=70.0, corine=("Arable land", "Mixed forest")),
    )
    said |= {name: {TREES: 0.6, CROPS: 0.4} for name in "ab"}

    (of_fields,), (of_wood,) = (label_place([one], Path()) for one in (fields, wood))

    assert (of_fields.ids == CROPS).all()
    assert (of_wood.ids == NODATA).all()


def test_corine_makes_what_it_excludes_less_likely(said):
    said["x"] = {SHRUB: 0.6, CROPS: 0.4}

    (plain,) = label_place([scene()], Path())
    (arable,) = label_place([scene(corine=("Arable land",))], Path())

    assert (plain.ids == SHRUB).all()
    assert (arable.ids == CROPS).all()
    assert arable.probabilities.sum(0) == pytest.approx(1)


def test_forest_under_snow_is_told_by_its_darkness(said):
    said["x"] = {CROPS: 1.0}
    winter = scene(sun=77.0, corine=("Coniferous forest",))
    winter.s2[:7], winter.s2[7:] = 6000, 900
    winter.s2[:7, :4] = 900
    winter.s2[:7, 4:6] = 2000

    (label,) = label_place([winter], Path())

    assert set(label.ids[:4].ravel().tolist()) == {TREES}
    assert set(label.ids[4:6].ravel().tolist()) == {NODATA}
    assert set(label.ids[6:].ravel().tolist()) == {NAMES.index("snow_and_ice")}


def test_every_label_of_corine_has_classes_and_a_share_of_them_can_be_found():
    assert {cover for covers in ALLOWED.values() for cover in covers} <= set(NAMES)
    ids = np.full((100, 100), CROPS, np.uint8)
    ids[:2] = TREES

    assert share_found(ids, ("Arable land", "Mixed forest")) == 1
    assert share_found(ids, ("Arable land", "Inland waters")) == 0.5
    assert CROPS in allowed_ids(("Arable land",))
    assert TREES not in allowed_ids(("Arable land",))
    factor = prior(("Arable land",), others=0.25)[:, 0, 0]
    assert factor[CROPS] == 1
    assert factor[TREES] == 0.25
    assert factor[NAMES.index("built")] == 0.5


def test_a_label_is_written_in_percents_of_certain_pixels():
    probabilities = np.zeros((9, 1, 2), np.float32)
    probabilities[TREES], probabilities[CROPS] = 0.7, 0.3

    label = SoftLabel(probabilities, np.array([[0.5, 0]], np.float32)).percent()

    assert label.ids.tolist() == [[TREES, NODATA]]
    assert label.weight.tolist() == [[50, 0]]
    assert label.probabilities[:, 0, 0].sum() == 100
    assert label.probabilities[:, 0, 1].sum() == 0


def test_a_composite_has_each_bands_median_and_the_mean_of_known_radar():
    dates = [scene(value=value) for value in (300, 900, 500)]
    dates[0].s1[:] = -1000
    dates[1].s1[:] = -2000
    dates[2].s2[:, 0, 0] = 0

    made = composite(dates)

    assert made.s2[0, 5, 5] == 500
    assert made.s2[0, 0, 0] == 900  # of 300, 900 and the nodata that sorts last
    assert (made.s1 == -1500).all()


def test_tiles_cover_a_scene_and_come_in_both_kinds(said, monkeypatch):
    wide = scene(side=200)
    wide = replace(wide, s2_smooth=wide.s2 + np.uint16(1))
    said["x"] = {CROPS: 0.9, TREES: 0.1}
    monkeypatch.setattr(labelled, "real_scenes", lambda *_, **__: iter([wide]))

    tiles = list(labelled_tiles(Path(), Path()))

    assert {tile.name.rsplit("-", 1)[1] for tile in tiles} == {"near", "smooth"}
    assert len({tile.name for tile in tiles}) == len(tiles) == 8
    assert all(tile.scene.s2.shape == (9, 128, 128) for tile in tiles)
    covered = np.zeros((200, 200), bool)
    for tile in tiles:
        top, left = (int(part) for part in tile.name.split("-")[1:3])
        covered[top : top + 128, left : left + 128] = True
    assert covered.all()


def test_the_scenes_of_the_data_have_both_sensors_and_a_sun(shared_data: Path):
    found = list(real_scenes(shared_data, use="held-out"))

    assert sum(one.has_radar for one in found) > 30
    for one in found:
        assert one.s2.shape == one.s2_smooth.shape == (9, *one.s1.shape[1:])
        assert 15 < one.sky.sun_zenith < 85
        assert ((one.s2 == 0).all(0) == (one.s2 == 0).any(0)).all()
        # the two ways of bringing bands to 10 m agree but for edges, if the grids fit
        near, smooth = (np.log(x[:, 2:-2, 2:-2] + 50.0) for x in (one.s2, one.s2_smooth))
        assert np.abs(near - smooth).mean() < 0.06


def test_texture_comes_from_scenes_that_train(shared_data: Path, monkeypatch):
    used = []

    def of(pixels):
        used.append(pixels.shape[1:])
        return []

    monkeypatch.setattr("recipes.real_land.textures.textures_of", of)

    training_textures(shared_data)

    held = {one.s2.shape[1:] for one in real_scenes(shared_data, use="held-out")}
    assert len(used) == 4
    assert not set(used) & held


def test_snow_that_cannot_be_is_taken_out_and_the_rest_counts_less(said):
    snow = NAMES.index("snow_and_ice")
    marsh, real = scene(name="a"), scene(name="b")
    real.s2[:7], real.s2[7:] = 6000, 800
    real.s2_smooth[:] = real.s2
    said |= {name: {snow: 0.7, CROPS: 0.3} for name in "ab"}

    ((of_marsh,), (of_snow,)) = (label_place([one], Path()) for one in (marsh, real))

    assert (of_marsh.ids == CROPS).all()
    assert of_marsh.weight == pytest.approx(0.3, abs=1e-3)
    assert of_marsh.probabilities.sum(0) == pytest.approx(1)
    assert (of_snow.ids == snow).all()


def test_what_is_brighter_than_a_scenes_forests_is_less_likely_forest(said):
    land = scene(side=32)
    land.s2[:, :16] = 300  # forest
    land.s2[:, 16:24] = 1200  # bright in the red and in the infrared
    land.s2[2, 24:], land.s2[7, 24:] = 1200, 300  # in the red alone
    probabilities = np.zeros((9, 32, 32), np.float32)
    probabilities[TREES, :16], probabilities[CROPS, :16] = 0.8, 0.2
    probabilities[TREES, 16:], probabilities[CROPS, 16:] = 0.5, 0.4
    probabilities[SHRUB, 16:] = 0.1

    found = without_bright_forest(land, probabilities)

    assert (found[:, :16] == probabilities[:, :16]).all()
    assert (found[:, 24:] == probabilities[:, 24:]).all()
    assert found[TREES, 16:24] == pytest.approx(0.1 / 0.6)
    assert found.sum(0) == pytest.approx(1)
    few = without_bright_forest(scene(), np.full((9, 16, 16), 1 / 9, np.float32))
    assert (few == np.float32(1 / 9)).all()  # nothing is known of its forests


def test_what_is_told_by_eye_overrides_the_teacher(said, monkeypatch, tmp_path):
    table = tmp_path / "told.csv"
    table.write_text(
        "place,map_class,top,bottom,left,right,darkest,brightest\n"
        "here,flooded_vegetation,2,6,0,16,500,700\n"
        "here,water,2,6,0,16,1,100\n"
        "there,trees,0,16,0,16,1,9999\n"
    )
    monkeypatch.setattr("recipes.real_land.told.TOLD_CSV", table)
    said["x"] = {CROPS: 0.6, TREES: 0.4}
    marsh = scene()
    marsh.s2[7, 4:6, :8] = 50
    marsh.s2[7, 4:6, 8:] = 300

    (label,) = label_place([marsh], Path())

    assert set(label.ids[:2].ravel().tolist()) == {CROPS}
    assert set(label.ids[2:4].ravel().tolist()) == {NAMES.index("flooded_vegetation")}
    assert set(label.ids[4:6, :8].ravel().tolist()) == {NAMES.index("water")}
    assert set(label.ids[4:6, 8:].ravel().tolist()) == {CROPS}
    assert (label.weight[2:4] == 1).all()


def test_told_boxes_lie_in_their_places(shared_data: Path):
    for use in ("train", "held-out"):
        for one in real_scenes(shared_data, use=use, sources=("chesapeake",)):
            ids = told(one)
            marsh = ids == NAMES.index("flooded_vegetation")
            assert 0.6 < marsh.sum() / (ids != NODATA).sum() < 0.98
            assert marsh.sum() > 10_000
