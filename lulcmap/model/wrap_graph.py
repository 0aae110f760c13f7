"""Put the transform of a foreign network into its graph: composites in, logits out.

The nodes around the network are written in its own opset, and everything of the network gets the
prefix ``net/``, so that no two names meet.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.model.contract import SUN_ZENITH, ModelInput
from lulcmap.model.foreign import ForeignNetwork, load_onnx
from lulcmap.model.transform import TYPES, Channels, Head, Transform, Unit, is_whole_type

PREFIX = "net/"

LEAST_PROBABILITY = 1e-7
"""Smallest probability whose logarithm is taken; 0 has none."""

ID_LOGIT = 10.0
"""Logit of the class that a network returns as an id; the others have 0."""

_FLOAT, _BOOL, _UINT16, _INT16 = 1, 9, 4, 5


@dataclass(slots=True)
class _Builder:
    """Nodes and constants that are added to a graph."""

    opset: int
    onnx: Any
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def add(self, operator: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        """Add a node; return the name of its output."""
        name = out or f"lulcmap/{operator}_{len(self.nodes)}"
        node = self.onnx.helper.make_node(
            operator, list(inputs), [name], name=f"lulcmap/node_{len(self.nodes)}", **attributes
        )
        self.nodes.append(node)
        return name

    def constant(self, values: Any, dtype: type[np.generic] = np.float32) -> str:
        """Add a constant; return its name."""
        name = f"lulcmap/constant_{len(self.constants)}"
        array: NDArray[Any] = np.asarray(values, dtype)
        self.constants.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def over_bands(self, values: Sequence[float]) -> str:
        """Add a constant (1, C, 1, 1)."""
        return self.constant(np.reshape(np.array(values, np.float64), (1, -1, 1, 1)))

    def largest_band(self, name: str) -> str:
        """Largest value along axis 1, which stays."""
        if self.opset >= 18:
            return self.add("ReduceMax", name, self.constant([1], np.int64), keepdims=1)
        return self.add("ReduceMax", name, axes=[1], keepdims=1)

    def with_channel_axis(self, name: str) -> str:
        """(N, H, W) as (N, 1, H, W)."""
        if self.opset >= 13:
            return self.add("Unsqueeze", name, self.constant([1], np.int64))
        return self.add("Unsqueeze", name, axes=[1])


def build(
    network: ForeignNetwork,
    transform: Transform,
    output: str,
    head: Head | None,
    *,
    metadata: Mapping[str, str],
) -> bytes:
    """Build the model.

    Args:
        network: the foreign network.
        transform: what is before it.
        output: its output to map from.
        head: what is after it; None returns ``raw``, the output as it is, and what the network is
            shown, ``shown_0`` and so on.
        metadata: metadata of the model; replaces the network's.

    Raises:
        ValueError: the model is larger than 2 GiB, which no ONNX file can be.

    """
    onnx = load_onnx()
    model = onnx.compose.add_prefix(network.proto, PREFIX, rename_functions=False)
    builder = _Builder(network.opset, onnx)
    shown = _add_inputs(builder, transform)
    n_before = len(builder.nodes)
    value = onnx.helper.make_tensor_value_info
    results = []
    if head is None:
        raw = builder.add("Identity", f"{PREFIX}{output}", out="raw")
        dtype = next(one.dtype for one in network.outputs if one.name == output)
        results = [value(raw, dtype, None)]
        for number, name in enumerate(shown):
            as_float = builder.add("Cast", name, out=f"shown_{number}", to=_FLOAT)
            results.append(value(as_float, _FLOAT, None))
    else:
        _add_head(builder, f"{PREFIX}{output}", head)
        results = [value("logits", _FLOAT, ["n", head.n_classes, "h", "w"])]
    graph = model.graph
    nodes = [*builder.nodes[:n_before], *graph.node, *builder.nodes[n_before:]]
    for parts, wanted in (
        (graph.node, [*map(copy.deepcopy, nodes)]),
        (graph.input, _inputs_of(onnx, transform)),
        (graph.output, results),
        (graph.value_info, []),  # of sizes that were the network's alone
    ):
        del parts[:]
        parts.extend(wanted)
    graph.initializer.extend(builder.constants)
    model.ir_version = max(model.ir_version, 7)  # older ones list every weight as an input
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, dict(metadata))
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _inputs_of(onnx: Any, transform: Transform) -> list[Any]:
    side = transform.window if transform.fixed else None
    sizes = [1 if transform.one else "images", side or "rows", side or "cols"]
    sun = [onnx.helper.make_tensor_value_info(SUN_ZENITH, _FLOAT, sizes[:1])]
    images = [
        onnx.helper.make_tensor_value_info(
            name,
            {"uint16": _UINT16, "int16": _INT16}[item.dtype],
            [sizes[0], len(item.bands), *sizes[1:]],
        )
        for name, item in transform.inputs.items()
    ]
    return [*images, *(sun if transform.sun else [])]


def _add_inputs(builder: _Builder, transform: Transform) -> list[str]:
    """Add the nodes from composites to the network's inputs; return what the network is shown."""
    scaled = {
        name: _scaled(builder, name, item, transform.units[name])
        for name, item in transform.inputs.items()
    }
    if transform.sun:
        builder.add("Identity", SUN_ZENITH, out=f"{PREFIX}{SUN_ZENITH}")
    return [_channels(builder, transform, channels, scaled) for channels in transform.channels]


