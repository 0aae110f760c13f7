from .area_composite import CompositeRequest, composite_area, composite_grids
from .assets.fetch import Fetcher
from .assets.http import FetchError
from .assets.tiff import TIFF_HEADER_BYTES
from .backscatter import mean_backscatter
from .composite import Composite, make_composite
from .kernels import median, sorting_network
from .read_log import LostAsset
from .reader import Plane, Reader, pixels_of, reader_threads
from .resample import sample_pixels, transform_nodes
from .rules import RULE_RANGES, CompositeRules
from .strips import strip_threads
from .sun import scene_zenith

__all__ = [
    "RULE_RANGES",
    "TIFF_HEADER_BYTES",
    "Composite",
    "CompositeRequest",
    "CompositeRules",
    "FetchError",
    "Fetcher",
    "LostAsset",
    "Plane",
    "Reader",
    "composite_area",
    "composite_grids",
    "make_composite",
    "mean_backscatter",
    "median",
    "pixels_of",
    "reader_threads",
    "sample_pixels",
    "scene_zenith",
    "sorting_network",
    "strip_threads",
    "transform_nodes",
]
