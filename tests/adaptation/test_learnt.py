from dataclasses import replace
from pathlib import Path

import numpy as np
import shapely

from lulcmap.adaptation.labels import Labels
from lulcmap.adaptation.learnt import is_unlearnt, learnt_cells, learnt_metadata
from lulcmap.adaptation.places import cells_of, places_of
from lulcmap.model import METADATA_KEY, open_features, read_model, with_metadata
from tests.support.adaptable import model_bytes


def labels_at(*lons):
    shapes = np.asarray(shapely.points(lons, 45.0))
    return Labels(Path("x"), shapes, np.full(len(lons), "a"), np.ones(len(lons)), False)


def test_a_chain_of_adaptations_keeps_where_all_of_them_learnt(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(model_bytes())
    told = replace(read_model(path).contract, training={"adapted": {"origin": "a"}}).to_json()
    learnt = learnt_cells(open_features(path))

    for labels in (labels_at(9.0, 9.1), labels_at(10.0)):
        where = learnt_metadata(labels, np.arange(len(labels)), learnt)
        path.write_bytes(with_metadata(path.read_bytes(), {METADATA_KEY: told, **where}))
        learnt = learnt_cells(open_features(path))

    asked = labels_at(9.0, 9.1, 10.0, 11.0)
    assert is_unlearnt(asked, places_of(asked), learnt).tolist() == [False] * 3 + [True]


def test_a_label_in_the_place_of_a_learnt_one_does_not_judge_either():
    near, far = shapely.Point(9.0, 45.0), shapely.Point(9.05, 45.0)
    shapes = np.array([near, far, shapely.box(8.999, 44.999, 9.051, 45.001)], object)
    labels = Labels(Path("x"), shapes, np.full(3, "a"), np.ones(3), False)
    (cell,) = cells_of(labels_at(9.0))[0]

    assert not is_unlearnt(labels, places_of(labels), {cell}).any()
