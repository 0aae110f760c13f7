"""What is before the first convolution, band by band.

At the size of a window one band fits into a core's cache, and all bands do not. So a logarithm, an
index or a mask is computed of one band after the other, and the bands are put together once. The
arithmetic of a pixel stays as it is, to the last bit, but for logarithms.

What is a logarithm of a band of 16 bits is looked up in a table. ONNX Runtime's own logarithms have
another last bit at the ends of the parts that its threads take, and a map must not depend on their
number.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.model.lean.graph import Graph, Node

_BY_PIXEL = {"Add", "Sub", "Mul", "Div", "Min", "Max", "Clip", "Log", "Greater", "Cast"}
"""Operators that take each pixel by itself."""

_MOST_BANDS = 128
"""Bands beyond which a tensor holds no bands of pixels but features."""

_INT32 = 6
"""Type of the places in a table, ``onnx.TensorProto.DataType``."""


def _logarithm(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The nearest number to each logarithm, whatever the machine."""
    return np.log(values.astype(np.float64)).astype(np.float32)


_FARTHEST = np.float32(np.inf)


def _clipped(values: Any, least: Any = -_FARTHEST, most: Any = _FARTHEST) -> Any:
    return np.clip(values, least, most)


def _smallest(*values: Any) -> Any:
    return reduce(np.minimum, values)


def _largest(*values: Any) -> Any:
    return reduce(np.maximum, values)


