"""The network of Dynamic World as a graph of ONNX.

A 3 x 3 convolution at full size, an antialiased halving, three blocks of 1 x 1 and depthwise 3 x 3
convolutions at half size beside a narrow branch, a bilinear doubling, and a 1 x 1 convolution of
the normalised features. Batch normalisation is folded into the convolutions. The architecture is
that of Brown et al. (2022), https://doi.org/10.1038/s41597-022-01307-4, as released.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lulcmap.model.dynamic_world.atmosphere import add_atmosphere, over_bands
from lulcmap.model.onnx_graph import OnnxGraph
from lulcmap.sensors import S2_BANDS, S2_NODATA

N_CLASSES = 9

_PERCENTILES = (
    (1.7417268007636313, 2.023298706048351),
    (1.7261204997060209, 2.038905204308012),
    (1.6798346251414997, 2.179592821212937),
    (1.7734969472909623, 2.2890068333026603),
    (2.289154079164943, 2.6171674549378166),
    (2.382939712192371, 2.773418590375327),
    (2.3828939530384052, 2.7578332604178284),
    (2.1952484264967844, 2.789092484314204),
    (1.554812948247501, 2.4140534947492487),
)
"""Centre and scale of each band's log reflectance in the training of the network."""

_STEM_CHANNELS = 64
_EPSILON = 1e-3
"""Added to the variance of a batch normalisation."""

_LARGEST_EXPONENT = 20.0
"""Beyond it Mish is x in float32."""

_TAPS = (0.125, 0.375, 0.375, 0.125)
"""Low-pass filter before the halving."""

_FILL_PX = 31
"""Side of the square whose mean stands for a missing pixel."""

Tensors = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution and the batch normalisation after it, by numbers of their first variables."""

    kernel: int
    """Number of the kernel; the bias is the next."""

    shape: tuple[int, int, int, int]
    """Shape of the kernel: rows, columns, channels in, channels out; depthwise ones have 1 out."""

    norm: int | None = None
    """Number of gamma; beta, mean and variance are the next. None if there is none."""

    @property
    def is_depthwise(self) -> bool:
        """Whether each channel has a filter of its own."""
        return self.shape[3] == 1

    @property
    def channels(self) -> int:
        """Channels that it returns."""
        return self.shape[2] if self.is_depthwise else self.shape[3]

    @property
    def variables(self) -> dict[int, tuple[int, ...]]:
        """Shape of each of its variables, by their numbers."""
        numbers = [self.kernel + 1]
        if self.norm is not None:
            numbers += range(self.norm, self.norm + 4)
        return {self.kernel: self.shape, **dict.fromkeys(numbers, (self.channels,))}


@dataclass(frozen=True, slots=True)
class Block:
    """Layers one after the other, and a shorter way that is added."""

    layers: tuple[Layer, ...]
    short: Layer


def _block(channels_in: int, channels: int, *numbers: tuple[int, int]) -> Block:
    """A block of three pairs of 1 x 1 and depthwise layers; the last number is the short way's."""
    *pairs, (kernel, norm) = numbers
    layers = []
    for at, (number, its_norm) in enumerate(pairs):
        before = channels_in if at == 0 else channels
        shape = (1, 1, before, channels) if at % 2 == 0 else (3, 3, channels, 1)
        layers.append(Layer(number, shape, its_norm))
    return Block(tuple(layers), Layer(kernel, (1, 1, channels_in, channels), norm))


STEM = Layer(0, (3, 3, len(S2_BANDS), _STEM_CHANNELS), 2)
FIRST = _block(64, 96, (6, 8), (12, 14), (18, 20), (24, 26), (30, 32), (36, 40), (38, 44))
SECOND = _block(96, 144, (48, 50), (54, 56), (60, 62), (66, 68), (72, 74), (84, 88), (86, 92))
BRANCH = (Layer(78, (1, 1, 64, 48), 80), Layer(96, (3, 3, 48, 1), 98))
THIRD = _block(
    192, 144, (102, 104), (108, 110), (114, 116), (120, 122), (126, 128), (132, 136), (134, 140)
)
HEAD = Layer(144, (1, 1, 144, N_CLASSES))


LAYERS = (
    *(STEM, *FIRST.layers, FIRST.short, *SECOND.layers, SECOND.short),
    *(*BRANCH, *THIRD.layers, THIRD.short, HEAD),
)
"""All layers."""


