"""``docs/adaptation.md``, small: a land that a model does not know, labelled and mapped again.

``benchmarks/worked_case.py`` is the whole of it.
"""

import json

import numpy as np
import pytest

from benchmarks import worked_case
from lulcmap.legend import NAMES
from lulcmap.model import classify_image

pytestmark = pytest.mark.timeout(1200)


def test_three_hundred_labels_make_a_better_map_and_areas_that_hold_the_truth(tmp_path):
    land = worked_case.make_land(tmp_path, worked_case.MODEL, 512)
    cached = worked_case.CachedFeatures(land, worked_case.MODEL)

    whole = classify_image(cached.session, cached.s2, cached.s1, box=cached.box)

    row = worked_case.repeat(land, cached, 0)

    # by its features and its head the model says what it says in one piece
    assert (cached.map(cached.network.head) == whole.classes).mean() > 0.999
    assert row["after"] > row["before"] + 0.05  # in the half that was never labelled
    held = [one["low"] <= one["true"] <= one["high"] for one in row["areas"].values()]
    assert np.mean(held) >= 2 / 3  # of nine 95 % intervals
    assert set(row["areas"]) == set(NAMES)
    assert json.loads(json.dumps(row)) == row  # a rerun resumes from it