def _scaled(builder: _Builder, name: str, item: ModelInput, unit: Unit) -> tuple[str, str]:
    """Add a sensor's unit; return its values (N, B, H, W) and where they miss (N, 1, H, W)."""
    pixels = builder.add("Cast", name, to=_FLOAT)
    absent = builder.add("Equal", pixels, builder.constant(item.nodata))
    absent = builder.largest_band(builder.add("Cast", absent, to=_FLOAT))
    missing = builder.add("Cast", absent, to=_BOOL)
    values = pixels
    if unit.scale != 1:
        values = builder.add("Mul", values, builder.constant(unit.scale))
    if unit.linear:
        tenth = builder.add("Mul", values, builder.constant(0.1))
        values = builder.add("Pow", builder.constant(10), tenth)
    if unit.offset:
        values = builder.add("Add", values, builder.constant(unit.offset))
    if unit.clip is not None:
        values = builder.add("Clip", values, *map(builder.constant, unit.clip))
    return values, missing


def _channels(
    builder: _Builder,
    transform: Transform,
    channels: Channels,
    scaled: Mapping[str, tuple[str, str]],
) -> str:
    """Add the order, normalisation, filling, type and layout of one input of the network."""
    parts, order = [], []
    for name, item in transform.inputs.items():
        places = [at for at, band in enumerate(channels.bands) if band in item.bands]
        if not places:
            continue
        values, missing = scaled[name]
        wanted = [item.bands.index(channels.bands[at]) for at in places]
        if wanted != list(range(len(item.bands))):
            values = builder.add("Gather", values, builder.constant(wanted, np.int64), axis=1)
        if any(channels.mean[at] for at in places):
            mean = builder.over_bands([channels.mean[at] for at in places])
            values = builder.add("Sub", values, mean)
        if any(channels.std[at] != 1 for at in places):
            std = builder.over_bands([channels.std[at] for at in places])
            values = builder.add("Div", values, std)
        fill = builder.constant(transform.units[name].fill)
        parts.append(builder.add("Where", missing, fill, values))
        order += places
    values = parts[0] if len(parts) == 1 else builder.add("Concat", *parts, axis=1)
    if order != sorted(order):
        back = np.argsort(order)
        values = builder.add("Gather", values, builder.constant(back, np.int64), axis=1)
    if is_whole_type(channels.port):
        limits = np.iinfo(TYPES[channels.port.dtype])  # type: ignore[type-var]
        rounded = builder.add("Round", values)
        values = builder.add("Clip", rounded, *map(builder.constant, (limits.min, limits.max)))
    if channels.port.dtype != _FLOAT:
        values = builder.add("Cast", values, to=channels.port.dtype)
    if channels.layout == "nhwc":
        values = builder.add("Transpose", values, perm=[0, 2, 3, 1])
    return builder.add("Identity", values, out=f"{PREFIX}{channels.port.name}")


def _add_head(builder: _Builder, raw: str, head: Head) -> None:
    """Add the nodes from the network's output to ``logits``."""
    values = builder.add("Cast", raw, to=_FLOAT)
    if head.axes == 3:
        values = builder.with_channel_axis(values)
    elif head.layout == "nhwc":
        values = builder.add("Transpose", values, perm=[0, 3, 1, 2])
    if head.returns == "classes":
        _add_ids(builder, values, head)
    elif head.channels == 1:
        _add_one_class(builder, values, head)
    elif head.returns == "logits" and len(set(_mapped(head))) == len(_mapped(head)):
        _add_choice(builder, values, head)
    else:
        _add_sums(builder, values, head)


def _mapped(head: Head) -> list[int]:
    """Positions of the classes of the codes that are mapped."""
    return [position for position in head.classes if position >= 0]


def _add_choice(builder: _Builder, values: str, head: Head) -> None:
    """Each class has one channel: take them in the order of the classes."""
    channel_of = dict(zip(head.classes, head.codes, strict=True))
    wanted = [channel_of[position] for position in range(head.n_classes)]
    builder.add("Gather", values, builder.constant(wanted, np.int64), axis=1, out="logits")


def _add_sums(builder: _Builder, values: str, head: Head) -> None:
    """Sum the probabilities of the channels of a class, and take the logarithm."""
    if head.returns == "logits":
        values = builder.add("Exp", builder.add("Sub", values, builder.largest_band(values)))
    weights = np.zeros((head.n_classes, head.channels, 1, 1))
    for channel, position in zip(head.codes, head.classes, strict=True):
        if position >= 0:
            weights[position, channel] = 1
    summed = builder.add("Conv", values, builder.constant(weights))
    least = 1e-30 if head.returns == "logits" else LEAST_PROBABILITY
    builder.add("Log", builder.add("Max", summed, builder.constant(least)), out="logits")


def _add_one_class(builder: _Builder, values: str, head: Head) -> None:
    """One channel says how likely the second class is against the first."""
    if head.returns == "logits":
        second, first = values, builder.add("Mul", values, builder.constant(0))
    else:
        limits = map(builder.constant, (LEAST_PROBABILITY, 1 - LEAST_PROBABILITY))
        likely = builder.add("Clip", values, *limits)
        second = builder.add("Log", likely)
        first = builder.add("Log", builder.add("Sub", builder.constant(1), likely))
    order = [first, second] if head.classes == (0, 1) else [second, first]
    builder.add("Concat", *order, axis=1, out="logits")


def _add_ids(builder: _Builder, values: str, head: Head) -> None:
    """A class has a logit where the network returns one of its codes."""
    equal = builder.add("Equal", values, builder.over_bands(head.codes))
    is_code = builder.add("Cast", equal, to=_FLOAT)
    weights = np.zeros((head.n_classes, len(head.codes), 1, 1))
    for column, position in enumerate(head.classes):
        if position >= 0:
            weights[position, column] = ID_LOGIT
    builder.add("Conv", is_code, builder.constant(weights), out="logits")