def tensor_name(number: int) -> str:
    """Name in the bundle of a variable."""
    return f"variables/{number}/.ATTRIBUTES/VARIABLE_VALUE"


def tensor_shapes() -> dict[str, tuple[int, ...]]:
    """Name in the bundle and shape of every tensor of the network."""
    return {
        tensor_name(number): shape for layer in LAYERS for number, shape in layer.variables.items()
    }


def build_graph(tensors: Tensors) -> OnnxGraph:
    """Build the graph that takes ``s2`` and ``sun_zenith`` and returns ``logits``.

    A pixel that lacks a band is shown to the network as the mean of what is seen around it, so that
    it says nothing of its neighbours.

    Args:
        tensors: the network's tensors by their names in the bundle.

    Raises:
        ValueError: a tensor has another shape than the network's.

    """
    for name, shape in tensor_shapes().items():
        if tensors[name].shape != shape:
            raise ValueError(f"the tensor {name} is {tensors[name].shape}; {shape} was expected")
    graph = OnnxGraph("dynamic_world")
    s2 = graph.add_input("s2", "uint16", ["n", len(S2_BANDS), "h", "w"])
    sun = graph.add_input("sun_zenith", "float32", ["n"])
    surface = graph.add("Cast", s2, to=1)
    add_network(graph, tensors, add_atmosphere(graph, surface, sun), _add_seen(graph, surface))
    return graph


def add_network(graph: OnnxGraph, tensors: Tensors, top: str, seen: str) -> None:
    """Add the nodes from reflectance to ``logits``, and that output.

    Args:
        graph: graph to add them to.
        tensors: the network's tensors by their names in the bundle.
        top: name of (N, 9, H, W) float32 DN of L1C, H and W even.
        seen: name of (N, 1, H, W) float32: 1 where all bands are there, 0 elsewhere.

    """
    image = _add_filled(graph, _add_normalised(graph, top), seen)
    stem = _add_layer(graph, tensors, STEM, image)
    half = _add_halved(graph, stem, seen)
    main = _add_block(graph, tensors, SECOND, _add_block(graph, tensors, FIRST, half))
    branch = half
    for layer in BRANCH:
        branch = _add_layer(graph, tensors, layer, branch)
    both = graph.add("Concat", main, branch, axis=1)
    features = _add_doubled(graph, _add_block(graph, tensors, THIRD, both))
    kernel, bias = _weights(graph, tensors, HEAD)
    graph.add("Conv", features, kernel, bias, out="logits", kernel_shape=[1, 1])
    graph.add_output("logits", "float32", ["n", N_CLASSES, "h", "w"])


def _add_seen(graph: OnnxGraph, surface: str) -> str:
    """(N, 1, H, W) 1 where a pixel has all bands, 0 where it lacks one."""
    missing = graph.add("Equal", surface, graph.constant(float(S2_NODATA)))
    axis = graph.constant([1], "int64")
    any_missing = graph.add("ReduceMax", graph.add("Cast", missing, to=1), axis, keepdims=1)
    return graph.add("Sub", graph.constant(1.0), any_missing)


def _add_normalised(graph: OnnxGraph, top: str) -> str:
    """Reflectance as the network was trained on it: its logarithm, centred, in a sigmoid."""
    scaled = graph.add("Mul", top, graph.constant(0.005))
    logarithm = graph.add("Log", graph.add("Add", scaled, graph.constant(1.0)))
    factor = over_bands(graph, [5 / scale for _, scale in _PERCENTILES])
    offset = over_bands(graph, [-5 * centre / scale - 1 for centre, scale in _PERCENTILES])
    return graph.add("Sigmoid", graph.add("Add", graph.add("Mul", logarithm, factor), offset))


def _add_filled(graph: OnnxGraph, image: str, seen: str) -> str:
    """Give missing pixels the mean of the square around them; where that is empty, the window's."""
    known = graph.add("Mul", image, seen)
    near = graph.add("Div", _add_mean(graph, known), _at_least(graph, _add_mean(graph, seen)))
    axes = graph.constant([2, 3], "int64")
    whole = graph.add("ReduceMean", seen, axes, keepdims=1)
    far = graph.add(
        "Div", graph.add("ReduceMean", known, axes, keepdims=1), _at_least(graph, whole)
    )
    is_near = graph.add("Greater", _add_mean(graph, seen), graph.constant(1e-6))
    fill = graph.add("Where", is_near, near, far)
    return graph.add("Where", graph.add("Cast", seen, to=9), image, fill)


