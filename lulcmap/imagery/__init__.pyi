from .area_composite import composite_area
from .assets.fetch import Fetcher
from .assets.http import FetchError
from .assets.tiff import TIFF_HEADER_BYTES
from .composite import Composite, make_composite, mean_backscatter
from .kernels import median, sorting_network
from .reader import Reader
from .resample import sample_pixels, transform_nodes
from .rules import CompositeRules

__all__ = [
    "TIFF_HEADER_BYTES",
    "Composite",
    "CompositeRules",
    "FetchError",
    "Fetcher",
    "Reader",
    "composite_area",
    "make_composite",
    "mean_backscatter",
    "median",
    "sample_pixels",
    "sorting_network",
    "transform_nodes",
]
