from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from lulcmap.errors import ModelError
from lulcmap.geo import Box
from lulcmap.model import METADATA_KEY, Contract, classify_image, find_model, open_session
from lulcmap.model.features import at_pixels, open_features
from lulcmap.model.head import Head, read_head, with_features, with_head, with_metadata
from lulcmap.model.protobuf import read_metadata
from tests.support.adaptable import HEAD, land, model_bytes


def run(data, s2, outputs=("logits",)):
    return onnxruntime.InferenceSession(data).run(list(outputs), {"s2": s2[None]})


@pytest.fixture(scope="module")
def s2():
    return land()[1][:9, :128, :128]


def test_the_head_of_a_shipped_model_is_its_last_layer():
    data = find_model("lulcformer-tiny-real").read_bytes()
    constants = {one.name: one for one in onnx.load_from_string(data).graph.initializer}
    last = onnx.load_from_string(data).graph.node[-1]

    head, place = read_head(data, 9)

    expected = [numpy_helper.to_array(constants[name]) for name in last.input[1:]]
    assert place.features == last.input[0]
    assert np.array_equal(head.weight, expected[0][:, :, 0, 0])
    assert np.array_equal(head.bias, expected[1])


@pytest.mark.parametrize("has_head", [True, False])
def test_features_and_head_give_the_logits(s2, has_head):
    data = model_bytes(has_head=has_head)
    head, place = read_head(data, 4)

    features, logits = (
        run(with_features(data, place), s2, (place.features, "logits"))
        if (has_head)
        else (*run(with_features(data, place), s2, (place.features,)), *run(data, s2))
    )

    assert head.weight.shape == ((4, 9) if has_head else (4, 4))
    found = np.moveaxis(head.logits(np.moveaxis(features, 1, -1)), -1, 1)
    assert np.allclose(found, logits, atol=1e-5)


@pytest.mark.parametrize("has_head", [True, False])
def test_a_head_of_more_classes_is_put_in(s2, has_head):
    data = model_bytes(has_head=has_head)
    head, place = read_head(data, 4)
    more = Head(np.vstack([head.weight[::-1], head.weight[:1]]), np.append(head.bias, 3.0))

    changed = with_head(data, place, more, {"a": "b"})

    onnx.checker.check_model(onnx.load_from_string(changed), full_check=True)
    before, after = run(data, s2)[0], run(changed, s2)[0]
    assert np.allclose(after[:, :4], before[:, ::-1], atol=1e-5)
    assert np.allclose(after[:, 4], before[:, 0] + 3, atol=1e-5)
    assert read_metadata(memoryview(changed))["a"] == "b"


def test_a_changed_head_is_read_again_and_changed_again(s2):
    data = model_bytes(has_head=False)
    _, place = read_head(data, 4)
    rng = np.random.default_rng(0)
    first, second = (Head(rng.normal(size=(k, 4)), rng.normal(size=k)) for k in (5, 6))

    once = with_head(data, place, first, {})
    again, its_place = read_head(once, 5)
    twice = with_head(once, its_place, second, {})

    assert np.allclose(again.weight, first.weight, atol=1e-6)
    assert np.allclose(run(twice, s2)[0], run(with_head(data, place, second, {}), s2)[0])


def test_the_head_of_a_half_precision_model_stays_one(s2):
    from onnx import TensorProto, helper

    weight = np.arange(18, dtype=np.float16).reshape(2, 9, 1, 1)
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["s2"], ["x"], to=TensorProto.FLOAT16),
            helper.make_node("Conv", ["x", "w", "b"], ["logits"], kernel_shape=[1, 1]),
        ],
        "half",
        [helper.make_tensor_value_info("s2", TensorProto.UINT16, ["n", 9, "h", "w"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT16, ["n", 2, "h", "w"])],
        [
            numpy_helper.from_array(weight, "w"),
            numpy_helper.from_array(np.float16([1, 2]), "b"),
        ],
    )
    data = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8
    ).SerializeToString()

    head, place = read_head(data, 2)
    changed = onnx.load_from_string(with_head(data, place, head, {}))

    assert np.array_equal(head.weight, weight[:, :, 0, 0])
    assert {one.data_type for one in changed.graph.initializer} == {TensorProto.FLOAT16}
    onnx.checker.check_model(changed, full_check=True)


