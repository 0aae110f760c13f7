"""``lulcmap dataset``: build what a model learns from, and look whether it is right."""

import json
import logging
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lulcmap.cli.app import configure_logging, json_option, logging_options, refuse_given

if TYPE_CHECKING:
    from lulcmap.catalog import Period
    from lulcmap.dataset import BuildResult, CheckResult

logger = logging.getLogger(__name__)

_PATH = click.Path(path_type=Path)
_DAY = click.DateTime(["%Y-%m-%d"])

_MOST_SHOWN = 5
"""Reasons and faults printed; a report has all."""


@click.group(short_help="Build and check datasets to train with.")
def dataset() -> None:
    """Build a dataset of labelled images, and check one."""


@dataset.command(short_help="Build a dataset from labels.")
@click.option(
    "--labels",
    required=True,
    type=_PATH,
    metavar="DIR|FILE",
    help="Folder of Dynamic World's label tiles, or a raster or vector file of your own.",
)
@click.option("--out", required=True, type=_PATH, help="Folder of the dataset.")
@click.option(
    "--catalog",
    default="planetary-computer",
    metavar="NAME|URL|FILE",
    help="planetary-computer, earth-search, cdse, a STAC API, or an ItemCollection file.",
)
@click.option(
    "--profile",
    metavar="NAME",
    show_default=False,
    help="The provider whose layout a URL or a file has.  [default: planetary-computer]",
)
@click.option("--s1-catalog", metavar="NAME|URL", help="Another catalogue for Sentinel-1.")
@click.option(
    "--orbit",
    type=click.Choice(["descending", "ascending", "any"]),
    default="descending",
    help="Direction of Sentinel-1.",
)
@click.option(
    "--s1-days",
    type=click.IntRange(0, 3650),
    default=180,
    help="Days of Sentinel-1 on either side of a label tile's day.",
)
@click.option(
    "--keep-without-s1", is_flag=True, help="Keep labels that no pass of Sentinel-1 shows."
)
@click.option(
    "--votes",
    type=click.Choice(["strict", "simple-majority", "consensus", "majority"]),
    default="consensus",
    help="How the votes on a tile of the hold-out become one label.",
)
@click.option(
    "--classes", type=_PATH, metavar="CSV", help="Your legend: code,name[,colour] in each row."
)
@click.option("--attribute", default="code", help="Of a vector file: where its codes are.")
@click.option("--layer", help="Of a vector file, where it has several.")
@click.option("--year", type=int, help="Of your own labels: year of the images; or the next two.")
@click.option("--start", type=_DAY, metavar="YYYY-MM-DD", help="First day of the images.")
@click.option("--end", type=_DAY, metavar="YYYY-MM-DD", help="Last day of the images, included.")
@click.option(
    "--validation",
    type=click.FloatRange(0, 1),
    default=0.1,
    help="Share of the places that training is stopped by.",
)
@click.option(
    "--test",
    type=click.FloatRange(0, 1),
    default=0.0,
    help="Share of the places to test with, besides the hold-out.",
)
@click.option("--limit", type=click.IntRange(1), help="Make at most so many chips, to try it.")
@click.option(
    "--max-lost",
    type=click.FloatRange(0, 1),
    default=0.1,
    help="Share of a chip's radar assets that may be unreadable; of all assets in composites.",
)
@click.option(
    "--patience",
    type=click.FloatRange(0),
    default=300,
    help="Seconds to wait for a server of scenes that is busy or down.",
)
@click.option(
    "--workers", type=click.IntRange(1, 256), default=4, help="Chips made, and threads that read."
)
@logging_options
@json_option
@click.pass_context
def build(
    ctx: click.Context,
    /,
    *,
    labels: Path,
    out: Path,
    classes: Path | None,
    votes: str,
    s1_days: int,
    attribute: str,
    layer: str | None,
    year: int | None,
    start: datetime | None,
    end: datetime | None,
    validation: float,
    test: float,
    limit: int | None,
    verbose: int,
    quiet: bool,
    log_format: str,
    as_json: bool,
    **source: Any,
) -> None:
    """Build a dataset in --out: a chip of Sentinel-2, Sentinel-1 and label for each of --labels.

    \b
        lulcmap dataset build --labels dynamicworld --out chips
        lulcmap dataset build --labels vines.gpkg --classes vines.csv --year 2024 --out chips

    A label tile of Dynamic World gets the scene of its own day, clouds and all, and the mean of all
    Sentinel-1 passes around that day. Labels of your own are cut into chips of 512 pixels and get
    composites as `lulcmap predict` makes them. Places that overlap never lie in two splits.

    Killed at any moment, the same command goes on where it was. --out has a report.json: what was
    left out or skipped, and why.
    """
    configure_logging(verbose=verbose, quiet=quiet, log_format=log_format)
    if labels.exists():
        _check(ctx, tiles=labels.is_dir())
    from lulcmap.cli.progress import bars
    from lulcmap.dataset import DatasetRequest, ImageArchive, build_dataset

    request = DatasetRequest(
        labels=labels,
        source=ImageArchive(**source),
        classes=classes,
        votes=votes,
        s1_days=s1_days,
        period=_period(year, start, end),
        attribute=attribute,
        layer=layer,
        validation=validation,
        test=test,
        limit=limit,
    )
    with bars(hidden=quiet or log_format == "json") as progress:
        built = build_dataset(request, out, progress=progress)
    if as_json:
        click.echo(json.dumps(built.to_dict()))
    elif not quiet:
        _show_built(built)


