"""``lulcmap predict``: the map of an area."""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lulcmap.cli.app import configure_logging, json_option, logging_options, stop_after
from lulcmap.cli.options import map_options, of_map
from lulcmap.cli.plan import forecast

if TYPE_CHECKING:
    from lulcmap.output.report import MapReport

logger = logging.getLogger(__name__)

INCOMPLETE = 4
"""Exit code of a map with less than was wanted."""


@click.command(short_help="Map the land cover of an area.")
@map_options
@click.option("--dry-run", is_flag=True, help="Only say what it will take, as `lulcmap plan`.")
@click.option(
    "--shard",
    metavar="I/N",
    help="Map only every N-th block, from the I-th; `lulcmap assemble` joins them.",
)
@click.option(
    "--dask",
    metavar="ADDRESS|local:N",
    help="Map the blocks on a Dask cluster, or on N processes here.",
)
@click.option("--retry-failed", is_flag=True, help="Map only the blocks that failed before.")
@click.option(
    "--timeout",
    type=click.FloatRange(0, 1e8, min_open=True),
    metavar="SECONDS",
    help="Stop then with exit code 124; the same command goes on.",
)
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
    shard: str | None,
    dask: str | None,
    timeout: float | None,
    retry_failed: bool,
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
    <out>.report.json: what every pixel was mapped from, every scene used or skipped, and why. Parts
    of the area more than 500 km apart become maps of their own, <out>-2.tif and so on.
    """
    configure_logging(verbose=verbose, quiet=quiet, log_format=log_format)
    from lulcmap.run.shard import Shard

    part = Shard.parse(shard) if shard is not None else None
    if dry_run:
        forecast(ctx, aoi, out, layer=layer, as_json=as_json, **options)
        return
    if timeout is not None:
        if timeout != timeout:  # Click lets "nan" through
            raise click.BadParameter("nan is no time.", param_hint="--timeout")
        stop_after(timeout)
    from lulcmap.blocks.engine import map_blocks
    from lulcmap.cli.progress import bars
    from lulcmap.pipeline import map_area, map_shard

    period, settings = of_map(retry_failed=retry_failed, **options)
    given: dict[str, Any] = {"period": period, "layer": layer, "settings": settings}
    given["engine"] = map_blocks
    if dask is not None:
        from lulcmap.blocks.dask import on_dask

        given["engine"] = on_dask(dask)
    with bars(hidden=quiet or log_format == "json") as progress:
        if part is not None:
            done = map_shard(aoi, out, shard=part, progress=progress, **given)
            if not quiet or as_json:
                click.echo(json.dumps(done.to_dict()) if as_json else done)
            return
        report = map_area(aoi, out, progress=progress, **given)
    show(ctx, report, quiet=quiet, as_json=as_json)


def show(ctx: click.Context, report: "MapReport", *, quiet: bool, as_json: bool) -> None:
    """Print a finished map's report: JSON on stdout, or a line there and its warnings on stderr.

    Among these, the model and what it is worth.

    Leaves with exit code 4 if too little was mapped.
    """
    if as_json:
        click.echo(json.dumps(report.to_dict()))
    else:
        for warning in report.warnings:
            logger.warning(warning)
        if not quiet:
            model = report.facts["model"]
            click.echo(f"Model {model['name']} {model['worth']}.", err=True)
            click.echo(report)
    if not report.complete:
        logger.error(
            "%s shows %.1f %% of the area, and %.1f %% were wanted (--min-coverage). The map is "
            "kept; its report says what is missing.",
            report.map,
            report.coverage * 100,
            report.min_coverage * 100,
        )
        ctx.exit(INCOMPLETE)
