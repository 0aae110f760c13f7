"""Datasets to train and to evaluate with: labels, and what the satellites saw of them."""

from lulcmap.dataset.build import Built
from lulcmap.dataset.check import Checked, check
from lulcmap.dataset.request import Request, make
from lulcmap.dataset.source import Source

__all__ = ["Built", "Checked", "Request", "Source", "check", "make"]
