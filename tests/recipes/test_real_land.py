"""The recipe of the real-sample model: its samples, its landscapes, its transform, a miniature."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lulcmap.dataset.check import check_dataset
from lulcmap.dataset.chips import Dataset
from lulcmap.legend import NAMES, NODATA
from lulcmap.sensors import S1_NODATA, S2_BANDS, S2_NODATA
from lulcmap.training.augment import STRENGTHS, Sample, augment, relight_s2, shift_s1
from lulcmap.training.checkpoint import contract_of
from lulcmap.training.deployable import DeployableNetwork, LogIndices
from lulcmap.training.networks import build_network, config_from_json, network_config
from recipes.real_land import fields
from recipes.real_land import points as real
from recipes.real_land.canvas import CROPS, Canvas
from recipes.real_land.card import TEMPLATE, fill_card
from recipes.real_land.contrast import local_contrast
from recipes.real_land.dataset import build_landscapes
from recipes.real_land.development import VERSION_1_FILE
from recipes.real_land.evaluate_folds import (
    DISTURBED,
    KINDS,
    SINGLE_SENSOR,
    figures,
    forest_of,
    interpreted_mean,
    lines_of,
    model_of,
    on_interpreted,
    on_scene,
)
from recipes.real_land.evaluate_maps import classify_scene
from recipes.real_land.finish import MEASURED
from recipes.real_land.generator import (
    EVEN_SHARE,
    GAIN_DEVIATION_WORKS,
    PLAIN,
    WINTER_SHARE,
    Generator,
)
from recipes.real_land.noise import fractal, smooth, smooth_line
from recipes.real_land.quilt import make_quilt
from recipes.real_land.samples import LAND_SHARES, LAND_WEIGHT, Season, Source, nan_median
from recipes.real_land.scenes import InterpretedScene, interpreted_scenes, labelled_scenes
from recipes.real_land.sensor import (
    BAND_NOISE,
    DB_NOISE,
    DN_NOISE,
    PIXEL_NOISE,
    Look,
    to_optical,
    to_radar,
)
from tests.recipes.spectra import SPECTRA
from tests.support.networks import MICRO, NORMALISATION, checkpoint
from tests.support.stubs import contract, make_model


def spectrum(**bands):
    seen = np.array(SPECTRA[40], np.float32)[None]
    for band, value in bands.items():
        seen[0, real.BANDS.index(band)] = value
    return seen


SNOW = {"B02": 6000, "B03": 6000, "B08": 5500, "B11": 1000}


def test_snow_cloud_and_fields_are_distinguished():
    land = np.zeros(1, bool)

    assert real.is_snow(spectrum(**SNOW)).all()
    assert real.is_clear(spectrum(**SNOW), water=land).all()
    assert not real.is_snow(spectrum(B02=3000, B03=3000)).any()
    assert not real.is_clear(spectrum(B02=3000, B03=3000), water=land).any()
    assert not real.is_snow(spectrum()).any()
    assert real.is_clear(spectrum(), water=land).all()


def test_a_spectrum_that_lacks_a_band_or_is_saturated_is_not_clear():
    land = np.zeros(1, bool)

    assert not real.is_clear(spectrum(B07=np.nan), water=land).any()
    assert not real.is_clear(spectrum(B12=54000), water=land).any()


def test_water_that_looks_like_sand_is_not_wet():
    assert not real.is_wet(np.array(SPECTRA[60], np.float32)[None]).any()
    assert real.is_wet(np.array(SPECTRA[80], np.float32)[None]).all()


def test_clouds_and_ice_over_water_are_not_wet():
    hazy = np.array([(1900, 1950, 1900, 2400, 2800, 3000, 2700, 2000, 1700, -22, -25)], np.float32)
    muddy = np.array([(1350, 2300, 2900, 3100, 2100, 2100, 1850, 330, 270, -28, -37)], np.float32)

    assert not real.is_wet(hazy).any()
    assert real.is_wet(muddy).all()


def test_landscapes_are_composed_like_the_land_of_the_earth(points):
    source = Source(points)
    odds = np.bincount(points.label, source.anchors, len(NAMES))

    assert odds.sum() == pytest.approx(1)
    there = np.unique(points.label)
    even = 1 / len(there)  # all classes are equally common among these points
    for label in there:
        land = LAND_SHARES[NAMES[label]]
        assert odds[label] == pytest.approx(LAND_WEIGHT * land + (1 - LAND_WEIGHT) * even, rel=0.1)


def test_steps_count_from_october_outside_canada(points):
    snowy = np.isfinite(points.snowy[:, :, 0])

    assert snowy.any(0).tolist() == [True] + [False] * 11
    assert set(points.label[snowy.any(1)].tolist()) == {2, 4}
    assert not np.isfinite(points.clear[snowy]).any()


def test_every_code_has_a_dynamic_world_class(points):
    assert set(real.CROSSWALK.values()) == set(NAMES)
    assert set(points.label.tolist()) == set(range(8))


def test_folds_lie_at_least_two_degrees_apart(points):
    for fold in range(real.N_FOLDS):
        parts = real.split_points(points, fold)
        for one, other in (("train", "test"), ("train", "validation"), ("validation", "test")):
            assert real.far_from(parts[one], np.zeros(len(parts[one]), bool)).all()
            assert nearest_degrees(parts[one], parts[other]) >= real.MIN_DEGREES_APART


def nearest_degrees(one, other):
    """Least distance by the haversine formula, which the recipe does not use."""
    a, b = np.radians(one.lat)[:, None], np.radians(other.lat)[None]
    dlon = np.radians(one.lon)[:, None] - np.radians(other.lon)[None]
    h = np.sin((a - b) / 2) ** 2 + np.cos(a) * np.cos(b) * np.sin(dlon / 2) ** 2
    return np.degrees(2 * np.arcsin(np.sqrt(h))).min()


def test_nothing_is_held_out_of_what_is_shipped(points):
    parts = real.split_points(points, None)

    assert list(parts) == ["train"]
    assert len(parts["train"]) == len(points)


def test_folds_share_out_all_places_and_do_not_depend_on_their_order(points):
    order = np.random.default_rng(0).permutation(len(points))

    folds = real.folds_of(points)

    assert set(folds.tolist()) == set(range(real.N_FOLDS))
    assert (real.folds_of(points[order]) == folds[order]).all()
    assert all(len(set(folds[points.block == block])) == 1 for block in points.block)


def test_the_median_ignores_missing_months():
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(20, 12, 3)).astype(np.float32)
    seen[rng.random((20, 12)) < 0.5] = np.nan
    seen[:, 0] = 0.5

    assert np.allclose(nan_median(seen), np.nanmedian(seen, 1))


def test_noise_has_the_same_deviation_at_all_wavelengths():
    rng = np.random.default_rng(0)
    for wavelength in (2, 3.3, 8, 30):
        fields = [smooth(rng, 64, wavelength) for _ in range(200)]
        assert np.std(fields) == pytest.approx(1, abs=0.1)
        assert abs(np.mean(fields)) < 0.1
    assert np.std([fractal(rng, 64, 20) for _ in range(200)]) == pytest.approx(1, abs=0.1)
    assert np.std([smooth_line(rng, 64, 20) for _ in range(400)]) == pytest.approx(1, abs=0.1)


def test_every_pixel_of_a_plain_landscape_is_a_sample_of_its_class(points):
    generator = Generator(points, size=64, look=PLAIN)
    years = np.rint(nan_median(points.clear))[:, None]
    optical = np.concatenate([points.clear, points.snowy, years], 1)[..., :9]
    of = {label: as_set(optical[points.label == label]) for label in range(8)}
    fields = of[NAMES.index("crops")] | of[NAMES.index("bare")] | of[NAMES.index("grass")]

    for number in range(12):
        # medians are not samples of any month
        landscape = generator.landscape(number)
        if len(landscape.season.months) > 1:
            continue
        for label in np.unique(landscape.label):
            seen = as_set(landscape.s2[:, landscape.label == label].T)
            known = as_set(points.snowy[..., :9]) if label == 8 else of[int(label)]
            if NAMES[label] == "crops":
                known = fields
            # savanna, hedges and roads show a mixture of two samples
            mixed = NAMES[label] in ("shrub_and_scrub", "grass", "trees", "built")
            assert mixed or not seen - known, NAMES[label]


def as_set(spectra):
    flat = spectra.reshape(-1, spectra.shape[-1])
    return {tuple(row) for row in flat[np.isfinite(flat.astype(float)).all(1)].astype(int).tolist()}


def test_hedges_and_lone_trees_stay_fields():
    mixed = 0
    for seed in range(12):
        canvas, rng = Canvas.blank(64), np.random.default_rng(seed)
        canvas.paint(canvas.label == 0, CROPS, canvas.patches(CROPS))
        parcel = np.arange(64)[None, :].repeat(64, 0) // 8

        fields._add_hedges(canvas, rng, parcel, canvas.label == CROPS)
        fields._add_lone_trees(canvas, rng, canvas.label == CROPS)

        assert (canvas.label == CROPS).all()
        mixed += int((canvas.share > 0).sum())
    assert mixed > 500


def test_the_gain_of_patches_has_the_stated_deviation(points):
    generator = Generator(points, size=8)
    canvas, rng = Canvas.blank(8), np.random.default_rng(0)
    canvas.first[:] = canvas.second[:] = canvas.patches(CROPS, 64) + np.arange(64).reshape(8, 8)
    palette = generator.source.palette(rng, 0, Season((6,)))
    alike = replace(palette, spectra=np.tile(palette.spectra[:1], (len(palette.cover), 1)))

    light = [np.log(generator._coloured(rng, canvas, alike)[:9]) for _ in range(20)]

    assert np.std(light, (0, 2, 3)) == pytest.approx(np.full(9, GAIN_DEVIATION_WORKS), rel=0.1)
    assert np.ptp(np.stack(light) - np.stack(light)[:, :1], (0, 2, 3)).max() < 1e-4  # all bands


def test_a_quilt_shows_samples_by_their_odds(points):
    source, rng = Source(points), np.random.default_rng(0)
    odds = np.where(points.label == CROPS, 3.0, 1.0) * source.seen.any(1)
    odds /= odds.sum()
    counts = np.zeros(9)
    years = nan_median(points.clear)
    optical = as_set(np.concatenate([points.clear, points.snowy, years[:, None]], 1)[..., :9])

    for _ in range(300):
        canvas, planes = make_quilt(rng, source, 128, odds)
        counts += np.bincount(canvas.label.ravel(), minlength=9)
        assert np.isfinite(planes).all()
        assert not as_set(planes[:9].reshape(9, -1).T) - optical

    expected = np.bincount(points.label, odds, minlength=8)
    assert counts[:8] / counts.sum() == pytest.approx(expected, abs=0.05)
    assert 0 < counts[8] / counts.sum() < 0.05


def test_a_place_with_more_clear_months_is_drawn_more_often_by_spectra(points):
    clear = points.clear.copy()
    clear[::2, 3:] = np.nan
    source = Source(replace(points, clear=clear))

    months = np.isfinite(clear[:, :, 0]).sum(1)
    assert source.singly == pytest.approx(points.weight * months / (points.weight * months).sum())


def test_only_quilts_are_even_and_most_of_them_completely(points):
    """Evenness must tell a network that only the spectrum counts."""
    quilts = Generator(points, size=64, quilts=1)
    land = Generator(points, size=64, quilts=0)

    even = [evenness(quilts.landscape(number)) for number in range(60)]

    assert np.mean([share > 0.1 for share in even]) == pytest.approx(EVEN_SHARE, abs=0.2)
    assert not [share for share in even if 0.05 < share < 0.1]
    assert max(evenness(land.landscape(number)) for number in range(20)) < 0.05


def evenness(landscape):
    """Share of the pixels equal to their neighbour in all bands of both sensors.

    Squares blur where they meet, so quilts of small squares fall short of 1.
    """
    both = np.concatenate([landscape.s2.astype(int), landscape.s1])
    return (np.diff(both[:, ::2], axis=2) == 0).all(0).mean()


def test_single_pixels_have_their_own_noise_which_is_weaker_in_some_landscapes(points):
    canvas, rng = Canvas.blank(64), np.random.default_rng(0)
    planes = np.full((9, 64, 64), 3000, np.float32)
    power = np.full((2, 64, 64), 0.1, np.float32)
    flat = np.zeros((64, 64), np.float32)
    look = replace(PLAIN, noise=1)

    strong = np.hypot(PIXEL_NOISE, np.hypot(BAND_NOISE, DN_NOISE / 3000))
    light = [
        np.log(to_optical(planes, canvas, flat, rng, textures=(), look=look)).std() / strong
        for _ in range(200)
    ]
    decibels = to_radar(power, canvas, flat, rng, look=look) / 100

    assert np.quantile(light, (0, 0.5, 1)) == pytest.approx((0.1, 0.1**0.5, 1), rel=0.1)
    assert decibels.std() == pytest.approx(DB_NOISE, rel=0.05)


def test_landscapes_look_like_composites(points):
    generator = Generator(points, size=64)

    for number in range(6):
        landscape = generator.landscape(number)

        assert landscape.s2.shape == (9, 64, 64)
        assert landscape.s2.dtype == np.uint16
        assert landscape.s2.min() > S2_NODATA
        assert landscape.s1.shape == (2, 64, 64)
        assert landscape.s1.dtype == np.int16
        assert landscape.s1.min() > S1_NODATA
        assert landscape.label.max() < len(NAMES)
        assert -4000 < np.median(landscape.s1) < 500


def test_the_same_seed_and_number_give_the_same_landscape(points):
    one, again = Generator(points, size=64, seed=3), Generator(points, size=64, seed=3)
    again.landscape(9)
    other = Generator(points, size=64, seed=4)

    first, second, third = (generator.landscape(5) for generator in (one, again, other))

    assert (first.s2 == second.s2).all()
    assert (first.s1 == second.s1).all()
    assert (first.label == second.label).all()
    assert (first.s2 != third.s2).any()


def test_all_classes_occur_and_snow_is_rare(points):
    generator = Generator(points, size=64)

    counts = sum(np.bincount(generator.landscape(n).label.ravel(), minlength=9) for n in range(150))

    assert (counts > 0).all()
    assert counts[8] / counts.sum() < 3 * WINTER_SHARE


def test_bands_of_20_m_are_no_sharper_than_that(points):
    generator = Generator(points, size=64, look=Look(texture=0, relief=0, speckle=0))
    coarse = [S2_BANDS.index(band) for band in ("B05", "B11")]
    steps = []
    for number in range(8):
        s2 = generator.landscape(number).s2.astype(float)
        within = np.abs(np.diff(s2[coarse], axis=2))[:, :, ::2].mean()
        steps.append(within / max(np.abs(np.diff(s2[coarse], axis=2))[:, :, 1::2].mean(), 1e-9))

    assert min(steps) == 0  # nearest: both pixels of a 20 m cell are one
    assert max(steps) < 1.1


def test_samples_of_a_landscape_are_from_its_place_and_season(points):
    source = Source(points)
    anchor = int(np.flatnonzero(points.label == 4)[0])
    rng = np.random.default_rng(0)

    palette = source.palette(rng, anchor, Season((6,)))

    near = np.abs(points.lon - points.lon[anchor]) < 60
    known = as_set(points.clear[near][:, 5:8, :9])
    summer = palette.spectra[palette.cover < 8][:, :9]
    found = [tuple(row) in known for row in summer.astype(int).tolist()]
    assert np.mean(found) > 0.9
    assert np.isfinite(palette.spectra).all()


def oracle(s2):
    """The transform written out in numpy, in double precision."""
    r = (s2.astype(np.float64) / 1e4).clip(0.0005, 2.0)
    b = dict(zip(S2_BANDS, r, strict=True))
    pairs = ("B08 B04", "B03 B08", "B03 B11", "B11 B08", "B12 B11", "B06 B05")
    indices = [(b[p[:3]] - b[p[4:]]) / (b[p[:3]] + b[p[4:]] + 0.01) for p in pairs]
    planes = np.concatenate([np.log(r + 0.02) + 1.7, np.stack(indices)])
    return planes * (s2 > 0).all(0)


def test_logarithms_and_indices_are_those_of_numpy():
    rng = np.random.default_rng(0)
    s2 = rng.integers(0, 12000, (9, 32, 32)).astype(np.uint16)
    s2[:, 0, 0], s2[3, 5, 5], s2[:, 8, 8] = 0, 0, 65535

    planes, valid = LogIndices()(torch.from_numpy(s2)[None])

    assert planes.shape == (1, 15, 32, 32)
    assert np.allclose(planes[0].numpy(), oracle(s2), atol=1e-5)
    assert (valid[0, 0].numpy() == (s2 > 0).all(0)).all()
    assert planes.abs().max() < 6


def test_twice_the_light_shifts_logarithms_equally_and_indices_hardly():
    s2 = np.array(SPECTRA[40][:9], np.uint16).reshape(1, 9, 1, 1)
    one, _ = LogIndices()(torch.from_numpy(s2))
    two, _ = LogIndices()(torch.from_numpy(2 * s2))

    assert (two - one)[0, :9].flatten().numpy() == pytest.approx(np.log(2), abs=0.25)
    assert (two - one)[0, 9:].abs().max() < 0.05


@pytest.mark.parametrize("model", ["lulcformer-tiny", "segformer-tiny", "unet-tiny"])
def test_every_network_takes_the_transform_and_its_contract_names_it(model):
    config = network_config(model, classes=9, transform="log-indices")
    saved = checkpoint() | {"config": json.loads(json.dumps(vars_of(config)))}
    deployable = DeployableNetwork(build_network(config), NORMALISATION).eval()
    s2 = torch.full((1, 9, 32, 32), 1000, dtype=torch.uint16)
    s1 = torch.full((1, 2, 32, 32), -1000, dtype=torch.int16)

    with torch.inference_mode():
        logits = deployable(s2, s1)

    assert logits.shape[:2] == (1, 9)
    assert contract_of(saved).training["network"]["transform"] == "log-indices"


def vars_of(config):
    return {name: getattr(config, name) for name in config.__dataclass_fields__}


def test_a_checkpoint_without_a_transform_is_of_standardised_bands():
    fields = {name: value for name, value in vars_of(MICRO).items() if name != "transform"}

    assert config_from_json(fields).transform == "standardised"


def test_strong_augmentation_strays_as_far_as_it_says():
    rng = np.random.default_rng(0)
    strong = STRENGTHS["strong"]
    s2 = np.full((9, 16, 16), 3000, np.uint16)
    s1 = np.full((2, 16, 16), -1500, np.int16)

    lit = np.stack([relight_s2(s2, rng, strong) for _ in range(800)]).astype(float)
    moved = np.stack([shift_s1(s1, rng, strong) for _ in range(800)]).astype(float)

    gain = np.log(lit[:, 8, 0, 0] / 3000)  # B12: hardly any haze
    assert gain.std() == pytest.approx(np.hypot(0.15, 0.04), rel=0.1)
    haze = lit[:, 0, 0, 0] - lit[:, 8, 0, 0]
    bands = 3000 * 0.04 * np.sqrt(2)
    assert haze.std() == pytest.approx(np.hypot(150, bands), rel=0.15)
    assert abs(np.mean(haze)) < 30  # of both signs
    shift = moved[:, :, 0, 0] + 1500
    assert shift.mean(1).std() == pytest.approx(np.hypot(150, 50 / np.sqrt(2)), rel=0.1)
    assert np.ptp(lit, (2, 3)).max() == 0  # what is even stays even
    assert np.ptp(moved, (2, 3)).max() == 0


def test_augmentation_keeps_nodata_and_makes_none():
    rng = np.random.default_rng(0)
    s2, s1 = np.full((9, 32, 32), 30, np.uint16), np.full((2, 32, 32), -2000, np.int16)
    s2[:, :4], s1[:, :, :4] = S2_NODATA, S1_NODATA
    label = np.zeros((32, 32), np.uint8)

    for _ in range(20):
        seen = augment(
            Sample(s2, s1, label),
            rng,
            crop=32,
            missing_s2=0,
            missing_s1=0,
            strength=STRENGTHS["strong"],
        )
        assert (seen.s2 == S2_NODATA).sum() == (s2 == S2_NODATA).sum()
        assert (seen.s1 == S1_NODATA).sum() == (s1 == S1_NODATA).sum()


def test_a_miniature_of_the_recipe_writes_a_model_file(data, points, tmp_path, monkeypatch):
    import recipes.real_land.version1 as recipe

    exported = []

    def export(saved, out, **options):  # slow, and tested separately
        exported.append((saved, options))
        out.write_bytes(b"a model")

    monkeypatch.setattr("recipes.real_land.finish.export_onnx", export)
    run = tmp_path / "run"
    arguments = f"{run} --data {data} --chips 12 --held 3 --size 64 --crop 32 --batch-size 4"
    arguments += " --epochs 1 --workers 1 --device cpu --model segformer-tiny"
    monkeypatch.setattr(sys, "argv", ["real", *arguments.split()])

    recipe.main()

    dataset = Dataset.open(run / "fold-0" / "dataset")
    assert not check_dataset(run / "fold-0" / "dataset").faults
    assert [len(dataset.split(split)) for split in ("train", "validation", "test")] == [12, 3, 3]
    whole = Dataset.open(run / "whole" / "dataset")
    assert [len(whole.split(split)) for split in ("train", "validation", "test")] == [12, 0, 0]
    (twin, of_twin), (shipped, of_shipped) = (
        (saved, contract_of(saved, name=options["name"])) for saved, options in exported
    )
    assert of_twin.name == "segformer-tiny-real-fold-0-seed-0"
    assert of_shipped.name == "segformer-tiny-real"
    assert "fold 0 of 5 held out" in of_twin.training["source"]
    assert "none held out" in of_shipped.training["source"]
    for agreed in (of_twin, of_shipped):
        assert agreed.trained_on == "real"
        assert agreed.temperature == of_twin.temperature != 1
        assert agreed.training["figures"] == of_twin.training["figures"]
        assert "WorldCover" in agreed.training["source"]
    assert any(
        (twin["weights"][name] != shipped["weights"][name]).any() for name in twin["weights"]
    )
    assert "resume" not in shipped
    parts = real.split_points(points, 0)
    few = parts["test"][np.arange(len(parts["test"])) % 8 == 0]
    trained = model_of(run / "fold-0" / "seed-0" / MEASURED)
    found = figures(trained, points={"patches": few}, dataset=dataset, scenes=[])
    assert 0 <= found["landscapes"]["accuracy"] <= 1
    seen = {
        kind: np.sum(found[kind]["confusion"]) for kind in ("landscapes", "validation landscapes")
    }
    assert set(seen.values()) == {3 * 64 * 64}
    assert found["landscapes"]["confusion"] != found["validation landscapes"]["confusion"]
    assert found["fold"] == 0
    assert lines_of("model", found)[0].startswith("model: patches 0.")
    forest = figures(forest_of(parts["train"]), points={"patches": few}, scenes=[], side=1)
    assert forest["patches"]["accuracy"] > 0.8


def test_an_interrupted_dataset_resumes_to_the_same_chips(data, tmp_path):
    counts = {"train": 3, "validation": 1, "test": 1}

    def build(folder, stop=99):
        def progress(done, _):
            if done == stop:
                raise KeyboardInterrupt

        build_landscapes(data, folder, counts=counts, fold=0, size=32, progress=progress)

    build(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "stopped", stop=2)
    build(tmp_path / "stopped")

    whole, stopped = Dataset.open(tmp_path / "whole"), Dataset.open(tmp_path / "stopped")
    assert whole.rows == stopped.rows
    for chip in whole.rows:
        for one, other in zip(whole.read(chip).planes(), stopped.read(chip).planes(), strict=True):
            assert (one == other).all()


def test_the_real_points_have_every_class_in_every_fold(shared_data: Path):
    points = real.load_points(shared_data / "points")

    assert len(points) == 4619
    for fold in range(real.N_FOLDS):
        test = real.split_points(points, fold)["test"]
        held = np.bincount(test.label[test.weight == 1], minlength=8)[:8]
        assert (held >= 2).all()


def test_textures_have_no_colour_left_and_leave_the_labelled_scenes_out(shared_data: Path):
    from recipes.real_land.scenes import labelled_scenes, load_textures

    clips = load_textures(shared_data / "archive")

    assert len(clips) >= 8
    assert all(abs(float(clip.mean())) < 0.05 for clip in clips)
    assert all(clip.shape[1] != 224 for clip in clips)  # the labelled scenes' side
    assert [scene.name for scene in labelled_scenes(shared_data / "archive")] == [
        "denmark",
        "ontario",
    ]


def test_disturbances_match_their_names():
    s2, s1 = (np.full((bands, 4, 4), value) for bands, value in ((9, 1000), (2, -1500)))
    s2, s1 = s2.astype(np.uint16), s1.astype(np.int16)
    s2[:, :, 2:], s1[:, :, 2:] = 3000, -900
    shown = {name: by(s2, s1) for name, by in DISTURBED.items()}

    for one, other in shown.values():
        assert (one.shape, other.shape, one.dtype, other.dtype) == (
            (9, 4, 4),
            (2, 4, 4),
            np.uint16,
            np.int16,
        )
        assert (one != s2).any() != (other != s1).any()
    assert (shown["a fifth darker"][0] == s2 * 0.8).all()
    assert shown["hazy"][0][0, 0, 0] - 1000 > 10 * (shown["hazy"][0][8, 0, 0] - 1000) > 0
    assert (shown["optical grid half a pixel off"][0][0, 0] == [1000, 2000, 3000, 3000]).all()
    assert (shown["radar two pixels off"][1][0, 0] == [-900, -900, -1500, -1500]).all()
    nothing = {name: by(np.ones_like(s2), s1)[0].min() for name, by in DISTURBED.items()}
    assert min(nothing.values()) == 1  # no disturbance turns a dark pixel into nodata


def test_the_labelled_scenes_are_read_in_their_own_codes(shared_data: Path):
    in_ids = np.array([255, 0, 1, 255, 4, 6, 255, 8, 255, 2], np.uint8)
    for scene in labelled_scenes(shared_data / "archive"):

        def knows_all(s2, s1, *, label=scene.label):
            return in_ids[label]

        found = on_scene(knows_all, scene)

        assert found["agreement"] == 1
        assert found["commonest"] == pytest.approx(
            {"denmark": 0.8845, "ontario": 1}[scene.name], abs=1e-3
        )


def test_a_map_is_evaluated_on_the_grid_of_its_scene(shared_data: Path, tmp_path):
    archive = shared_data / "archive"
    model = make_model(tmp_path / "stub.onnx", contract())
    scene = labelled_scenes(archive)[0]

    given = classify_scene(model, archive, scene, s1="optional")

    there = given != NODATA
    assert there.mean() > 0.99
    whole = model_of(model)(scene.s2, scene.s1)
    moved = [np.roll(whole, (by, by), (0, 1)) for by in (0, 8, -8)]
    here, *elsewhere = ((given == one)[there].mean() for one in moved)
    assert here > 1.2 * max(elsewhere)


def test_a_scene_smaller_than_a_window_is_mapped_as_by_the_network_on_the_whole_scene(
    shared_data: Path,
):
    archive, model = shared_data / "archive", VERSION_1_FILE
    denmark = labelled_scenes(archive)[0]

    given = classify_scene(model, archive, denmark, s1="optional")

    whole = model_of(model)(denmark.s2, denmark.s1)
    there = given != NODATA
    assert (given == whole)[there].mean() > 0.8  # 0.7 if the rest of the window is empty


def test_interpreted_parts_lie_in_their_scene_and_are_read_with_its_radar(shared_data: Path):
    scenes = interpreted_scenes(shared_data / "archive")

    assert len(scenes) == 9
    for scene in scenes:
        height, width = scene.s2.shape[1:]
        for names, (rows, cols) in scene.parts:
            assert 0 <= rows.start < rows.stop <= height
            assert 0 <= cols.start < cols.stop <= width
            assert set(names) <= set(NAMES)
        seen = (scene.s1 != S1_NODATA).all(0)
        assert seen.mean() > 0.95 or not seen.any()
        assert not seen.any() or -2500 < np.median(scene.s1[:, seen]) < -300
    assert sum((scene.s1 == S1_NODATA).all() for scene in scenes) == 1  # Laos


def test_interpreted_parts_are_scored_by_kind():
    there = np.s_[0:2, 0:4], np.s_[2:4, 0:4], np.s_[0:4, 4:6]
    kinds = ("crops", "grass"), ("trees",), ("trees",)
    s2, s1 = np.ones((9, 4, 6), np.uint16), np.zeros((2, 4, 6), np.int16)
    scene = InterpretedScene("x", s2, s1, list(zip(kinds, there, strict=True)))
    given = np.full((4, 6), NAMES.index("trees"), np.uint8)
    given[0, :2], given[0, 2:4] = NAMES.index("grass"), NAMES.index("crops")

    found, of_all = on_interpreted(lambda *_: given, scene)

    assert of_all == pytest.approx(20 / 24)
    assert found == {"crops or grass": 0.5, "trees": 1.0}
    assert interpreted_mean({"x": found, "y": {"water": 0.25}}) == 0.5


def test_contrast_is_the_deviation_among_neighbours():
    rng = np.random.default_rng(0)
    level, decibels = rng.normal(7, 0.2, (9, 90, 90)), rng.normal(-1500, 200, (2, 90, 90))
    s2, s1 = np.exp(level).astype(np.uint16), decibels.astype(np.int16)

    found = local_contrast(s2, s1)
    s1[0, 0, 0] = S1_NODATA

    assert found[1] == pytest.approx([0.2] * 9 + [2.0] * 2, rel=0.05)
    assert np.isnan(local_contrast(s2, s1)[1]).tolist() == [False] * 9 + [True, False]


def test_contrast_reports_the_smooth_end_separately():
    rng = np.random.default_rng(0)
    level = rng.normal(7, 0.2, (9, 90, 90))
    level[:, :, :18] = 7  # a fifth is even
    s2, s1 = np.exp(level).astype(np.uint16), np.zeros((2, 90, 90), np.int16)

    smooth_end, middle = local_contrast(s2, s1)

    assert smooth_end[:9] == pytest.approx(0, abs=0.01)
    assert middle[:9] == pytest.approx(0.2, rel=0.1)


def test_the_card_has_every_score_and_no_gap():
    def span(value):
        return {"value": value, "low": value - 0.01, "high": value + 0.01}

    names, few = list(NAMES), {"accuracy": 0.61, "macro_f1": 0.52}
    row = {"true_pixels": 12345, **dict.fromkeys(("f1", "iou", "precision", "recall"), span(0.41))}
    scores = {
        "classes": names,
        "scores": {"oa": span(0.71), "f1": span(0.53), "miou": span(0.44)},
        "sensors": [{"sensors": "Sentinel-1 only", "oa": 0.49, "f1": 0.31, "miou": None}],
        "per_class": [{"class": name, **row} for name in names],
        "confusion": (np.eye(9, dtype=int) * 7).tolist(),
        "calibration": {
            "bins": [{"from": 0, "to": 1, "pixels": 63, "confidence": 0.7, "accuracy": 0.65}]
        },
    }

    def fold(number, *seeds):
        of = {
            name: dict.fromkeys(KINDS, few) | {"patches": few | {"accuracy": value}, "fold": number}
            for name, value in seeds
        }
        first = next(iter(of.values()))
        first["scenes"] = {"denmark": {"agreement": 0.79, "commonest": 0.885}}
        told = {"laos": {"water": 0.9, "trees": 0.5}}
        shared = {
            "scenes": first["scenes"],
            "interpreted": told,
            "interpreted pixels": {"laos": 0.83},
            "disturbed": {"hazy": few | {"accuracy": 0.57}},
        }
        return {name: one | shared for name, one in of.items()}

    folds = [
        fold(0, ("a", 0.66), ("b", 0.68), ("random forest", 0.55)),
        fold(4, ("c", 0.6), ("random forest", 0.5)),
    ]
    figures = {"ece": 0.081, "ece_with_temperature": 0.032}
    contract = contract_of(
        checkpoint()
        | {"temperature": 1.37, "standing": "tried", "prior": [1 / 9] * 9}
        | {"training": {"source": "Landscapes.", "figures": figures}},
        name="model",
    )
    exported = "# x\n\ny\n\n## Inputs and outputs\nboth\n\n## Settings\n| a | 1 |\n\n"
    exported += "## Comparison with torch\n- equal\n"

    seen = {"denmark": {"agreement": 0.72, "commonest": 0.885}}
    own = {"interpreted": {"laos": {"built": 0.25}}, "interpreted pixels": {"laos": 0.31}}
    seed = {"interpreted": {"laos": {"built": 0.35}}, "interpreted pixels": {"laos": 0.47}}
    either = {name: {"scenes": {"denmark": {"agreement": 0.61}}} for name in SINGLE_SENSOR}
    text = fill_card(
        TEMPLATE.read_text(),
        exported,
        contract,
        scores=scores,
        balanced=scores | {"scores": dict.fromkeys(("oa", "f1", "miou"), span(0.62))},
        folds=folds,
        scenes={"own": {"scenes": seen, **own, **either}, "seed 1": seed},
        failures="Haze.\n",
    )

    assert "$" not in text
    for said in (
        "| both sensors | 0.710 (0.700 to 0.720)",
        "| both sensors, `--prior balanced` | 0.620 (0.610 to 0.630)",
        "| Sentinel-1 only | 0.490 | 0.310 | - |",
        "| a | 1 |",
        "- equal",
        "1.37",
        "0.081",
        "11.1%",
        "\n\nHaze.\n\n",
    ):
        assert said in text
    assert "| laos | 0.250 | 0.310 | built 0.25 |" in text
    assert "| all | 0.250 | 0.310 |  |" in text
    assert "| all, another seed (1) | 0.350 | 0.470 |  |" in text
    assert "| all, random forest | 0.700 | 0.830 |  |" in text
    assert "| patches | 0.670 +- 0.014 | 0.520 +- 0.000 | 0.550 / 0.520 |" in text
    assert "| hazy | 0.570 | 0.520 |" in text
    per_fold = (
        "| 0 | testing | 0.660 / 0.520 | 0.550 / 0.520 | 0.610 / 0.520 | 0.610 / 0.520 |",
        "| 0 | validation | 0.610 / 0.520 | 0.610 / 0.520 | 0.610 / 0.520 | 0.610 / 0.520 |",
        "| 1 | validation | 0.610 / 0.520 | 0.610 / 0.520 | 0.610 / 0.520 | 0.610 / 0.520 |",
        "| 4 | testing | 0.600 / 0.520 | 0.500 / 0.520 | 0.610 / 0.520 | 0.610 / 0.520 |",
        "| mean |  | 0.620 / 0.520 | 0.568 / 0.520 | 0.610 / 0.520 | 0.610 / 0.520 |",
    )
    assert "\n".join(per_fold) in text
    assert "| denmark | 0.720 | 0.610 | 0.610 | 0.885 | 0.790, 0.790 | 0.790 |" in text


def test_a_temperature_reaches_the_contract():
    assert contract_of(checkpoint() | {"temperature": 1.7}).temperature == 1.7
    assert contract_of(checkpoint()).temperature == 1
