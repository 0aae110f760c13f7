"""The weights of a network, read back from the ONNX file that it was exported to.

An export renames, transposes, folds and shares tensors; how, depends on the version of torch. So a
layer is found by the name of its weight or bias where that was kept, and else by its place: layers
of one kind are in the graph in the order in which the network runs them. Whoever uses the weights
compares the network's logits with those of the file.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lulcmap.errors import DeviceError, ModelError
from lulcmap.sensors import S1_BANDS
from lulcmap.training.baselines import UNet
from lulcmap.training.deployable import BandStatistics
from lulcmap.training.lulcformer import MULTIPLE, S2_PLANES, Decoder
from lulcmap.training.networks import Network, NetworkConfig, build_network

_OPERATORS: Mapping[type[nn.Module], tuple[str, ...]] = {
    nn.Linear: ("MatMul", "Gemm"),
    nn.Conv2d: ("Conv",),
    nn.ConvTranspose2d: ("ConvTranspose",),
    nn.LayerNorm: ("LayerNormalization",),
    nn.BatchNorm2d: ("BatchNormalization",),
}
"""Kinds of layers with weights, and the operators that they are exported to."""

_NETWORK = "network."
"""What precedes the name of a weight in an export, perhaps after the name of a wrapper."""

_STATISTICS = {"lowest": "p01", "highest": "p99", "mean": "mean", "scale": "std"}
"""Constants of a sensor's normalisation in an export, and the statistics that they hold."""

_FLOATS = (1, 10)
"""Types of a tensor of weights: ``TensorProto.FLOAT`` and ``FLOAT16``."""


@dataclass(frozen=True, slots=True)
class OnnxWeights:
    """What an exported graph holds of a network."""

    state: dict[str, Tensor]
    """State of the network. Batch norms that the export folded are given a mean of 0 and a variance
    of 1: the function is the exported one, but they know nothing of the network's data."""

    lacks_statistics: bool
    """Whether there are such batch norms."""

    sensors: Mapping[str, BandStatistics]
    """Statistics of the normalisation by ``"s2"`` and ``"s1"``, where the graph has any."""


@dataclass(frozen=True, slots=True)
class _Node:
    """A layer with weights in the graph."""

    operator: str
    """Operator of the node."""

    constants: tuple[str, ...]
    """Names of its constants: weight, bias if there is one, and those of a batch norm."""

    transposed: bool
    """Whether the weight is (in, out), other than torch has it."""


def read_onnx_weights(data: bytes, config: NetworkConfig) -> OnnxWeights:
    """Read the weights of an exported network.

    Args:
        data: content of the file; ``read_model`` found it safe to load.
        config: shape of the network.

    Raises:
        ModelError: the graph is not that of such a network.
        DeviceError: the package onnx is not installed.

    """
    onnx = _load_onnx()
    try:
        graph = onnx.load_model_from_string(data).graph
    except Exception as error:  # protobuf's errors differ between its implementations
        raise ModelError(
            f"The model's graph cannot be read ({type(error).__name__}). Export it again."
        ) from error
    with torch.device("meta"):  # shapes without values: nothing is allocated or drawn
        network, exported = build_network(config).eval(), _folded(build_network(config).eval())
    n_weights = sum(value.numel() for value in exported.parameters())
    if 2 * n_weights > len(data):  # in half precision
        raise _other_graph(f"it has {len(data):,} bytes, too few for {n_weights:,} weights")
    tensors = _Tensors(graph, onnx)
    order = _layers_in_order(exported)
    nodes = _nodes_of_layers(order, list(_nodes(graph, tensors)))
    state: dict[str, Tensor] = {}
    for name, layer in order.items():
        if name in nodes:
            state |= tensors.state_of(name, layer, nodes[name])
    lacks_statistics = _unfold(network, order, nodes, state, tensors)
    return OnnxWeights(state, lacks_statistics, tensors.sensors())


def _other_graph(reason: str) -> ModelError:
    return ModelError(
        f"The model's graph is not that of the network it names: {reason}. Give a model exported "
        "by lulcmap export-onnx, or a training's checkpoint."
    )


