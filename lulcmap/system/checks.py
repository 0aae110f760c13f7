"""Checks of the values of settings, whoever gives them."""

from collections.abc import Mapping
from dataclasses import fields
from math import inf
from numbers import Integral, Real
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from lulcmap.errors import UsageError


def check_fields(settings: Any, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Check the choices and the numbers of a dataclass.

    Args:
        settings: the dataclass; a field of type ``Literal`` takes its choices only.
        ranges: by field, the smallest and the largest value, both included. A field that is None
            by default may be.

    Raises:
        UsageError: a value is not one of its choices, or not in its range.

    """
    for field in fields(settings):
        value, option = getattr(settings, field.name), f"--{field.name.replace('_', '-')}"
        choices = get_args(field.type) if get_origin(field.type) is Literal else ()
        if choices and value not in choices:
            raise UsageError(f"{option} is {value!r}; choose {', '.join(map(str, choices))}.")
        kinds = get_args(field.type) or (field.type,)
        if field.name not in ranges or (value is None and NoneType in kinds):
            continue
        low, high = ranges[field.name]
        number = Integral if int in kinds else Real
        is_number = isinstance(value, number) and not isinstance(value, bool)
        if not is_number or not low <= value <= high:
            most = f" to {high:g}" if high < inf else " up"
            raise UsageError(f"{option} is {value!r}; it must be a number from {low:g}{most}.")
