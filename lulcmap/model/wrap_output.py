"""Find what is after a foreign network: which output, what it returns, which channel is which."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.errors import ModelError, UsageError
from lulcmap.legend import LandCover, default_colour, shortened
from lulcmap.model.foreign import ForeignNetwork, Port
from lulcmap.model.hints import Hints
from lulcmap.model.transform import Head, Layout, Returns, is_whole_type
from lulcmap.model.wrap_request import WrapRequest

UNMAPPED = "-"
"""Name of channels that are never mapped, in a file of classes."""

_SUM_TOLERANCE = 1e-3
"""Largest difference from 1 of the sum of a pixel's probabilities."""

_MOVING = ("Identity", "Cast", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Resize")
"""Operators that keep values between the same bounds."""

_MAX_LISTED = 30
"""Channels that are listed."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was found of the output."""

    head: Head
    """How it becomes logits."""

    covers: tuple[LandCover, ...]
    """Classes of the contract."""

    size: tuple[int, int]
    """Rows and columns of the output."""

    def describe(self) -> str:
        """The output in one line."""
        names = [UNMAPPED if at < 0 else self.covers[at].name for at in self.head.classes]
        listed = [f"{code} {name}" for code, name in zip(self.head.codes, names, strict=True)]
        if len(listed) > _MAX_LISTED:
            listed = [*listed[:_MAX_LISTED], "..."]
        if self.head.returns == "classes":
            return f"ids of classes: {', '.join(listed)}"
        if self.head.channels == 1:
            return f"{self.head.returns} of {names[1]} against {names[0]}"
        return f"{self.head.returns} in channels: {', '.join(listed)}"


def choose_output(network: ForeignNetwork, said: str | None) -> Port:
    """Choose the output to map from.

    Raises:
        UsageError: there are several, or none of the name given.

    """
    images = [port for port in network.outputs if len(port.shape) in (0, 3, 4)]
    found = [port for port in network.outputs if port.name == said] if said else images
    if len(found) == 1:
        return found[0]
    listed = ", ".join(port.describe() for port in network.outputs)
    if said:
        raise UsageError(f"--output is {shortened(said)}; {network.path} returns {listed}.")
    if not found:
        raise ModelError(
            f"{network.path} returns {listed}, and no image of classes (N, classes, H, W). lulcmap "
            "maps with networks of semantic segmentation."
        )
    raise UsageError(f"{network.path} returns {listed}. Give --output with the name of one.")


def find_head(
    network: ForeignNetwork,
    output: Port,
    raw: NDArray[Any],
    request: WrapRequest,
    hints: Hints,
    *,
    layout: Layout,
) -> Found:
    """Find how an output becomes logits, from what it was for one window.

    Args:
        network: the network.
        output: its output.
        raw: the output for a window of typical pixels.
        request: what the user says.
        hints: what the file says.
        layout: order of the input's axes, where the output's shape leaves it open.

    Raises:
        UsageError: the classes do not fit, or it cannot be told what the numbers are.
        ModelError: the output is no image, or not finite.

    """
    if raw.ndim not in (3, 4):
        raise ModelError(
            f"{network.path} returns {shortened(output.name)} of shape {raw.shape}, which is no "
            "image of classes (N, classes, H, W). Give another --output."
        )
    values = raw.astype(np.float32)
    if not np.isfinite(values).all():
        raise ModelError(
            f"{network.path} returns NaN or infinity for typical pixels. Check --scale, --mean and "
            "--std; if it is of half precision, export it in single precision."
        )
    order = layout if raw.ndim == 3 else _layout(raw.shape, layout)
    planes = values[:, None] if raw.ndim == 3 else values
    planes = np.moveaxis(planes, 3, 1) if raw.ndim == 4 and order == "nhwc" else planes
    returns = request.returns or _returns(network, output, planes, is_id=is_whole_type(output))
    n_channels = planes.shape[1]
    if returns == "classes" and n_channels != 1:
        raise UsageError(
            f"{network.path} returns {n_channels} channels, and ids of classes need one. Give "
            "another --returns or --output."
        )
    covers, codes, positions = _classes(network, request, hints, n_channels, returns)
    if returns == "classes":
        _check_ids(network, planes, codes)
    head = Head(
        returns=returns,
        layout=order,
        axes=raw.ndim,
        codes=codes,
        classes=positions,
        n_classes=len(covers),
        channels=n_channels,
    )
    return Found(head, covers, (planes.shape[2], planes.shape[3]))


def _layout(shape: Sequence[int], layout: Layout) -> Layout:
    """The order of axes in which an output is square."""
    is_nchw, is_nhwc = shape[2] == shape[3], shape[1] == shape[2]
    if is_nchw == is_nhwc:
        return layout
    return "nchw" if is_nchw else "nhwc"


def _returns(
    network: ForeignNetwork, output: Port, planes: NDArray[np.float32], *, is_id: bool
) -> Returns:
    """What the numbers are, (N, K, H, W)."""
    is_one = planes.shape[1] == 1
    if is_id or (is_one and (planes == np.rint(planes)).all() and planes.min() >= 0):
        return "classes"
    if planes.min() < 0 or planes.max() > 1 + _SUM_TOLERANCE:
        return "logits"
    if is_one and _last_operator(network, output.name) in ("Sigmoid", "HardSigmoid"):
        return "probabilities"
    if not is_one and np.abs(planes.sum(axis=1) - 1).max() < _SUM_TOLERANCE:
        return "probabilities"
    raise UsageError(
        f"{network.path} returns {shortened(output.name)} between 0 and 1"
        f"{'' if is_one else ', which do not sum to 1 over the classes'}. Give --returns "
        "probabilities, or --returns logits."
    )


def _last_operator(network: ForeignNetwork, name: str) -> str:
    """The operator that made an output, before those that only move its values."""
    makers = {one: node for node in network.proto.graph.node for one in node.output}
    while name in makers and makers[name].op_type in _MOVING:
        name = makers[name].input[0]
    return str(makers[name].op_type) if name in makers else ""


def _classes(
    network: ForeignNetwork,
    request: WrapRequest,
    hints: Hints,
    n_channels: int,
    returns: Returns,
) -> tuple[tuple[LandCover, ...], tuple[int, ...], tuple[int, ...]]:
    """Classes of the contract; channels or ids of the network; the position of each one's class."""
    named = request.classes or _named(hints.names, is_one=n_channels == 1 and returns != "classes")
    if not named:
        what = "ids of classes" if returns == "classes" else f"{max(2, n_channels)} classes"
        raise UsageError(
            f"{network.path} returns {what} without names. Give them in its order: --classes "
            "water,trees,..., or a CSV file with the header code,name."
        )
    by_code: Mapping[str, int] = request.codes or {str(at): at for at in range(len(named))}
    codes = _codes(network, by_code, n_channels, returns)
    kept = [at for at, cover in enumerate(named) if cover.name != UNMAPPED]
    positions = tuple(kept.index(at) if at in kept else -1 for at in by_code.values())
    if returns != "classes" and n_channels == 1 and sorted(positions) != [0, 1]:
        raise UsageError(
            f"{network.path} returns one class against the rest; --classes must name both, such as "
            "other,water."
        )
    return tuple(named[at] for at in kept), codes, positions


def _named(names: Sequence[str], *, is_one: bool) -> tuple[LandCover, ...]:
    """Classes that a file names; one alone stands against the rest."""
    if is_one and len(names) == 1:
        names = ("other", *names)
    return tuple(
        LandCover(at, name, default_colour(at, name, len(names))) for at, name in enumerate(names)
    )


def _codes(
    network: ForeignNetwork, by_code: Mapping[str, int], n_channels: int, returns: Returns
) -> tuple[int, ...]:
    """Channels or ids in the order of the codes."""
    is_number = all(code.removeprefix("-").isdecimal() for code in by_code)
    if returns == "classes":
        if not is_number:
            raise UsageError(
                f"{network.path} returns ids of classes; the codes of --classes must be the ids, "
                "whole numbers."
            )
        return tuple(map(int, by_code))
    wanted = max(2, n_channels)
    if len(by_code) != wanted:
        what = "1 channel, one class against the rest" if n_channels == 1 else f"{wanted} channels"
        raise UsageError(
            f"{network.path} returns {what}; --classes names {len(by_code)}. Give {wanted}, in "
            f"its order; name {UNMAPPED} what is never to be mapped."
        )
    if is_number and set(map(int, by_code)) == set(range(wanted)):
        return tuple(map(int, by_code))
    return tuple(range(wanted))


def _check_ids(network: ForeignNetwork, planes: NDArray[np.float32], codes: Sequence[int]) -> None:
    unknown = sorted(set(np.unique(planes)) - set(codes))
    if unknown:
        listed = ", ".join(f"{value:g}" for value in unknown[:5])
        raise UsageError(
            f"{network.path} returned the ids {listed} for typical pixels, which --classes does "
            "not have. Give a CSV file with a row for each id."
        )
