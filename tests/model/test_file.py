import hashlib

import numpy as np
import onnx
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from lulcmap.errors import ModelError
from lulcmap.model.contract import METADATA_KEY
from lulcmap.model.file import read_model
from lulcmap.model.protobuf import _PATHS_TO_TENSORS, refers_outside
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


def varint(number, length=0):
    """A number as protobuf writes it, or longer."""
    parts = []
    while number > 127 or len(parts) + 1 < length:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def field(number, content, *, key=None):
    return (key or varint(number << 3 | 2)) + varint(len(content)) + content


GRAPH = model_of([IDENTITY]).graph.SerializeToString()
INITIALIZER = field(5, outside().SerializeToString())
TENSOR = outside()
TENSOR.ClearField("data_location")
LOCATION = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1]).SerializeToString()
ODD = {
    "a key whose upper bits are dropped": field(
        7, GRAPH + field(5, outside().SerializeToString(), key=varint(5 << 3 | 2 | 1 << 35))
    ),
    "a long key": field(7, GRAPH + field(5, outside().SerializeToString(), key=varint(42, 3))),
    "a long length": field(7, GRAPH) + varint(58) + varint(len(INITIALIZER), 4) + INITIALIZER,
    "a second graph": field(7, GRAPH) + field(7, INITIALIZER),
    "no location": field(7, GRAPH + field(5, TENSOR.SerializeToString())),
    "a location above 32 bits": field(
        7, GRAPH + field(5, LOCATION + varint(14 << 3) + varint(1 << 32 | 1))
    ),
    "a location twice": field(7, GRAPH + field(5, LOCATION + b"\x70\x01\x70\x00")),
    "in training": field(7, GRAPH) + field(20, field(1, INITIALIZER)),
    "in the algorithm": field(7, GRAPH) + field(20, field(2, INITIALIZER)),
    "a group": field(7, GRAPH + b"\x2b" + outside().SerializeToString() + b"\x2c"),
    "a field without a number": field(7, GRAPH) + b"\x02\x00",
    "the runtime's own format": field(2, b"??ORTM") + field(7, GRAPH + INITIALIZER),
}


@pytest.mark.parametrize("oddity", ODD)
def test_odd_protobuf_hides_no_weights(tmp_path, oddity):
    path = tmp_path / "m.onnx"
    metadata = onnx.StringStringEntryProto(key=METADATA_KEY, value=contract().to_json())
    path.write_bytes(ODD[oddity] + field(14, metadata.SerializeToString()))

    with pytest.raises(ModelError, match=r"is not an ONNX model|weights in another file"):
        read_model(path)


def tensors(message):
    """Every tensor in a message, by protobuf's own reflection."""
    if message.DESCRIPTOR.name == "TensorProto":
        yield message
    for descriptor, value in message.ListFields():
        if descriptor.message_type is not None:
            values = value if descriptor.is_repeated else [value]
            for inner in values:
                yield from tensors(inner)


def is_seen(data):
    """Whether the onnx package reads a model in which a tensor lies outside."""
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError:
        return False
    return any(
        tensor.external_data or tensor.data_location == TensorProto.EXTERNAL
        for tensor in tensors(model)
    )


@settings(max_examples=1000, deadline=None)
@given(
    place=st.sampled_from(sorted(HIDDEN)),
    edits=st.lists(
        st.tuples(st.integers(0, 10**4), st.sampled_from("idr"), st.integers(0, 255)), max_size=4
    ),
)
def test_no_weights_that_onnx_sees_are_missed(place, edits):
    """A model with bytes put in, dropped or replaced: what onnx reads as outside is refused."""
    data = bytearray(HIDDEN[place].SerializeToString())
    for at, how, byte in edits:
        at %= len(data)
        data[at : at + (how != "i")] = b"" if how == "d" else bytes([byte])

    if is_seen(bytes(data)):
        try:
            assert refers_outside(memoryview(data))
        except ValueError:  # refused too
            return


def test_every_way_from_a_model_to_a_tensor_is_walked():
    names = {
        "model": "ModelProto",
        "training": "TrainingInfoProto",
        "graph": "GraphProto",
        "function": "FunctionProto",
        "node": "NodeProto",
        "attribute": "AttributeProto",
        "sparse": "SparseTensorProto",
        "tensor": "TensorProto",
    }
    descriptors = {name: getattr(onnx, name).DESCRIPTOR for name in names.values()}
    leads = set(names.values())
    for kind, name in names.items():
        ways = {
            inner.number: inner.message_type.name
            for inner in descriptors[name].fields
            if inner.message_type is not None and inner.message_type.name in leads
        }
        walked = {number: names[to] for number, to in _PATHS_TO_TENSORS.get(kind, {}).items()}
        assert ways == walked, kind
    for name, message in onnx.onnx_ml_pb2.DESCRIPTOR.message_types_by_name.items():
        inner = {one.message_type.name for one in message.fields if one.message_type is not None}
        assert name in leads or not inner & leads, f"{name} holds {inner & leads}"


def test_external_data_saved_by_onnx_is_refused(tmp_path):
    model = onnx.load(make_model(tmp_path / "in.onnx", contract()))
    path = tmp_path / "out.onnx"
    onnx.save(model, path, save_as_external_data=True, location="w.bin", size_threshold=0)

    with pytest.raises(ModelError, match="weights in another file"):
        read_model(path)
