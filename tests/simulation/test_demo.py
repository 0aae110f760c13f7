"""The demonstration, whole: a country of a seed no model was trained on."""

import re

import pytest
from click.testing import CliRunner

from lulcmap.cli import main
from lulcmap.model.file import read_model
from lulcmap.model.registry import shipped_models
from lulcmap.simulation.demo import DEMO_MODEL, FOREST_MODEL


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    result = CliRunner().invoke(main, ["demo", str(folder), "--seed", "7"])
    assert result.exit_code == 0, result.output
    return folder, result.stdout


def test_the_demo_prints_the_command_it_runs(shown):
    folder, text = shown

    assert f"$ lulcmap predict --aoi {folder}/aoi.geojson --year 2024" in text
    assert "--model lulcformer-tiny " in text


def test_the_demo_leaves_the_map_its_report_and_the_picture(shown):
    folder, _ = shown

    for name in ("map.tif", "map.tif.report.json", "preview.png", "truth.tif"):
        assert (folder / name).stat().st_size > 0
    assert not list(folder.glob("*.run"))


def test_the_network_is_far_better_than_the_forest_on_an_unseen_country(shown):
    _, text = shown

    coverage = float(re.search(r"([\d.]+)% of the country is mapped", text)[1])
    network = float(re.search(r"mean IoU ([\d.]+),", text)[1])
    forest = float(re.search(r"same pixels: ([\d.]+),", text)[1])
    assert coverage >= 99
    assert network >= 0.65
    assert network >= forest + 0.10


def test_the_demos_models_know_simulated_land_and_the_default_one_real_land():
    knows = {model.name: read_model(model.path).contract.trained_on for model in shipped_models()}

    assert knows == {
        "lulcformer-tiny-real": "real",
        DEMO_MODEL: "simulated",
        FOREST_MODEL: "simulated",
    }
    assert [model.name for model in shipped_models() if model.default] == ["lulcformer-tiny-real"]
    assert all(model.card.read_text() for model in shipped_models())
