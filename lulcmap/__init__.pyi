from . import errors
from .api import Model, composite, map_area, open_map, open_model, plan_map
from .imagery import Composite, CompositeRules
from .model import ClassifiedImage, fetch_model, list_models
from .output import MapReport, ShardReport
from .planning import Estimate, Settings

__version__: str

__all__ = [
    "ClassifiedImage",
    "Composite",
    "CompositeRules",
    "Estimate",
    "MapReport",
    "Model",
    "Settings",
    "ShardReport",
    "composite",
    "errors",
    "fetch_model",
    "list_models",
    "map_area",
    "open_map",
    "open_model",
    "plan_map",
]
