"""``lulcmap dataset label``: a dataset of real scenes that a model labels."""

import json
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lulcmap.cli.app import json_option
from lulcmap.cli.command import Command
from lulcmap.cli.images import archive_options, reading_options
from lulcmap.cli.logs import configure_logging, logging_options
from lulcmap.cli.options import option_of, period_of, period_options
from lulcmap.cli.shown import show_chips, show_reasons
from lulcmap.cli.terminal import echo, in_line, note_lost_output
from lulcmap.dataset import ImageArchive, LabelRequest

if TYPE_CHECKING:
    from lulcmap.dataset import LabelResult

_PATH = click.Path(path_type=Path)


@click.command(cls=Command, short_help="Let a model label real scenes, as a dataset.")
@click.option(
    "--teacher",
    required=True,
    metavar="NAME|FILE",
    help="Model that labels: a name from `lulcmap models`, or an ONNX file.",
)
@click.option("--out", required=True, type=_PATH, help="Folder of the dataset.")
@click.option(
    "--aoi",
    metavar="FILE|W,S,E,N",
    help="Area to take the places from: every square of a grid that holds any of it.",
)
@click.option(
    "--places",
    type=_PATH,
    metavar="FILE",
    help="Points or polygons, one place around each: a vector file, or CSV with lon and lat.",
)
@click.option("--layer", help="Layer of --aoi or --places, where it has several.")
@period_options
@option_of(
    LabelRequest,
    "limit",
    "Label at most this many places, drawn at random.",
    type=click.IntRange(1),
)
@option_of(LabelRequest, "size", "Pixels a side of a chip, even.", type=click.IntRange(64, 2048))
@option_of(
    LabelRequest,
    "dates",
    "Dates of a place: the clearest of as many equal parts of the period.",
    type=click.IntRange(1, 100),
)
@click.option(
    "--average/--no-average",
    default=LabelRequest.average,
    help="Give every date of a place the mean label of all, or its own.",
)
@option_of(
    LabelRequest, "composites", "Make a chip of the period's composite too, with the mean label."
)
@option_of(
    LabelRequest,
    "min_margin",
    "Leave pixels unlabelled whose two best classes differ by less; the weight is the margin "
    "anyhow.",
    type=click.FloatRange(0, 1),
)
@option_of(
    LabelRequest,
    "max_sun_zenith",
    "Degrees between sun and zenith above which a date is left out.",
    type=click.FloatRange(0, 90),
)
@option_of(
    LabelRequest,
    "min_clear_share",
    "Share of a place that must be clear of cloud and haze on a date.",
    type=click.FloatRange(0, 1, min_open=True),
)
@option_of(LabelRequest, "max_scenes", "Dates looked at for a place.", type=click.IntRange(1, 1000))
@option_of(
    LabelRequest,
    "max_cloud",
    "Percent of cloud above which a Sentinel-2 scene is not looked at.",
    type=click.FloatRange(0, 100),
)
@archive_options
@option_of(LabelRequest, "s1", "Use of Sentinel-1; required leaves out dates without it.")
@option_of(
    LabelRequest,
    "s1_days",
    "Days of Sentinel-1 before and after a date.",
    type=click.IntRange(0, 3650),
)
@option_of(
    LabelRequest,
    "s1_dates",
    "Sentinel-1 dates averaged in a chip, the nearest to its day.",
    type=click.IntRange(1, 1000),
)
@option_of(
    LabelRequest,
    "validation",
    "Share of the places for validation, which decides when training stops.",
    type=click.FloatRange(0, 1),
)
@option_of(LabelRequest, "test", "Share of the places for testing.", type=click.FloatRange(0, 1))
@option_of(LabelRequest, "device", "Device the model runs on.")
@option_of(
    LabelRequest,
    "batch_size",
    "Windows in one call of the model, on a GPU.",
    type=click.IntRange(1, 1024),
)
@reading_options("Places read at a time, and reader threads.")
@logging_options
@json_option
def label(
    *,
    out: Path,
    aoi: str | None,
    verbose: int,
    quiet: bool,
    log_format: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Let a model label real scenes: a dataset in --out to train another model on.

    \b
        lulcmap dataset label --teacher dynamic-world --aoi togo.geojson --year 2024 \\
            --limit 500 --out togo
        lulcmap dataset label --teacher dynamic-world --places villages.csv --season 2024-JJA \\
            --composites --out villages

    A place gets a chip for each of its clearest dates, with the nearest Sentinel-1 dates, and a
    soft label: the teacher's probabilities of eight flips and rotations and of all dates, averaged,
    and the margin as each pixel's weight. Cloud, haze and low sun are left out. Places that overlap
    never fall into two splits.

    If interrupted, rerun the same command; it resumes. A larger --limit adds places. report.json in
    --out lists what was left out or skipped, and why.
    """
    configure_logging(verbose=verbose, quiet=quiet, log_format=log_format)
    from lulcmap.cli.progress import bars
    from lulcmap.dataset import label_scenes

    archive = ImageArchive(
        **{
            each.name: options.pop(each.name)
            for each in fields(ImageArchive)
            if each.name in options
        }
    )
    request = LabelRequest(period=period_of(options), area=aoi, archive=archive, **options)
    with bars(hidden=quiet or log_format == "json") as progress:
        result = label_scenes(request, out, progress=progress)
    if as_json:
        echo(json.dumps(result.to_json()))
    elif not quiet:
        _show(result)
    note_lost_output()


def _show(result: "LabelResult") -> None:
    """Print the chips by split and by class, and what was left out."""
    show_chips(result)
    if result.dates:
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in sorted(result.dates.items()))
        echo(f"\nDates left out: {kinds}.")
    if result.lost:
        echo(f"Images that could not be read: {len(result.lost):,} ({in_line(result.lost[0])} ...)")
    show_reasons(
        result,
        {
            "Places without a label": result.skipped,
            "Places that failed; rerun the same command to try them again": result.failed,
        },
    )
