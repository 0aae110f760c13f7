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
    """Number of this share, from 1."""

    count: int
    """Number of shares."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """A shard as a user writes it: ``3/10``.

        Raises:
            UsageError: the text is not a shard.

        """
        match = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", text)
        index, count = (int(match[1]), int(match[2])) if match else (0, 0)
        if not 1 <= index <= count:
            raise UsageError(
                f"--shard is {text!r}; give the number of a share and the number of shares, from "
                "1/10 to 10/10."
            )
        return cls(index, count)

    def of(self, entries: Sequence[T]) -> list[T]:
        """Every ``count``-th entry, so that each shard has some blocks of each zone.

        Examples:
            >>> Shard(2, 3).of("abcdefg")
            ['b', 'e']

        """
        return list(entries[self.index - 1 :: self.count])

    def __str__(self) -> str:
        """The shard as a user writes it: ``3/10``."""
        return f"{self.index}/{self.count}"
