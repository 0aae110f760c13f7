"""``lulcmap assemble`` and ``lulcmap status``: commands for run folders."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lulcmap.cli.app import json_option
from lulcmap.cli.command import Command
from lulcmap.cli.format import duration
from lulcmap.cli.logs import configure_logging, logging_options
from lulcmap.cli.options import (
    CONFIDENCE_OPTION,
    KEEP_RUN_OPTION,
    LICENSE_OPTION,
    MIN_COVERAGE_OPTION,
    OVERWRITE_OPTION,
    SIDECARS_OPTION,
    ZONES_OPTION,
)
from lulcmap.cli.predict import show
from lulcmap.cli.terminal import echo, in_line

if TYPE_CHECKING:
    from lulcmap.run import RunStatus

_MAX_NAMES = 5
"""Failed blocks that are named."""


@click.command(cls=Command, short_help="Make the map of a run's blocks.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="COG to write.  [default: RUN without .run]"
)
@MIN_COVERAGE_OPTION
@ZONES_OPTION
@CONFIDENCE_OPTION
@SIDECARS_OPTION
@LICENSE_OPTION
@KEEP_RUN_OPTION
@OVERWRITE_OPTION
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
    confidence: bool,
    sidecars: bool,
    license: str | None,
    keep_run: bool,
    overwrite: bool,
    verbose: int,
    quiet: bool,
    log_format: str,
    as_json: bool,
) -> None:
    """Join the blocks in RUN, the folder <out>.run, once all its shards are done.

    \b
        lulcmap predict --aoi france.geojson --year 2024 --out france.tif --shard 1/2
        lulcmap predict --aoi france.geojson --year 2024 --out france.tif --shard 2/2
        lulcmap assemble france.tif.run
    """
    configure_logging(verbose=verbose, quiet=quiet, log_format=log_format)
    from lulcmap.cli.progress import bars
    from lulcmap.output import assemble_run
    from lulcmap.planning import Settings

    with bars(hidden=quiet or log_format == "json") as progress:
        report = assemble_run(
            run,
            out,
            min_coverage=min_coverage,
            zones=zones,
            keep_run=keep_run,
            overwrite=overwrite,
            extras=Settings(confidence=confidence, sidecars=sidecars, license=license).extras,
            progress=progress,
        )
    show(ctx, report, quiet=quiet, as_json=as_json)


@click.command(cls=Command, short_help="Show the progress of a run.")
@click.argument("run", type=click.Path(path_type=Path))
@json_option
def status(*, run: Path, as_json: bool) -> None:
    """Show the progress of the run in RUN, the folder <out>.run: blocks done, left and failed.

    Only reads the folder, so it can be run at any time, from any machine that sees the folder. Of a
    map that is finished, and whose run folder is gone, it says where the map is.
    """
    import json

    from lulcmap.output import finished_map
    from lulcmap.run import run_status

    out = run.with_suffix("") if run.suffix == ".run" else run
    report = None if run.is_dir() else finished_map(out)
    if report is not None:
        made = {"run": str(run), "state": "finished", "map": str(out), "coverage": report.coverage}
        line = f"{out}: finished, {report.coverage:.1%} of {report.total:,} pixels mapped"
        echo(json.dumps(made, indent=2) if as_json else in_line(line))
        return
    status = run_status(run)
    echo(json.dumps(status.to_json(), indent=2) if as_json else _table(status))


def _table(status: "RunStatus") -> str:
    lines = [
        f"{status.path}: {status.state}, {status.done:,} of {status.blocks:,} blocks done, "
        f"{status.left:,} left"
    ]
    if status.rate and status.eta is not None:
        lines.append(f"{status.rate:,.3g} blocks an hour, about {duration(status.eta)} left")
    for worker in status.workers:
        beat = worker.beat
        stage = f"at {beat.stage}" if worker.alive else f"stopped at {beat.stage}"
        lines.append(
            f"  {worker.name:<12} process {beat.pid} on {beat.host}, {stage}: {beat.done:,} of "
            f"{beat.blocks:,} blocks, last heartbeat {beat.at}"
        )
        if beat.busy is not None and beat.busy.busy:
            lines.append(f"  {'':<12} busy: {beat.busy}")
    if status.failed:
        lines.append(f"Failed blocks: {len(status.failed):,}. --retry-failed makes only those.")
    lines += [
        f"  {in_line(f'{name}: {reason}')}"
        for name, reason in list(status.failed.items())[:_MAX_NAMES]
    ]
    if len(status.failed) > _MAX_NAMES:
        lines.append(f"  and {len(status.failed) - _MAX_NAMES:,} more; --json lists all")
    return "\n".join(lines)