def _check(ctx: click.Context, *, tiles: bool) -> None:
    """See that the options fit the labels."""
    if tiles:
        why = "They are for a file of labels, and --labels is a folder of Dynamic World's tiles."
        refuse_given(ctx, ("attribute", "layer"), why)
    else:
        why = "They are for Dynamic World's tiles, and --labels is a file."
        refuse_given(ctx, ("votes", "s1_days"), why)


def _period(year: int | None, start: datetime | None, end: datetime | None) -> "Period | None":
    if year is None and start is None and end is None:
        return None
    from lulcmap.catalog import make_period

    return make_period(
        year=year,
        start=start.date() if start else None,
        end=end.date() if end else None,
        today=date.today(),
    )


def _show_built(built: "BuildResult") -> None:
    """Print what was made, by split and by class, and what was not."""
    totals, histogram = built.totals(), built.histogram()
    click.echo(f"{built.out}: {len(built.rows):,} chips, {built.made:,} of them made now.")
    click.echo(f"{'split':<12}{'chips':>9}{'places':>9}{'labelled px':>16}{'unlabelled':>12}")
    for split, found in totals.items():
        pixels = found["labelled"] + found["unlabelled"]
        share = f"{found['unlabelled'] / pixels:.1%}" if pixels else "-"
        click.echo(
            f"{split:<12}{found['chips']:>9,}{found['places']:>9,}{found['labelled']:>16,}"
            f"{share:>12}"
        )
    click.echo("\nShare of the labelled pixels")
    wide = max(len("class"), *(len(name) for name in built.names)) + 2
    click.echo(f"{'class':<{wide}}" + "".join(f"{split:>12}" for split in histogram))
    for name in built.names:
        shares = [
            f"{counts[name] / totals[split]['labelled']:.2%}" if totals[split]["labelled"] else "-"
            for split, counts in histogram.items()
        ]
        click.echo(f"{name:<{wide}}" + "".join(f"{share:>12}" for share in shares))
    for what, reasons in (
        ("not used", built.left_out),
        ("without an image", built.skipped),
        ("failed; the same command tries them again", built.failed),
    ):
        if reasons:
            click.echo(f"\n{len(reasons):,} labels {what} (all in {built.out / 'report.json'}):")
            for name, reason in sorted(reasons.items())[:_MOST_SHOWN]:
                click.echo(f"  {name}: {reason}")


@dataset.command(short_help="Check a dataset, and show its statistics.")
@click.argument("folder", metavar="DIR", type=_PATH)
@json_option
@click.pass_context
def check(ctx: click.Context, *, folder: Path, as_json: bool) -> None:
    """Look at every chip of a dataset: whether its files are whole, fit each other and the index.

    \b
        lulcmap dataset check chips

    Also whether ground of one split is seen in another. Writes the bands' statistics over the
    training split into statistics.json, and a picture of some chips, contact-sheet.png, both in
    DIR. Exits with 1 if there is a fault.
    """
    from lulcmap.cli.progress import bars
    from lulcmap.dataset import check_dataset as look

    with bars(hidden=as_json) as progress:
        found = look(folder, progress=lambda *done: progress("chips", *done))
    if as_json:
        click.echo(
            json.dumps(
                {
                    "chips": len(found.dataset.rows),
                    "faults": found.faults,
                    "notes": found.notes,
                    "statistics": found.statistics,
                    "sheet": str(found.sheet),
                }
            )
        )
    else:
        _show_checked(found)
    ctx.exit(1 if found.faults else 0)


def _show_checked(found: "CheckResult") -> None:
    """Print the statistics, the notes and the faults."""
    bands = found.statistics["bands"]
    click.echo(f"{'band':<6}{'mean':>12}{'std':>12}{'1 %':>10}{'99 %':>10}{'pixels':>16}")
    for name, of in bands.items():
        values = [
            "-" if of[key] is None else f"{of[key]:,.{digits}f}"
            for key, digits in (("mean", 2), ("std", 2), ("p01", 0), ("p99", 0))
        ]
        click.echo(
            f"{name:<6}{values[0]:>12}{values[1]:>12}{values[2]:>10}{values[3]:>10}"
            f"{of['pixels']:>16,}"
        )
    click.echo(
        f"Of {found.statistics['chips']:,} chips, split {found.statistics['split']}. Sentinel-2 in "
        "DN without offset, Sentinel-1 in hundredths of a decibel."
    )
    for note in found.notes:
        click.echo(note)
    click.echo(f"Look at {found.sheet}.")
    for fault in found.faults[:_MOST_SHOWN]:
        logger.error(fault)
    if len(found.faults) > _MOST_SHOWN:
        logger.error("and %d more faults", len(found.faults) - _MOST_SHOWN)
    if not found.faults:
        click.echo(f"{len(found.dataset.rows):,} chips, and no fault was found.")
