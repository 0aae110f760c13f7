from .areas import AreaRow, AreaTable, measure_areas
from .change.flows import draw_change
from .change.measure import map_change
from .change.table import ChangeTable
from .change.write import check_change_path, write_change
from .chart import draw_areas
from .clean import clean_map
from .clean_report import CleanedClass, CleanReport
from .collection import Collection, write_collection
from .polygons import PolygonClass, PolygonReport, write_polygons
from .tables import check_table_path, write_areas

__all__ = [
    "AreaRow",
    "AreaTable",
    "ChangeTable",
    "CleanReport",
    "CleanedClass",
    "Collection",
    "PolygonClass",
    "PolygonReport",
    "check_change_path",
    "check_table_path",
    "clean_map",
    "draw_areas",
    "draw_change",
    "map_change",
    "measure_areas",
    "write_areas",
    "write_change",
    "write_collection",
    "write_polygons",
]
