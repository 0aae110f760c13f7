from . import errors
from .api import Model, composite, map_area, open_map, open_model, plan_map
from .imagery import Composite, CompositeRules
from .model import ClassifiedImage, fetch_model, list_models
from .output import MapReport, ShardReport
from .planning import Estimate, Settings
from .products import AreaRow, AreaTable, draw_areas, measure_areas, write_areas

__version__: str

__all__ = [
    "AreaRow",
    "AreaTable",
    "ClassifiedImage",
    "Composite",
    "CompositeRules",
    "Estimate",
    "MapReport",
    "Model",
    "Settings",
    "ShardReport",
    "composite",
    "draw_areas",
    "errors",
    "fetch_model",
    "list_models",
    "map_area",
    "measure_areas",
    "open_map",
    "open_model",
    "plan_map",
    "write_areas",
]
