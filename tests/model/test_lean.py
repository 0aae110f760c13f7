"""Graphs rewritten for ONNX Runtime's CPU: judged by what it makes of them as they were."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from lulcmap.model import find_model, open_session, runtime
from lulcmap.model.head import read_head, with_features, with_head
from lulcmap.model.lean.attention import as_one_operator
from lulcmap.model.lean.graph import Graph
from lulcmap.model.lean.linear import before_convolutions
from lulcmap.model.lean.pixels import by_band
from lulcmap.model.lean.rewrite import lean_graph
from lulcmap.model.lean.upsampling import with_channels_last
from tests.support.stubs import composites, contract, make_model

TO_THE_END = 2**63 - 1


def run(data, feeds, outputs=None):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return session.run(outputs, feeds)


def rewritten(data, rewrite):
    graph = Graph(data)
    rewrite(graph)
    return graph.to_bytes()


def operators(data):
    return Counter(node.op_type for node in onnx.load_from_string(data).graph.node)


@dataclass
class Builder:
    """A graph that a test writes, node by node."""

    nodes: list = field(default_factory=list)
    constants: list = field(default_factory=list)

    def add(self, operator, *inputs, outputs=1, **attributes):
        names = [f"t{len(self.nodes)}_{number}" for number in range(outputs)]
        self.nodes.append(helper.make_node(operator, inputs, names, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, values, dtype=np.float32):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def whole(self, *values):
        return self.constant(values, np.int64)

    def data(self, inputs, results, opset=20):
        """The file; inputs are (name, type, shape), results have four axes."""
        graph = helper.make_graph(
            self.nodes,
            "test",
            [helper.make_tensor_value_info(*one) for one in inputs],
            [helper.make_tensor_value_info(one, TensorProto.FLOAT, [None] * 4) for one in results],
            self.constants,
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10
        )
        return model.SerializeToString()


SHIPPED = ("lulcformer-tiny-real", "lulcformer-tiny")


def windows(n, rows, cols, seed=0):
    made = [composites(np.random.default_rng(seed + one), (rows, cols)) for one in range(n)]
    s2, s1 = (np.stack(parts) for parts in zip(*made, strict=True))
    s2[:, :, : rows // 3, : cols // 2] = 0
    s1[..., cols // 3 : cols // 2 + 7] = -32768
    s2[:, 4, rows // 2 :: 9, ::7] = 0
    return {"s2": s2, "s1": s1}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_network_is_leaner_and_gives_the_same_classes(name):
    data = find_model(name).read_bytes()
    lean = lean_graph(data)

    found, before = operators(lean), operators(data)
    assert before["Softmax"] == found["MultiHeadAttention"] == 32
    assert not found["Softmax"] + found["ReduceMin"]
    assert found["Conv"] == before["Conv"] + 16
    for feeds in (windows(1, 128, 160), windows(2, 64, 96, seed=5)):
        (logits,), (expected,) = run(lean, feeds), run(data, feeds)
        np.testing.assert_allclose(logits, expected, atol=1e-4)
        np.testing.assert_array_equal(logits.argmax(1), expected.argmax(1))


@pytest.mark.parametrize(
    ("name", "rewrite"),
    [(SHIPPED[1], by_band), (SHIPPED[0], with_channels_last), (SHIPPED[1], with_channels_last)],
)
def test_pixels_and_upsampling_keep_every_bit_of_a_network_without_logarithms(name, rewrite):
    data = find_model(name).read_bytes()
    feeds = windows(1, 96, 128, seed=2)

    lean = rewritten(data, rewrite)

    onnx.checker.check_model(onnx.load_from_string(lean))
    assert lean != data
    np.testing.assert_array_equal(run(lean, feeds)[0], run(data, feeds)[0])


@pytest.mark.parametrize("name", SHIPPED)
def test_logits_have_the_same_bits_on_any_number_of_threads(name):
    feeds = windows(1, 256, 256)

    one, *others = (
        open_session(find_model(name), device="cpu", threads=threads).run(**feeds)
        for threads in (1, 3, 5, 6)
    )

    for other in others:
        np.testing.assert_array_equal(other, one)


def test_a_session_runs_the_leaner_graph_and_the_file_stays(monkeypatch):
    path = find_model("lulcformer-tiny-real")
    data, feeds = path.read_bytes(), windows(1, 64, 64)
    seen = []
    monkeypatch.setattr(runtime, "lean_graph", lambda data: seen.append(data) or lean_graph(data))

    logits = open_session(path, device="cpu", threads=1).run(**feeds)

    assert seen == [data] == [path.read_bytes()]
    np.testing.assert_array_equal(logits, run(lean_graph(data), feeds)[0])


def test_a_runtime_that_cannot_run_the_leaner_graph_gets_the_graph_as_it_is(tmp_path, monkeypatch):
    path = make_model(tmp_path / "m.onnx", contract(training={"network": {}}), attention=True)
    feeds = windows(1, 64, 64)
    expected = run(path.read_bytes(), feeds)[0]
    monkeypatch.setattr(runtime, "lean_graph", lambda data: data[:-200])

    np.testing.assert_array_equal(open_session(path, device="cpu").run(**feeds), expected)


def test_other_providers_get_the_graph_as_it_is():
    class Ort:
        SessionOptions = onnxruntime.SessionOptions

        @staticmethod
        def InferenceSession(data, *_, **__):  # noqa: N802  # the name is ONNX Runtime's
            return data

    data = find_model("lulcformer-tiny").read_bytes()

    providers = ["CUDA", runtime.CPU]
    assert runtime.create_inner(Ort, data, "m.onnx", providers=providers, lean=True) == data
    assert runtime.create_inner(Ort, data, "m.onnx", lean=True) != data


def test_the_graph_of_another_program_runs_as_it_is(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(runtime, "lean_graph", lambda data: opened.append(data) or data)
    ours = make_model(tmp_path / "ours.onnx", contract(training={"network": {}}))
    other = make_model(tmp_path / "other.onnx", contract(training={"chips": 1}))

    open_session(other, device="cpu")
    assert opened == []
    open_session(ours, device="cpu")
    assert opened == [ours.read_bytes()]


def test_features_and_a_head_of_other_classes_stay_readable():
    data = find_model("lulcformer-tiny").read_bytes()
    head, place = read_head(data, 9)
    feeds = windows(1, 64, 96)
    both = lean_graph(with_features(data, place))

    features, logits = run(both, feeds, [place.features, "logits"])

    np.testing.assert_allclose(features, run(with_features(data, place), feeds)[1], atol=1e-4)
    found = np.moveaxis(head.logits(np.moveaxis(features, 1, -1)), -1, 1)
    np.testing.assert_allclose(found, logits, atol=1e-3)
    again = with_head(data, place, head, {})
    np.testing.assert_allclose(run(lean_graph(again), feeds)[0], logits, atol=1e-4)


def test_an_older_opset_and_what_is_not_recognised_stay_as_they_are(tmp_path):
    build = Builder()
    logits = build.add("Mul", build.add("Cast", "s2", to=1), build.constant(2.0))
    pixels = [("s2", TensorProto.UINT16, ["n", 9, "h", "w"])]
    old = build.data(pixels, [logits], opset=17)
    flat = Builder()
    other = flat.data([("x", TensorProto.FLOAT, ["n", 3, 4, 4])], [flat.add("Relu", "x")])

    assert lean_graph(old) == old
    assert lean_graph(other) == other


# Pixels


@st.composite
def pixel_graphs(draw):
    """A graph of operators by pixel on 5 bands, as transforms are: masks, indices, logarithms."""
    build = Builder()
    raw = build.add("Cast", "s2", to=1)
    smallest = build.add("ReduceMin", raw, build.whole(1), keepdims=1)
    valid = build.add("Cast", build.add("Greater", smallest, build.constant(0.0)), to=1)
    known = [(raw, 5), (valid, 1)]
    for _ in range(draw(st.integers(1, 8))):
        kind = draw(st.sampled_from(["number", "each", "two", "slice", "concat", "log", "clip"]))
        name, n = draw(st.sampled_from(known))
        if kind == "number":
            value = build.constant(draw(st.sampled_from([0.5, 3.0, 1e4])))
            made = build.add(draw(st.sampled_from(["Add", "Sub", "Mul", "Div"])), name, value), n
        elif kind == "each":
            each = build.constant(np.linspace(1, 7, n).reshape(1, n, 1, 1))
            made = build.add(draw(st.sampled_from(["Min", "Max", "Sub", "Mul"])), each, name), n
        elif kind == "two":
            other = draw(st.sampled_from([one for one in known if one[1] in (n, 1)]))
            made = build.add(draw(st.sampled_from(["Add", "Sub", "Mul"])), name, other[0]), n
        elif kind == "slice":
            start = draw(st.integers(0, n - 1))
            ends = build.whole(start), build.whole(draw(st.sampled_from([start + 1, TO_THE_END])))
            made = build.add("Slice", name, *ends, build.whole(1), build.whole(1)), None
            made = (
                made[0],
                len(range(n)[start : int(numpy_helper.to_array(build.constants[-3])[0])]),
            )
        elif kind == "concat":
            other = draw(st.sampled_from(known))
            made = build.add("Concat", name, other[0], axis=1), n + other[1]
        elif kind == "log":
            floor = build.add("Max", name, build.constant(0.01))
            made = build.add("Log", floor), n
        else:
            made = build.add("Clip", name, build.constant(1.0), build.constant(900.0)), n
        known.append(made)
    kernel = build.constant(np.random.default_rng(0).normal(size=(3, known[-1][1], 2, 2)))
    results = [build.add("Conv", known[-1][0], kernel, strides=[2, 2])]
    if draw(st.booleans()):
        results.append(draw(st.sampled_from(known[1:]))[0])
    return build.data([("s2", TensorProto.UINT16, ["n", 5, "h", "w"])], [*dict.fromkeys(results)])


@settings(max_examples=60, deadline=None)
@given(pixel_graphs())
def test_pixels_by_band_have_the_same_bits(data):
    s2 = np.random.default_rng(1).integers(0, 900, (2, 5, 6, 8), np.uint16) // 3

    lean = rewritten(data, by_band)

    onnx.checker.check_model(onnx.load_from_string(lean), full_check=True)
    close = 1e-5 if operators(data)["Log"] else 0
    for found, expected in zip(run(lean, {"s2": s2}), run(data, {"s2": s2}), strict=True):
        np.testing.assert_allclose(found, expected, rtol=close, atol=close * abs(expected).max())


def test_logarithms_are_the_nearest_numbers():
    build = Builder()
    scaled = build.add("Div", build.add("Cast", "s2", to=1), build.constant(1e4))
    floored = build.add("Max", scaled, build.constant([[[0.5]], [[0.02]]]))
    result = build.add("Transpose", build.add("Log", floored), perm=[0, 2, 3, 1])
    data = build.data([("s2", TensorProto.UINT16, ["n", 2, "h", "w"])], [result])
    s2 = np.arange(2**16, dtype=np.uint16).reshape(1, 1, 256, 256).repeat(2, 1)

    lean = lean_graph(data)

    assert (operators(lean)["GatherElements"], operators(lean)["Log"]) == (2, 0)
    ratios = s2.astype(np.float32) / np.float32(1e4)
    floors = np.float32([0.5, 0.02]).reshape(1, 2, 1, 1)
    nearest = np.log(np.maximum(ratios, floors).astype(float)).astype(np.float32)
    np.testing.assert_array_equal(run(lean, {"s2": s2})[0], np.moveaxis(nearest, 1, -1))


def band_graph(change, constants=()):
    """Two bands of Sentinel-2, changed, with the channels last."""
    build = Builder()
    names = [build.constant(one) for one in constants]
    result = change(build, build.add("Cast", "s2", to=1), *names)
    result = build.add("Transpose", result, perm=[0, 2, 3, 1])
    return build.data([("s2", TensorProto.UINT16, ["n", 2, "h", "w"])], [result])


@pytest.mark.parametrize(
    ("operator", "ends"), [("Max", (0.5, 100)), ("Min", (70, 100)), ("Max", ()), ("Min", (9,))]
)
def test_the_smallest_and_the_largest_of_any_number_of_bands_are_in_tables(operator, ends):
    data = band_graph(lambda build, x, *c: build.add("Log", build.add(operator, *c, x)), ends)
    s2 = np.arange(1, 2**14 + 1, dtype=np.uint16).reshape(1, 1, 128, 128).repeat(2, 1)

    lean = lean_graph(data)

    assert operators(lean)["GatherElements"] == 2
    np.testing.assert_allclose(run(lean, {"s2": s2})[0], run(data, {"s2": s2})[0], rtol=1e-6)


@pytest.mark.parametrize("ends", [(), (5,), (5, 900)])
def test_numbers_clipped_at_one_end_are_in_tables(ends):
    data = band_graph(lambda build, x, *c: build.add("Log", build.add("Clip", x, *c)), ends)
    s2 = np.arange(1, 2**14 + 1, dtype=np.uint16).reshape(1, 1, 128, 128).repeat(2, 1)

    lean = lean_graph(data)

    assert operators(lean)["GatherElements"] == 2
    np.testing.assert_allclose(run(lean, {"s2": s2})[0], run(data, {"s2": s2})[0], rtol=1e-6)


def test_constants_of_more_axes_than_pixels_stay():
    build = Builder()
    each = build.constant(np.reshape([2, 3], (1, 1, 2, 1, 1)))
    made = build.add("Mul", build.add("Cast", "s2", to=1), each)
    made = build.add("ReduceMean", made, build.whole(-1), keepdims=0)
    data = build.data([("s2", TensorProto.UINT16, ["n", 2, "h", "w"])], [made])

    assert lean_graph(data) == data


def test_an_input_of_more_bands_than_an_image_has_stays():
    build = Builder()
    made = build.add("Mul", build.add("Cast", "s2", to=1), build.constant(2.0))
    data = build.data([("s2", TensorProto.UINT16, ["n", 2**40, "h", "w"])], [made])

    assert lean_graph(data) == data


def test_a_0_that_a_writer_leaves_out_is_a_0():
    def smallest(build, x):
        return build.add("Mul", build.add("ReduceMin", x, build.whole(1), keepdims=0), x)

    model = onnx.load_from_string(band_graph(smallest))
    (keep,) = (one for node in model.graph.node for one in node.attribute if one.name == "keepdims")
    keep.ClearField("i")
    data = model.SerializeToString()

    assert lean_graph(data) == data


def test_a_constant_that_is_an_input_too_keeps_its_default():
    each = np.reshape([2, 3], (1, 2, 1, 1))
    model = onnx.load_from_string(
        band_graph(lambda build, *names: build.add("Mul", *names), [each])
    )
    model.graph.input.append(helper.make_tensor_value_info("c0", TensorProto.FLOAT, [1, 2, 1, 1]))
    data = model.SerializeToString()
    s2 = np.arange(24, dtype=np.uint16).reshape(1, 2, 3, 4)

    lean = lean_graph(data)

    assert lean != data
    np.testing.assert_array_equal(run(lean, {"s2": s2})[0], run(data, {"s2": s2})[0])


# Attention


def attention(*, heads=1, width=6, change="", layer=True):
    """Attention as torch's exporter writes it, of 10 queries and 4 keys; ``change`` alters it."""
    build, size = Builder(), heads * width
    rng = np.random.default_rng(0)
    number = np.float16 if change == "half" else np.float32
    n = build.add("Shape", "x", start=0, end=1)

    def by_head(name, tokens):
        split = build.whole(heads), build.whole(width)
        images = build.add("Shape", name, start=0, end=1) if change == "images" else n
        images = build.whole(-1) if change == "unknown" else images
        shape = build.add("Concat", images, build.whole(tokens), *split, axis=0)
        perm = [0, 2, 3, 1] if change == "perm" else [0, 2, 1, 3]
        return build.add("Transpose", build.add("Reshape", name, shape), perm=perm)

    query, key, value = by_head("x", 10), by_head("k", 4), by_head("v", 4)
    sizes = build.add("Shape", key)
    last, next_to_last = (
        build.add("Slice", sizes, build.whole(start), build.whole(stop))
        for start, stop in [(-1, TO_THE_END), (-2, -1)]
    )
    first = build.add("Slice", sizes, build.whole(0), build.whole(-2))
    inner = build.add("Concat", build.whole(-1), next_to_last, last, axis=0)
    exchanged = (next_to_last, last) if change == "reshaped" else (last, next_to_last)
    outer = build.add("Concat", first, *exchanged, axis=0)
    turned = build.add("Transpose", build.add("Reshape", key, inner), perm=[0, 2, 1])
    turned = build.add("Reshape", turned, outer)
    scale = build.constant([0.7, 0.2] * (width // 2) if change == "scales" else [0.7], number)
    query = build.add("Mul", query, scale)
    scores = build.add("MatMul", query, build.add("Mul", turned, build.constant([0.9], number)))
    shares = build.add("Softmax", scores, axis=2 if change == "axis" else -1)
    read = build.add("MatMul", shares, value)
    read = build.add("Transpose", read, perm=[0, 2, 1, 3])
    flat = build.add("Concat", n, build.whole(2), build.whole(5), build.whole(size), axis=0)
    if change == "zeros":  # of what is reshaped
        flat = build.whole(0, 0, 0, -1)
    elif change == "apart":
        flat = build.whole(-1, 10, heads, width)
    last = width if change in ("zeros", "apart") else size
    result = build.add("Reshape", read, flat)
    results = [shares] if change == "shown" else []
    if layer:
        weight = build.constant(rng.normal(size=(last, last)), number)
        product = build.add("MatMul", result, weight)
        result = build.add("Add", product, build.constant(rng.normal(size=last), number))
        results += [product] if change == "product" else []
    kind = TensorProto.FLOAT16 if change == "half" else TensorProto.FLOAT
    inputs = [(name, kind, ["n", tokens, size]) for name, tokens in (("x", 10), ("k", 4), ("v", 4))]
    if change == "half":
        result = build.add("Cast", result, to=1)
    return build.data(inputs, [result, *results])


def tokens(heads, width, dtype=np.float32):
    rng = np.random.default_rng(3)
    return {
        name: rng.normal(size=(2, count, heads * width)).astype(dtype)
        for name, count in (("x", 10), ("k", 4), ("v", 4))
    }


@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.parametrize("layer", [True, False])
@pytest.mark.parametrize("change", ["", "product", "zeros", "apart"])
def test_attention_as_one_operator_gives_the_same(heads, layer, change):
    data = attention(heads=heads, layer=layer, change=change)
    feeds = tokens(heads, 6)

    lean = rewritten(data, as_one_operator)

    found = operators(lean)
    assert (found["MultiHeadAttention"], found["Softmax"]) == (1, 0)
    assert found["MatMul"] == layer
    for one, expected in zip(run(lean, feeds), run(data, feeds), strict=True):
        np.testing.assert_allclose(one, expected, atol=2e-5)


@pytest.mark.parametrize(
    "change", ["perm", "reshaped", "scales", "axis", "shown", "half", "images", "unknown"]
)
def test_what_is_no_plain_attention_stays(change):
    width = 4 if change in ("perm", "reshaped") else 6
    data = attention(heads=2, width=width, change=change)

    assert lean_graph(data) == data


# Upsampling


def upsampled(*, factors=(1, 1, 2, 2), mode="linear", shown=False, sizes=False, constant=False):
    """A decoder: two maps with the channels last, of which one is upsampled, added, rectified."""
    build = Builder()
    fine = build.add("Transpose", "fine", perm=[0, 3, 1, 2])
    coarse = build.add("Transpose", "coarse", perm=[0, 3, 1, 2])
    if sizes:
        whole = build.add("Shape", fine)
        up = build.add("Resize", coarse, "", "", whole, mode=mode)
    else:
        up = build.add("Resize", coarse, "", build.constant(factors), mode=mode)
    total = build.add("Add", up, build.constant(1.0) if constant else fine)
    made = build.add("Relu", total)
    kernel = build.constant(np.random.default_rng(0).normal(size=(3, 8, 1, 1)))
    results = [build.add("Conv", made, kernel), *([up, made] if shown else [])]
    maps = [("fine", TensorProto.FLOAT, ["n", "h", "w", 8])]
    return build.data([*maps, ("coarse", TensorProto.FLOAT, ["n", "a", "b", 8])], results)


@pytest.mark.parametrize(
    "options", [{}, {"shown": True}, {"factors": (1, 1, 4, 2)}, {"constant": True}]
)
def test_upsampling_with_the_channels_last_has_the_same_bits(options):
    rows, cols = options.get("factors", (1, 1, 2, 2))[2:]
    rng = np.random.default_rng(0)
    feeds = {
        "fine": rng.normal(size=(2, 5 * rows, 7 * cols, 8)).astype(np.float32),
        "coarse": rng.normal(size=(2, 5, 7, 8)).astype(np.float32),
    }
    data = upsampled(**options)

    lean = rewritten(data, with_channels_last)

    onnx.checker.check_model(onnx.load_from_string(lean))
    assert lean != data
    for found, expected in zip(run(lean, feeds), run(data, feeds), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "options", [{"mode": "nearest"}, {"sizes": True}, {"factors": (1, 2, 2, 2)}]
)
def test_other_upsampling_stays(options):
    data = upsampled(**options)

    assert lean_graph(data) == data


# Linear layers


def widened(*, width=12, bias=12, shown=False):
    build, rng = Builder(), np.random.default_rng(0)
    product = build.add("MatMul", "x", build.constant(rng.normal(size=(4, width))))
    biased = build.add("Add", product, build.constant(rng.normal(size=bias)))
    first = build.add("Transpose", biased, perm=[0, 3, 1, 2])
    kernel = build.constant(rng.normal(size=(width, 1, 3, 3)))
    result = build.add("Conv", first, kernel, group=width, pads=[1, 1, 1, 1])
    return build.data(
        [("x", TensorProto.FLOAT, ["n", "h", "w", 4])], [result, *([first] if shown else [])]
    )


def test_a_layer_before_a_convolution_gives_the_same_as_a_convolution():
    feeds = {"x": np.random.default_rng(1).normal(size=(2, 6, 5, 4)).astype(np.float32)}

    lean = rewritten(widened(), before_convolutions)

    assert operators(lean) == {"Transpose": 1, "Conv": 2}
    np.testing.assert_allclose(run(lean, feeds)[0], run(widened(), feeds)[0], atol=1e-5)


@pytest.mark.parametrize("options", [{"shown": True}, {"bias": 1}, {"width": 4, "bias": 4}])
def test_other_layers_stay(options):
    data = widened(**options)

    assert lean_graph(data) == data
