"""Bilinear upsampling with the channels last.

torch upsamples with the channels first, between transpositions of maps whose channels are last.
ONNX Runtime upsamples several times as fast with the channels last, where a pixel's weights serve
all of them at once; the arithmetic stays as it is, to the last bit.
"""

import numpy as np

from lulcmap.model.lean.graph import Graph, Node

_FIRST = (0, 3, 1, 2)
"""Axes of a map with its channels first, of one with its channels last."""

_BY_VALUE = {"Add", "Relu"}
"""Operators that take each value by itself."""


def with_channels_last(graph: Graph) -> None:
    """Rewrite a graph so that maps are upsampled, added and rectified with the channels last."""
    last: dict[str, str] = {}  # by the names of maps, those of the same with the channels last
    upsampled = set()
    for node in graph.nodes:
        if node.domain or len(node.outputs) != 1:
            continue
        if node.operator == "Transpose" and node.whole("perm") == _FIRST:
            last[node.outputs[0]] = node.inputs[0]
        elif _is_bilinear(node) and node.inputs[0] in last:
            scales = graph.values(node.inputs[2])
            if scales is not None and scales.shape == (4,) and (scales[:2] == 1).all():
                factors = graph.constant(np.array([1, *scales[2:], 1], np.float32))
                last[node.outputs[0]] = graph.add(
                    node, "Resize", last[node.inputs[0]], "", factors, like=node
                )
                upsampled.add(node.outputs[0])
        elif (
            node.operator in _BY_VALUE
            and upsampled.intersection(node.inputs)
            and all(name in last for name in node.inputs)
        ):
            given = [last[name] for name in node.inputs]
            last[node.outputs[0]] = graph.add(node, node.operator, *given)
            upsampled.add(node.outputs[0])
    for name in upsampled:
        node = graph.source[name]
        if name in graph.results or not all(
            user.outputs[0] in upsampled for user in graph.users.get(name, [])
        ):
            graph.add(node, "Transpose", last[name], out=name, perm=_FIRST)
            graph.drop(node)


def _is_bilinear(node: Node) -> bool:
    """Whether a node upsamples linearly by given factors, and has nothing but them."""
    return (
        node.operator == "Resize"
        and len(node.inputs) == 3
        and not node.inputs[1]
        and node.text("mode") == "linear"
        and not node.has("axes")
        and node.whole("antialias") in ((), (0,))
    )
