import importlib.metadata
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, load

from lulcmap.errors import DeviceError, ModelError, UsageError
from lulcmap.model import runtime
from lulcmap.model import session as session_module
from lulcmap.model.contract import S1_INPUT, S2_INPUT, SUN_SCALAR
from lulcmap.model.session import open_session
from tests.support.stubs import composites, contract, make_model, save


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model") / "m.onnx", contract(), attention=True)


def batch(n, size=64, seed=0):
    parts = [composites(np.random.default_rng(seed + i), (size, size)) for i in range(n)]
    return np.stack([s2 for s2, _ in parts]), np.stack([s1 for _, s1 in parts])


def test_a_session_tells_its_model_runtime_and_device(model):
    session = open_session(model, device="cpu")

    assert session.contract == contract()
    assert len(session.sha256) == 64
    assert session.device == "cpu"
    assert session.runtime == f"onnxruntime {onnxruntime.__version__}, CPUExecutionProvider"
    assert session.notes == ()


def test_logits_are_one_float_a_class_and_cell(model):
    logits = open_session(model, device="cpu").run(*batch(3))

    assert logits.shape == (3, 9, 16, 16)
    assert logits.dtype == np.float32


def test_a_model_gets_the_bands_it_needs_in_its_order(tmp_path):
    expected = contract(inputs={"s2": replace(S2_INPUT, bands=("B08", "B04"))})
    path = make_model(tmp_path / "m.onnx", expected)
    s2, s1 = batch(1)
    raw = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    logits = open_session(path, device="cpu").run(s2, s1)

    expected = raw.run(None, {"s2": np.ascontiguousarray(s2[:, [6, 2]])})[0]
    np.testing.assert_array_equal(logits, expected)


def test_a_logit_has_the_same_bits_in_any_batch_and_on_any_number_of_threads(model):
    s2, s1 = batch(8)
    results = []

    for threads in (1, 2):
        session = open_session(model, device="cpu", threads=threads)
        for size in (1, 3, 8):
            parts = [session.run(s2[i : i + size], s1[i : i + size]) for i in range(0, 8, size)]
            results.append(np.concatenate(parts))

    for logits in results[1:]:
        np.testing.assert_array_equal(logits, results[0])


def test_windows_that_are_run_at_once_have_the_bits_of_one_after_the_other(model):
    s2, s1 = batch(8)
    alone = open_session(model, device="cpu", threads=3)
    session = open_session(model, device="cpu", threads=3, at_once=True)

    with ThreadPoolExecutor(session.in_flight) as pool:
        logits = list(pool.map(lambda i: session.run(s2[i : i + 1], s1[i : i + 1])[0], range(8)))

    assert (alone.in_flight, session.in_flight, session.batch_size) == (1, 3, 1)
    np.testing.assert_array_equal(logits, alone.run(s2, s1))


@pytest.mark.parametrize("is_exported", [True, False])
@pytest.mark.parametrize(("fits", "calls"), [(9, 6), (3.5, 3), (1, 1), (0, 1)])
def test_calls_at_once_fit_in_a_quarter_of_the_memory(
    tmp_path, monkeypatch, fits, calls, is_exported
):
    """They share all threads, unless the bits of a graph could depend on them."""
    training = {"network": {}} if is_exported else {}
    model = make_model(tmp_path / "m.onnx", contract(training=training))
    threads = []
    create = session_module.create_inner
    monkeypatch.setattr(
        session_module,
        "create_inner",
        lambda *args, **options: threads.append(options["threads"]) or create(*args, **options),
    )
    memory = 4 * fits * open_session(model, device="cpu").call_bytes
    monkeypatch.setattr(session_module, "free_memory", lambda: memory)

    free = open_session(model, device="cpu", threads=6, at_once=True)
    allowed = open_session(model, device="cpu", threads=6, at_once=True, memory=memory)

    assert free.in_flight == allowed.in_flight == calls
    assert threads[1:] == [6 // calls if is_exported else 1] * 2


def test_wider_networks_and_windows_take_more_memory_a_call(tmp_path):
    def call_bytes(**changes):
        path = make_model(tmp_path / "m.onnx", contract(**changes))
        return open_session(path, device="cpu").call_bytes

    assert call_bytes(window=128, step=64) == 4 * call_bytes(window=64, step=32)


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this one has CUDA"
)
def test_cuda_without_a_cuda_build_fails_and_says_why(model):
    with pytest.raises(DeviceError, match=r"has no CUDA; pip install lulcmap\[gpu\]"):
        open_session(model, device="cuda")


