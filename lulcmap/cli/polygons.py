"""``lulcmap polygons``: a map as polygons with their classes and areas."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lulcmap.cli.app import json_option
from lulcmap.cli.clean import class_list
from lulcmap.cli.command import Command
from lulcmap.cli.terminal import echo, in_line, note_lost_output

if TYPE_CHECKING:
    from lulcmap.products import PolygonReport


@click.command(cls=Command, short_help="Write the patches of a map as polygons.")
@click.argument("path", metavar="MAP", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write: .gpkg, .fgb or .parquet (GeoParquet), by its ending.",
)
@click.option(
    "--classes",
    metavar="CLASS,...",
    help="Classes to write: names or ids, separated by commas.  [default: all]",
)
@click.option(
    "--min-area",
    metavar="AREA",
    help="Leave out smaller polygons, such as 0.5ha (px, m2, ha or km2); their places stay empty.",
)
@click.option(
    "--tile-size",
    type=click.IntRange(min=16),
    metavar="PIXELS",
    show_default=False,
    help="Cut the polygons at tiles of this side.  [default: 8192 for maps above 134 megapixels, "
    "else uncut]",
)
@click.option(
    "--crs", show_default=False, help="CRS of the polygons, EPSG:<code>.  [default: the map's]"
)
@click.option("--overwrite", is_flag=True, help="Replace the polygons at --out.")
@json_option
def polygons(
    path: Path,
    out: Path,
    *,
    classes: str | None,
    min_area: str | None,
    tile_size: int | None,
    crs: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write each patch of MAP as a polygon with its class and its hectares.

    \b
        lulcmap polygons luxembourg-2024.tif --out luxembourg-2024.gpkg
        lulcmap polygons luxembourg-2024.tif --classes built,water --out built.fgb
        lulcmap polygons luxembourg-2024.tif --crs EPSG:4326 --out luxembourg-2024.parquet

    Polygons follow the sides of the pixels. Neighbours share their vertices: there are no gaps and
    no overlaps, also between tiles. Clean the map first, or there is a polygon for every stray
    pixel. Hectares are true ones on the WGS 84 ellipsoid.
    """
    import json

    from lulcmap.cli.progress import bars
    from lulcmap.products import write_polygons

    with bars(hidden=as_json) as progress:
        report = write_polygons(
            path,
            out,
            classes=class_list(classes),
            min_area=min_area,
            tile_size=tile_size,
            crs=crs,
            overwrite=overwrite,
            progress=progress,
        )
    if as_json:
        echo(json.dumps(report.to_json()))
    else:
        _show(report)
    note_lost_output()


def _show(report: "PolygonReport") -> None:
    """Print how many polygons there are of each class, and their hectares."""
    echo(f"{'class':<22}{'polygons':>14}{'ha':>18}")
    for row in report.classes:
        echo(f"{in_line(row.name):<22}{row.polygons:>14,}{row.ha:>18,.2f}")
    echo(f"{'all':<22}{report.polygons:>14,}{report.ha:>18,.2f}")
    for note in report.notes:
        echo(f"Note: {in_line(note)}", err=True)
    echo(f"Wrote {report.out}.")
