import numpy as np
import pytest

from lulcmap.adaptation.described import Tried, adapted_contract, id_notes
from lulcmap.adaptation.measure import Gain
from lulcmap.adaptation.seen import SeenLabels
from lulcmap.adaptation.ways import Made, Task
from lulcmap.model import open_features
from tests.support.adaptable import model_bytes

GAIN = Gain(0.5, 0.7, (0.1, 0.3), 0.5, 0.7, (0.1, 0.3), {})


def adapted(tmp_path, classes, new):
    """Contracts before and after an adaptation."""
    path = tmp_path / "m.onnx"
    path.write_bytes(model_bytes(np.eye(len(classes), 9), classes))
    network = open_features(path)
    every = (*classes, *new)
    n = len(every)
    seen = SeenLabels(np.zeros((n, 9)), np.arange(n), n, np.zeros((n, 3), np.intp))
    truth = np.arange(n)
    task = Task(network, seen, truth, np.ones(n), truth, np.ones(n, bool), every, 0)
    made = Made(lambda _: b"", {}, "fp32", {})
    changed = adapted_contract(
        *(task, Tried("head", GAIN, 1.0, 0.0), made, dict.fromkeys(new), {"labels": n}, "mine")
    )
    return network.contract, changed


@pytest.mark.parametrize(
    ("classes", "new", "changes"),
    [
        (("trees", "built"), (), False),
        (("trees", "built"), ("water",), False),
        (("trees", "built"), ("rice",), True),
        (("rice", "maize"), ("trees",), False),
    ],
)
def test_changed_ids_are_told_where_they_change(tmp_path, classes, new, changes):
    before, after = adapted(tmp_path, classes, new)

    ids = [dict(zip(one.classes, one.ids, strict=True)) for one in (before, after)]
    assert changes == any(ids[1][name] != number for name, number in ids[0].items())
    assert bool(id_notes(before, after)) == changes


def test_a_model_of_simulated_land_tells_its_figures_once_it_is_adapted(tmp_path):
    before, after = adapted(tmp_path, ("trees", "built"), ())

    assert before.trained_on == "simulated"
    assert after.trained_on == "unknown"
    assert "right at 70.0%" in after.describe()
