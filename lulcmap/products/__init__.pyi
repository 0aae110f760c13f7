from .areas import AreaRow, AreaTable, measure_areas
from .chart import draw_areas
from .tables import check_table_path, write_areas

__all__ = [
    "AreaRow",
    "AreaTable",
    "check_table_path",
    "draw_areas",
    "measure_areas",
    "write_areas",
]
