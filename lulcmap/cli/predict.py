"""``lulcmap predict``: the map of an area."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lulcmap.cli.app import json_option, stop_after
from lulcmap.cli.command import Command
from lulcmap.cli.format import duration
from lulcmap.cli.logs import configure_logging, logging_options
from lulcmap.cli.options import map_options, request_of, setting
from lulcmap.cli.plan import forecast
from lulcmap.cli.terminal import echo, note_lost_output

if TYPE_CHECKING:
    from lulcmap.output import MapReport
    from lulcmap.system import BusyShares

logger = logging.getLogger(__name__)

INCOMPLETE = 4
"""Exit code of a map that covers less than ``--min-coverage``."""


@click.command(cls=Command, short_help="Map the land cover of an area.")
@map_options
@click.option(
    "--dry-run", is_flag=True, help="Print what the map will take, as `lulcmap plan`, and stop."
)
@click.option(
    "--shard",
    metavar="I/N",
    help="Make shard I of N, every N-th block; `lulcmap assemble` joins them.",
)
@click.option(
    "--dask",
    metavar="ADDRESS|local:N",
    help="Map the blocks on a Dask cluster, or on N processes here.",
)
@setting("retry_failed", "Map only the blocks that failed before.")
@click.option(
    "--timeout",
    type=click.FloatRange(0, 100_000_000, min_open=True),
    metavar="SECONDS",
    help="Stop after this time with exit code 124; rerun the same command to resume.",
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

    If interrupted, rerun the same command; it resumes. The report <out>.report.json says what every
    pixel was mapped from, and which scenes were used or skipped, and why. Parts of the area more
    than 500 km apart become separate maps, <out>-2.tif and so on.
    """
    configure_logging(verbose=verbose, quiet=quiet, log_format=log_format)
    if timeout is not None:
        if timeout != timeout:  # Click lets "nan" through
            raise click.BadParameter("nan is not a time.", param_hint="--timeout")
        stop_after(ctx, timeout)
    from lulcmap.run import Shard

    part = Shard.parse(shard) if shard is not None else None
    if dry_run:
        forecast(ctx, aoi, out, layer=layer, as_json=as_json, **options)
        return
    from lulcmap.blocks import dask_engine, map_blocks
    from lulcmap.cli.progress import bars
    from lulcmap.pipeline import map_area, map_shard

    period, settings = request_of(retry_failed=retry_failed, **options)
    engine = map_blocks if dask is None else dask_engine(dask)
    request: dict[str, Any] = {"period": period, "layer": layer, "settings": settings}
    with bars(hidden=quiet or log_format == "json") as progress:
        if part is not None:
            done = map_shard(aoi, out, shard=part, engine=engine, progress=progress, **request)
            if not quiet or as_json:
                echo(json.dumps(done.to_json()) if as_json else done)
                note_lost_output()
            return
        report = map_area(aoi, out, engine=engine, progress=progress, **request)
    show(ctx, report, quiet=quiet, as_json=as_json)


def show(ctx: click.Context, report: "MapReport", *, quiet: bool, as_json: bool) -> None:
    """Print a finished map's report: JSON on stdout, or a line there and its warnings on stderr.

    Exits with code 4 if too little was mapped.
    """
    if as_json:
        stages = {name: shares.to_json() for name, shares in report.stages.items()}
        echo(json.dumps({**report.to_json(), **({"stages": stages} if stages else {})}))
    else:
        for warning in report.warnings:
            logger.warning(warning)
        if not quiet:
            if report.stages:
                echo(_times(report.stages), err=True)
            echo(f"Model {report.model.name} {report.model.quality}.", err=True)
            echo(report)
    note_lost_output()
    if not report.complete:
        logger.error(
            "%s covers %.1f %% of the area, less than the %.1f %% of --min-coverage. The map is "
            "kept; its report says what is missing.",
            report.map,
            report.coverage * 100,
            report.min_coverage * 100,
        )
        ctx.exit(INCOMPLETE)


def _times(stages: "Mapping[str, BusyShares]") -> str:
    """How long the stages of a run took, and what the blocks waited for."""
    total = sum(shares.seconds for shares in stages.values())
    named = ", ".join(f"{name} {duration(shares.seconds)}" for name, shares in stages.items())
    blocks = stages.get("blocks")
    busy = f" Busy in the blocks: {blocks}." if blocks is not None and blocks.busy else ""
    return f"Took {duration(total)}: {named}.{busy}"
