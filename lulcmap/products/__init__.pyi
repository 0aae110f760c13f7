from .areas import AreaRow, AreaTable, measure_areas
from .change.flows import draw_change
from .change.measure import map_change
from .change.table import ChangeTable
from .change.write import check_change_path, write_change
from .chart import draw_areas
from .clean import clean_map
from .clean_report import CleanedClass, CleanReport
from .collection import Collection, write_collection
from .coverage import covered_classes, polygon_edges
from .maps import class_colours, class_names, map_the_same, map_values
from .polygons import PolygonClass, PolygonReport, write_polygons
from .regions import NamedRegions, load_named_regions
from .tables import check_table_path, write_areas

__all__ = [
    "AreaRow",
    "AreaTable",
    "ChangeTable",
    "CleanReport",
    "CleanedClass",
    "Collection",
    "NamedRegions",
    "PolygonClass",
    "PolygonReport",
    "check_change_path",
    "check_table_path",
    "class_colours",
    "class_names",
    "clean_map",
    "covered_classes",
    "draw_areas",
    "draw_change",
    "load_named_regions",
    "map_change",
    "map_the_same",
    "map_values",
    "measure_areas",
    "polygon_edges",
    "write_areas",
    "write_change",
    "write_collection",
    "write_polygons",
]
