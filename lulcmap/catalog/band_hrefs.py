"""The hrefs of a scene's bands, in little memory: a country's take 60 MB as texts of their own."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from os.path import commonprefix

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
        self._start = commonprefix(list(hrefs.values()))  # noqa: RUF071 - of URLs, not of paths
        self._ends = _BETWEEN.join(href[len(self._start) :] for href in hrefs.values())

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


@lru_cache(64)
def _shared(bands: tuple[str, ...]) -> tuple[str, ...]:
    """The same bands, one tuple for all scenes."""
    return bands
