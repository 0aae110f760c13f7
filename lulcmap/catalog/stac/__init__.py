"""STAC APIs, asked so that nothing is left out silently."""

from lulcmap.catalog.stac.query import Asked, Period, ask

__all__ = ["Asked", "Period", "ask"]