def test_a_head_whose_weight_is_used_elsewhere_too_is_left_alone():
    from onnx import helper

    model = onnx.load_from_string(model_bytes())
    name = model.graph.node[-1].input[1]
    model.graph.node.insert(0, helper.make_node("Identity", [name], ["unused"]))

    head, place = read_head(model.SerializeToString(), 4)

    assert place.node is None
    assert np.array_equal(head.weight, np.eye(4))


@pytest.mark.parametrize(
    "attributes",
    [{"strides": [2, 2]}, {"pads": [0, 1, 0, 1]}, {"dilations": [2, 2]}, {"group": 9}],
)
def test_a_last_layer_that_is_no_plain_1_x_1_is_left_alone(attributes, s2):
    """Its logits become the features, and are what they were."""
    from onnx import helper

    model = onnx.load_from_string(model_bytes(np.eye(9) if "group" in attributes else HEAD))
    weight = model.graph.initializer[1]
    n_classes = weight.dims[0]
    if "group" in attributes:
        weight.CopyFrom(numpy_helper.from_array(np.ones((9, 1, 1, 1), np.float32), weight.name))
    for name, value in attributes.items():
        model.graph.node[-1].attribute.append(helper.make_attribute(name, value))
    data = model.SerializeToString()

    head, place = read_head(data, n_classes)
    changed = with_head(data, place, Head(head.weight, head.bias + 1), {})

    assert place.node is None
    assert np.array_equal(head.weight, np.eye(n_classes))
    assert np.allclose(run(changed, s2)[0], run(data, s2)[0] + 1)


def test_a_last_layer_whose_plainness_is_spelt_out_is_a_head():
    from onnx import helper

    model = onnx.load_from_string(model_bytes())
    spelt = {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "group": 1}
    for name, value in {**spelt, "auto_pad": "NOTSET"}.items():
        model.graph.node[-1].attribute.append(helper.make_attribute(name, value))

    assert read_head(model.SerializeToString(), 4)[1].node is not None


def test_features_of_another_size_than_the_contract_tells_are_refused(tmp_path, s2):
    contract = replace(
        Contract.from_json(read_metadata(memoryview(model_bytes()))[METADATA_KEY]), stride=8
    )
    path = tmp_path / "m.onnx"
    path.write_bytes(with_metadata(model_bytes(), {METADATA_KEY: contract.to_json()}))
    s1 = np.full((2, 128, 128), -2000, np.int16)

    with pytest.raises(ModelError, match=r"\(1, 9, 32, 32\).*\(1, 9, 16, 16\)"):
        open_features(path).features(s2, s1)


def test_metadata_is_set_and_the_rest_kept():
    data = model_bytes()

    changed = with_metadata(data, {"x": "1"})
    again = with_metadata(changed, {"x": "2"})

    assert read_metadata(memoryview(again)) == {**read_metadata(memoryview(data)), "x": "2"}
    assert onnx.load_from_string(again).graph == onnx.load_from_string(data).graph


def test_features_of_pixels_are_those_of_a_map(tmp_path):
    path = tmp_path / "small.onnx"
    path.write_bytes(model_bytes())
    network, session = open_features(path), open_session(path, device="cpu")
    _, bands = land()
    s2, s1 = bands[:9, :256, :256].copy(), np.full((2, 256, 256), -2000, np.int16)
    s2[:, 40:60, 70:90] = 0  # mirrored
    rows, cols = np.meshgrid(np.arange(96, 192, 7), np.arange(96, 192, 5))
    rows, cols = rows.ravel(), cols.ravel()
    made = classify_image(
        session, s2, s1, box=Box(0, 0, 256, 256), blend="centre", sampled=rows * 256 + cols
    )

    # the window at 96 has its middle from 112 to 208; the blend cuts there
    inside = (rows >= 116) & (cols >= 116)
    window = np.s_[:, 96:224, 96:224]
    cells = network.features(s2[window], s1[window])
    found = network.head.logits(at_pixels(cells, rows - 96, cols - 96, stride=4))

    assert np.allclose(found[inside], made.logits[inside], atol=1e-4)
    assert HEAD.shape == network.head.weight.shape
