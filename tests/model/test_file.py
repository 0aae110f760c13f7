import hashlib

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lulcmap.errors import ModelError
from lulcmap.model.file import read_model
from tests.support.stubs import contract, make_model, save

IDENTITY = helper.make_node("Identity", ["x"], ["y"])
X = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
Y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])


def outside(name="w"):
    """A tensor whose values are in another file."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    return tensor


def model_of(nodes, initializers=(), functions=()):
    graph = helper.make_graph(nodes, "g", [X], [Y], list(initializers))
    return helper.make_model(graph, functions=list(functions))


def test_a_model_is_read_with_its_hash_and_contract(tmp_path):
    expected = contract(training={"seed": 3})
    path = make_model(tmp_path / "m.onnx", expected)

    model = read_model(path)

    assert model.contract == expected
    assert model.data == path.read_bytes()
    assert model.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_missing_model_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"No model file .*none\.onnx"):
        read_model(tmp_path / "none.onnx")


@pytest.mark.parametrize(
    "content",
    [b"", b"hello world\n", b"PK\x03\x04" + b"x" * 99, bytes(range(256)), b"\xff" * 50],
    ids=["empty", "text", "zip", "bytes", "ones"],
)
def test_a_file_that_is_not_onnx_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)

    with pytest.raises(ModelError, match="is not an ONNX model") as caught:
        read_model(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_cut_off_is_refused(tmp_path):
    path = make_model(tmp_path / "m.onnx", contract())
    path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(ModelError, match="cut off"):
        read_model(path)


def test_a_model_without_a_contract_is_refused(tmp_path):
    path = save(model_of([IDENTITY]), tmp_path / "m.onnx", None)

    with pytest.raises(ModelError, match="no contract"):
        read_model(path)


def test_a_contract_that_does_not_fit_is_refused(tmp_path):
    path = make_model(tmp_path / "m.onnx", contract(resolution=20.0))

    with pytest.raises(ModelError, match="20 m"):
        read_model(path)


def inner_graph(tensor):
    branch = helper.make_graph([], "branch", [], [Y], [tensor])
    return helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)


def sparse(tensor):
    indices = numpy_helper.from_array(np.zeros(1, np.int64))
    node = helper.make_node("Constant", [], ["y"])
    node.attribute.append(
        helper.make_attribute(
            "sparse_value", onnx.SparseTensorProto(values=tensor, indices=indices, dims=[1])
        )
    )
    return node


HIDDEN = {
    "initializer": model_of([IDENTITY], [outside()]),
    "constant": model_of([helper.make_node("Constant", [], ["y"], value=outside())]),
    "branch": model_of([inner_graph(outside())]),
    "sparse": model_of([sparse(outside())]),
    "function": model_of(
        [IDENTITY],
        functions=[
            helper.make_function(
                "d",
                "f",
                ["x"],
                ["y"],
                [helper.make_node("Constant", [], ["y"], value=outside())],
                [helper.make_opsetid("", 20)],
            )
        ],
    ),
}


@pytest.mark.parametrize("place", HIDDEN)
def test_weights_in_another_file_are_found_wherever_they_are(tmp_path, place):
    path = save(HIDDEN[place], tmp_path / "m.onnx", contract().to_json())

    with pytest.raises(ModelError, match="weights in another file"):
        read_model(path)


def test_external_data_saved_by_onnx_is_refused(tmp_path):
    model = onnx.load(make_model(tmp_path / "in.onnx", contract()))
    path = tmp_path / "out.onnx"
    onnx.save(model, path, save_as_external_data=True, location="w.bin", size_threshold=0)

    with pytest.raises(ModelError, match="weights in another file"):
        read_model(path)
