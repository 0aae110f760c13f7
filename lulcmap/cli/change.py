"""``lulcmap change``: what changed between maps of one place."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lulcmap.cli.app import json_option, refuse_given
from lulcmap.cli.command import Command
from lulcmap.cli.options import region_options
from lulcmap.cli.terminal import echo, in_line, note_lost_output

if TYPE_CHECKING:
    from lulcmap.products import ChangeTable

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OUT = click.Path(dir_okay=False, path_type=Path)

_MAX_FLOWS, _MAX_REGIONS = 10, 40
"""Changes and regions that are printed."""


@click.command(
    cls=Command, short_help="Compare maps of two years or more: what changed, and how much."
)
@click.argument("maps", metavar="MAP MAP...", type=_FILE, nargs=-1, required=True)
@click.option("--out", type=_OUT, help="Raster of changes to write, .tif.")
@click.option("--table", type=_OUT, help="Tables to write: .csv, .xlsx or .parquet.")
@click.option("--chart", type=_OUT, help="Picture of the flows between classes to write, .png.")
@region_options
@click.option(
    "--min-confidence",
    metavar="PERCENT",
    type=click.IntRange(0, 100),
    help="A pixel below it in a map is unsure. Maps need a confidence: predict --confidence.",
)
@click.option(
    "--yearly",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the most probable map of each year, of three maps or more.",
)
@click.option("--strata", type=_OUT, help="Raster of strata to write, .tif, for `lulcmap sample`.")
@click.option(
    "--accuracy",
    type=click.Path(exists=True, path_type=Path),
    help="Folder that `lulcmap evaluate` wrote for a labelled sample of --strata: adds "
    "error-adjusted areas.",
)
@click.option(
    "--allow",
    multiple=True,
    type=click.Choice(["grid", "legend", "model", "order"]),
    help="Compare maps of another grid, legend or model, or in another order; repeatable.",
)
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
@json_option
@click.pass_context
def change(
    ctx: click.Context,
    /,
    *,
    maps: tuple[Path, ...],
    out: Path | None,
    table: Path | None,
    chart: Path | None,
    regions: Path | None,
    region_column: str | None,
    layer: str | None,
    min_confidence: int | None,
    yearly: Path | None,
    strata: Path | None,
    accuracy: Path | None,
    allow: tuple[str, ...],
    overwrite: bool,
    as_json: bool,
) -> None:
    """Compare MAPs of one place, the oldest first: what changed, and how much.

    \b
        lulcmap change 2020.tif 2024.tif --out change.tif --table change.xlsx --chart flows.png
        lulcmap change 2020.tif 2024.tif --regions districts.gpkg --table districts.csv
        lulcmap change 2020.tif 2021.tif 2022.tif 2023.tif --out change.tif --yearly paths

    The raster has a value, a name and a colour for each pair of classes: with nine classes, 14 is
    from 1 to 4. Areas are true ones on the WGS 84 ellipsoid.

    With three maps or more, each pixel gets the most probable path of classes through the years,
    which removes flicker; the raster shows the first and the last year of it.

    Maps have errors, and a comparison shows them as change. For areas with 95 % intervals, sample
    the raster that --strata writes, label the points, evaluate it and give --accuracy.
    """
    import json

    from lulcmap.cli.progress import bars
    from lulcmap.products import check_change_path, draw_change, map_change, write_change

    if regions is None:
        refuse_given(ctx, ("region_column", "layer"), "They are for --regions.")
    inputs = [*maps, *(path for path in (regions, accuracy) if path is not None)]
    if table is not None:
        check_change_path(table, overwrite=overwrite, inputs=inputs)
    if chart is not None:
        check_change_path(
            chart, overwrite=overwrite, option="--chart", inputs=inputs, endings=[".png"]
        )
    with bars(hidden=as_json) as progress:
        found = map_change(
            maps,
            out,
            regions=regions,
            region_column=region_column,
            layer=layer,
            min_confidence=min_confidence,
            yearly=yearly,
            strata=strata,
            accuracy=accuracy,
            allow=allow,
            overwrite=overwrite,
            progress=progress,
        )
    if table is not None:
        write_change(table, found, overwrite=overwrite)
    if chart is not None:
        draw_change(chart, found, overwrite=overwrite)
    if as_json:
        echo(json.dumps(found.to_json()))
    else:
        _show(found)
        for path in (out, strata, yearly, table, chart):
            if path is not None:
                echo(f"Wrote {path}.")
        if strata is not None and accuracy is None:
            _say_how_to_sample(strata)
    note_lost_output()


def _show(table: "ChangeTable") -> None:
    """Print gains and losses, the largest changes, what a sample tells, and notes."""
    if len(table.regions) == 1:
        _show_classes(table)
        _show_flows(table)
    else:
        _show_regions(table)
    if table.adjusted:
        echo(f"\n{'error-adjusted':<40}{'mapped ha':>16}{'adjusted ha':>32}")
        for row in table.adjusted:
            margin = "" if row.ci95_ha is None else f" +- {row.ci95_ha:,.2f}"
            text = f"{row.ha:,.2f}{margin}"
            echo(f"{in_line(row.name):<40}{row.mapped_ha:>16,.2f}{text:>32}")
    echo()
    for note in table.notes:
        echo(f"Note: {in_line(note)}", err=True)


def _show_classes(table: "ChangeTable") -> None:
    """Print a line for each class."""
    first, last = (in_line(table.labels[i])[:10] for i in (0, -1))
    echo(
        f"{'class':<22}{f'{first} ha':>16}{f'{last} ha':>16}{'gain':>14}{'loss':>14}{'net':>14}"
        f"{'net %':>9}"
    )
    for row in table.classes:
        percent = f"{100 * row.net_ha / row.first_ha:+.1f}" if row.first_ha else "-"
        echo(
            f"{in_line(row.name):<22}{row.first_ha:>16,.2f}{row.last_ha:>16,.2f}"
            f"{row.gain_ha:>14,.2f}{row.loss_ha:>14,.2f}{row.net_ha:>+14,.2f}{percent:>9}"
        )


def _show_flows(table: "ChangeTable") -> None:
    """Print the largest changes."""
    flows = sorted((row for row in table.transitions if row.is_change), key=lambda row: -row.ha)
    changed, percent = sum(row.ha for row in flows), sum(row.percent for row in flows)
    echo(f"\n{'change':<44}{'ha':>16}{'percent':>9}")
    for row in flows[:_MAX_FLOWS]:
        name = f"{in_line(row.first)} to {in_line(row.last)}"
        echo(f"{name:<44}{row.ha:>16,.2f}{row.percent:>9.2f}")
    if len(flows) > _MAX_FLOWS:
        rest = flows[_MAX_FLOWS:]
        ha = sum(row.ha for row in rest)
        echo(f"{f'{len(rest):,} others':<44}{ha:>16,.2f}{sum(row.percent for row in rest):>9.2f}")
    echo(f"{'all':<44}{changed:>16,.2f}{percent:>9.2f}")


def _show_regions(table: "ChangeTable") -> None:
    """Print a line for each region: what changed, and its largest change."""
    echo(f"{'region':<32}{'changed ha':>16}{'percent':>9}  largest change")
    for region in table.regions[:_MAX_REGIONS]:
        flows = [row for row in table.transitions if row.region == region and row.is_change]
        largest = max(flows, key=lambda row: row.ha, default=None)
        name = "-" if largest is None else f"{largest.first} to {largest.last}, {largest.ha:,.2f}"
        echo(
            f"{in_line(region):<32}{sum(row.ha for row in flows):>16,.2f}"
            f"{sum(row.percent for row in flows):>9.2f}  {in_line(name)}"
        )
    if len(table.regions) > _MAX_REGIONS:
        echo(f"and {len(table.regions) - _MAX_REGIONS:,} more.")


def _say_how_to_sample(strata: Path) -> None:
    echo(
        "\nFor areas of change with intervals, draw a sample, label it over imagery of both years, "
        f"then\nevaluate it and compare again:\n\n    lulcmap sample {strata} --size 600 --out "
        f"sample.gpkg\n    lulcmap evaluate {strata} --labels sample.gpkg --out accuracy\n    "
        "lulcmap change ... --accuracy accuracy"
    )
