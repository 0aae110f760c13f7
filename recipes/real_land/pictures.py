"""Maps of the archive's scenes by a model, each beside what the satellite saw: to be looked at.

    python -m recipes.real_land.pictures MODEL.onnx FOLDER --data ../shared/data

Each is made as ``lulcmap predict`` makes any map, from the archive as the catalogue.
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
from lulcmap.imagery import composite_area
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
"""The scene that tells where and when, and what to call it."""


def draw_place(model: Path, archive: Path, place: str, out: Path) -> None:
    """Map a place in the month of its scene, and draw it."""
    scene, name = SCENES_BY_PLACE[place]
    item = load_items(archive)[scene]
    period = day_of(item)
    bbox = ",".join(map(str, item["bbox"]))
    with tempfile.TemporaryDirectory() as folder:
        report = map_scene(model, archive, item, Path(folder) / "map.tif", s1="optional")
        with rasterio.open(report.map) as made:
            classes = made.read(1)
            on = GeoBox(classes.shape, made.transform, made.crs)
    seen = _composite(on, load_area(bbox).polygon, period, str(archive / "items.json"))
    draw_preview(
        out,
        classes,
        composite=np.where(classes == NODATA, 0, seen).astype(np.uint16),
        title=f"{name}, {period.start}",
        note=f"By {report.facts['model']['name']}, from one date",
    )


def _composite(
    on: GeoBox, area: shapely.MultiPolygon, period: Period, catalog: str
) -> NDArray[np.uint16]:
    """The composite (9, H, W) on a map's grid, which may begin at an odd multiple of 10 m."""
    left, top = on.affine.c, on.affine.f
    west, north = left - left % 20, top + -top % 20
    col, row = round((left - west) / 10), round((north - top) / 10)
    height, width = on.shape
    shape = (row + height + (row + height) % 2, col + width + (col + width) % 2)
    even = GeoBox(shape, Affine(10, 0, west, 0, -10, north), on.crs)
    composite = composite_area(area, even, period=period, catalog=catalog)
    return composite.s2[:, row : row + height, col : col + width]


def main() -> None:
    """Draw every place."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("folder", type=Path, help="for the pictures")
    parser.add_argument("--data", type=Path, required=True, help="with archive/")
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
