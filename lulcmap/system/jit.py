"""Compilation of hot loops with numba."""

import logging
import sys
from collections.abc import Callable
from functools import cache
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


@cache
def spare_blas() -> None:
    """Have numba look for SciPy's BLAS when a loop uses it, not when it loads its first loop.

    None of ours does, and to look for it is to import ``scipy.linalg``: a quarter of a second,
    while every thread waits. Loops of others that use BLAS still find it.
    """
    if "numba.np.arraymath" in sys.modules:
        return  # it has been looked for
    try:
        from numba.np import linalg

        ensure_blas = linalg.ensure_blas
    except (ImportError, AttributeError):
        return  # a version that looks for it in another way

    def ensure_later() -> None:
        linalg.ensure_blas = ensure_blas

    linalg.ensure_blas = ensure_later
