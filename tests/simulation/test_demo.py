"""The whole demo: a country with a seed that no model was trained on."""

import re

import pytest
from click.testing import CliRunner

from lulcmap.cli import main
from lulcmap.errors import OutputError
from lulcmap.model.file import read_model
from lulcmap.model.registry import shipped_models
from lulcmap.simulation.demo import DEMO_MODEL, FOREST_MODEL, clear_demo_folder


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    result = CliRunner().invoke(main, ["demo", str(folder), "--seed", "7"])
    assert result.exit_code == 0, result.output
    return folder, result.stdout


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("notes.txt", "mine"),
        ("aoi.geojson", '{"type": "FeatureCollection", "features": []}'),
        ("items.json", '{"features": [{"properties": {}}]}'),
        ("map.tif", "mine"),
    ],
)
def test_a_folder_with_other_files_is_no_place_for_a_demo(tmp_path, name, text):
    (tmp_path / name).write_text(text)

    with pytest.raises(OutputError, match="is not the folder of a demo"):
        clear_demo_folder(tmp_path)

    assert (tmp_path / name).read_text() == text


def test_a_demo_may_be_made_again_in_its_folder(demo):
    folder, _ = demo
    (folder / "map.tif.run").mkdir()
    (folder / "mine.tif.run").mkdir()

    clear_demo_folder(folder)

    assert [path.name for path in folder.glob("*.run")] == ["mine.tif.run"]
    (folder / "mine.tif.run").rmdir()
    clear_demo_folder(folder / "new")


def test_the_demo_prints_the_command_it_runs(demo):
    folder, text = demo

    assert f"$ lulcmap predict --aoi {folder}/aoi.geojson --year 2024" in text
    assert "--model lulcformer-tiny " in text


def test_the_demo_writes_the_map_its_report_and_the_picture(demo):
    folder, _ = demo

    for name in ("map.tif", "map.tif.report.json", "preview.png", "truth.tif"):
        assert (folder / name).stat().st_size > 0
    assert not list(folder.glob("*.run"))


def test_the_network_is_far_better_than_the_forest_on_an_unseen_country(demo):
    _, text = demo

    coverage = float(re.search(r"([\d.]+)% of the country is mapped", text)[1])
    network = float(re.search(r"mean IoU ([\d.]+),", text)[1])
    forest = float(re.search(r"same pixels: ([\d.]+),", text)[1])
    assert coverage >= 99
    assert network >= 0.65
    assert network >= forest + 0.10


def test_the_demos_models_are_trained_on_simulated_land_and_the_default_one_on_real_land():
    trained_on = {
        model.name: read_model(model.path).contract.trained_on for model in shipped_models()
    }

    assert trained_on == {
        "lulcformer-tiny-real": "real",
        DEMO_MODEL: "simulated",
        FOREST_MODEL: "simulated",
    }
    assert [model.name for model in shipped_models() if model.default] == ["lulcformer-tiny-real"]
    assert all(model.card.read_text() for model in shipped_models())