def lists_cuda(monkeypatch, *, driver):
    """A GPU build: it lists CUDA, and silently leaves it out of sessions."""
    monkeypatch.setattr(
        onnxruntime,
        "get_available_providers",
        lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
    )
    monkeypatch.setattr(runtime, "has_driver", lambda: driver)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda **_: print("none"), raising=False)  # noqa: T201
    whole = onnxruntime.InferenceSession
    requested = []

    def without_cuda(data, options, *, providers, **others):
        requested.append(providers)
        return whole(data, options, providers=["CPUExecutionProvider"], **others)

    monkeypatch.setattr(onnxruntime, "InferenceSession", without_cuda)
    return requested


def test_cuda_without_a_driver_fails_and_says_why(model, monkeypatch):
    lists_cuda(monkeypatch, driver=False)

    with pytest.raises(DeviceError, match="no NVIDIA driver"):
        open_session(model, device="cuda")


def test_a_session_that_silently_lacks_cuda_fails_and_says_why(model, monkeypatch, capfd):
    requested = lists_cuda(monkeypatch, driver=True)

    with pytest.raises(DeviceError, match="could not load CUDA"):
        open_session(model, device="cuda")
    assert capfd.readouterr() == ("", "")
    (name, options), fallback = requested[0]
    assert (name, options["use_tf32"], fallback) == (
        "CUDAExecutionProvider",
        "0",
        "CPUExecutionProvider",
    )


def test_auto_falls_back_to_the_cpu_and_says_so(model, monkeypatch):
    lists_cuda(monkeypatch, driver=False)

    session = open_session(model)

    assert session.device == "cpu"
    assert session.notes == (
        "The CPU was used instead of the GPU: no NVIDIA driver was found on this machine.",
    )


def test_a_gpu_always_gets_full_batches(model):
    s2, s1 = batch(7)
    plain = open_session(model, device="cpu")
    sizes = []

    class Gpu:
        def run(self, names, feeds):
            sizes.append(feeds["s2"].shape[0])
            return plain._ort.run(names, feeds)

    logits = replace(plain, batch_size=5, _ort=Gpu()).run(s2, s1)

    np.testing.assert_allclose(logits, plain.run(s2, s1), atol=1e-5)
    assert sizes == [5, 5]


def sunny(tmp_path):
    return make_model(tmp_path / "sun.onnx", contract(scalars={"sun_zenith": SUN_SCALAR}))


def test_each_window_gets_its_sun_also_in_padded_batches(tmp_path):
    session = open_session(sunny(tmp_path), device="cpu")
    s2, s1 = batch(3)
    zeniths = np.array([10, 45.5, 70], np.float32)

    lit = session.run(s2, s1, zeniths)
    padded = replace(session, batch_size=5).run(s2, s1, zeniths)

    change = lit - session.run(s2, s1, np.zeros(3, np.float32))
    waves = 3 * np.sin(100 * zeniths)[:, None, None, None]
    expected = waves * np.linspace(-1, 1, 9)[:, None, None]
    np.testing.assert_allclose(change, np.broadcast_to(expected, change.shape), atol=1e-2)
    np.testing.assert_allclose(padded, lit, atol=1e-4)


@pytest.mark.parametrize(
    "zeniths", [None, [10.0], [10, 20, np.nan], [-1, 2, 3], [1, 2, 91]], ids=str
)
def test_a_sun_that_is_missing_or_impossible_is_an_error(tmp_path, zeniths):
    session = open_session(sunny(tmp_path), device="cpu")
    given = None if zeniths is None else np.array(zeniths, np.float32)

    with pytest.raises(UsageError, match="takes sun_zenith"):
        session.run(*batch(3), given)


def test_a_model_without_the_sun_ignores_it(model):
    session = open_session(model, device="cpu")

    np.testing.assert_array_equal(session.run(*batch(1), np.float32([30])), session.run(*batch(1)))


@pytest.mark.parametrize(
    ("shape", "kind", "named"),
    [
        (["n"], TensorProto.DOUBLE, r"sun_zenith as tensor\(double\); .* tensor\(float\)"),
        (["n", 1], TensorProto.FLOAT, r"sun_zenith with 2 axes; .* 1 \(N\)"),
        ([4], TensorProto.FLOAT, "fixes the batch size of sun_zenith at 4"),
    ],
)
def test_a_sun_of_another_form_is_refused(tmp_path, model, shape, kind, named):
    graph = load(model)
    graph.graph.input.append(helper.make_tensor_value_info("sun_zenith", kind, shape))
    path = save(graph, tmp_path / "m.onnx", contract(scalars={"sun_zenith": SUN_SCALAR}).to_json())

    with pytest.raises(ModelError, match=named):
        open_session(path, device="cpu")


