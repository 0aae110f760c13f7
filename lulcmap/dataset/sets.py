"""Sets of classes that a label may give instead of one class, such as "not crops"."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lulcmap.legend import NODATA


@dataclass(frozen=True, slots=True)
class LabelSet:
    """A label that names several classes: the pixel is one of them, which is not known."""

    code: int
    """Value of such pixels in ``label.tif``: 254 for the first set, 253 for the next."""

    name: str
    """Name of the set, such as ``"not crops"``."""

    classes: tuple[str, ...]
    """Names of its classes."""

    def to_json(self) -> dict[str, Any]:
        """The set as plain JSON values."""
        return {"code": self.code, "name": self.name, "classes": list(self.classes)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The set that ``to_json`` made the values of.

        Raises:
            KeyError, TypeError, ValueError: the values are not those of a set.

        """
        return cls(
            int(values["code"]), str(values["name"]), tuple(str(one) for one in values["classes"])
        )


def label_sets(sets: Mapping[str, Iterable[str]]) -> tuple[LabelSet, ...]:
    """Sets by name, with codes counted down from 254.

    Examples:
        >>> label_sets({"wet": ["water", "wetland"]})
        (LabelSet(code=254, name='wet', classes=('water', 'wetland')),)

    """
    return tuple(
        LabelSet(NODATA - 1 - number, name, tuple(classes))
        for number, (name, classes) in enumerate(sets.items())
    )


def check_sets(sets: Sequence[LabelSet], names: Sequence[str]) -> None:
    """Check sets against a legend.

    Args:
        sets: sets of a dataset.
        names: names of its classes.

    Raises:
        ValueError: a code is that of a class or of another set, or a class is unknown.

    """
    codes = [one.code for one in sets]
    expected = [NODATA - 1 - number for number in range(len(sets))]
    if codes != expected:
        raise ValueError(f"the codes of the label sets are {codes}; expected {expected}")
    if codes and codes[-1] < len(names):
        raise ValueError(f"{len(sets)} label sets and {len(names)} classes do not fit in 0 to 254")
    for one in sets:
        unknown = [name for name in one.classes if name not in names]
        if unknown or not one.classes or len(set(one.classes)) < len(one.classes):
            raise ValueError(
                f"the label set {one.name!r} has the classes {', '.join(one.classes) or 'none'}; "
                f"expected some of {', '.join(names)}, each once"
            )


def set_members(sets: Sequence[LabelSet], names: Sequence[str]) -> NDArray[np.bool_]:
    """Which classes each set holds.

    Args:
        sets: sets of a dataset.
        names: names of its classes.

    Returns:
        (S, K), a row for each set: that of code 254 first.

    """
    return np.array([[name in one.classes for name in names] for one in sets], np.bool_).reshape(
        len(sets), len(names)
    )
