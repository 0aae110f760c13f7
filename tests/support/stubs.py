"""Small ONNX models with a contract, for tests that need any model."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from lulcmap.model.contract import METADATA_KEY, S1_INPUT, S2_INPUT, Contract, ModelInput

TYPES = {"uint16": TensorProto.UINT16, "int16": TensorProto.INT16}


def contract(
    *,
    inputs: Mapping[str, ModelInput] | None = None,
    stride: int = 4,
    window: int = 64,
    step: int = 48,
    **others: object,
) -> Contract:
    """A contract like LULC-Former's, with windows small enough for a test."""
    inputs = inputs or {"s2": S2_INPUT, "s1": S1_INPUT}
    others.setdefault("multiple", stride)
    return Contract(name="stub", inputs=inputs, stride=stride, window=window, step=step, **others)


def save(model: onnx.ModelProto, path: Path, text: str | None) -> Path:
    """Write a model with a contract, or without if the text is None."""
    if text is not None:
        helper.set_model_props(model, {METADATA_KEY: text})
    path.write_bytes(model.SerializeToString())
    return path


def make_model(
    path: Path,
    model_contract: Contract,
    *,
    kernel: int | None = None,
    attention: bool = False,
    seed: int = 0,
) -> Path:
    """Write a model of finite receptive field: scaled bands, one convolution, logits.

    Args:
        path: path of the model file; written.
        model_contract: contract of the model; its stride is the convolution's.
        kernel: side of the convolution, pixels, at least the stride; None for the stride.
        attention: whether to add self-attention over all cells and a gate pooled from them, as in a
            real network; the receptive field is then the window.
        seed: seed of the weights.

    """
    rng = np.random.default_rng(seed)
    kernel, stride, width = kernel or model_contract.stride, model_contract.stride, 16
    n_bands = sum(len(values.bands) for values in model_contract.inputs.values())
    weights = {
        "conv": rng.normal(size=(width, n_bands, kernel, kernel)) / kernel,
        "head": rng.normal(size=(len(model_contract.classes), width, 1, 1)),
        "square": rng.normal(size=(width, width)) / 4,
        "scale": np.float32(1e-3),
    }
    nodes, scaled = [], []
    for name in model_contract.inputs:
        nodes.append(helper.make_node("Cast", [name], [f"{name}_float"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", [f"{name}_float", "scale"], [f"{name}_scaled"]))
        scaled.append(f"{name}_scaled")
    before = (kernel - stride) // 2
    after = kernel - stride - before
    nodes += [
        helper.make_node("Concat", scaled, ["bands"], axis=1),
        helper.make_node(
            "Conv",
            ["bands", "conv"],
            ["cells"],
            strides=[stride, stride],
            pads=[before, before, after, after],
        ),
        helper.make_node("Tanh", ["cells"], ["active"]),
    ]
    if attention:
        nodes += _attention(weights, width)
    last = "mixed" if attention else "active"
    sun = [*model_contract.scalars]
    nodes.append(helper.make_node("Conv", [last, "head"], ["seen" if sun else "logits"]))
    if sun:
        nodes += _lit_by(sun[0], weights, len(model_contract.classes))
    graph = helper.make_graph(
        nodes,
        "stub",
        [
            helper.make_tensor_value_info(
                name, TYPES[values.dtype], ["n", len(values.bands), "h", "w"]
            )
            for name, values in model_contract.inputs.items()
        ]
        + [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in sun],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", None, None, None])],
        [_tensor(name, values) for name, values in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return save(model, path, model_contract.to_json())


def endless_model(path: Path, model_contract: Contract) -> Path:
    """Write a model of one sensor that never gives its logits: it counts for ever.

    Args:
        path: path of the model file; written.
        model_contract: contract of the model, of stride 1, with as many classes as bands.

    """
    number, truth = TensorProto.INT64, TensorProto.BOOL
    values = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["again"]),
            helper.make_node("Add", ["sum", "one"], ["more"]),
        ],
        "body",
        [values("i", number, []), values("go_on", truth, []), values("sum", 1, [])],
        [values("again", truth, []), values("more", 1, [])],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["s2"], ["bands"], to=TensorProto.FLOAT),
            helper.make_node("Loop", ["times", "true", "zero"], ["counted"], body=body),
            helper.make_node("Add", ["bands", "counted"], ["logits"]),
        ],
        "endless",
        [values("s2", TensorProto.UINT16, ["n", len(model_contract.classes), "h", "w"])],
        [values("logits", TensorProto.FLOAT, ["n", len(model_contract.classes), "h", "w"])],
        [
            numpy_helper.from_array(np.array(2**62), "times"),
            numpy_helper.from_array(np.array(True), "true"),
            numpy_helper.from_array(np.float32(0), "zero"),
            numpy_helper.from_array(np.float32(1), "one"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return save(model, path, model_contract.to_json())


def _tensor(name: str, values: NDArray[np.floating] | NDArray[np.int64]) -> TensorProto:
    dtype = np.int64 if np.issubdtype(np.asarray(values).dtype, np.integer) else np.float32
    return numpy_helper.from_array(np.asarray(values, dtype), name)


def _lit_by(
    scalar: str, weights: dict[str, NDArray[np.floating]], n_classes: int
) -> list[onnx.NodeProto]:
    """Add 3 sin(100 x) of a scalar x to a logit of each class, weighted: a small change shows."""
    weights["sun_weights"] = 3 * np.linspace(-1, 1, n_classes).reshape(1, n_classes, 1, 1)
    weights["sun_axes"] = np.array([1, 2, 3], np.int64)
    weights["sun_turns"] = np.float32(100)
    return [
        helper.make_node("Unsqueeze", [scalar, "sun_axes"], ["sun_cells"]),
        helper.make_node("Mul", ["sun_cells", "sun_turns"], ["sun_angles"]),
        helper.make_node("Sin", ["sun_angles"], ["sun_waves"]),
        helper.make_node("Mul", ["sun_waves", "sun_weights"], ["sun_logits"]),
        helper.make_node("Add", ["seen", "sun_logits"], ["logits"]),
    ]


def _attention(weights: dict[str, NDArray[np.floating]], width: int) -> list[onnx.NodeProto]:
    weights["tokens"] = np.array([0, width, -1], np.int64)
    weights["middle"] = np.array([1], np.int64)
    weights["planes"] = np.array([2, 3], np.int64)
    return [
        helper.make_node("Shape", ["active"], ["shape"]),
        helper.make_node("Reshape", ["active", "tokens"], ["channels"]),  # (n, width, h * w)
        helper.make_node("Transpose", ["channels"], ["rows"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["rows", "square"], ["queries"]),
        helper.make_node("MatMul", ["queries", "channels"], ["alike"]),
        helper.make_node("Softmax", ["alike"], ["share"], axis=-1),
        helper.make_node("MatMul", ["share", "rows"], ["read"]),
        helper.make_node("Transpose", ["read"], ["read_channels"], perm=[0, 2, 1]),
        helper.make_node("Add", ["read_channels", "channels"], ["sum"]),
        helper.make_node("Reshape", ["sum", "shape"], ["read_cells"]),
        # pooled as in LULC-Former's aggregation: ONNX Runtime sums one window in another order
        helper.make_node("ReduceMean", ["read", "middle"], ["pooled"], keepdims=0),
        helper.make_node("Unsqueeze", ["pooled", "planes"], ["gate"]),
        helper.make_node("Add", ["read_cells", "gate"], ["mixed"]),
    ]


def composites(
    rng: np.random.Generator, shape: tuple[int, int]
) -> tuple[NDArray[np.uint16], NDArray[np.int16]]:
    """Random composites without nodata, of realistic values: (9, H, W) and (2, H, W)."""
    s2 = rng.integers(1, 6000, (9, *shape), dtype=np.uint16)
    s1 = rng.integers(-3000, 200, (2, *shape), dtype=np.int16)
    return s2, s1
