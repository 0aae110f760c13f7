"""``lulcmap train`` as its user meets it."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from lulcmap.cli import main
from lulcmap.cli.train import _MODELS
from lulcmap.dataset.chips import Dataset
from lulcmap.dataset.request import build_dataset
from lulcmap.dataset.settings import DatasetRequest, ImageArchive
from lulcmap.simulation.build import Country, simulate
from lulcmap.simulation.labels import LabelSet, simulate_labels
from lulcmap.system.lock import hold_file
from lulcmap.training.cache import ChipCache
from lulcmap.training.checkpoint import load_checkpoint
from lulcmap.training.chips import ChipFolder
from lulcmap.training.networks import NETWORKS
from lulcmap.training.tiled import checkpoint_predictor

COUNTRY = Country(seed=6, height=320, width=300, s2_dates=3, s1_dates=3, cloud=0.1)
QUICK = ("--model", "lulcformer-tiny", "--epochs", "2", "--batch-size", "2", "--crop", "32")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A dataset of small chips of odd sides."""
    scenes = simulate(tmp_path_factory.mktemp("country"), COUNTRY)
    labels = tmp_path_factory.mktemp("labels")
    simulate_labels(labels, COUNTRY, scenes, LabelSet(size=70, experts=3, nonexperts=3, holdout=1))
    out = tmp_path_factory.mktemp("built") / "dataset"
    build_dataset(
        DatasetRequest(labels, archive=ImageArchive(str(scenes.items)), validation=0.3), out
    )
    return out


def train(*arguments):
    return CliRunner().invoke(main, ["train", *map(str, arguments)])


def rows(folder):
    return list(csv.DictReader((folder / "log.csv").read_text().splitlines()))


def test_chips_are_read_once_while_they_fit_in_the_cache(data, monkeypatch):
    dataset = Dataset.open(data)
    chips, asked = dataset.split("train"), []
    read = Dataset.read
    monkeypatch.setattr(Dataset, "read", lambda self, chip: asked.append(chip) or read(self, chip))
    one = ChipFolder(dataset, chips).sample(0).nbytes
    few, none = ChipFolder(dataset, chips, ChipCache(2.5 * one)), ChipFolder(dataset, chips)
    asked.clear()

    for _ in range(2):
        for index in (0, 1, 2):
            for kept, fresh in zip(
                few.sample(index).planes(), none.sample(index).planes(), strict=True
            ):
                np.testing.assert_array_equal(kept, fresh)
                assert kept.flags.writeable == (index == 2)

    assert [asked.count(chip) for chip in chips[:3]] == [3, 3, 4]


def test_help_names_every_network():
    assert set(_MODELS) == set(NETWORKS)


def test_a_training_writes_checkpoints_and_a_log_and_names_the_next_commands(data, tmp_path):
    made = train("--data", data, "--out", tmp_path / "run", *QUICK)

    assert made.exit_code == 0, made.output
    assert "epoch 2 of 2: loss" in made.output
    assert "lulcmap evaluate" in made.output
    assert "lulcmap export-onnx" in made.output
    assert [row["epoch"] for row in rows(tmp_path / "run")] == ["1", "2"]
    saved = load_checkpoint(tmp_path / "run/best.pt")
    assert saved["knows"] == "simulated"
    assert [name for name, _ in saved["classes"]] == list(Dataset.open(data).names)
    assert saved["settings"]["crop"] == 32
    assert json.loads(json.dumps(saved["settings"])) == saved["settings"]
    assert "labelled images" in saved["training"]["source"]
    assert any((tmp_path / "run/tensorboard").iterdir())


def test_a_rerun_is_done_at_once_and_another_training_is_refused(data, tmp_path):
    first = train("--data", data, "--out", tmp_path / "run", *QUICK)
    before = (tmp_path / "run/checkpoint.pt").read_bytes()

    again = train("--data", data, "--out", tmp_path / "run", *QUICK)
    other = train("--data", data, "--out", tmp_path / "run", *QUICK, "--seed", "3")

    assert first.exit_code == again.exit_code == 0
    assert (tmp_path / "run/checkpoint.pt").read_bytes() == before
    assert other.exit_code == 2
    assert "seed: 0 in the folder, 3 given" in other.output


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_kill_9_and_the_same_command_give_the_same_weights(data, tmp_path):
    command = [sys.executable, "-m", "lulcmap", "train", "--data", str(data), *QUICK]
    command += ["--epochs", "4", "--out"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}

    killed = tmp_path / "killed"
    process = subprocess.Popen([*command, str(killed)], env=environment, stdout=subprocess.DEVNULL)
    while process.poll() is None and not (killed / "checkpoint.pt").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = len(load_checkpoint(killed / "checkpoint.pt")["training"]["losses"])
    for out in (killed, tmp_path / "whole"):
        subprocess.run([*command, str(out)], env=environment, check=True, stdout=subprocess.DEVNULL)

    assert done < 4
    resumed, whole = (load_checkpoint(tmp_path / n / "checkpoint.pt") for n in ("killed", "whole"))
    assert resumed["training"] == whole["training"]
    assert all(torch.equal(whole["weights"][k], v) for k, v in resumed["weights"].items())
    assert not list(killed.glob(".*"))


