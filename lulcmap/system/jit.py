"""Compilation of hot loops with numba."""

import logging
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger(__name__)


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function with numba at its first call; it releases the GIL and is cached on disk.

    Without a writable cache folder, each process compiles anew. Never ``parallel=True``: it aborts
    the process when two threads run it at once.
    """
    options: dict[str, Any] = {"nogil": True}
    try:
        return cast("Callable[P, R]", njit(cache=True, **options)(function))
    except RuntimeError as error:  # no writable cache folder
        logger.debug("no cache for compiled code: %s", error)
        return cast("Callable[P, R]", njit(**options)(function))


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function into each ``compiled`` one that calls it.

    For what is called for a few pixels at once: a call of its own takes tens of nanoseconds, for it
    counts the references to every array. It has no cache of its own.
    """
    return cast("Callable[P, R]", njit(nogil=True, forceinline=True)(function))
