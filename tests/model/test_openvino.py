"""OpenVINO against ONNX Runtime, on the models of the tests and on those that are shipped."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np
import pytest
from onnx import TensorProto, helper

from lulcmap.errors import DeviceError, ModelError, UsageError
from lulcmap.model import open_session
from lulcmap.model.contract import S1_INPUT, SUN_SCALAR
from lulcmap.model.openvino_graph import load_openvino
from tests.model.test_session import batch
from tests.support.stubs import contract, make_model, save

if find_spec("openvino") is None:
    pytest.skip("OpenVINO is not installed", allow_module_level=True)
openvino = load_openvino()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    made = contract(scalars={"sun_zenith": SUN_SCALAR})
    return make_model(tmp_path_factory.mktemp("model") / "m.onnx", made, attention=True)


@pytest.fixture(scope="module")
def session(path):
    return open_session(path, device="openvino", threads=1)


def test_it_says_that_it_is_openvino_on_the_cpu(session):
    assert session.device == "cpu"
    assert session.runtime == f"openvino {openvino.__version__.split('-')[0]}, CPU"
    assert (session.batch_size, session.in_flight, session.notes) == (1, 1, ())


@pytest.mark.parametrize("size", [64, 96])
def test_logits_are_those_of_onnx_runtime_in_full_precision(path, session, size):
    s2, s1 = batch(2, size)
    sun = np.array([20, 65.5], np.float32)

    logits = session.run(s2, s1, sun)

    expected = open_session(path, device="cpu").run(s2, s1, sun)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, expected, atol=1e-3)  # bf16 would be off by 0.1


def test_a_logit_has_the_same_bits_on_any_number_of_threads(path, session):
    pixels = *batch(1), np.float32([40])

    np.testing.assert_array_equal(
        open_session(path, device="openvino", threads=2).run(*pixels), session.run(*pixels)
    )


def test_windows_that_are_run_at_once_have_the_bits_of_one_after_the_other(path, session):
    s2, s1 = batch(4)
    many = open_session(path, device="openvino", threads=2, at_once=True)

    def logits(i):
        return many.run(s2[i : i + 1], s1[i : i + 1], np.float32([40]))[0]

    with ThreadPoolExecutor(many.in_flight) as pool:
        found = list(pool.map(logits, range(4)))

    assert many.in_flight == 2
    np.testing.assert_array_equal(found, session.run(s2, s1, np.full(4, 40, np.float32)))


def test_the_sun_is_asked_for_as_anywhere(session):
    with pytest.raises(UsageError, match="takes sun_zenith"):
        session.run(*batch(1))


def test_importing_it_reports_to_nobody(tmp_path):
    code = (
        "import sys\nfrom lulcmap.model.openvino_graph import load_openvino\nload_openvino()\n"
        "print(*[name for name in sys.modules if 'openvino_telemetry' in name])"
    )
    out = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "HOME": str(tmp_path), "CI": ""},  # it keeps quiet in CI anyway
        capture_output=True,
        text=True,
        check=True,
    )

    assert out.stdout.split() == []
    assert list(tmp_path.iterdir()) == []  # where it keeps the number it gives a user


def test_without_it_the_extra_is_named(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)

    with pytest.raises(DeviceError, match=r"pip install lulcmap\[openvino\]\. Or give --device"):
        open_session(path, device="openvino")


def test_a_model_it_cannot_run_is_refused_in_one_line(tmp_path):
    trees = helper.make_node("TreeEnsemble", ["s1"], ["logits"], domain="ai.onnx.ml")
    graph = helper.make_graph(
        [trees],
        "g",
        [helper.make_tensor_value_info("s1", TensorProto.INT16, ["n", 2, "h", "w"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 5)]
    whole = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    path = save(whole, tmp_path / "m.onnx", contract(inputs={"s1": S1_INPUT}).to_json())

    with pytest.raises(ModelError, match=r"OpenVINO .*TreeEnsemble.*Give --device cpu") as caught:
        open_session(path, device="openvino")

    assert "\n" not in str(caught.value)
