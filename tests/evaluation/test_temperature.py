import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from lulcmap.cli.evaluate import evaluate
from lulcmap.dataset import Dataset
from lulcmap.errors import UsageError
from lulcmap.evaluation.chips import measure_temperature
from lulcmap.evaluation.onnx_predictor import Prediction, open_onnx_predictor
from lulcmap.evaluation.temperature import LogitSample, calibration_error, fit_temperature
from lulcmap.model.session import open_session
from tests.evaluation.test_chips import (
    Described,
    evaluate_on,
    perfect_model,
    upsampled,
    write_dataset,
    write_raster,
)
from tests.support.stubs import composites, contract, make_model


def drawn(rng, n, classes=4):
    """Logits, and classes drawn with the probabilities that they give."""
    logits = rng.normal(0, 2, (n, classes)).astype(np.float32)
    odds = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return logits, (odds.cumsum(1) > rng.random((n, 1))).argmax(1)


def test_the_temperature_calibrates_an_overconfident_model():
    honest, truth = drawn(np.random.default_rng(0), 20000)

    found = fit_temperature(3 * honest, truth)

    assert found == pytest.approx(3, rel=0.05)
    assert calibration_error(3 * honest, truth) > 0.1
    assert calibration_error(3 * honest / found, truth) < 0.02


def test_the_temperature_is_the_best_of_a_brute_force_search():
    honest, truth = drawn(np.random.default_rng(1), 3000)
    logits = torch.from_numpy(1.7 * honest).double()

    found = fit_temperature(logits.numpy(), truth)

    tried = np.linspace(0.5, 4, 701)
    loss = [
        torch.nn.functional.cross_entropy(logits / t, torch.from_numpy(truth)).item() for t in tried
    ]
    assert found == pytest.approx(tried[np.argmin(loss)], abs=0.006)


def test_pixels_of_a_class_that_the_model_lacks_are_wrong_but_do_not_decide():
    honest, truth = drawn(np.random.default_rng(2), 4000)
    unknown = np.where(np.arange(4000) % 4 == 0, -1, truth)

    assert fit_temperature(honest, unknown) == fit_temperature(
        honest[unknown >= 0], truth[unknown >= 0]
    )
    assert calibration_error(honest, unknown) > calibration_error(honest, truth) + 0.1
    with pytest.raises(ValueError, match="no pixel has a class"):
        fit_temperature(honest, np.full(4000, -1))


def sample_of(factors, n=2000):
    """A sample of places, each overconfident by a factor of its own."""
    rng, sample = np.random.default_rng(3), LogitSample(len(factors))
    for number, factor in enumerate(factors):
        honest, truth = drawn(rng, n)
        sample.add(f"place{number}", factor * honest, truth)
    return sample


def test_each_place_is_judged_with_the_temperature_of_the_others():
    alike, unlike = sample_of([2.0] * 4).fit(1.0), sample_of([1.0, 4.0]).fit(1.0)

    assert alike.cross_fitted
    assert alike.temperature == pytest.approx(2, rel=0.05)
    assert alike.ece > 0.05
    assert alike.ece_with_temperature < 0.02
    assert (alike.pixels, alike.places) == (8000, 4)
    # of two places that differ, neither tells the temperature of the other
    (easy, hard), rows = sample_of([1.0, 4.0]).logits, sample_of([1.0, 4.0]).truth
    crossed = np.concatenate(
        [easy / fit_temperature(hard, rows[1]), hard / fit_temperature(easy, rows[0])]
    )
    expected = calibration_error(crossed, np.concatenate(rows))
    assert unlike.ece_with_temperature == pytest.approx(expected, abs=1e-6)


def test_one_place_is_said_to_be_judged_where_it_was_fitted():
    fit = sample_of([2.0]).fit(1.0)

    assert not fit.cross_fitted
    assert fit.places == 1
    assert LogitSample(1).fit(1.0) is None


