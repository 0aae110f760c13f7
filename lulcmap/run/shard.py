"""A share of a run's blocks, for one process of several."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

from lulcmap.errors import UsageError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shard:
    """The ``index``-th of ``count`` equal shares."""

    index: int
    """From 1."""

    count: int
    """Of all shares."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """A shard as a user writes it: ``3/10``.

        Raises:
            UsageError: it is none.

        """
        match = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", text)
        index, count = (int(match[1]), int(match[2])) if match else (0, 0)
        if not 1 <= index <= count:
            raise UsageError(
                f"--shard is {text!r}; it takes a number and how many there are, from 1/10 to "
                "10/10."
            )
        return cls(index, count)

    def of(self, entries: Sequence[T]) -> list[T]:
        """Every ``count``-th entry, so that all shards have some of each zone.

        Examples:
            >>> Shard(2, 3).of("abcdefg")
            ['b', 'e']

        """
        return list(entries[self.index - 1 :: self.count])

    def __str__(self) -> str:
        """As it is written: ``3/10``."""
        return f"{self.index}/{self.count}"
