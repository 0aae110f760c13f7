import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from lulcmap.model.onnx_graph import OnnxGraph
from lulcmap.model.protobuf import read_metadata, refers_outside


def small():
    graph = OnnxGraph("small")
    x = graph.add_input("x", "float32", ["n", 2, "h", "w"])
    kernel = graph.constant(np.arange(6).reshape(3, 2, 1, 1))
    wide = graph.add("Conv", x, kernel, kernel_shape=[1, 1], group=1)
    wide = graph.add("LeakyRelu", wide, alpha=0.5)
    sizes = graph.constant([1.0, 1.0, 2.0, 2.0])
    graph.add("Resize", wide, "", sizes, out="y", mode="nearest")
    graph.add_output("y", "float32", ["n", 3, "h2", "w2"])
    return graph


def test_a_graph_is_the_one_that_the_onnx_package_makes():
    kernel = np.arange(6, dtype=np.float32).reshape(3, 2, 1, 1)
    expected = helper.make_model(
        helper.make_graph(
            [
                helper.make_node(
                    "Conv", ["x", "constant_0"], ["Conv_0"], "node_0", kernel_shape=[1, 1], group=1
                ),
                helper.make_node("LeakyRelu", ["Conv_0"], ["LeakyRelu_1"], "node_1", alpha=0.5),
                helper.make_node(
                    "Resize", ["LeakyRelu_1", "", "constant_1"], ["y"], "node_2", mode="nearest"
                ),
            ],
            "small",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2, "h", "w"])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3, "h2", "w2"])],
            [
                numpy_helper.from_array(kernel, "constant_0"),
                numpy_helper.from_array(np.float32([1, 1, 2, 2]), "constant_1"),
            ],
        ),
        producer_name="lulcmap",
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=8,
    )
    helper.set_model_props(expected, {"a": "b", "c": "d" * 300})

    data = small().to_bytes(producer="lulcmap", metadata={"c": "d" * 300, "a": "b"})

    found = onnx.load_from_string(data)
    for model in (found, expected):
        for node in model.graph.node:  # attributes have no order
            node.attribute.sort(key=lambda one: one.name)
    onnx.checker.check_model(found, full_check=True)
    assert found == expected
    assert read_metadata(memoryview(data)) == {"a": "b", "c": "d" * 300}
    assert not refers_outside(memoryview(data))


def test_negative_numbers_and_other_types_are_kept():
    graph = OnnxGraph("ints")
    graph.add_input("x", "uint16", ["n", 3])
    wide = graph.add("Cast", "x", to=7)
    graph.add(
        "ArgMax", graph.add("Sub", wide, graph.constant([-5, 0, 2], "int64")), out="y", axis=-1
    )
    graph.add_output("y", "int64", ["n", 1])

    session = onnxruntime.InferenceSession(graph.to_bytes(producer="", metadata={}))

    assert session.run(None, {"x": np.array([[1, 3, 9]], np.uint16)})[0].tolist() == [[2]]


def test_equal_graphs_give_equal_bytes():
    first, second = (small().to_bytes(producer="p", metadata={"k": "v"}) for _ in range(2))

    assert first == second
