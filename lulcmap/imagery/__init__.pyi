from .area_composite import composite_area
from .assets.fetch import Fetcher
from .assets.http import FetchError
from .assets.tiff import HEAD
from .composite import Composite, make_composite, mean_backscatter
from .kernels import median, network
from .reader import Reader
from .resample import nodes, sample
from .rules import CompositeRules

__all__ = [
    "HEAD",
    "Composite",
    "CompositeRules",
    "FetchError",
    "Fetcher",
    "Reader",
    "composite_area",
    "make_composite",
    "mean_backscatter",
    "median",
    "network",
    "nodes",
    "sample",
]
