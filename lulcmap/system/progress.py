"""Progress: how a long task says how far it is."""

from collections.abc import Callable

Progress = Callable[[str, int, int], object]
"""Called with the name of a stage, how much of it is done, and how much there is."""

Steps = Callable[[int, int], object]
"""Called with how much of one task is done, and how much there is."""


def no_progress(*_: object) -> None:
    """Ignore progress; fits ``Progress`` and ``Steps``."""
