"""Small networks as other programs export them, without a contract."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

IR_OF_OPSET = {11: 6, 13: 7, 17: 8, 18: 8, 20: 9, 21: 10}
"""IR version that goes with an opset."""


def save_graph(
    path: Path,
    nodes,
    inputs,
    outputs,
    *,
    weights=None,
    opset: int = 17,
    metadata=None,
    functions=(),
    domains=(),
) -> Path:
    """Write a graph; inputs and outputs are (name, type, shape)."""
    graph = helper.make_graph(
        nodes,
        "foreign",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info(*one) for one in outputs],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in (weights or {}).items()],
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    model = helper.make_model(
        graph,
        opset_imports=imports,
        ir_version=IR_OF_OPSET.get(opset, 8),
        functions=list(functions),
        producer_name="elsewhere",
    )
    helper.set_model_props(model, metadata or {})
    path.write_bytes(model.SerializeToString())
    return path


def identity(path: Path, n: int, *, dtype: int = TensorProto.FLOAT, **others) -> Path:
    """A network that returns what it is shown."""
    shape = ["n", n, "h", "w"]
    nodes = [helper.make_node("Cast", ["s2"], ["logits"], to=TensorProto.FLOAT)]
    return save_graph(
        path, nodes, [("s2", dtype, shape)], [("logits", TensorProto.FLOAT, shape)], **others
    )


def linear(path: Path, weights, bias, *, metadata=None) -> Path:
    """A network that sees each pixel alone: weights (K, C), bias (K,)."""
    weights = np.asarray(weights, np.float32)
    k, c = weights.shape
    return save_graph(
        path,
        [helper.make_node("Conv", ["x", "w", "b"], ["y"])],
        [("x", TensorProto.FLOAT, ["n", c, "h", "w"])],
        [("y", TensorProto.FLOAT, ["n", k, "h", "w"])],
        weights={"w": weights[:, :, None, None], "b": np.asarray(bias, np.float32)},
        metadata=metadata,
    )


def load(path: Path) -> onnx.ModelProto:
    """The model of a file."""
    return onnx.load_from_string(path.read_bytes())
