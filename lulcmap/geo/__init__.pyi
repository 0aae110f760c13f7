from .area import Area, AreaLike, load_area
from .block_id import Block, BlockId
from .crossings import repaired
from .crs import datum_doubt, to_degrees, understood_crs
from .grid import (
    RESOLUTION_M,
    box_polygons,
    clip,
    covering_box,
    covering_grid,
    even_grid,
    footprint,
    geobox,
    only_polygons,
    pixels_inside,
    project,
    unproject,
)
from .layer import first_line
from .longitudes import within_180
from .map_grid import (
    MIN_FILLED,
    MapGrid,
    area_digest,
    crs_doubts,
    map_files,
    map_grids,
    planned_grids,
)
from .pixel_area import grid_areas, grid_lonlat, has_known_areas
from .sun import overpass_time, solar_zenith
from .tiling import Blend, Box, Lattice, blend_weights
from .transform import (
    fill_from_zone,
    pixel_degrees,
    pixel_zones,
    point_degrees,
    transformer,
    zone_pixels,
)
from .utm import ZONE_BLEND_M, ZonePart, beyond_zone, distance_to_zone, split_by_zone, utm_zone
from .vector_file import open_vectors

__all__ = [
    "MIN_FILLED",
    "RESOLUTION_M",
    "ZONE_BLEND_M",
    "Area",
    "AreaLike",
    "Blend",
    "Block",
    "BlockId",
    "Box",
    "Lattice",
    "MapGrid",
    "ZonePart",
    "area_digest",
    "beyond_zone",
    "blend_weights",
    "box_polygons",
    "clip",
    "covering_box",
    "covering_grid",
    "crs_doubts",
    "datum_doubt",
    "distance_to_zone",
    "even_grid",
    "fill_from_zone",
    "first_line",
    "footprint",
    "geobox",
    "grid_areas",
    "grid_lonlat",
    "has_known_areas",
    "load_area",
    "map_files",
    "map_grids",
    "only_polygons",
    "open_vectors",
    "overpass_time",
    "pixel_degrees",
    "pixel_zones",
    "pixels_inside",
    "planned_grids",
    "point_degrees",
    "project",
    "repaired",
    "solar_zenith",
    "split_by_zone",
    "to_degrees",
    "transformer",
    "understood_crs",
    "unproject",
    "utm_zone",
    "within_180",
    "zone_pixels",
]
