"""``lulcmap seams``: whether borders of blocks, windows and zones show in a map."""

from pathlib import Path
from typing import Any

import click

from lulcmap.cli.app import json_option

_NAMES = {
    "block": "blocks",
    "window": "windows",
    "overlap": "middles of overlaps",
    "zone": "UTM zones",
}


@click.command(short_help="Look for seams in a map or a run.")
@click.argument("path", metavar="RUN|MAP", type=click.Path(exists=True, path_type=Path))
@json_option
@click.pass_context
def seams(ctx: click.Context, *, path: Path, as_json: bool) -> None:
    """Look for seams in a finished map, or in the blocks of a run folder.

    \b
        lulcmap seams luxembourg-2024.tif

    Neighbouring pixels must not differ more often across the borders of blocks, windows and UTM
    zones than 32 pixels away. The two rates are compared, with a 95 % interval of their ratio from
    a bootstrap over stretches of 64 pixels of border. It is a seam where the ratio is above 1 with
    95 % for all four kinds at once.

    Exits with 1 if there is a seam, and says where it is worst. Windows meet in the middle of their
    overlap where they are cropped instead of blended, so that is judged too.
    """
    import json

    from lulcmap.cli.progress import bars
    from lulcmap.evaluation import find_seams

    with bars(hidden=as_json) as progress:
        found = find_seams(path, progress=lambda *done: progress("seams", *done))
    if as_json:
        click.echo(json.dumps(_facts(path, found)))
    else:
        _show(found)
    ctx.exit(1 if found.seams else 0)


def _facts(path: Path, found: Any) -> dict[str, Any]:
    """The findings as JSON."""
    from dataclasses import asdict
    from math import isfinite

    borders = []
    for border in found.borders:
        entry = {**asdict(border), "verdict": border.verdict}
        if border.interval is not None:  # JSON knows no infinity
            entry["interval"] = [end if isfinite(end) else None for end in border.interval]
        borders.append(entry)
    return {
        "path": str(path),
        "lattice": [found.lines.lattice.size, found.lines.lattice.step],
        "block_size": found.lines.block_size,
        "borders": borders,
        "notes": list(found.notes),
        "seam": bool(found.seams),
    }


def _show(found: Any) -> None:
    """Print a table, notes, and where the seams are."""
    click.echo(
        f"{'borders of':<20}{'pairs':>13}{'across':>10}{'32 px away':>12}{'ratio':>8}"
        f"{'95 % interval':>18}  verdict"
    )
    for border in found.borders:
        interval = "" if border.interval is None else "{:.3f} to {:.3f}".format(*border.interval)
        click.echo(
            f"{_NAMES[border.kind]:<20}{border.pairs:>13,}{_number(border.across, '.3%'):>10}"
            f"{_number(border.away, '.3%'):>12}{_number(border.ratio, '.3f'):>8}{interval:>18}"
            f"  {border.verdict}"
        )
    for note in found.notes:
        click.echo(note)
    if any(border.verdict == "not judged" for border in found.borders):
        click.echo("Not judged: fewer than 1,000 pairs, or hardly any change.")
    for border in found.seams:
        lon, lat = border.worst
        often = (
            "and not at all" if border.ratio is None else f"{border.ratio:.2f} times as often as"
        )
        click.echo(
            f"A seam: classes change across the borders of {_NAMES[border.kind]} {often} 32 pixels "
            f"away; worst near {lon:.4f},{lat:.4f} (longitude, latitude)."
        )
    if not found.seams:
        click.echo("No seam was found.")


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
