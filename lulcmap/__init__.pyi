from . import errors
from .adaptation import Adaptation, adapt
from .api import Model, composite, map_area, open_map, open_model, plan_map
from .imagery import Composite, CompositeRules
from .model import ClassifiedImage, add_model, fetch_model, list_models
from .output import MapReport, ShardReport
from .planning import Estimate, Settings
from .products import (
    AreaRow,
    AreaTable,
    ChangeTable,
    CleanedClass,
    CleanReport,
    Collection,
    PolygonClass,
    PolygonReport,
    clean_map,
    draw_areas,
    draw_change,
    map_change,
    measure_areas,
    write_areas,
    write_change,
    write_collection,
    write_polygons,
)

__version__: str

__all__ = [
    "Adaptation",
    "AreaRow",
    "AreaTable",
    "ChangeTable",
    "ClassifiedImage",
    "CleanReport",
    "CleanedClass",
    "Collection",
    "Composite",
    "CompositeRules",
    "Estimate",
    "MapReport",
    "Model",
    "PolygonClass",
    "PolygonReport",
    "Settings",
    "ShardReport",
    "adapt",
    "add_model",
    "clean_map",
    "composite",
    "draw_areas",
    "draw_change",
    "errors",
    "fetch_model",
    "list_models",
    "map_area",
    "map_change",
    "measure_areas",
    "open_map",
    "open_model",
    "plan_map",
    "write_areas",
    "write_change",
    "write_collection",
    "write_polygons",
]
