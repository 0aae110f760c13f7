"""Options of the commands that make a dataset: the catalogues of its images, and their reading."""

from collections.abc import Callable

import click

from lulcmap.cli.options import F, option_of
from lulcmap.dataset import ImageArchive


def archive_options(function: F) -> F:
    """The catalogues of the images, and the orbit direction of Sentinel-1."""
    for option in reversed(_ARCHIVE):
        function = option(function)
    return function


def reading_options(workers: str) -> Callable[[F], F]:
    """How images are read.

    Args:
        workers: help of ``--workers``.

    """

    def decorate(function: F) -> F:
        own = option_of(ImageArchive, "workers", workers, type=click.IntRange(1, 256))
        for option in (own, *reversed(_READING)):
            function = option(function)
        return function

    return decorate


_ARCHIVE = (
    option_of(
        ImageArchive,
        "catalog",
        "planetary-computer, earth-search, cdse, a STAC API, or an ItemCollection file.",
        metavar="NAME|URL|FILE",
    ),
    option_of(
        ImageArchive,
        "profile",
        "Provider whose layout a URL or a file has.  [default: planetary-computer]",
        metavar="NAME",
        show_default=False,
    ),
    option_of(ImageArchive, "s1_catalog", "Another catalogue for Sentinel-1.", metavar="NAME|URL"),
    option_of(ImageArchive, "orbit", "Orbit direction of Sentinel-1."),
)

_READING = (
    option_of(
        ImageArchive,
        "max_lost",
        "Share of a chip's radar assets that may be unreadable; in composites, of all assets.",
        type=click.FloatRange(0, 1),
    ),
    option_of(
        ImageArchive,
        "patience",
        "Seconds to wait for an image server that is busy or down.",
        type=click.FloatRange(0),
    ),
)
