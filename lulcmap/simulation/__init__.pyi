from .archive import degrees
from .build import simulate
from .country import Country, Simulated
from .demo import NETWORK, forest_map, judge, picture
from .labels import LabelSet, simulate_labels
from .land import ground

__all__ = [
    "NETWORK",
    "Country",
    "LabelSet",
    "Simulated",
    "degrees",
    "forest_map",
    "ground",
    "judge",
    "picture",
    "simulate",
    "simulate_labels",
]
