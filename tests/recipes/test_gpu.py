"""Training from a pack, as on a GPU machine, here on the CPU with a very small network."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from lulcmap.legend import NAMES, NODATA
from lulcmap.sensors import S1_NODATA
from lulcmap.training import checkpoint_predictor
from recipes.real_land.atmosphere import Sky
from recipes.real_land.gpu import pack as packing
from recipes.real_land.gpu import train as training
from recipes.real_land.gpu.batches import Source, _bilinear, _shifted, draw_batch
from recipes.real_land.gpu.codes import s1_codes, s1_of, s2_codes, s2_of
from recipes.real_land.gpu.joined import join
from recipes.real_land.gpu.train import Plan, read_parts, train
from recipes.real_land.judged import Judged, View, classes_as_kinds
from recipes.real_land.labelled import LabelledTile, SoftLabel
from recipes.real_land.suites import Suite
from tests.recipes.test_real_scenes import scene

CROPS, TREES = NAMES.index("crops"), NAMES.index("trees")


def test_codes_give_back_what_they_were_made_of():
    rng = np.random.default_rng(0)
    s2 = np.rint(np.exp(rng.uniform(0, 9.6, 5000))).astype(np.uint16)
    s2[:50] = 0
    s1 = rng.integers(-3900, 1000, 5000).astype(np.int16)
    s1[:50] = S1_NODATA

    for back in (s2_of(s2_codes(s2)), s2_of(s2_codes(s2), rng)):
        assert ((back == 0) == (s2 == 0)).all()
        assert np.abs(back.astype(float) - s2)[50:] == pytest.approx(0, abs=400)
        relative = (back[50:] - s2[50:].astype(float)) / (s2[50:] + 60)
        assert np.abs(relative).max() < 0.03
    found = s1_of(s1_codes(s1))
    assert ((found == S1_NODATA) == (s1 == S1_NODATA)).all()
    assert np.abs(found[50:].astype(int) - s1[50:]).max() <= 11


def test_nearest_bands_become_bilinear_ones():
    coarse = torch.arange(16.0).reshape(1, 1, 4, 4).repeat(1, 9, 1, 1) * 100 + 100
    near = coarse.repeat_interleave(2, -1).repeat_interleave(2, -2)

    smooth = _bilinear(near)

    expected = torch.nn.functional.interpolate(coarse, scale_factor=2.0, mode="bilinear")
    assert (smooth[:, 3:6] - expected[:, 3:6]).abs().max() <= 0.5
    assert (smooth[:, :3] == near[:, :3]).all()  # 10 m bands stay


def test_shifts_move_by_half_a_pixel_at_most_and_spread_no_nodata():
    rng = np.random.default_rng(0)
    ramp = torch.arange(32.0).repeat(40, 9, 32, 1) * 10 + 100
    ramp[:, :, 8:16, 8:16] = 0

    moved = _shifted(ramp, rng, nodata=0)

    assert ((moved == 0) == (ramp == 0)).all()
    inner = (moved - ramp)[:, :, 20:30, 2:30]
    assert inner.abs().max() <= 5.5
    assert inner.abs().max() > 3
    share = (inner.abs().amax((1, 2, 3)) > 0).float().mean()
    assert 0.25 < share < 0.75


def chips(rng, *, soft):
    label = rng.choice([TREES, CROPS], (6, 64, 64)).astype(np.uint8)
    s2 = np.where(label == TREES, 400, 2000)[:, None].repeat(9, 1).astype(np.uint16)
    s1 = rng.integers(-2000, -500, (6, 2, 64, 64)).astype(np.int16)
    planes = {"s2": s2, "s1": s1, "label": label}
    if soft:
        probabilities = np.zeros((6, 9, 64, 64), np.uint8)
        probabilities[:, CROPS], probabilities[:, TREES] = 60, 40
        planes |= {"probabilities": probabilities, "weight": np.full((6, 64, 64), 50, np.uint8)}
    return planes


def test_a_batch_keeps_pixels_labels_and_weights_together():
    rng, cpu = np.random.default_rng(0), torch.device("cpu")
    sources = [
        Source.of(chips(rng, soft=True), cpu, is_nearest=True),
        Source.of(chips(rng, soft=False), cpu, is_nearest=False),
    ]

    batch = draw_batch(sources, (1, 3), rng, size=64, crop=32)

    assert batch.s2.shape == (64, 9, 32, 32)
    is_soft = batch.weight[:, 0, 0] == 50
    assert 0.1 < is_soft.float().mean() < 0.45
    assert (batch.probabilities[is_soft].sum(1) == 100).all()
    assert (batch.probabilities[~is_soft] == 0).all()
    seen = (batch.s2 > 0).all(1).any((1, 2))
    assert 0.8 < seen.float().mean() <= 1
    has_radar = (batch.s1 > S1_NODATA).all(1).any((1, 2))
    assert 0.4 < has_radar.float().mean() < 0.8
    assert (seen | has_radar).all()
    sharp = seen & ~is_soft
    bright = batch.s2[:, 2]
    for number in torch.nonzero(sharp).flatten()[:10]:
        fields = batch.label[number] == CROPS
        assert bright[number][fields].median() > bright[number][~fields].median()


@pytest.fixture
def pack(tmp_path, monkeypatch, data):
    """A pack of one tile and one judged image."""
    seen = scene(side=120)
    probabilities = np.zeros((9, 120, 120), np.float32)
    probabilities[CROPS], probabilities[TREES] = 0.7, 0.3
    tile = LabelledTile("x-near", seen, SoftLabel(probabilities, np.full((120, 120), 0.5)))
    monkeypatch.setattr("recipes.real_land.labelled.labelled_tiles", lambda *_: iter([tile]))
    view = View(seen.s2, seen.s1, Sky(30.0))
    kind = np.full((120, 120), NODATA, np.uint8)
    kind[:60] = CROPS
    judged = Judged("place", view, kind, classes_as_kinds())
    suites = [Suite("held-out places", [judged]), Suite("CORINE", [judged])]
    monkeypatch.setattr("recipes.real_land.suites.all_suites", lambda *_, **__: iter(suites))
    for name in (packing.LESOTHO_FILE, packing.AFRICA_FILE):
        (data / "points" / name).touch()
    packing.write_pack(data, tmp_path, tmp_path / "pack.xz")
    return tmp_path / "pack.xz"


def test_a_pack_holds_tiles_points_and_what_is_judged(pack, data, tmp_path):
    opened = packing.Pack(pack)

    tiles = opened.tiles()
    assert tiles["s2"].shape == (1, 9, 128, 128)
    assert np.abs(tiles["s2"].astype(int) - 600).max() < 20
    assert (tiles["s1"] == S1_NODATA).all()
    assert (tiles["label"] == CROPS).all()
    assert (tiles["probabilities"][:, TREES] == 30).all()
    assert (tiles["weight"] == 50).all()
    ((suite, judged),) = opened.judged()
    assert (suite, judged.name, judged.view.sky) == ("held-out places", "place", Sky(30.0))
    assert (judged.kind[:60] == CROPS).all()
    assert (judged.kind[60:] == NODATA).all()
    opened.write_points(tmp_path / "points")
    for file in (data / "points").iterdir():
        assert (tmp_path / "points" / file.name).read_bytes() == file.read_bytes()


def test_training_stops_in_time_resumes_and_becomes_a_checkpoint(pack, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    monkeypatch.setattr(
        training, "make_tiles", lambda *_, **__: [chips(rng, soft=False) for _ in range(2)]
    )
    monkeypatch.setattr(training, "PART_BYTES", 3_000_000)
    seconds = itertools.count()
    monkeypatch.setattr(training, "monotonic", lambda: float(next(seconds)))
    plan = Plan("segformer-tiny", minutes=0.1, batch=4, crop=32, device="cpu", learning_rate=3e-3)
    out, state = tmp_path / "out", tmp_path / "state.pt"

    train(pack, out, state, plan)
    first = json.loads((out / "parts.json").read_text())
    train(pack, out, state, replace(plan, minutes=0.2))
    join(out, tmp_path / "checkpoint.pt")

    again = json.loads((out / "parts.json").read_text())
    assert first["parts"] == len(list(out.glob("part-*.npy"))) > 1
    assert again["step"] > first["step"] > 0
    figures = json.loads((out / "figures.json").read_text())
    assert set(figures) == {"both", "S2 only"}
    assert 0 <= figures["both"]["held-out places"]["mean"] <= 1
    weights = read_parts(out)
    assert all(torch.isfinite(values).all() for values in weights.values())
    predictor, contract = checkpoint_predictor(tmp_path / "checkpoint.pt", "cpu")
    assert contract.trained_on == "real"
    seen = scene(side=64)
    ids = predictor(seen.s2, seen.s1).classes
    assert ids.shape == (64, 64)