def test_the_same_chip_gives_the_same_labelled_pixels():
    known = np.random.default_rng(0).random((40, 50)) < 0.5

    few, many = LogitSample(5), LogitSample(5000)

    chosen = few.choose(known, seed=3)
    assert len(chosen) == 500
    assert len(many.choose(known, seed=3)) == 40
    assert known.ravel()[chosen].all()
    assert len(set(chosen.tolist())) == 500
    np.testing.assert_array_equal(chosen, few.choose(known, seed=3))
    assert len(few.choose(known & False, seed=1)) == 0


@pytest.mark.parametrize("shape", [(62, 62), (130, 100)])
def test_the_logits_of_a_model_file_are_those_its_classes_come_from(tmp_path, shape):
    agreed = contract(multiple=32, temperature=2.0)
    path = make_model(tmp_path / "model.onnx", agreed)
    predict, _ = open_onnx_predictor(path, "cpu")
    s2, s1 = composites(np.random.default_rng(1), shape)
    s2[:, :3], s1[:, :3] = 0, -32768
    pixels = np.random.default_rng(2).choice(shape[0] * shape[1], 700, replace=False)

    made = predict(s2, s1, pixels)

    assert made.logits.shape == (700, 9)
    here = made.classes.ravel()[pixels]
    seen = here != 255
    np.testing.assert_array_equal(made.logits[seen].argmax(1), here[seen])
    odds = np.exp(made.logits[seen] / 2)
    sure = odds.max(1) / odds.sum(1)
    np.testing.assert_allclose(made.confidence.ravel()[pixels][seen], sure, atol=0.0051)
    if shape == (62, 62):
        ends = [(0, 0), (0, 2), (0, 2)]
        padded = (np.pad(image, ends, mode="reflect")[None] for image in (s2, s1))
        whole = upsampled(open_session(path, device="cpu").run(*padded), 4)[:, :62, :62]
        inner = seen & (pixels // 62 > 12) & (pixels // 62 < 50) & (pixels % 62 < 50)
        expected = whole.flatten(1).numpy().T[pixels][inner]
        np.testing.assert_allclose(made.logits[inner], expected, atol=1e-4)


def too_sure(dataset, factor=3.0):
    """A model that is right as often as the softmax of its logits without the factor says."""
    labels, names = {}, {}
    for chip in dataset.rows:
        seen = dataset.read(chip)
        labels[seen.s2.tobytes()], names[seen.s2.tobytes()] = seen.label, chip.place

    def predict(s2, s1, pixels=None, *_):
        label = labels.get(s2.tobytes(), np.zeros(s2.shape[1:], np.uint8))
        rng = np.random.default_rng(5)
        logits = rng.normal(0, 1.5, (*label.shape, 9))
        odds = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        drawn = (odds.cumsum(-1) > rng.random((*label.shape, 1))).argmax(-1)
        # move the drawn class to the label's place
        shift = (np.where(label == 255, 0, label).astype(int) - drawn) % 9
        at = (np.arange(9) - shift[..., None]) % 9
        logits = factor * np.take_along_axis(logits, at, -1)
        odds = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        flat = logits.reshape(-1, 9).astype(np.float32)
        return Prediction(
            logits.argmax(-1).astype(np.uint8),
            odds.max(-1).astype(np.float32),
            None if pixels is None else flat[pixels],
        )

    return predict


def test_an_evaluation_reports_the_best_temperature(tmp_path):
    dataset = write_dataset(tmp_path / "data", votes=False, chips=8)

    evaluation = evaluate_on(dataset, too_sure(dataset)).to_json(draws=100)

    fit = evaluation["temperature"]
    assert fit["temperature"] == pytest.approx(3, rel=0.1)
    assert (fit["pixels"], fit["places"], fit["cross_fitted"]) == (4000, 8, True)
    assert fit["ece"] == pytest.approx(evaluation["calibration"]["ece"], abs=0.03)
    assert fit["ece_with_temperature"] < 0.04 < 0.15 < fit["ece"]
    alone = measure_temperature(dataset, dataset.rows, too_sure(dataset), Described)
    assert alone.to_json() == fit
    assert evaluate_on(dataset, perfect_model(dataset)).to_json(draws=100)["temperature"] is None


def test_the_command_prints_the_best_temperature_of_a_model_file(tmp_path):
    write_dataset(tmp_path / "data", votes=False)
    words = [str(make_model(tmp_path / "model.onnx", contract(multiple=32)))]
    words += ["--data", str(tmp_path / "data"), "--device", "cpu", "--draws", "100"]

    natural = CliRunner().invoke(evaluate, words, catch_exceptions=False)

    assert "best temperature " in natural.output
    assert "1,000 pixels of 2 places: calibration error" in natural.output
    assert "(each place with that of the others)" in natural.output


def test_a_dataset_without_a_known_label_gives_no_temperature(tmp_path):
    dataset = write_dataset(tmp_path / "data", votes=False)
    for chip in dataset.rows:
        write_raster(dataset.path(chip, "label.tif"), np.full((1, 62, 62), 255, np.uint8))

    with pytest.raises(UsageError, match="no temperature can be fitted"):
        measure_temperature(dataset, dataset.rows, too_sure(dataset), Described)


# --- soft labels, weights and sets -----------------------------------------------------------


@pytest.fixture
def soft(tmp_path):
    """Chips of which a part is a set, a part has no weight, and one has soft labels."""
    folder = tmp_path / "data"
    dataset = write_dataset(folder, votes=False)
    about = json.loads((folder / "dataset.json").read_text())
    others = [one["name"] for one in about["classes"] if one["name"] != "crops"]
    about["sets"] = [{"code": 254, "name": "not crops", "classes": others}]
    (folder / "dataset.json").write_text(json.dumps(about))
    for chip in dataset.rows:
        label = dataset.read(chip).label.copy()
        label[10:20] = 254
        weight = np.full((1, 62, 62), 40, np.uint8)
        weight[0, 40:] = 0
        write_raster(dataset.path(chip, "label.tif"), label[None])
        write_raster(dataset.path(chip, "weight.tif"), weight)
    probabilities = np.zeros((9, 62, 62), np.uint8)
    probabilities[:, 20:30] = (np.arange(9) == label[20:30, :, None]).transpose(2, 0, 1) * 100
    write_raster(dataset.path(chip, "probabilities.tif"), probabilities)
    return Dataset.open(folder)


def test_sets_are_reported_apart_and_pixels_without_weight_are_left_out(soft):
    def predict(s2, s1, *_):
        classes = np.zeros(s2.shape[1:], np.uint8)
        classes[10:15, :31] = 4  # crops
        return Prediction(classes, np.ones(classes.shape, np.float32))

    evaluation = evaluate_on(soft, predict).to_json(draws=100)

    (row,) = evaluation["sets"]
    assert (row["set"], row["pixels"], row["places"]) == ("not crops", 4 * 10 * 62, 4)
    assert row["accuracy"] == {"value": 0.75, "low": 0.75, "high": 0.75}
    labelled = 5 + 20  # rows 5 to 10 and 20 to 40
    assert evaluation["pixels"] == 4 * labelled * 62
    assert evaluation["unmapped"] == 0
    assert any("1 of 4 chips have soft labels" in note for note in evaluation["notes"])


def test_the_command_prints_the_sets(soft, tmp_path):
    words = [str(make_model(tmp_path / "model.onnx", contract(multiple=32))), "--split", "all"]
    words += ["--data", str(soft.folder), "--device", "cpu", "--draws", "100"]

    result = CliRunner().invoke(evaluate, words, catch_exceptions=False)

    assert "not crops" in result.output
    assert "set of classes" in result.output
