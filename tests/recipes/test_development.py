"""How models are judged: images with known classes, suites, the table."""

import json
from pathlib import Path

import numpy as np
import pytest

from lulcmap.legend import NAMES, NODATA
from lulcmap.sensors import S1_NODATA
from recipes.real_land import development
from recipes.real_land.atmosphere import Sky
from recipes.real_land.development import harmed, measure, report, table
from recipes.real_land.judged import Judged, View, classes_as_kinds, judge, sampled, summarise
from recipes.real_land.model_card import TEMPLATE, fill_card
from recipes.real_land.models import forest_model, open_model
from recipes.real_land.suites import Suite, all_suites
from tests.support.stubs import contract, make_model


def view(*, radar=True, side=8):
    s1 = np.full((2, side, side), -1200 if radar else S1_NODATA, np.int16)
    return View(np.full((9, side, side), 1000, np.uint16), s1, Sky(40.0))


def image(kind, *, radar=True, name="x", kinds=None, corine=()):
    kind = np.asarray(kind, np.uint8)
    return Judged(
        name, view(radar=radar, side=len(kind)), kind, kinds or classes_as_kinds(), corine
    )


def says(ids, confidence=0.9, blind=None):
    """A model that says one thing with radar and perhaps another without."""

    def predict(seen):
        told = ids if blind is None or seen.has_radar else blind
        told = np.broadcast_to(np.asarray(told, np.uint8), seen.s2.shape[1:])
        return told, np.full(told.shape, confidence, np.float32)

    return predict


def test_a_score_counts_pixels_by_kind_as_a_loop_does():
    rng = np.random.default_rng(0)
    kinds = [("a", (0,)), ("b or c", (1, 2)), ("never", (3,))]
    kind = rng.choice([0, 1, NODATA], (12, 12)).astype(np.uint8)
    ids = rng.integers(0, 4, (12, 12)).astype(np.uint8)

    score = judge(says(ids), image(kind, kinds=kinds))

    right = {"a": 0, "b or c": 0}
    for true, given in zip(kind.ravel(), ids.ravel(), strict=True):
        if true != NODATA:
            right[kinds[true][0]] += given in kinds[true][1]
    assert dict(score.right) == right
    assert sum(score.pixels.values()) == (kind != NODATA).sum()
    assert score.share == pytest.approx(sum(right.values()) / (kind != NODATA).sum())
    assert score.reliability.pixels.sum() == (kind != NODATA).sum()


def test_means_are_over_images_and_kinds():
    one = image(np.repeat([[0], [1]], 4, 1).repeat(2, 0))
    other = image(np.zeros((4, 4)), name="y")

    found = summarise({each.name: judge(says(0), each) for each in (one, other)})

    assert found.scenes == {"x": 0.5, "y": 1.0}
    assert found.mean == 0.75
    assert found.kinds == {NAMES[0]: 1.0, NAMES[1]: 0.0}
    assert found.by_kind == pytest.approx((0.5 + 1) / 2)


def test_what_corine_names_must_be_found_too():
    kinds = [("allowed", (4, 6))]
    town = image(np.zeros((10, 10)), kinds=kinds, corine=("Arable land", "Urban fabric"))
    ids = np.full((10, 10), 4)

    without = judge(says(ids), town).share
    ids[0, 0] = 6
    with_town = judge(says(ids), town).share

    assert without == (1 + 0.5) / 2
    assert with_town == 1


def test_a_sample_of_pixels_keeps_what_is_known_of_each():
    rng = np.random.default_rng(0)
    kind = rng.choice([2, 7, NODATA], (30, 30)).astype(np.uint8)
    whole = image(kind)
    whole.view.s2[:] = kind

    part = sampled(whole, 50)

    assert part.kind.shape == (1, 50)
    assert (part.view.s2[0] == part.kind).all()
    assert NODATA not in part.kind


def test_every_set_of_sensors_is_measured_where_it_can_be():
    suites = [
        Suite("denmark", [image(np.zeros((4, 4)), name="a")]),
        Suite("laos", [image(np.zeros((4, 4)), name="b", radar=False)]),
    ]

    found = measure(says(0, blind=1), suites)

    assert found["both"]["denmark"]["mean"] == 1
    assert found["S2 only"]["denmark"]["mean"] == 0
    assert found["S2 only"]["laos"]["mean"] == found["both"]["laos"]["mean"] == 0
    assert "laos" not in found["S1 only"]
    assert found["both"]["ece"] == pytest.approx(0.1, abs=1e-3)
    assert harmed(found) == []
    assert harmed(measure(says(1, blind=0), suites)) == [
        "denmark, a: 0.000 with radar, 1.000 without"
    ]


