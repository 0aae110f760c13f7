"""The hrefs of a scene's bands, in little memory: a country's take 60 MB as texts of their own."""

from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache

_BETWEEN = "\0"
"""Between the ends of hrefs; neither a path nor a URL that is opened has it."""


class BandHrefs(Mapping[str, str]):
    """From band to href; what all hrefs begin with is kept once.

    Args:
        hrefs: from band to href, without NUL.

    """

    __slots__ = ("_bands", "_ends", "_start")

    def __init__(self, hrefs: Mapping[str, str]) -> None:
        self._bands = _shared(tuple(hrefs))
        self._start = _shared_start(hrefs.values())
        self._ends = _BETWEEN.join(href[len(self._start) :] for href in hrefs.values())

    @staticmethod
    def takes(hrefs: Mapping[str, str]) -> bool:
        """Whether hrefs are without NUL."""
        return _BETWEEN not in "".join(hrefs.values())

    def __getitem__(self, band: str) -> str:
        try:
            place = self._bands.index(band)
        except ValueError:
            raise KeyError(band) from None
        return self._start + self._ends.split(_BETWEEN)[place]

    def __contains__(self, band: object) -> bool:
        return band in self._bands

    def __iter__(self) -> Iterator[str]:
        return iter(self._bands)

    def __len__(self) -> int:
        return len(self._bands)

    def __repr__(self) -> str:
        return repr(dict(self))


def _shared_start(texts: Collection[str]) -> str:
    """What all texts begin with."""
    first, last = min(texts, default=""), max(texts, default="")
    low, high = 0, len(first)  # those two differ first, and so far they are halved
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if last.startswith(first[:middle]) else (low, middle - 1)
    return first[:low]


@lru_cache(64)
def _shared(bands: tuple[str, ...]) -> tuple[str, ...]:
    """The same bands, one tuple for all scenes."""
    return bands
