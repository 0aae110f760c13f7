import pytest
from click.testing import CliRunner

from lulcmap.cli import main
from lulcmap.errors import UsageError
from lulcmap.training.card import model_card
from lulcmap.training.checkpoint import contract_of, save_checkpoint
from lulcmap.training.chips import ChipFolder
from lulcmap.training.temperature import with_temperature
from tests.evaluation.test_chips import write_dataset
from tests.support.networks import checkpoint


@pytest.fixture
def dataset(tmp_path):
    return write_dataset(tmp_path / "data", votes=False)


def test_a_checkpoint_gets_the_temperature_of_a_dataset_and_says_where_from(dataset):
    saved = checkpoint()

    fitted = with_temperature(saved, dataset, "test", device="cpu")

    calibration = fitted["training"]["calibration"]
    assert fitted["temperature"] == pytest.approx(calibration["temperature"], abs=1e-4)
    assert fitted["temperature"] > 1.5  # the labels are drawn at random
    assert calibration["labels"] == "data, test"
    assert (calibration["chips"], calibration["places"]) == (2, 2)
    assert calibration["ece_with_temperature"] < calibration["ece"]
    contract = contract_of(fitted)
    assert contract.temperature == fitted["temperature"]
    assert contract.training["calibration"] == calibration
    card = model_card(contract, fitted, checks=[])
    assert "fitted to 1,000 pixels of 2 chips at 2 places (data, test)" in card
    assert "each place judged with the temperature of the others" in card
    assert "temperature" not in saved
    again = with_temperature(fitted, dataset, "test", device="cpu")["training"]["calibration"]
    assert again["temperature"] == calibration["temperature"]
    assert again["ece"] < calibration["ece"]


@pytest.mark.parametrize("split", ["train", "all"])
def test_chips_that_the_network_learnt_from_are_refused(dataset, split):
    saved = checkpoint()
    saved["training"]["digest"] = ChipFolder(dataset, dataset.split("train")).digest

    with pytest.raises(UsageError, match="learnt from the chips in the split 'train'"):
        with_temperature(saved, dataset, split, device="cpu")


def test_an_empty_split_is_refused(dataset):
    with pytest.raises(UsageError, match="no chip in the split 'validation'"):
        with_temperature(checkpoint(), dataset, "validation", device="cpu")


def test_the_command_fits_the_temperature_before_it_exports(dataset, tmp_path, monkeypatch):
    exported = []
    monkeypatch.setattr("lulcmap.training.export_onnx", lambda *a, **_: exported.append(a) or 1 / 0)
    save_checkpoint(tmp_path / "run.pt", checkpoint())
    words = ["export-onnx", str(tmp_path / "run.pt"), "--out", str(tmp_path / "model.onnx")]
    words += ["--temperature-from", str(dataset.folder)]

    empty = CliRunner().invoke(main, words)
    CliRunner().invoke(main, [*words, "--temperature-split", "test"])
    alone = CliRunner().invoke(main, [*words[:4], "--temperature-split", "test"])
    (tmp_path / "model.onnx").write_text("mine")
    taken = CliRunner().invoke(main, [*words, "--temperature-split", "test"])

    assert empty.exit_code == alone.exit_code == 2
    assert "no chip in the split 'validation'" in empty.output
    assert "It is the split of --temperature-from" in alone.output
    assert taken.exit_code == 7
    ((saved, _),) = exported
    assert saved["temperature"] > 1.5
