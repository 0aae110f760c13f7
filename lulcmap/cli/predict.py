"""``lulcmap predict``: the map of an area."""

import logging
from pathlib import Path
from typing import Any

import click

from lulcmap.cli.options import map_options, of_map
from lulcmap.cli.plan import forecast
from lulcmap.cli.shell import configure_logging, json_option, logging_options

logger = logging.getLogger(__name__)


@click.command(short_help="Map the land cover of an area.")
@map_options
@click.option("--dry-run", is_flag=True, help="Only say what it will take, as `lulcmap plan`.")
@logging_options
@json_option
@click.pass_context
def predict(
    ctx: click.Context,
    /,
    *,
    aoi: str,
    layer: str | None,
    out: Path | None,
    dry_run: bool,
    verbose: int,
    quiet: bool,
    log_format: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Map the land cover of --aoi and write it to --out, a Cloud-Optimized GeoTIFF.

    \b
        lulcmap predict --aoi luxembourg.geojson --year 2024
        lulcmap predict --aoi 5.9,49.6,6.2,49.8 --start 2024-05-01 --end 2024-09-30

    Killed at any moment, the same command goes on where it was. The report is beside the map,
    <out>.report.json: what every pixel was mapped from, every scene used or skipped, and why.
    """
    configure_logging(verbose=verbose, quiet=quiet, log_format=log_format)
    if dry_run:
        forecast(ctx, aoi, out, layer=layer, as_json=as_json, **options)
        return
    from lulcmap.cli.progress import bars
    from lulcmap.pipeline import map_area

    period, settings = of_map(**options)
    with bars(hidden=quiet or log_format == "json") as progress:
        report = map_area(
            aoi, out, period=period, layer=layer, settings=settings, progress=progress
        )
    show(report, quiet=quiet, as_json=as_json)


def show(report: Any, *, quiet: bool, as_json: bool) -> None:
    """Print a finished map's report: JSON on stdout, or a line there and its warnings on stderr."""
    if as_json:
        import json

        click.echo(json.dumps(report.to_dict()))
        return
    for warning in report.warnings:
        logger.warning(warning)
    if not quiet:
        click.echo(report)
