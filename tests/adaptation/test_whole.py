import shutil

import numpy as np
import pytest
import torch

from lulcmap.adaptation.adapting import adapt_model
from lulcmap.adaptation.ways import HeadWay
from lulcmap.adaptation.whole import CROP_PX, WholeWay
from lulcmap.adaptation.windows import KeptComposite
from lulcmap.errors import ModelError
from lulcmap.legend import NAMES
from lulcmap.model import open_session, read_model
from lulcmap.training import load_trained
from tests.support.adaptable import label_points, land, model_bytes, write_composite

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, micro_onnx):
    """A network of random weights, a land that it does not know, and labels of it."""
    path = tmp_path_factory.mktemp("whole")
    shutil.copy(micro_onnx, path / "micro.onnx")
    truth, bands = land(n_classes=3)
    bands[9:] = 19_000 + 500 * truth[None].astype(bands.dtype)
    write_composite(path / "composite.tif", bands)
    label_points(path / "labels.gpkg", truth, 80, names=("water", "crops", "rice"))
    return path


def adapted(folder, out, **options):
    return adapt_model(
        folder / "micro.onnx",
        folder / "labels.gpkg",
        [KeptComposite.open(folder / "composite.tif")],
        out,
        new_classes={"rice": None},
        **options,
    )


def test_the_whole_network_is_trained_on_and_written(folder, tmp_path):
    stages = set()

    result = adapted(
        folder,
        tmp_path / "whole.onnx",
        ways=("whole",),
        progress=lambda stage, *_: stages.add(stage),
    )

    assert result.chosen == "whole"
    assert {"imagery", "whole 1 of 5", "whole 5 of 5", "whole, all labels"} <= stages
    session = open_session(tmp_path / "whole.onnx", device="cpu")
    _, bands = land(n_classes=3)
    s2 = np.ascontiguousarray(bands[None, :9, :CROP_PX, :CROP_PX])
    s1 = np.full((1, 2, CROP_PX, CROP_PX), -1000, np.int16)
    assert session.run(s2, s1).shape == (1, 10, CROP_PX // 4, CROP_PX // 4)
    assert session.contract.classes == (*NAMES, "rice")
    told = session.contract.training
    assert told["adapted"]["settings"]["rehearsal"] > 0
    assert told["network"]["classes"] == 10
    trained = load_trained(tmp_path / "whole.onnx")  # train --init goes on from it
    assert trained.classes == session.contract.classes


@pytest.mark.parametrize("better", ["head", "whole"])
def test_of_both_ways_the_one_that_is_right_more_often_is_written(
    folder, tmp_path, monkeypatch, better
):
    def said(_, task, *__):  # slow, and tested above
        right = np.eye(len(task.classes))[task.truth[task.seen.label]]
        return 10 * right if better == "whole" else np.zeros_like(right)

    monkeypatch.setattr(WholeWay, "held_out_logits", said)
    monkeypatch.setattr(WholeWay, "make", lambda _, *task: HeadWay().make(*task))

    result = adapted(folder, tmp_path / "mine.onnx", ways=("head", "whole"))

    gains = {one.way: one.gain for one in result.tried}
    assert set(gains) == {"head", "whole"}
    assert result.chosen == better == max(gains, key=lambda way: gains[way].after)
    contract = read_model(tmp_path / "mine.onnx").contract
    assert contract.classes == (*NAMES, "rice")
    assert contract.training["adapted"]["way"] == better


def test_a_foreign_network_is_adapted_by_its_head_only(folder, tmp_path):
    truth, _ = land()
    (tmp_path / "small.onnx").write_bytes(model_bytes())
    labels = label_points(tmp_path / "labels.gpkg", truth)

    with pytest.raises(ModelError, match="no network that lulcmap trains"):
        adapt_model(
            tmp_path / "small.onnx",
            labels,
            [KeptComposite.open(folder / "composite.tif")],
            tmp_path / "mine.onnx",
            ways=("whole",),
        )
    assert not (tmp_path / "mine.onnx").exists()
