"""The compiler for hot loops."""

import logging
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger(__name__)


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """A function compiled by numba at its first call, without the GIL; kept on disk if possible.

    Never ``parallel=True``: it aborts the process when two threads run it at once.
    """
    options: dict[str, Any] = {"nogil": True}
    try:
        return cast("Callable[P, R]", njit(cache=True, **options)(function))
    except RuntimeError as error:  # no folder can be written: compile anew in each process
        logger.debug("no cache for compiled code: %s", error)
        return cast("Callable[P, R]", njit(**options)(function))