def _load_onnx() -> ModuleType:
    try:
        import onnx
    except ImportError as error:
        raise DeviceError(
            "Starting from a model file needs onnx. Install it: pip install 'lulcmap[train]'."
        ) from error
    return onnx


def _folded(network: Network) -> Network:
    """The network as it is exported: its decoder has one linear layer per stage."""
    if not isinstance(network, UNet) and isinstance(network.decoder, Decoder):
        network.decoder = network.decoder.folded().eval()
    return network


def _layers_in_order(network: Network) -> dict[str, nn.Module]:
    """The layers with weights by name, in the order in which the network runs them."""
    names: dict[nn.Module, str] = {module: name for name, module in network.named_modules()}
    order: dict[str, nn.Module] = {}

    def note(layer: nn.Module, *_: object) -> None:
        order.setdefault(names[layer], layer)

    hooks = [
        module.register_forward_hook(note)
        for module in names
        if isinstance(module, tuple(_OPERATORS))
    ]
    sides = 1, MULTIPLE, MULTIPLE
    planes = {"s2": S2_PLANES[network.config.transform], "s1": len(S1_BANDS)}
    composites, valid = (
        [
            torch.zeros(1, count, *sides[1:], device="meta") if name in network.inputs else None
            for name, count in counts.items()
        ]
        for counts in (planes, dict.fromkeys(planes, 1))
    )
    network(*composites, *valid)
    for hook in hooks:
        hook.remove()
    return order


class _Tensors:
    """The constants of a graph."""

    def __init__(self, graph: Any, onnx: ModuleType) -> None:
        self._onnx = onnx
        self.by_name = {tensor.name: tensor for tensor in graph.initializer}
        for node in graph.node:
            for one in node.attribute:
                if node.op_type == "Constant" and one.name == "value" and node.output:
                    self.by_name[node.output[0]] = one.t

    def read(self, name: str, shape: Sequence[int]) -> Tensor:
        """A constant of a shape, in fp32.

        Raises:
            ModelError: it has another shape or type, or no values.

        """
        tensor = self.by_name[name]
        if list(tensor.dims) != list(shape) or tensor.data_type not in _FLOATS:
            raise _other_graph(f"{name!r} is {list(tensor.dims)}, not floats {list(shape)}")
        try:
            values = self._onnx.numpy_helper.to_array(tensor)
        except (ValueError, TypeError) as error:
            raise _other_graph(f"{name!r} cannot be read") from error
        if not np.isfinite(values).all():
            raise _other_graph(f"{name!r} is not finite")
        return torch.from_numpy(values.astype(np.float32))

    def state_of(self, name: str, layer: nn.Module, node: _Node) -> dict[str, Tensor]:
        """Weight and bias of a layer, and the statistics of a batch norm that was not folded."""
        keys = [key for key, _ in layer.named_parameters()]  # weight, then bias
        if isinstance(layer, nn.BatchNorm2d):
            keys += ["running_mean", "running_var"]
        state = {}
        if keys[len(node.constants) :] == ["bias"]:  # the export drops one that is 0
            state[f"{name}.bias"] = torch.zeros(layer.get_parameter("bias").shape)
        elif len(node.constants) < len(keys):
            raise _other_graph(f"{name} has no {keys[len(node.constants)]}")
        for key, constant in zip(keys, node.constants, strict=False):
            shape = layer.get_parameter(key).shape if key in ("weight", "bias") else None
            shape = layer.get_buffer(key).shape if shape is None else shape
            if key == "weight" and node.transposed:
                state[f"{name}.{key}"] = self.read(constant, shape[::-1]).T.contiguous()
            else:
                state[f"{name}.{key}"] = self.read(constant, shape)
        return state

    def sensors(self) -> dict[str, BandStatistics]:
        """Statistics of the sensors' normalisation."""
        found: dict[str, dict[str, tuple[float, ...]]] = {}
        for name, tensor in self.by_name.items():
            sensor, _, constant = name.rpartition(".")
            sensor = sensor.rpartition(".")[2]
            if sensor in ("s2", "s1") and constant in _STATISTICS and len(tensor.dims) == 4:
                values = self.read(name, tensor.dims).flatten().double().numpy()
                if constant == "scale":
                    values = 1 / values
                found.setdefault(sensor, {})[_STATISTICS[constant]] = tuple(values.tolist())
        whole = {key: values for key, values in found.items() if len(values) == len(_STATISTICS)}
        return {sensor: BandStatistics(**values) for sensor, values in whole.items()}


