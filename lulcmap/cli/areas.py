"""``lulcmap areas``: areas of the classes of a map, by region."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lulcmap.cli.app import json_option, refuse_given
from lulcmap.cli.command import Command
from lulcmap.cli.options import region_options
from lulcmap.cli.terminal import echo, in_line, note_lost_output

if TYPE_CHECKING:
    from lulcmap.products import AreaTable

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OUT = click.Path(dir_okay=False, path_type=Path)

_MAX_LINES = 40
"""Regions that are printed where a file holds them all."""


@click.command(cls=Command, short_help="Measure the area of each class of a map, by region.")
@click.argument("maps", metavar="MAP...", type=_FILE, nargs=-1, required=True)
@click.option(
    "--out", type=_OUT, help="Table to write: .csv, .xlsx, .parquet or .gpkg, by its ending."
)
@region_options
@click.option(
    "--accuracy",
    type=click.Path(exists=True, path_type=Path),
    help="Folder that `lulcmap evaluate` wrote for a labelled sample: adds error-adjusted areas.",
)
@click.option("--chart", type=_OUT, help="Bar chart to write, .png.")
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
@json_option
@click.pass_context
def areas(
    ctx: click.Context,
    /,
    *,
    maps: tuple[Path, ...],
    out: Path | None,
    regions: Path | None,
    region_column: str | None,
    layer: str | None,
    accuracy: Path | None,
    chart: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Measure the area of each class of MAP, of the whole or in each region.

    \b
        lulcmap areas luxembourg-2024.tif --out areas.csv
        lulcmap areas luxembourg-2024.tif --regions cantons.gpkg --out cantons.xlsx
        lulcmap areas luxembourg-2024.tif --accuracy accuracy --out areas.csv --chart areas.png

    Areas are true ones on the WGS 84 ellipsoid, whatever the map's CRS. A pixel at the border of a
    region counts with the exact share that the region covers. Percentages are of what is mapped of
    a region; what is not has a row of its own. Give all files of a map that has several parts.

    The areas of a map are biased by its errors. With --accuracy, columns give the error-adjusted
    areas and half their 95 % intervals (Olofsson et al. 2014).
    """
    import json

    from lulcmap.cli.progress import bars
    from lulcmap.products import check_table_path, draw_areas, measure_areas, write_areas

    if regions is None:
        refuse_given(ctx, ("region_column", "layer"), "They are for --regions.")
    inputs = [*maps, *(path for path in (regions, accuracy) if path is not None)]
    if out is not None:
        check_table_path(out, overwrite=overwrite, inputs=inputs)
    if chart is not None:
        check_table_path(
            chart, overwrite=overwrite, option="--chart", inputs=inputs, endings=[".png"]
        )
    with bars(hidden=as_json) as progress:
        table = measure_areas(
            maps,
            regions=regions,
            region_column=region_column,
            layer=layer,
            accuracy=accuracy,
            progress=progress,
        )
    if out is not None:
        write_areas(out, table, overwrite=overwrite)
    if chart is not None:
        draw_areas(chart, table, overwrite=overwrite)
    if as_json:
        echo(json.dumps(table.to_json()))
    else:
        _show(
            table, [path for path in (out, chart) if path is not None], is_written=out is not None
        )
    note_lost_output()


def _show(table: "AreaTable", written: list[Path], *, is_written: bool) -> None:
    """Print the areas, notes and what was written.

    Args:
        table: the areas.
        written: paths of the files that were written.
        is_written: whether one of them holds all rows.

    """
    if table.regions is None or not is_written:
        _show_rows(table)
    else:
        _show_regions(table)
    for note in table.notes:
        echo(f"Note: {in_line(note)}", err=True)
    for path in written:
        echo(f"Wrote {path}.")


def _show_rows(table: "AreaTable") -> None:
    """Print every row."""
    is_adjusted = any(row.adjusted is not None for row in table.rows)
    for region, rows in table.by_region().items():
        if table.regions is not None:
            echo(f"\n{in_line(region)}")
        head = f"{'class':<22}{'pixels':>16}{'ha':>16}{'km2':>14}{'percent':>9}"
        echo(head + f"{'adjusted ha':>32}" * is_adjusted)
        for row in rows:
            pixels = "-" if row.pixels is None else f"{row.pixels:,.0f}"
            percent = "-" if row.percent is None else f"{row.percent:.2f}"
            line = (
                f"{in_line(row.name):<22}{pixels:>16}{row.ha:>16,.2f}{row.km2:>14,.2f}{percent:>9}"
            )
            if row.adjusted is not None and row.adjusted.ha is not None:
                margin = "" if row.adjusted.ci95_ha is None else f" +- {row.adjusted.ci95_ha:,.2f}"
                line += f"{f'{row.adjusted.ha:,.2f}{margin}':>32}"
            echo(line)


def _show_regions(table: "AreaTable") -> None:
    """Print a line for each region: what is mapped of it, and its largest classes."""
    groups = table.by_region()
    echo(f"{'region':<32}{'mapped ha':>16}{'mapped':>9}  largest classes")
    for region, rows in list(groups.items())[:_MAX_LINES]:
        classes = sorted((row for row in rows if row.percent), key=lambda row: -row.ha)
        mapped, total = sum(row.ha for row in classes), sum(row.ha for row in rows)
        share = f"{mapped / total:.1%}" if total else "-"
        names = ", ".join(f"{row.name} {row.percent:.0f} %" for row in classes[:3])
        echo(f"{in_line(region):<32}{mapped:>16,.2f}{share:>9}  {names}")
    if len(groups) > _MAX_LINES:
        echo(f"and {len(groups) - _MAX_LINES:,} more in the table.")
