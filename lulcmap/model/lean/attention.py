"""Attention as one operator of ONNX Runtime.

Apart, its two products and its softmax write the scores of all queries to memory and read them
again. The operator takes as many queries at a time as the cache holds. Sums are in another order,
so that the last bits differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lulcmap.model.lean.graph import MICROSOFT, Graph, Node

_HEADS_FIRST = (0, 2, 1, 3)
"""Axes of (images, heads, tokens, channels) in (images, tokens, heads, channels), and back."""


@dataclass(frozen=True, slots=True)
class _ByHead:
    """Tokens whose channels are split over heads: (images, heads, tokens, channels of a head)."""

    tokens: str
    """Name of the tensor whose channels are split."""

    shape: str
    """Name of the sizes of (images, tokens, heads, channels of a head)."""

    before: tuple[str, str] | tuple[int, int]
    """The sizes of images and tokens: their names, or numbers."""

    heads: int
    """Number of heads."""

    width: int
    """Channels of a head."""


def as_one_operator(graph: Graph) -> None:
    """Rewrite a graph so that each attention is one operator."""
    shapes: dict[tuple[object, ...], str] = {}
    for node in graph.nodes:
        if node.operator == "Softmax" and not node.domain and node.whole("axis") in ((), (-1,)):
            _rewrite(graph, node, shapes)


def _rewrite(graph: Graph, softmax: Node, shapes: dict[tuple[object, ...], str]) -> None:
    scores = graph.given_by(softmax.inputs[0], "MatMul")
    read = graph.only_user(softmax.outputs[0], "MatMul")
    together = graph.only_user(read.outputs[0], "Transpose") if read else None
    if scores is None or read is None or read.inputs[0] != softmax.outputs[0]:
        return
    if together is None or together.whole("perm") != _HEADS_FIRST:
        return
    (query, query_scale), (key, key_scale) = (_scaled(graph, name) for name in scores.inputs)
    names = query, _with_channels_last(graph, key), read.inputs[1]
    parts = [part for name in names if (part := _by_head(graph, name))]
    scale = query_scale * key_scale
    if not np.float32(scale) or len(parts) < 3 or not _are_alike(graph, parts):
        return
    query, key, value = (_as_tokens(graph, together, part, shapes) for part in parts)
    last, shape = together, parts[0].shape
    if layer := _layer_after(graph, together, parts[2]):
        shape, weight, bias, last = layer
        value = graph.add(together, "MatMul", value, weight)
        value = graph.add(together, "Add", value, bias)
    attended = graph.add(
        last,
        "MultiHeadAttention",
        query,
        key,
        value,
        domain=MICROSOFT,
        num_heads=parts[0].heads,
        scale=scale,
    )
    graph.add(last, "Reshape", attended, shape, out=last.outputs[0])
    graph.drop(last)


def _are_alike(graph: Graph, parts: Sequence[_ByHead]) -> bool:
    """Whether tokens surely have the same images, heads and channels.

    The operator takes no query or key that serves all images, as a product of matrices does.
    """
    images = {part.before[0] for part in parts}
    one = images.pop()
    numbers = (one,) if isinstance(one, int) else graph.whole(one) or ()
    is_known = all(number > 0 for number in numbers)  # 0 and -1 stand for what the tokens have
    return is_known and not images and len({(part.heads, part.width) for part in parts}) == 1


def _layer_after(graph: Graph, together: Node, part: _ByHead) -> tuple[str, str, str, Node] | None:
    """Shape, weight, bias and last node of the linear layer that alone takes what was attended to.

    An attention's weights sum to 1. With one head the layer can so be applied to the values, which
    are fewer than the queries: P V W + b = P (V W + b).
    """
    shaped = graph.only_user(together.outputs[0], "Reshape")
    product = graph.only_user(shaped.outputs[0], "MatMul") if shaped else None
    biased = graph.only_user(product.outputs[0], "Add") if product else None
    if shaped is None or product is None or biased is None:
        return None
    weight, bias = graph.values(product.inputs[1]), graph.values(biased.inputs[1])
    if part.heads > 1 or weight is None or weight.shape != (part.width, part.width):
        return None
    if bias is None or bias.shape != (part.width,) or _copies_sizes(graph, shaped.inputs[1]):
        return None
    return shaped.inputs[1], product.inputs[1], biased.inputs[1], biased


def _copies_sizes(graph: Graph, shape: str) -> bool:
    """Whether a shape has a 0, which stands for a size of the tensor that is reshaped."""
    together = graph.given_by(shape, "Concat")
    return any(
        0 in (graph.whole(part) or ()) for part in (together.inputs if together else [shape])
    )


def _scaled(graph: Graph, name: str) -> tuple[str, float]:
    """A tensor without the constant it is multiplied by, and the constant; 0 if it is none."""
    node = graph.given_by(name, "Mul")
    if node is None:
        return name, 1.0
    factor = graph.values(node.inputs[1])
    is_number = factor is not None and factor.size == 1 and factor.dtype == np.float32
    return node.inputs[0], float(factor.item()) if factor is not None and is_number else 0.0


def _with_channels_last(graph: Graph, name: str) -> str:
    """A tensor of four axes, where another is the same with its last two exchanged; "" if none is.

    torch's exporter reshapes it to three axes, exchanges the last two, and reshapes it to four.
    """
    outer = graph.given_by(name, "Reshape")
    turn = graph.given_by(outer.inputs[0], "Transpose") if outer else None
    inner = graph.given_by(turn.inputs[0], "Reshape") if turn else None
    if outer is None or turn is None or inner is None or turn.whole("perm") != (0, 2, 1):
        return ""
    shaped = inner.inputs[0]
    images, heads, tokens, width = (f"{shaped}/{axis}" for axis in range(4))
    is_exchange = (
        _sizes(graph, inner.inputs[1], shaped) == (-1, tokens, width)
        and _sizes(graph, outer.inputs[1], shaped) == (images, heads, width, tokens)
    )  # fmt: skip
    return shaped if is_exchange else ""


def _sizes(graph: Graph, name: str, shaped: str) -> tuple[int | str, ...]:
    """Sizes put together of numbers and of those of a tensor of four axes; () if they are not."""
    together = graph.given_by(name, "Concat")
    parts = together.inputs if together else []
    return tuple(size for part in parts for size in _some_sizes(graph, part, shaped))


def _some_sizes(graph: Graph, name: str, shaped: str) -> tuple[int | str, ...]:
    if (numbers := graph.whole(name)) is not None:
        return numbers
    part = graph.given_by(name, "Slice")
    whole = graph.given_by(part.inputs[0], "Shape") if part else None
    if part is None or whole is None or whole.inputs[0] != shaped:
        return ()
    ends = [graph.whole(end) or () for end in part.inputs[1:]]
    if [len(end) for end in ends] != [1, 1] or whole.whole("start") not in ((), (0,)):
        return ()
    axes = tuple(f"{shaped}/{axis}" for axis in range(4))
    return () if whole.has("end") else axes[ends[0][0] : ends[1][0]]


def _by_head(graph: Graph, name: str) -> _ByHead | None:
    """Tokens by head, if a tensor is that."""
    turn = graph.given_by(name, "Transpose")
    split = graph.given_by(turn.inputs[0], "Reshape") if turn else None
    if turn is None or split is None or turn.whole("perm") != _HEADS_FIRST:
        return None
    tokens, shape = split.inputs
    numbers = graph.whole(shape)
    if numbers is not None:
        if len(numbers) != 4 or min(numbers[2:]) < 1:
            return None
        return _ByHead(tokens, shape, (numbers[0], numbers[1]), numbers[2], numbers[3])
    together = graph.given_by(shape, "Concat")
    if together is None or len(together.inputs) != 4:
        return None
    images, n_tokens, *last = together.inputs
    ends = [number for size in last for number in graph.whole(size) or ()]
    if len(ends) != 2 or min(ends) < 1:
        return None
    return _ByHead(tokens, shape, (images, n_tokens), ends[0], ends[1])


def _as_tokens(
    graph: Graph, before: Node, part: _ByHead, shapes: dict[tuple[object, ...], str]
) -> str:
    """Tokens (images, tokens, channels)."""
    channels = part.heads * part.width
    key = (*part.before, channels)
    if key not in shapes:
        if isinstance(part.before[0], int):
            shapes[key] = graph.constant(key, "int64")
        else:
            last = graph.constant([channels], "int64")
            shapes[key] = graph.add(before, "Concat", *map(str, part.before), last, axis=0)
    return graph.add(before, "Reshape", part.tokens, shapes[key])
