from .archive import to_degrees
from .build import simulate
from .country import Country, SimulatedCountry
from .demo import (
    DEMO_MODEL,
    FOREST_MAP,
    MAP,
    clear_demo_folder,
    draw_comparison,
    map_with_forest,
    score_map,
)
from .labels import LabelSet, simulate_labels
from .land import make_land

__all__ = [
    "DEMO_MODEL",
    "FOREST_MAP",
    "MAP",
    "Country",
    "LabelSet",
    "SimulatedCountry",
    "clear_demo_folder",
    "draw_comparison",
    "make_land",
    "map_with_forest",
    "score_map",
    "simulate",
    "simulate_labels",
    "to_degrees",
]