def test_a_graph_without_the_sun_its_contract_names_is_refused(tmp_path, model):
    path = edited(tmp_path / "m.onnx", model, scalars={"sun_zenith": {"unit": "degrees"}})

    with pytest.raises(ModelError, match="takes s1, s2; its contract says s1, s2, sun_zenith"):
        open_session(path, device="cpu")


def test_no_runtime_says_what_to_install(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    with pytest.raises(DeviceError, match=r"pip install lulcmap\[cpu\]"):
        open_session(model)


def test_two_runtimes_are_named(model, monkeypatch):
    def version(name):
        if name in ("onnxruntime", "onnxruntime-gpu"):
            return "1.0"
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)

    with pytest.raises(DeviceError, match="onnxruntime and onnxruntime-gpu are installed together"):
        open_session(model)


def edited(path, model, **changes):
    """The model under a contract that does not match it."""
    graph = load(model)
    fields = json.loads(graph.metadata_props[0].value)
    fields.update(changes)
    return save(graph, path, json.dumps(fields))


def only_s2():
    return {"s2": json.loads(contract().to_json())["inputs"]["s2"]}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"inputs": only_s2()}, r"takes s1, s2; its contract says s2\b"),
        (
            {
                "inputs": {
                    **json.loads(contract().to_json())["inputs"],
                    "s2": {**only_s2()["s2"], "bands": ["B02"]},
                }
            },
            "takes s2 with 9 bands; its contract says 1",
        ),
        (
            {"classes": ["water", "trees"], "colours": ["419BDF", "397D49"]},
            "returned logits of shape|returns 9 classes",
        ),
        ({"stride": 2, "multiple": 4}, r"returned logits of shape \(1, 9, 16, 16\)"),
    ],
    ids=["inputs", "bands", "classes", "stride"],
)
def test_a_graph_that_does_not_match_its_contract_is_refused(tmp_path, model, changes, named):
    path = edited(tmp_path / "m.onnx", model, **changes)

    with pytest.raises(ModelError, match=named):
        open_session(path, device="cpu").run(*batch(1))


@pytest.mark.parametrize(
    ("shape", "kind", "named"),
    [
        (["n", 9, "h", "w"], TensorProto.FLOAT, r"s2 as tensor\(float\)"),
        ([8, 9, "h", "w"], TensorProto.UINT16, "fixes the batch size of s2 at 8;"),
        (["n", 9, 128, 128], TensorProto.UINT16, "fixes the height of s2 at 128;"),
        (["n", "h", "w"], TensorProto.UINT16, "3 axes"),
    ],
)
def test_an_input_of_another_form_is_refused(tmp_path, shape, kind, named):
    graph = helper.make_graph(
        [helper.make_node("Cast", ["s2"], ["logits"], to=TensorProto.FLOAT)],
        "g",
        [helper.make_tensor_value_info("s2", kind, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
    )
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    expected = contract(inputs={"s2": S2_INPUT})
    path = save(whole, tmp_path / "m.onnx", expected.to_json())

    with pytest.raises(ModelError, match=named):
        open_session(path, device="cpu")


def test_a_graph_the_runtime_cannot_run_is_refused_and_nothing_is_printed(tmp_path, capfd):
    graph = helper.make_graph(
        [helper.make_node("NoSuchOperator", ["s1"], ["logits"])],
        "g",
        [helper.make_tensor_value_info("s1", TensorProto.INT16, ["n", 2, "h", "w"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
    )
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    expected = contract(inputs={"s1": S1_INPUT})
    path = save(whole, tmp_path / "m.onnx", expected.to_json())

    with pytest.raises(ModelError, match="NoSuchOperator") as caught:
        open_session(path, device="cpu")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


class Fake:
    """A runtime that returns an array, or raises an error."""

    def __init__(self, outcome):
        self.outcome = outcome

    def run(self, *_):
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return [self.outcome]


def test_logits_that_are_nan_are_an_error(model):
    nans = Fake(np.full((1, 9, 16, 16), np.nan, np.float16))

    with pytest.raises(ModelError, match="NaN or infinite"):
        replace(open_session(model, device="cpu"), _ort=nans).run(*batch(1))


def test_too_little_memory_suggests_a_smaller_batch(model):
    small = Fake(RuntimeError("Failed to allocate memory for requested buffer of size 1"))

    with pytest.raises(DeviceError, match="smaller --batch-size"):
        replace(open_session(model, device="cpu"), _ort=small).run(*batch(1))
