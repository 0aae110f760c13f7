import numpy as np

from lulcmap.adaptation.adapting import _try
from lulcmap.adaptation.confidence import calibration_error, fit_temperature
from lulcmap.adaptation.seen import SeenLabels
from lulcmap.adaptation.ways import Task
from lulcmap.evaluation import temperature
from lulcmap.model import open_features
from lulcmap.system import no_progress
from tests.support.adaptable import CLASSES, model_bytes


def drawn(n=300, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, 4))
    odds = np.exp(logits / 1.7)
    truth = np.array([rng.choice(4, p=one / one.sum()) for one in odds])
    return logits, truth


def test_weights_of_one_give_what_evaluate_finds():
    logits, truth = drawn()

    found = fit_temperature(logits, truth, np.ones(300))

    assert np.isclose(found, temperature.fit_temperature(logits, truth), rtol=1e-4)
    error = calibration_error(logits / found, truth, np.ones(300))
    assert np.isclose(error, temperature.calibration_error(logits / found, truth), atol=1e-6)


def test_a_pixel_of_weight_three_counts_as_three():
    logits, truth = drawn()
    each = np.where(np.arange(300) < 100, 3.0, 1.0)
    thrice = np.r_[np.arange(300), np.arange(100), np.arange(100)]

    found = fit_temperature(logits, truth, each)

    expected = fit_temperature(logits[thrice], truth[thrice], np.ones(500))
    assert np.isclose(found, expected, rtol=1e-4)
    assert np.isclose(
        calibration_error(logits, truth, each),
        temperature.calibration_error(logits[thrice], truth[thrice]),
        atol=1e-6,
    )


class Given:
    """A way whose logits are given."""

    name = "head"

    def __init__(self, logits):
        self.logits = logits

    def held_out_logits(self, _task, _progress):
        return self.logits


def tried(tmp_path, logits, truth, label, weights):
    (tmp_path / "m.onnx").write_bytes(model_bytes())
    n, pixels = len(truth), len(label)
    seen = SeenLabels(np.zeros((pixels, 9)), label, n, np.zeros((pixels, 3), np.intp))
    network, places = open_features(tmp_path / "m.onnx"), np.arange(n)
    task = Task(network, seen, truth, weights, places, np.ones(n, bool), CLASSES, 0)
    return _try(Given(logits), task, no_progress)


def test_the_temperature_counts_a_polygon_as_a_point_and_by_its_weight(tmp_path):
    logits, truth = drawn()
    label = np.repeat(np.arange(300), np.where(np.arange(300) < 30, 25, 1))
    weights = np.where(np.arange(300) < 50, 4.0, 1.0)

    found = tried(tmp_path, logits[label], truth, label, weights)

    assert np.isclose(found.temperature, fit_temperature(logits, truth, weights), rtol=1e-4)
    error = calibration_error(logits / found.temperature, truth, weights)
    assert np.isclose(found.calibration_error, error)


def test_a_polygon_is_judged_as_the_model_as_it_is_judges_it_whatever_temperature_is_fitted(
    tmp_path,
):
    logits, truth = drawn()
    polygon = [[5.0, 0, 0, 0], [0, 2.0, 0, 0], [0, 2.0, 0, 0]]
    logits, truth = np.vstack([polygon, 2 * logits]), np.append(1, truth)
    label = np.r_[0, 0, np.arange(301)]

    found = tried(tmp_path, logits, truth, label, np.ones(301))

    right = 1 + (logits[3:].argmax(1) == truth[1:]).sum()  # at the fitted temperature, 0 wins
    assert found.temperature > 3
    assert np.isclose(found.gain.after, right / 301)
