"""``lulcmap dataset``: build the dataset that a model is trained on, and check it."""

import json
import logging
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lulcmap.cli.app import json_option, refuse_given
from lulcmap.cli.command import Command, CommandGroup
from lulcmap.cli.images import archive_options, reading_options
from lulcmap.cli.label import label
from lulcmap.cli.logs import configure_logging, logging_options
from lulcmap.cli.options import option_of
from lulcmap.cli.shown import show_chips, show_reasons
from lulcmap.cli.terminal import echo, note_lost_output
from lulcmap.dataset import DatasetRequest, ImageArchive

if TYPE_CHECKING:
    from lulcmap.catalog import Period
    from lulcmap.dataset import BuildResult, CheckResult, Scheme

logger = logging.getLogger(__name__)

_PATH = click.Path(path_type=Path)
_DAY = click.DateTime(["%Y-%m-%d"])

_MAX_SHOWN = 5
"""Reasons and faults that are printed; the report has all."""


@click.group(cls=CommandGroup, short_help="Build and check datasets to train on.")
def dataset() -> None:
    """Build a dataset of labelled images, or let a model label them; check one."""


@dataset.command(cls=Command, short_help="Build a dataset from labels.")
@click.option(
    "--labels",
    required=True,
    type=_PATH,
    metavar="DIR|FILE",
    help="Folder of Dynamic World's label tiles, or your own raster or vector file.",
)
@click.option("--out", required=True, type=_PATH, help="Folder of the dataset.")
@archive_options
@option_of(
    DatasetRequest,
    "s1_days",
    "Days of Sentinel-1 before and after a label tile's day.",
    type=click.IntRange(0, 3650),
)
@option_of(
    ImageArchive,
    "keep_without_s1",
    "Keep labels without Sentinel-1 images.",
)
@option_of(
    DatasetRequest,
    "votes",
    "Scheme that merges the votes on a hold-out tile into one label.",
)
@option_of(
    DatasetRequest,
    "classes",
    "Your legend: code,name[,colour] in each row.",
    type=_PATH,
    metavar="CSV",
)
@option_of(
    DatasetRequest,
    "attribute",
    "Attribute of a vector file that holds the code.",
)
@option_of(
    DatasetRequest,
    "layer",
    "Layer of a vector file that has several.",
)
@click.option(
    "--year",
    type=int,
    help="Calendar year of the images, for your own labels; or give --start and --end.",
)
@click.option("--start", type=_DAY, metavar="YYYY-MM-DD", help="First day of the images.")
@click.option("--end", type=_DAY, metavar="YYYY-MM-DD", help="Last day of the images, included.")
@option_of(
    DatasetRequest,
    "validation",
    "Share of the places for validation, which decides when training stops.",
    type=click.FloatRange(0, 1),
)
@option_of(
    DatasetRequest,
    "test",
    "Share of the places for testing, besides the hold-out.",
    type=click.FloatRange(0, 1),
)
@option_of(
    DatasetRequest,
    "limit",
    "Make at most this many chips, for a trial.",
    type=click.IntRange(1),
)
@reading_options("Chips made at a time, and reader threads.")
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
    votes: "Scheme",
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
    **archive: Any,
) -> None:
    """Build a dataset in --out: for each label, a chip of Sentinel-2, Sentinel-1 and the label.

    \b
        lulcmap dataset build --labels dynamicworld --out chips
        lulcmap dataset build --labels vines.gpkg --classes vines.csv --year 2024 --out chips

    A label tile of Dynamic World gets the scene of its own day, clouds and all, and the mean of all
    Sentinel-1 scenes around that day. Your own labels are cut into chips of 512 pixels and get
    composites as `lulcmap predict` makes them. Places that overlap never fall into two splits.

    If interrupted, rerun the same command; it resumes. report.json in --out lists what was left out
    or skipped, and why.
    """
    configure_logging(verbose=verbose, quiet=quiet, log_format=log_format)
    if labels.exists():
        _check(ctx, tiles=labels.is_dir())
    from lulcmap.cli.progress import bars
    from lulcmap.dataset import build_dataset

    request = DatasetRequest(
        labels=labels,
        archive=ImageArchive(**archive),
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
        result = build_dataset(request, out, progress=progress)
    if as_json:
        echo(json.dumps(result.to_json()))
    elif not quiet:
        _show_build(result)
    note_lost_output()


def _check(ctx: click.Context, *, tiles: bool) -> None:
    """Check that the options fit the labels."""
    if tiles:
        reason = "Only for a vector file; --labels is a folder of Dynamic World's tiles."
        refuse_given(ctx, ("attribute", "layer"), reason)
    else:
        reason = "Only for Dynamic World's tiles; --labels is a file."
        refuse_given(ctx, ("votes", "s1_days"), reason)


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


def _show_build(result: "BuildResult") -> None:
    """Print the chips by split and by class, and the labels without one."""
    show_chips(result)
    show_reasons(
        result,
        {
            "Labels not used": result.left_out,
            "Labels without an image": result.skipped,
            "Labels that failed; rerun the same command to try them again": result.failed,
        },
    )


@dataset.command(cls=Command, short_help="Check a dataset, and show its statistics.")
@click.argument("folder", metavar="DIR", type=_PATH)
@json_option
@click.pass_context
def check(ctx: click.Context, *, folder: Path, as_json: bool) -> None:
    """Check every chip of a dataset: that its files are whole, and fit each other and the index.

    \b
        lulcmap dataset check chips

    Also checks that no two splits share ground. Writes the bands' statistics over the training
    split to statistics.json, and a picture of some chips to contact-sheet.png, both in DIR. Exits
    with 1 if there is a fault.
    """
    from lulcmap.cli.progress import bars
    from lulcmap.dataset import check_dataset

    with bars(hidden=as_json) as progress:
        result = check_dataset(folder, progress=lambda *done: progress("chips", *done))
    if as_json:
        echo(json.dumps(result.to_json()))
    else:
        _show_check(result)
    ctx.exit(1 if result.faults else 0)


def _show_check(result: "CheckResult") -> None:
    """Print the statistics, the notes and the faults."""
    echo(f"{'band':<6}{'mean':>12}{'std':>12}{'1 %':>10}{'99 %':>10}{'pixels':>16}")
    for name, band in result.statistics["bands"].items():
        values = [
            "-" if band[key] is None else f"{band[key]:,.{digits}f}"
            for key, digits in (("mean", 2), ("std", 2), ("p01", 0), ("p99", 0))
        ]
        echo(
            f"{name:<6}{values[0]:>12}{values[1]:>12}{values[2]:>10}{values[3]:>10}"
            f"{band['pixels']:>16,}"
        )
    echo(
        f"Chips: {result.statistics['chips']:,}, split {result.statistics['split']}. Sentinel-2 in "
        "DN without offset, Sentinel-1 in hundredths of a decibel."
    )
    for note in result.notes:
        echo(note)
    echo(f"See {result.sheet}.")
    for fault in result.faults[:_MAX_SHOWN]:
        logger.error(fault)
    if len(result.faults) > _MAX_SHOWN:
        logger.error("and %d more faults", len(result.faults) - _MAX_SHOWN)
    if not result.faults:
        echo(f"{len(result.dataset.rows):,} chips, no faults.")


dataset.add_command(label)
