from .archive import to_degrees
from .build import simulate
from .country import Country, SimulatedCountry
from .demo import DEMO_MODEL, draw_comparison, map_with_forest, score_map
from .land import make_land

__all__ = [
    "DEMO_MODEL",
    "Country",
    "SimulatedCountry",
    "draw_comparison",
    "make_land",
    "map_with_forest",
    "score_map",
    "simulate",
    "to_degrees",
]
