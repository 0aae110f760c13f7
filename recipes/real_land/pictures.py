"""Draw a model's maps of the archive's scenes, each beside its satellite image.

    python -m recipes.real_land.pictures MODEL.onnx FOLDER --data ../shared/data

Each map is made as by ``lulcmap predict``, with the archive as the catalogue.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lulcmap.catalog import Period
from lulcmap.geo import load_area
from lulcmap.imagery import CompositeRequest, composite_area
from lulcmap.legend import NODATA
from lulcmap.output import draw_preview
from recipes.real_land.evaluate_maps import day_of, map_scene
from recipes.real_land.scenes import load_items

SCENES_BY_PLACE = {
    "laos": ("S2B_MSIL2A_20200223T032739_N9999_R018_T48QUE_20230924T183543", "Laos"),
    "punjab": ("S2_20200604T054639_20200604T054831_T43RCP", "Punjab"),
    "congo": ("S2A_MSIL2A_20220706T085611_N0400_R007_T33NZA_20220706T153419", "Congo"),
    "denmark": ("S2_denmark_20171030", "Denmark"),
    "ontario": ("S2_ontario_20200111", "Ontario"),
    "austria": ("S2A_MSIL2A_20170613T101031_87_48", "Austria"),
    "ireland": ("S2A_MSIL2A_20170617T113321_36_85", "Ireland"),
    "portugal": ("S2A_MSIL2A_20171221T112501_56_35", "Portugal"),
    "finland": ("S2B_MSIL2A_20170924T93020_69_24", "Finland"),
}
"""Scene and title of each place; the scene sets the area and the date."""


def draw_place(model: Path, archive: Path, place: str, out: Path) -> None:
    """Map a place on the day of its scene, and draw it."""
    scene, name = SCENES_BY_PLACE[place]
    item = load_items(archive)[scene]
    period = day_of(item)
    bbox = ",".join(map(str, item["bbox"]))
    with tempfile.TemporaryDirectory() as folder:
        report = map_scene(model, archive, item, Path(folder) / "map.tif", s1="optional")
        with rasterio.open(report.map) as map_file:
            classes = map_file.read(1)
            grid = GeoBox(classes.shape, map_file.transform, map_file.crs)
    composite = _composite(grid, load_area(bbox).polygon, period, str(archive / "items.json"))
    draw_preview(
        out,
        classes,
        composite=np.where(classes == NODATA, 0, composite).astype(np.uint16),
        title=f"{name}, {period.start}",
        note=f"By {report.model.name}, from one date",
    )


def _composite(
    grid: GeoBox, area: shapely.MultiPolygon, period: Period, catalog: str
) -> NDArray[np.uint16]:
    """The composite (9, H, W) on a map's grid, whose corner may be at an odd multiple of 10 m."""
    left, top = grid.affine.c, grid.affine.f
    west, north = left - left % 20, top + -top % 20
    col, row = round((left - west) / 10), round((north - top) / 10)
    height, width = grid.shape
    shape = (row + height + (row + height) % 2, col + width + (col + width) % 2)
    even_grid = GeoBox(shape, Affine(10, 0, west, 0, -10, north), grid.crs)
    composite = composite_area(area, even_grid, CompositeRequest(period, catalog))
    return composite.s2[:, row : row + height, col : col + width]


def main() -> None:
    """Draw every place."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("folder", type=Path, help="folder for the pictures")
    parser.add_argument("--data", type=Path, required=True, help="folder with archive/")
    parser.add_argument(
        "--places", nargs="+", choices=SCENES_BY_PLACE, default=list(SCENES_BY_PLACE)
    )
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for place in options.places:
        out = options.folder / f"{place}.png"
        draw_place(options.model, options.data / "archive", place, out)
        print(out)


if __name__ == "__main__":
    main()
