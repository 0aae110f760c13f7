from .archive import degrees
from .build import simulate
from .country import Country, Simulated
from .demo import NETWORK, forest_map, judge, picture
from .land import ground

__all__ = [
    "NETWORK",
    "Country",
    "Simulated",
    "degrees",
    "forest_map",
    "ground",
    "judge",
    "picture",
    "simulate",
]
