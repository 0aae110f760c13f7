"""``lulcmap seams``: check whether borders of blocks, windows and zones show in a map."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lulcmap.cli.app import json_option
from lulcmap.cli.command import Command
from lulcmap.cli.terminal import echo, in_line

if TYPE_CHECKING:
    from lulcmap.evaluation import SeamReport

_NAMES = {
    "block": "blocks",
    "window": "windows",
    "overlap": "middles of overlaps",
    "zone": "UTM zones",
}


@click.command(cls=Command, short_help="Look for seams in a map or a run.")
@click.argument("path", metavar="RUN|MAP", type=click.Path(exists=True, path_type=Path))
@json_option
@click.pass_context
def seams(ctx: click.Context, *, path: Path, as_json: bool) -> None:
    """Look for seams in a finished map, or in the blocks of a run folder.

    \b
        lulcmap seams luxembourg-2024.tif

    Neighbouring pixels must not differ more often across the borders of blocks, windows and UTM
    zones than 32 pixels away. The two rates are compared, with a 95 % interval of their ratio from
    a bootstrap over stretches of 64 pixels of border. A border is a seam if the ratio is above 1 at
    a confidence of 95 % for all four kinds at once.

    Exits with 1 if there is a seam, and prints where it is worst. Windows that are cropped instead
    of blended meet in the middle of their overlap, so that is checked too.
    """
    import json

    from lulcmap.cli.progress import bars
    from lulcmap.evaluation import find_seams

    with bars(hidden=as_json) as progress:
        report = find_seams(path, progress=lambda *done: progress("seams", *done))
    if as_json:
        echo(json.dumps({"path": str(path), **report.to_json()}))
    else:
        _show(report)
    ctx.exit(1 if report.seams else 0)


def _show(report: "SeamReport") -> None:
    """Print a table, the notes, and where the seams are worst."""
    echo(
        f"{'borders of':<20}{'pairs':>13}{'across':>10}{'32 px away':>12}{'ratio':>8}"
        f"{'95 % interval':>18}  verdict"
    )
    for border in report.borders:
        interval = "" if border.interval is None else "{:.3f} to {:.3f}".format(*border.interval)
        echo(
            f"{_NAMES[border.kind]:<20}{border.pairs:>13,}{_number(border.across, '.3%'):>10}"
            f"{_number(border.away, '.3%'):>12}{_number(border.ratio, '.3f'):>8}{interval:>18}"
            f"  {border.verdict}"
        )
    for note in report.notes:
        echo(in_line(note))
    if any(border.verdict == "not judged" for border in report.borders):
        echo("Not judged: fewer than 1,000 pairs, or too few changes.")
    for border in report.seams:
        rate = "and not at all" if border.ratio is None else f"{border.ratio:.2f} times as often as"
        place = "" if border.worst is None else "; worst near {:.4f},{:.4f}".format(*border.worst)
        echo(
            f"Seam: classes change across the borders of {_NAMES[border.kind]} {rate} 32 pixels "
            f"away{place} (longitude, latitude)."
        )
    if not report.seams:
        echo("No seams.")


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