def test_chips_are_padded_with_mirrored_land_to_multiples_of_32(data):
    dataset = Dataset.open(data)
    chips = ChipFolder(dataset, dataset.split("train"))

    sample = chips.sample(0)

    seen = dataset.read(chips.chips[0])
    assert sample.shape == (96, 96)
    edges = [(0, 0), (0, 26), (0, 26)]
    assert (sample.s2 == np.pad(seen.s2, edges, mode="reflect")).all()
    assert (sample.s1 == np.pad(seen.s1, edges, mode="reflect")).all()
    assert (sample.label[:70, :70] == seen.label).all()
    assert (sample.label[70:] == 255).all()
    assert (sample.label[:, 70:] == 255).all()


def test_a_network_of_one_sensor_needs_no_other(data, tmp_path):
    made = train("--data", data, "--out", tmp_path, *QUICK, "--modalities", "s1")

    assert made.exit_code == 0, made.output
    predict, contract = checkpoint_predictor(tmp_path / "best.pt", "cpu")
    s1 = np.full((2, 50, 70), -1200, np.int16)
    s1[:, :, :9] = -32768
    classes, confidence = predict(np.zeros((9, 50, 70), np.uint16), s1)
    assert list(contract.inputs) == ["s1"]
    assert not contract.inputs["s1"].optional
    assert (classes[:, :9] == 255).all()
    assert (classes[:, 9:] < 9).all()
    assert ((confidence > 0) == (classes < 255)).all()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--crop", "100"), "Give a multiple of 32"),
        (("--modalities", "s3"), "s2, s1 or s2,s1"),
        (("--batch-size", "3", "--accumulate", "2"), "cannot be split"),
        (("--precision", "fp16", "--device", "cpu"), "fp16 needs a GPU"),
        (("--model", "unet", "--no-mmam"), "not to unet"),
    ],
)
def test_a_refused_training_gets_a_message_of_one_line(data, tmp_path, arguments, says):
    made = train("--data", data, "--out", tmp_path / "run", *QUICK, *arguments)

    assert made.exit_code == 2
    assert says in made.output
    assert made.output.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_second_process_in_one_folder_is_refused(data, tmp_path):
    (tmp_path / "run").mkdir()
    with hold_file(tmp_path / "run/.lock"):
        made = train("--data", data, "--out", tmp_path / "run", *QUICK)

    assert made.exit_code == 7
    assert f"process {os.getpid()}" in made.output
    assert "give another --out" in made.output


def test_another_dataset_of_the_same_labels_is_another_training(data):
    dataset = Dataset.open(data)
    other = replace(
        dataset, about=replace(dataset.about, settings={**dataset.settings, "orbit": "any"})
    )

    one, two = (ChipFolder(each, each.split("train")).digest for each in (dataset, other))

    assert one != two


def test_a_folder_that_is_not_a_dataset_is_refused(tmp_path):
    made = train("--data", tmp_path, "--out", tmp_path / "run", *QUICK)

    assert made.exit_code == 2
    assert "No dataset in" in made.output


def test_several_datasets_share_an_epoch(data, tmp_path):
    named = tmp_path / "a=b"
    shutil.copytree(data, named)

    made = train("--data", f"{data}=3", "--data", f"{named}=1", "--out", tmp_path / "run", *QUICK)

    assert made.exit_code == 0, made.output
    saved = load_checkpoint(tmp_path / "run/best.pt")
    one = len(Dataset.open(data).split("train"))
    assert saved["training"]["chips"] == 2 * one
    assert saved["training"]["source"].count("labelled images") == 2
    again = train("--data", data, "--data", named, "--out", tmp_path / "run", *QUICK)
    assert again.exit_code == 2
    assert "other chips" in again.output
    plain = train("--data", named, "--out", tmp_path / "plain", *QUICK)
    assert plain.exit_code == 0, plain.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--data", "{data}=two"), "'two' in --data"),
        (("--data", "{data}=0"), "not a number above 0"),
        (("--data", "{data}", "--data", "{data}=1"), "1 of 2 --data have a share"),
        (("--data", "{data}", "--data", "{other}"), "Give datasets with the same legend"),
        (("--data", "{data}", "--data", "nowhere"), "No dataset in nowhere"),
    ],
)
def test_wrong_data_get_a_message_of_one_line(data, tmp_path, arguments, says):
    other = tmp_path / "other"
    shutil.copytree(data, other)
    about = json.loads((other / "dataset.json").read_text())
    about["classes"][0]["name"] = "lake"
    (other / "dataset.json").write_text(json.dumps(about))
    given = [text.format(data=data, other=other) for text in arguments]

    made = train(*given, "--out", tmp_path / "run", *QUICK)

    assert made.exit_code == 2
    assert says in made.output
    assert made.output.count("\n") == 1
    assert not (tmp_path / "run").exists()
