"""``lulcmap assemble`` and ``lulcmap status``: what is done with a run folder."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lulcmap.cli.app import configure_logging, json_option, logging_options
from lulcmap.cli.format import duration
from lulcmap.cli.predict import show

if TYPE_CHECKING:
    from lulcmap.run import RunStatus

_MOST = 5
"""Failed blocks that are named."""


@click.command(short_help="Join a run's blocks to its map.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="The COG to write.  [default: RUN less .run]"
)
@click.option(
    "--min-coverage",
    type=click.FloatRange(0, 1),
    default=0.99,
    help="Share of the area with a class below which the exit code is 4.",
)
@click.option("--zones", is_flag=True, help="Write each UTM zone too, on its own grid.")
@click.option("--keep-run", is_flag=True, help="Keep the run folder.")
@click.option("--overwrite", is_flag=True, help="Replace a map that was made to another plan.")
@logging_options
@json_option
@click.pass_context
def assemble(
    ctx: click.Context,
    /,
    *,
    run: Path,
    out: Path | None,
    min_coverage: float,
    zones: bool,
    keep_run: bool,
    overwrite: bool,
    verbose: int,
    quiet: bool,
    log_format: str,
    as_json: bool,
) -> None:
    """Join the blocks in RUN, the folder <out>.run, to the map, once all its shards are done.

    \b
        lulcmap predict --aoi france.geojson --year 2024 --out france.tif --shard 1/2
        lulcmap predict --aoi france.geojson --year 2024 --out france.tif --shard 2/2
        lulcmap assemble france.tif.run
    """
    configure_logging(verbose=verbose, quiet=quiet, log_format=log_format)
    from lulcmap.cli.progress import bars
    from lulcmap.output.assemble import assemble_run

    with bars(hidden=quiet or log_format == "json") as progress:
        report = assemble_run(
            run,
            out,
            min_coverage=min_coverage,
            zones=zones,
            keep_run=keep_run,
            overwrite=overwrite,
            progress=progress,
        )
    show(ctx, report, quiet=quiet, as_json=as_json)


@click.command(short_help="Say how far a run is.")
@click.argument("run", type=click.Path(path_type=Path))
@json_option
def status(*, run: Path, as_json: bool) -> None:
    """Say how far the run in RUN is, the folder <out>.run: blocks done, left and failed, how fast.

    Reads the folder and changes nothing there, so it may be asked at any time, from any machine
    that sees the folder.
    """
    import json

    from lulcmap.run import status as status_of

    found = status_of(run)
    click.echo(json.dumps(found.to_dict(), indent=2) if as_json else _table(found))


def _table(found: "RunStatus") -> str:
    lines = [
        f"{found.path}: {found.state}, {found.done:,} of {found.blocks:,} blocks done, "
        f"{found.left:,} left"
    ]
    if found.rate and found.eta is not None:
        lines.append(f"{found.rate:,.3g} blocks an hour, about {duration(found.eta)} to go")
    for worker in found.workers:
        doing = f"at {worker.stage}" if worker.alive else f"stopped at {worker.stage}"
        lines.append(
            f"  {worker.name:<12} process {worker.pid} on {worker.host}, {doing}: {worker.done:,} "
            f"of {worker.blocks:,} blocks, last heard of {worker.at}"
        )
    if found.failed:
        lines.append(f"{len(found.failed):,} blocks failed; --retry-failed makes only those:")
    lines += [f"  {name}: {why}" for name, why in list(found.failed.items())[:_MOST]]
    if len(found.failed) > _MOST:
        lines.append(f"  and {len(found.failed) - _MOST:,} more; --json has them all")
    return "\n".join(lines)