_IN_TABLES: Mapping[str, Callable[..., Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Min": _smallest,
    "Max": _largest,
    "Clip": _clipped,
    "Log": _logarithm,
}
"""What operators do to the numbers of a table."""


@dataclass(slots=True, eq=False)
class _Band:
    """One band of a tensor, and how it is computed."""

    name: str = ""
    """Its name; empty until its node is written."""

    operator: str = ""
    """Operator that computes it; empty for a band of an input."""

    inputs: "tuple[_Band, ...]" = ()
    """What the operator takes; constants are bands that have a name."""

    like: Node | None = None
    """Node whose attributes the operator has."""

    values: NDArray[np.float32] | None = None
    """Its number, if it is a constant; each that it may have, if it is a band of 16 bits."""

    has_logarithm: bool = False
    """Whether a logarithm is computed on the way to it."""


Bands = dict[str, list[_Band]]
"""Bands of tensors by the tensors' names."""


def by_band(graph: Graph) -> None:
    """Rewrite a graph so that its pixels are prepared band by band."""
    known: Bands = {}
    inputs = set()
    for node, following in zip(graph.nodes, graph.nodes[1:], strict=False):
        if n_bands := _bands_of_input(graph, node):
            names = graph.add_split(following, node.outputs[0], n_bands)
            each = np.arange(2**16, dtype=np.float32) if _is_uint16(graph, node) else None
            known[node.outputs[0]] = [_Band(name, values=each) for name in names]
            inputs.add(node.outputs[0])
        elif not node.domain and len(node.outputs) == 1 and (made := _bands_of(graph, node, known)):
            known[node.outputs[0]] = made
    for name in [name for name in known if name not in inputs]:
        users = graph.users.get(name, [])
        if name in graph.results or any(user.outputs[0] not in known for user in users):
            node = graph.source[name]
            bands = [_written(graph, node, band) for band in known[name]]
            graph.add(node, "Concat", *bands, out=name, axis=1)
            graph.drop(node)


def _bands_of_input(graph: Graph, node: Node) -> int:
    """Number of bands of which a node makes floats, if it does that to an image given; else 0."""
    sizes = graph.inputs.get(node.inputs[0], ()) if node.inputs else ()
    is_cast = node.operator == "Cast" and not node.domain and node.whole("to") == (1,)
    return sizes[1] if is_cast and len(sizes) == 4 and 1 < sizes[1] <= _MOST_BANDS else 0


def _is_uint16(graph: Graph, node: Node) -> bool:
    return graph.types.get(node.inputs[0]) == 4


def _bands_of(graph: Graph, node: Node, known: Bands) -> list[_Band]:
    """The bands of what a node gives; none where it does not take each pixel by itself."""
    taken = [known.get(name, []) for name in node.inputs]
    if not any(taken):
        return []
    if node.operator == "Concat" and node.whole("axis") == (1,):
        fits = all(taken) and sum(map(len, taken)) <= _MOST_BANDS
        return [band for part in taken for band in part] if fits else []
    if node.operator == "ReduceMin":
        # of an input's whole numbers: none of them is NaN
        along = graph.whole(node.inputs[-1]) == (1,) and node.whole("keepdims") in ((), (1,))
        is_input = len(node.inputs) == 2 and not any(band.operator for band in taken[0])
        return [_Band("", "Min", tuple(taken[0]))] if along and is_input else []
    if node.operator == "Slice":
        ends = [graph.whole(name) or () for name in node.inputs[1:]]
        is_plain = [len(end) for end in ends[:2]] == [1, 1] and ends[2:] in ([(1,)], [(1,), (1,)])
        return taken[0][ends[0][0] : ends[1][0]] if is_plain else []
    if node.operator not in _BY_PIXEL:
        return []
    n_bands = max(map(len, taken))
    inputs = [
        part or _constant(graph, name, n_bands)
        for name, part in zip(node.inputs, taken, strict=True)
    ]
    if not all(len(part) in (1, n_bands) for part in inputs):
        return []
    each = (tuple(part[band % len(part)] for part in inputs) for band in range(n_bands))
    return [
        _Band("", node.operator, one, node, has_logarithm=_has_logarithm(node, one)) for one in each
    ]


def _has_logarithm(node: Node, inputs: Sequence[_Band]) -> bool:
    return node.operator == "Log" or any(band.has_logarithm for band in inputs)


def _constant(graph: Graph, name: str, n_bands: int) -> list[_Band]:
    """A constant number, or one for each band, or an input that is left out; none if it is none."""
    values = graph.values(name)
    if not name or (values is not None and values.size == 1 and values.ndim <= 4):
        return [_Band(name or " ", values=None if values is None else values.reshape(()))]
    if values is None or values.shape not in ((n_bands, 1, 1), (1, n_bands, 1, 1)):
        return []
    names = [graph.constant(one, values.dtype.name) for one in values.ravel()]
    return [_Band(name, values=one) for name, one in zip(names, values.ravel(), strict=True)]


def _written(graph: Graph, before: Node, band: _Band) -> str:
    """Write the nodes of a band that are not yet written; its name."""
    if not band.name:
        table, of = _table(band) if band.has_logarithm else (None, None)
        if table is not None and of is not None:
            band.name = _looked_up(graph, before, graph.table(table), of.name)
        else:
            names = [_written(graph, before, one) for one in band.inputs]
            band.name = graph.add(before, band.operator, *names, like=band.like)
    return band.name.strip()


def _looked_up(graph: Graph, before: Node, table: str, band: str) -> str:
    """Write the nodes that look up a band's numbers in a table; the name of what they give.

    ``Gather`` would do it in one node, and copy each number by itself: five times as slow.
    """
    place = graph.add(before, "Cast", band, to=_INT32)
    line = graph.add(before, "Reshape", place, graph.constant([-1], "int64"))
    found = graph.add(before, "GatherElements", table, line, axis=0)
    return graph.add(before, "Reshape", found, graph.add(before, "Shape", band))


def _table(band: _Band) -> tuple[NDArray[np.float32] | None, _Band | None]:
    """Each number that a band may have, and the band of 16 bits from which alone it is computed.

    None if it is not; of a constant its number, and no band.
    """
    if not band.operator:
        return band.values, band if band.values is not None and band.values.ndim else None
    computed = [one for one in band.inputs if one.operator]
    if band.operator not in _IN_TABLES or len(computed) > 1:  # no more than a chain is followed
        return None, None
    parts = [_table(one) for one in band.inputs]
    numbers = [values for values, _ in parts if values is not None]
    bands = {id(of): of for _, of in parts if of is not None}
    if len(numbers) < len(parts) or len(bands) != 1:
        return None, None
    with np.errstate(all="ignore"):
        values = _IN_TABLES[band.operator](*numbers)
    return values.astype(np.float32, copy=False), next(iter(bands.values()))