def _nodes(graph: Any, tensors: _Tensors) -> Iterator[_Node]:
    """The layers with weights in the graph, in its order."""
    operators = {name for names in _OPERATORS.values() for name in names}
    added = {}  # the constant that is added to a value, by the value's name
    for node in graph.node:
        if node.op_type == "Add" and len(node.input) == 2:
            for value, constant in (tuple(node.input), tuple(node.input)[::-1]):
                if constant in tensors.by_name:
                    added[value] = constant
    for node in graph.node:
        constants = tuple(node.input[1:])
        if node.op_type not in operators or not constants or constants[0] not in tensors.by_name:
            continue  # such as the product of queries and keys
        transposed = node.op_type == "MatMul"
        if node.op_type == "Gemm":
            transposed = not any(one.name == "transB" and one.i for one in node.attribute)
        if node.op_type == "MatMul" and node.output[0] in added:
            constants += (added[node.output[0]],)
        yield _Node(
            node.op_type, tuple(name for name in constants if name in tensors.by_name), transposed
        )


def _nodes_of_layers(layers: Mapping[str, nn.Module], nodes: Sequence[_Node]) -> dict[str, _Node]:
    """The node of each layer; batch norms may have none."""
    found: dict[str, _Node] = {}
    for kind, operators in _OPERATORS.items():
        names = [name for name, layer in layers.items() if type(layer) is kind]
        own = [node for node in nodes if node.operator in operators]
        if kind is nn.BatchNorm2d and not own:
            continue  # folded into the layers before
        if len(own) != len(names):
            raise _other_graph(f"it has {len(own)} layers {operators[0]}, not {len(names)}")
        for key in ("weight", "bias"):  # a name may be shared by tensors that were equal
            for node in list(own):
                kept = {constant.rpartition(_NETWORK)[2] for constant in node.constants}
                name = next((name for name in names if f"{name}.{key}" in kept), None)
                if name is not None:
                    found[name] = node
                    names.remove(name)
                    own.remove(node)
        found |= dict(zip(names, own, strict=True))
    return found


def _unfold(
    network: Network,
    order: Mapping[str, nn.Module],
    nodes: Mapping[str, _Node],
    state: dict[str, Tensor],
    tensors: _Tensors,
) -> bool:
    """Give folded parts of the network a state of the same function; whether there are any."""
    folded = [
        name
        for name, layer in network.named_modules()
        if isinstance(layer, nn.BatchNorm2d) and name not in nodes
    ]
    names = list(order)
    for name in folded:
        layer = network.get_submodule(name)
        assert isinstance(layer, nn.BatchNorm2d)
        shift = torch.zeros(layer.num_features)
        if name in order:  # in a U-Net: the convolution before has taken its scale and shift
            constants = nodes[names[names.index(name) - 1]].constants
            if len(constants) < 2:
                raise _other_graph(f"{name} was not folded into a bias")
            shift = tensors.read(constants[1], shift.shape)
        state |= {
            f"{name}.weight": (torch.ones_like(shift) + layer.eps).sqrt(),
            f"{name}.bias": torch.zeros_like(shift),
            f"{name}.running_mean": -shift,
            f"{name}.running_var": torch.ones_like(shift),
            f"{name}.num_batches_tracked": torch.tensor(0),
        }
    if not isinstance(network, UNet):
        width = network.config.decoder_width
        state["decoder.fuse.weight"] = torch.eye(width).repeat(1, 4)  # the layers have taken it
        for index in range(1, 4):
            state[f"decoder.stages.{index}.bias"] = torch.zeros(width)
    for name in set(network.state_dict()) - set(state):
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(0)
    return bool(folded)
