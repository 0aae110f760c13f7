"""Linear layers that cost less elsewhere: the last bits differ, as sums are in another order."""

import numpy as np

from lulcmap.model.lean.graph import Graph

_FIRST = (0, 3, 1, 2)
"""Axes of a map with its channels first, of one with its channels last."""


def before_convolutions(graph: Graph) -> None:
    """Rewrite a graph so that a layer whose result a convolution takes is a convolution itself.

    Then the fewer channels are put first, and the bias costs nothing.
    """
    for turn in graph.nodes:
        if turn.operator != "Transpose" or turn.domain or turn.whole("perm") != _FIRST:
            continue
        biased = graph.given_by(turn.inputs[0], "Add")
        layer = graph.given_by(biased.inputs[0], "MatMul") if biased else None
        if biased is None or layer is None or graph.only_user(turn.outputs[0], "Conv") is None:
            continue
        weight, bias = graph.values(layer.inputs[1]), graph.values(biased.inputs[1])
        if weight is None or bias is None or weight.dtype != np.float32 or weight.ndim != 2:
            continue
        if bias.shape != weight.shape[1:] or weight.shape[0] >= weight.shape[1]:
            continue
        first = graph.add(turn, "Transpose", layer.inputs[0], perm=_FIRST)
        kernel = graph.constant(weight.T[:, :, None, None])
        out = turn.outputs[0]
        graph.add(turn, "Conv", first, kernel, biased.inputs[1], out=out, kernel_shape=(1, 1))
        graph.drop(turn)
