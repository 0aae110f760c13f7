"""``lulcmap clean``: merge small patches of a map into their neighbours."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lulcmap.cli.app import json_option
from lulcmap.cli.command import Command
from lulcmap.cli.terminal import echo, in_line, note_lost_output

if TYPE_CHECKING:
    from lulcmap.products import CleanReport


@click.command(cls=Command, short_help="Merge the small patches of a map into their neighbours.")
@click.argument("path", metavar="MAP", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="COG to write, .tif.",
)
@click.option(
    "--min-area",
    required=True,
    metavar="AREA",
    help="Area of the smallest patch that stays, with its unit: px, m2, ha or km2, such as 0.5ha.",
)
@click.option(
    "--keep",
    metavar="CLASS,...",
    help="Classes whose patches stay, whatever their area: names or ids, separated by commas.",
)
@click.option(
    "--connectivity",
    type=click.Choice(["4", "8"]),
    default="4",
    help="4: pixels of a patch share a side. 8: a corner is enough.",
)
@click.option("--overwrite", is_flag=True, help="Replace the cleaned map at --out.")
@json_option
def clean(
    path: Path,
    out: Path,
    *,
    min_area: str,
    keep: str | None,
    connectivity: str,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Merge the patches of MAP that are smaller than --min-area into their neighbours.

    \b
        lulcmap clean luxembourg-2024.tif --min-area 0.5ha --out luxembourg-2024-clean.tif
        lulcmap clean luxembourg-2024.tif --min-area 1ha --keep built,water --out clean.tif

    A small patch takes the class that it shares the longest border with among the neighbours that
    stay. Pixels without a class stay as they are. The cleaned map has the grid, colours, names and
    tags of MAP. Areas are true ones on the WGS 84 ellipsoid.
    """
    import json

    from lulcmap.cli.progress import bars
    from lulcmap.products import clean_map

    with bars(hidden=as_json) as progress:
        report = clean_map(
            path,
            out,
            min_area=min_area,
            keep=class_list(keep),
            connectivity=int(connectivity),
            overwrite=overwrite,
            progress=progress,
        )
    if as_json:
        echo(json.dumps(report.to_json()))
    else:
        _show(report)
    note_lost_output()


def class_list(text: str | None) -> list[str]:
    """The classes of an option, separated by commas."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _show(report: "CleanReport") -> None:
    """Print what was moved, of each class and in all."""
    head = f"{'class':<22}{'before ha':>16}{'after ha':>16}{'change':>9}"
    echo(f"{head}{'patches':>12}{'moved ha':>14}")
    for row in report.classes:
        change = f"{row.after_ha / row.before_ha - 1:+.1%}"
        echo(
            f"{in_line(row.name):<22}{row.before_ha:>16,.2f}{row.after_ha:>16,.2f}{change:>9}"
            f"{row.patches:>12,}{row.moved_ha:>14,.2f}"
        )
    echo(
        f"Moved {report.patches:,} patches below {report.minimum}, {report.moved_ha:,.2f} ha, "
        f"{report.moved_share:.2%} of what is mapped."
    )
    for note in report.notes:
        echo(f"Note: {in_line(note)}", err=True)
    echo(f"Wrote {report.out}.")
