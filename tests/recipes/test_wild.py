"""Wild landscapes and the points they are made of."""

import numpy as np
import pytest

from lulcmap.dataset import Dataset, check_dataset
from lulcmap.legend import NAMES
from recipes.real_land.canvas import BUILT, CROPS
from recipes.real_land.regional_points import (
    NOT_CROPS,
    load_africa,
    load_lesotho,
)
from recipes.real_land.towns import FAINT_SHARE, fade_towns
from recipes.real_land.wild.dataset import build_wild
from recipes.real_land.wild.land import SETS, Land, crowns, part_of
from recipes.real_land.wild.make import KINDS, make_landscape
from recipes.real_land.wild.materials import (
    CLASS_OF,
    MUD,
    SALT,
    SAND,
    STONE,
    Materials,
    lend_radar,
    load_materials,
)

CODES = {NOT_CROPS - row for row in range(len(SETS))}


@pytest.fixture(scope="module")
def materials(regional):
    return load_materials(regional, held_out=False)


def test_sides_of_the_points_share_nothing(regional):
    for points in (load_africa(regional), load_lesotho(regional)):
        assert 0.1 < points.held_out.mean() < 0.6
        kinds = set(points.label.tolist())
        assert kinds <= {*range(9), NOT_CROPS}
    sides = [load_materials(regional, held_out=side) for side in (False, True)]
    for material in (SAND, STONE):
        seen = [{row.tobytes() for row in side.pools[material][:, :9]} for side in sides]
        assert seen[0]
        assert seen[1]
        assert not seen[0] & seen[1]


def test_a_period_without_a_band_is_missing(regional):
    lesotho = load_lesotho(regional)

    assert (~lesotho.seen).all(1).sum() == 1
    assert lesotho.seen.mean() > 0.99


def test_every_material_has_spectra_of_its_kind(materials):
    pools = materials.pools

    assert set(pools) == set(CLASS_OF)
    for material, pool in pools.items():
        assert len(pool), material
        assert np.isfinite(pool[:, :9]).all()
        if material != BUILT:
            assert not (pool[:, 9] > -3).any()
    assert pools[SAND][:, 8].min() > pools[STONE][:, 8].max() > 0
    assert np.median(pools[SALT][:, 7]) < np.median(pools[SALT][:, 6])  # wet, so dark at 1600 nm
    assert np.median(pools[MUD][:, 8]) < np.median(pools[STONE][:, 8])


def test_radar_is_lent_by_the_most_similar_spectrum():
    donors = np.array([[100] * 9 + [-20, -28], [3000] * 9 + [-9, -15]], np.float32)
    spectra = np.full((2, 11), np.nan, np.float32)
    spectra[0, :9], spectra[1, :9] = 150, 2500

    assert lend_radar(spectra, donors)[:, 9:].tolist() == [[-20, -28], [-9, -15]]


@pytest.mark.parametrize("kind", KINDS)
def test_landscapes_are_whole_and_the_same_again(kind, materials):
    one, same, other = (make_landscape(kind, number, materials, size=64) for number in (0, 0, 1))

    assert one.s2.shape == (9, 64, 64)
    assert one.s1.shape == (2, 64, 64)
    assert (one.s2 > 0).all()
    assert (one.s1 > -32768).all()
    assert (one.s2 == same.s2).all()
    assert (one.label == same.label).all()
    assert (one.s2 != other.s2).any()
    for made in (one, other):
        assert set(np.unique(made.label).tolist()) <= {*range(9), *CODES}


def test_kinds_show_what_they_are_named_after(materials):
    shares = {}
    for kind in KINDS:
        labels = [make_landscape(kind, i, materials, size=64).label for i in range(12)]
        shares[kind] = np.bincount(np.concatenate(labels).ravel(), minlength=256) / (12 * 64 * 64)
    named = {name: number for number, name in enumerate(NAMES)}

    assert shares["desert"][[named["bare"], NOT_CROPS - 1]].sum() > 0.6
    assert shares["wetland"][named["flooded_vegetation"]] > 0.2
    assert shares["shrubland"][named["shrub_and_scrub"]] > 0.35
    assert shares["winter"][named["snow_and_ice"]] > 0.2
    assert shares["autumn"][named["crops"]] > 0.4
    assert shares["steppe"][[named["grass"], *CODES]].sum() > 0.4
    assert shares["desert"][named["crops"]] < 0.15


def test_land_in_doubt_says_so_where_it_is_not_painted_over(materials):
    rng = np.random.default_rng(0)
    land = Land.blank(rng, 32, SAND)
    where = np.zeros((32, 32), bool)
    where[:16] = True

    land.lay(rng, where, STONE, doubt=NOT_CROPS)
    where[:] = False
    where[8:24] = True
    land.lay(rng, where, CROPS)

    assert (land.truth[:8] == NOT_CROPS).all()
    assert (land.truth[8:24] == CROPS).all()
    assert (land.truth[24:] == CLASS_OF[SAND]).all()


def test_crowns_and_regions_cover_their_share():
    rng = np.random.default_rng(0)
    for share in (0.05, 0.3, 0.7):
        cover = [crowns(rng, 96, np.full((96, 96), share)).mean() for _ in range(10)]
        assert np.mean(cover) == pytest.approx(share, abs=0.1)
        assert part_of(rng, 96, share, 30).mean() == pytest.approx(share, abs=0.01)


def test_some_landscapes_have_towns_that_radar_does_not_tell():
    covers = np.array([BUILT] * 5 + [CROPS] * 20)
    faded = 0
    for seed in range(200):
        spectra = np.zeros((25, 11), np.float32)
        spectra[:5, 9], spectra[5:, 9] = -5, -11
        fade_towns(np.random.default_rng(seed), spectra, covers)
        assert (spectra[5:, 9] == -11).all()
        assert -11 <= spectra[0, 9] <= -5
        faded += bool(spectra[0, 9] < -8)
    assert faded / 200 == pytest.approx(FAINT_SHARE, abs=0.1)


def test_a_dataset_of_wild_landscapes_is_sound_and_resumes(regional, tmp_path):
    counts = {"desert": 2, "wetland": 1}

    def build(out, stop=99):
        def progress(done, _):
            if done == stop:
                raise KeyboardInterrupt

        build_wild(regional.parent, out, counts=counts, size=32, progress=progress)

    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "made", stop=1)
    build(tmp_path / "made")
    build(tmp_path / "again")

    assert not check_dataset(tmp_path / "made").faults
    one, other = Dataset.open(tmp_path / "made"), Dataset.open(tmp_path / "again")
    assert one.rows == other.rows
    assert len(one.split("train")) == 3
    assert [each.name for each in one.sets] == list(SETS)


def test_materials_of_one_landscape_are_of_one_colour():
    rng = np.random.default_rng(0)
    pool = np.exp(rng.normal(7, 0.8, (500, 1)) + np.zeros(11)).astype(np.float32)
    palettes = [Materials({SAND: pool}).palette(rng, SAND)[SAND] for _ in range(30)]

    spread = [np.log(palette[:, 0]).std() for palette in palettes]
    middles = [np.log(palette[:, 0]).mean() for palette in palettes]

    assert np.mean(spread) < 0.4
    assert np.std(middles) > 0.5
