"""A miniature of the recipe's second version: from scenes and points to model files."""

import csv
import json

import numpy as np
import pytest

import recipes.real_land.__main__ as recipe
from lulcmap.dataset import Dataset, check_dataset
from lulcmap.legend import NAMES, NODATA
from lulcmap.training import load_checkpoint
from recipes.real_land.atmosphere import Sky
from recipes.real_land.finish import MEASURED
from recipes.real_land.judged import Judged, View, classes_as_kinds
from recipes.real_land.places import Place
from recipes.real_land.real_scenes import real_scenes
from recipes.real_land.suites import Suite

CROPS, TREES = NAMES.index("crops"), NAMES.index("trees")


@pytest.fixture
def scenes(regional, monkeypatch):
    """The data with four small real scenes, of which one is held out, and a teacher for them."""
    folder = regional.parent / "scenes"
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    wood = np.zeros((4, 60, 60), bool)
    wood[:, :, :30] = True
    fine = np.where(wood[..., None], [300, 450, 350, 2500], [900, 1100, 1400, 2400])
    coarse = np.where(
        wood[..., None], [750, 1800, 2300, 2500, 1500, 700], [1800, 2100, 2200, 2400, 3000, 2300]
    )
    grain = np.exp(rng.normal(0, 0.1, (4, 120, 120, 1)))
    np.savez(
        folder / "bigearthnet.npz",
        s2_10m=(fine.repeat(2, 1).repeat(2, 2) * grain).astype(np.uint16),
        s2_20m=coarse.astype(np.uint16),
        s1_db=rng.normal((-9, -15), 1, (4, 120, 120, 2)).astype(np.float32),
    )
    with (folder / "bigearthnet.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("name", "lat", "lon", "labels"))
        for number in range(4):
            labels = json.dumps(["Arable land", "Mixed forest"])
            table.writerow(("S2A_MSIL2A_20170613T101031_1_1", 48, 10 + number, labels))
    places = [
        Place(f"bigearthnet-{i:03d}", f"p{i}", 0, 0, 0, 0, "train" if i else "held-out")
        for i in range(4)
    ]
    monkeypatch.setattr("recipes.real_land.real_scenes.load_places", lambda: places)
    monkeypatch.setattr("recipes.real_land.labels.Teacher", RedTeacher)
    return regional.parent


class RedTeacher:
    """A teacher to whom what is red is crops, and all else trees."""

    def __init__(self, _):
        pass

    def probabilities(self, s2, _):
        found = np.full((9, *s2.shape[1:]), 0.02, np.float32)
        found[CROPS] = np.where(s2[2] > 700, 0.8, 0.06)
        found[TREES] = 0.86 - found[CROPS]
        return found


def suites_of(data, *_):
    """Suites of the scene that is held out."""
    (scene,) = real_scenes(data, use="held-out")
    kind = np.where(scene.s2[2] > 700, CROPS, TREES).astype(np.uint8)
    kind[:2] = NODATA
    view = View(scene.s2, scene.s1, Sky(30.0))
    parts = [Judged(f"part {n}", view, kind, classes_as_kinds()) for n in range(2)]
    return [Suite(name, parts) for name in ("by eye", "held-out places")]


def test_a_miniature_gives_the_same_model_of_each_seed_twice(scenes, tmp_path, monkeypatch):
    exported = {}

    def export(saved, out, **options):  # slow, and tested separately
        exported.setdefault(options["name"], []).append(saved)
        out.write_bytes(b"a model")

    monkeypatch.setattr("recipes.real_land.release.export_onnx", export)
    monkeypatch.setattr(recipe, "all_suites", suites_of)
    monkeypatch.setattr(recipe, "report", lambda figures, *_: ", ".join(figures))
    options = f"--data {scenes} --seeds 3 4 --fields 4 --wild 7 --size 64 --crop 32 --epochs 1"
    options += " --batch-size 8 --workers 1 --device cpu --model segformer-tiny"
    options = [*options.split(), "--init", ""]

    for run in (tmp_path / "one", tmp_path / "two"):
        recipe.main([str(run), *options])

    data = {name: Dataset.open(tmp_path / "one" / "data" / name) for name in recipe_folders()}
    assert {name: len(one.split("train")) for name, one in data.items()} == {
        "real": 6,
        "fields": 4,
        "wild": 7,
    }
    assert not any(check_dataset(one.folder).faults for one in data.values())
    assert {chip.place for chip in data["real"].rows} == {"p1", "p2", "p3"}
    chip = data["real"].read(data["real"].rows[0])
    assert chip.probabilities is not None
    assert set(np.unique(chip.label).tolist()) <= {CROPS, TREES}
    assert set(exported) == {"segformer-tiny-real", "segformer-tiny-real-seed-4"}
    for first, second in exported.values():
        same = [(first["weights"][k] == second["weights"][k]).all() for k in first["weights"]]
        assert all(same)
        assert first["temperature"] == second["temperature"] != 1
    checkpoint = load_checkpoint(tmp_path / "one" / "seed-3" / MEASURED)
    assert "resume" not in checkpoint
    assert "Dynamic World" in checkpoint["training"]["source"]
    development = checkpoint["training"]["figures"]["development"]
    assert 0 <= development["held-out places"]["both"] <= 1
    assert "%" in checkpoint["standing"]
    figures = json.loads((tmp_path / "one" / "figures.json").read_text())
    assert list(figures) == ["seed-3", "seed-4"]
    seeds = [exported[name][0]["weights"] for name in exported]
    assert any((seeds[0][name] != seeds[1][name]).any() for name in seeds[0])


def recipe_folders() -> list[str]:
    return ["real", "fields", "wild"]


def test_labels_are_made_once(scenes, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(
        "recipes.real_land.labels.Teacher",
        lambda folder: calls.append(folder) or RedTeacher(folder),
    )

    for _ in range(2):
        recipe._label(scenes, tmp_path / "labels")

    assert calls == [scenes / "teacher"]
    names = sorted(path.stem for path in (tmp_path / "labels").iterdir())
    assert names == [f"bigearthnet-{number:03d}" for number in range(4)]