def _add_mean(graph: OnnxGraph, image: str) -> str:
    """The mean over a square, with zeros beyond the edges."""
    reach = _FILL_PX // 2
    for shape, pads in (
        ([_FILL_PX, 1], [reach, 0, reach, 0]),
        ([1, _FILL_PX], [0, reach, 0, reach]),
    ):
        image = graph.add("AveragePool", image, kernel_shape=shape, pads=pads, count_include_pad=1)
    return image


def _at_least(graph: OnnxGraph, values: str) -> str:
    """Values that can be divided by."""
    return graph.add("Max", values, graph.constant(1e-12))


def _add_layer(graph: OnnxGraph, tensors: Tensors, layer: Layer, image: str) -> str:
    """Add a convolution and the activation."""
    kernel, bias = _weights(graph, tensors, layer)
    side = layer.shape[0]
    values = graph.add(
        "Conv",
        image,
        kernel,
        bias,
        kernel_shape=[side, side],
        pads=[side // 2] * 4,
        group=layer.channels if layer.is_depthwise else 1,
    )
    return _add_mish(graph, values)


def _add_mish(graph: OnnxGraph, x: str) -> str:
    """Mish, x tanh(ln(1 + e^x)), as x n / (n + 2) with n = e^x (e^x + 2).

    ONNX Runtime takes ten times as long for the softplus in it as for an exponential.
    """
    two = graph.constant(2.0)
    exp = graph.add("Exp", graph.add("Min", x, graph.constant(_LARGEST_EXPONENT)))
    n = graph.add("Mul", exp, graph.add("Add", exp, two))
    return graph.add("Mul", x, graph.add("Div", n, graph.add("Add", n, two)))


def _weights(graph: OnnxGraph, tensors: Tensors, layer: Layer) -> tuple[str, str]:
    """Add kernel and bias of a layer, its batch normalisation folded in."""
    kernel = tensors[tensor_name(layer.kernel)].transpose(
        (2, 3, 0, 1) if layer.is_depthwise else (3, 2, 0, 1)
    )
    bias = tensors[tensor_name(layer.kernel + 1)]
    if layer.norm is not None:
        gamma, beta, mean, variance = (tensors[tensor_name(layer.norm + at)] for at in range(4))
        factor = gamma / np.sqrt(variance + np.float32(_EPSILON))
        kernel, bias = kernel * factor[:, None, None, None], bias * factor + (beta - factor * mean)
    return graph.constant(kernel), graph.constant(bias)


def _add_block(graph: OnnxGraph, tensors: Tensors, block: Block, image: str) -> str:
    values = image
    for layer in block.layers:
        values = _add_layer(graph, tensors, layer, values)
    return graph.add("Add", values, _add_layer(graph, tensors, block.short, image))


def _add_halved(graph: OnnxGraph, image: str, seen: str) -> str:
    """Halve the size: a low-pass filter that leaves out what lies beyond the edges."""
    taps = np.outer(_TAPS, _TAPS)[None, None]
    ones = graph.add("Add", graph.add("Mul", seen, graph.constant(0.0)), graph.constant(1.0))
    total, weight = (
        graph.add(
            "Conv",
            values,
            graph.constant(np.repeat(taps, channels, axis=0)),
            kernel_shape=[4, 4],
            strides=[2, 2],
            pads=[1, 1, 1, 1],
            group=channels,
        )
        for values, channels in ((image, _STEM_CHANNELS), (ones, 1))
    )
    return graph.add("Div", total, weight)


def _add_doubled(graph: OnnxGraph, image: str) -> str:
    """Double the size, and bring the features of each pixel to length 1."""
    sizes = graph.constant([1, 1, 2, 2])
    doubled = graph.add(
        "Resize", image, "", sizes, mode="linear", coordinate_transformation_mode="half_pixel"
    )
    squares = graph.add("Mul", doubled, doubled)
    total = graph.add("ReduceSum", squares, graph.constant([1], "int64"), keepdims=1)
    return graph.add("Div", doubled, graph.add("Sqrt", _at_least(graph, total)))
