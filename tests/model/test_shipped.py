"""The shipped network itself, through the code that makes maps."""

import numpy as np
import pytest

from lulcmap.geo.tiling import Box
from lulcmap.model.contract import Contract
from lulcmap.model.inference import bounding_box, classify
from lulcmap.model.registry import find_model, model_card, shipped_models
from lulcmap.model.session import open_session
from tests.support.stubs import composites

BOX = Box(-530_000, 44_032, 300, 420)


def classified(batch: int, threads: int) -> list[np.ndarray]:
    session = open_session(find_model(None), device="cpu", threads=threads, batch_size=batch)
    windows = session.contract.lattice.reaching(BOX)
    over = bounding_box(windows)
    s2, s1 = composites(np.random.default_rng(0), over.shape)
    image = classify(
        session.run,
        session.contract,
        s2=s2,
        s1=s1,
        over=over,
        windows=windows,
        box=BOX,
        batch_size=batch,
    )
    return [image.classes, image.confidence, image.margin]


@pytest.mark.parametrize(("batch", "threads"), [(3, 1), (8, 1), (1, 2), (8, 2)])
def test_the_map_is_the_same_for_any_batch_and_number_of_threads(one_by_one, batch, threads):
    for plane, alone in zip(classified(batch, threads), one_by_one, strict=True):
        np.testing.assert_array_equal(plane, alone)


@pytest.fixture(scope="module")
def one_by_one():
    return classified(1, 1)


@pytest.mark.parametrize("model", shipped_models(), ids=lambda model: model.name)
def test_every_shipped_model_has_a_complete_card(model):
    contract: Contract = open_session(find_model(model.name), device="cpu").contract

    text = model_card(model.name)
    assert contract.name == model.name
    assert contract.trained_on in text
    assert "## Accuracy" in text
    assert "@@" not in text
    assert "Not measured" not in text
    assert model.path.stat().st_size < 20e6