def test_the_table_has_every_suite_of_every_model(tmp_path, monkeypatch):
    suites = [Suite("denmark", [image(np.zeros((4, 4)))]), Suite("laos", [image(np.ones((4, 4)))])]
    calls = []

    def of(name):
        def make(*_):
            calls.append(name)
            return says(0)

        return make

    monkeypatch.setattr(development, "open_model", of("version 1"))
    monkeypatch.setattr(development, "teacher_model", of("teacher"))
    monkeypatch.setattr(development, "_forest", of("forest"))
    seeds = {"seed 0": measure(says(0), suites), "seed 1": measure(says(1), suites)}

    text = report(seeds, Path(), tmp_path, suites)
    again = report(seeds, Path(), tmp_path, [*suites, Suite("new", [image(np.zeros((4, 4)))])])

    assert calls == ["version 1", "teacher", "forest"] * 2  # the second time for what is new
    assert json.loads((tmp_path / "references.json").read_text())["teacher"]["both"]["denmark"]
    (row,) = (line for line in text.splitlines() if line.startswith("denmark") and "+-" not in line)
    assert row.count("1.000 / 1.000") == 3 + 3 + 2  # the first seed, version 1, teacher, forest
    assert row.count("0.000 / 0.000") == 3
    assert "denmark                0.500 +- 0.707" in text
    assert "\nnew " in again
    assert "version 1: radar harms on 0 images" in text
    assert table(seeds, ["laos"]).count("1.000 / 1.000") == 3  # one seed, three sets of sensors


def test_a_model_file_and_a_forest_can_be_judged(tmp_path):
    file = make_model(tmp_path / "stub.onnx", contract())
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 300).astype(np.uint8)
    spectra = (rng.normal(1000, 20, (300, 11)) + 500.0 * label[:, None]).astype(np.float32)
    spectra[:, 9:] = -12

    for model in (open_model(file), forest_model(spectra, label)):
        ids, confidence = model(view(side=32))
        assert ids.shape == confidence.shape == (32, 32)
        assert ((confidence > 0) & (confidence <= 1)).all()
    forest = forest_model(spectra, label)
    assert (forest(view())[0] == 0).all()
    assert (forest(view(radar=False))[0] == 0).all()


def test_the_suites_judge_what_never_trains(shared_data: Path, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "recipes.real_land.suites.taught",
        lambda _, of: (
            np.eye(9, dtype=np.float32)[:, 4, None, None]
            .repeat(of.s2.shape[1], 1)
            .repeat(of.s2.shape[2], 2)
        ),
    )

    suites = {suite.name: suite for suite in all_suites(shared_data, tmp_path)}

    assert len(suites["by eye"].images) == 7
    assert len(suites["held-out places"].images) > 25
    names = {image.name for image in suites["low sun"].images}
    assert "denmark" in names
    for suite in suites.values():
        for each in suite.images:
            assert each.kind.shape == each.view.s2.shape[1:] == each.view.s1.shape[1:]
            known = each.kind[each.kind != NODATA]
            assert known.size
            assert known.max() < len(each.kinds)
    made = [name for name in suites if name.startswith("made ")]
    assert len(made) == 7


def test_the_card_has_every_figure_and_no_gap():
    suites = [
        Suite("denmark", [image(np.zeros((4, 4)), name="a")]),
        Suite("held-out places", [image(np.ones((4, 4)), name="b")]),
    ]
    seeds = {"seed-0": measure(says(0, blind=1), suites), "seed-1": measure(says(0), suites)}
    beside = {name: measure(says(1), suites) for name in ("teacher", "version 1", "forest")}
    exported = "# x\n\n## Inputs and outputs\nboth\n\n## Settings\nz\n"
    exported += "\n## Comparison with torch\nsame\n"

    text = fill_card(TEMPLATE.read_text(encoding="utf-8"), exported, seeds, beside)

    assert "$" not in text
    assert all(f"\n{section}\n" in text for section in ("both", "z", "same"))
    assert "| denmark | 1.000 ± 0.000 / 1.000 | 0.500 ± 0.707 / 0.500 |" in text
    assert "| held-out places | a" not in text
    assert "| held-out places | b | 0.000 | 1.000 |" in text
    assert "- held-out places, b: 0.000 with radar, 1.000 without" in text
    assert "| denmark | water | 1.000 | 0.000 | 0.000 |" in text
