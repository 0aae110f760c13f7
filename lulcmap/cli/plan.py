"""``lulcmap plan``: what a map will take, before any pixel is read."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lulcmap.cli.app import json_option
from lulcmap.cli.command import Command
from lulcmap.cli.format import duration
from lulcmap.cli.logs import configure_logging, logging_options
from lulcmap.cli.options import map_options, request_of
from lulcmap.cli.terminal import echo

if TYPE_CHECKING:
    from lulcmap.planning import Estimate, S1Orbit

_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

_MAX_LISTED = 12
"""Most classes, orbits or years listed."""

_MAX_REASONS = 4
"""Most reasons to skip items listed."""

_MAX_MONTHS = 6
"""Most months without scenes listed."""

_SENSOR_NAMES = {"s2": "Sentinel-2", "s1": "Sentinel-1"}


@click.command(cls=Command, short_help="Show what a map will take, before reading any pixel.")
@map_options
@logging_options
@json_option
@click.pass_context
def plan(
    ctx: click.Context,
    /,
    *,
    aoi: str,
    layer: str | None,
    out: Path | None,
    verbose: int,
    quiet: bool,
    log_format: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Show what `lulcmap predict` with the same options will read, need and take. Write nothing.

    \b
        lulcmap plan --aoi luxembourg.geojson --year 2024

    Scenes, blocks and pixels are counted; bytes, time, memory and disk are estimates. If predict
    would refuse, such as for a missing credential, its error is printed last, and the exit code is
    the same.
    """
    configure_logging(verbose=verbose, quiet=quiet, log_format=log_format)
    forecast(ctx, aoi, out, layer=layer, as_json=as_json, **options)


def forecast(
    ctx: click.Context,
    aoi: str,
    out: Path | None,
    *,
    layer: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Print what a map will take, and exit with the code that making it would have."""
    import json

    from lulcmap.cli.progress import bars
    from lulcmap.pipeline import estimate_map

    period, settings = request_of(**options)
    with bars(hidden=as_json) as progress:
        estimate = estimate_map(
            aoi, out, period=period, layer=layer, settings=settings, progress=progress
        )
    echo(json.dumps(estimate.to_json(), indent=2) if as_json else table(estimate))
    if estimate.obstacles:
        ctx.exit(estimate.obstacles[0].exit_code)


def table(estimate: "Estimate") -> str:
    """An estimate as text, at most about 45 lines."""
    return "\n".join(
        [
            f"{estimate.area}, {_number(estimate.km2)} km2, {' to '.join(estimate.period)}",
            "",
            *_wrapped(_what(estimate)),
            "",
            *_calendar(estimate),
            "",
            *_wrapped(_scenes(estimate)),
            "",
            *_wrapped(_costs(estimate)),
            *_wrapped(("note", note) for note in estimate.notes),
            *_wrapped(("refused", obstacle.message) for obstacle in estimate.obstacles),
        ]
    )


def _wrapped(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Rows of a name and a text, wrapped to 100 columns."""
    import textwrap

    for name, text in rows:
        yield from textwrap.wrap(
            text,
            100,
            initial_indent=f"{name:<13}",
            subsequent_indent=" " * 13,
            break_long_words=False,
            break_on_hyphens=False,
        )


def _what(estimate: "Estimate") -> Iterator[tuple[str, str]]:
    yield "model", f"{estimate.model} on {estimate.device}"
    more = (
        f", and {len(estimate.classes) - _MAX_LISTED} more"
        if len(estimate.classes) > _MAX_LISTED
        else ""
    )
    yield "classes", ", ".join(estimate.classes[:_MAX_LISTED]) + more
    names = set(estimate.catalogs.values())
    by_sensor = ", ".join(f"{_SENSOR_NAMES[key]} {name}" for key, name in estimate.catalogs.items())
    yield "catalogue", names.pop() if len(names) == 1 else by_sensor
    for number, grid in enumerate(estimate.maps, 1):
        yield (
            "map" if len(estimate.maps) == 1 else f"map {number}",
            f"{grid.crs}, {grid.height:,} x {grid.width:,} = {_pixels(grid.pixels)}, "
            f"{_share(grid.filled)} filled",
        )
    for zone in estimate.zones:
        done = f" ({zone.done:,} done)" if zone.done else ""
        yield (
            "zone",
            f"EPSG:{zone.epsg}, {_counted(zone.blocks, 'block')}{done}, "
            f"{_counted(zone.windows, 'window')} to classify",
        )


def _calendar(estimate: "Estimate") -> Iterator[str]:
    """Dates and passes, one row per year and one column per month; a dot is none."""
    yield " " * 34 + " ".join(f"{month:>4}" for month in _MONTHS)
    months = [each.month for each in estimate.s2]
    for name, values in (
        ("Sentinel-2 dates", {each.month: each.dates or None for each in estimate.s2}),
        ("Sentinel-2 scenes", {each.month: each.scenes or None for each in estimate.s2}),
        ("Sentinel-2 % cloud", {each.month: each.cloud for each in estimate.s2}),
    ):
        yield from _years(name, values, months)
    for orbit in estimate.s1[:_MAX_LISTED]:
        yield from _years(_orbit(orbit), orbit.months, orbit.months)
    rest = estimate.s1[_MAX_LISTED:]
    if rest:
        yield f"... and {_counted(len(rest), 'more orbit')}; --json lists them all"


def _years(name: str, values: Mapping[str, float | None], months: Iterable[str]) -> Iterator[str]:
    in_period = set(months)
    for year in sorted({month[:4] for month in in_period})[-_MAX_LISTED:]:
        cells = []
        for month in range(1, 13):
            key = f"{year}-{month:02d}"
            value = values.get(key)
            cells.append(
                f"{value:>4.0f}" if value is not None else "   ." if key in in_period else "    "
            )
        yield f"{name:<28} {year} {' '.join(cells)}".rstrip()


def _orbit(orbit: "S1Orbit") -> str:
    number = "?" if orbit.orbit is None else orbit.orbit
    return f"Sentinel-1 {number:>3} {orbit.direction or 'direction unknown'}"


def _scenes(estimate: "Estimate") -> Iterator[tuple[str, str]]:
    gaps = estimate.gaps
    scenes = sum(each.scenes for each in estimate.s2)
    dates = sum(each.dates for each in estimate.s2)
    yield "Sentinel-2", f"{_counted(scenes, 'scene')} of {_counted(dates, 'date')}"
    if gaps.no_s1 is not None:
        passes = _counted(sum(each.found for each in estimate.s1), "pass", "passes")
        used = sum(each.used for each in estimate.s1)
        fill = sum(each.used for each in estimate.s1 if each.only_where_lacking)
        yield (
            "Sentinel-1",
            f"{used:,} of {passes} used"
            + (f", {fill:,} only where the others do not reach" if fill else ""),
        )
    if estimate.platforms:
        yield "satellites", ", ".join(f"{name} {n:,}" for name, n in estimate.platforms.items())
    skipped = [f"{reason}: {n:,}" for reason, n in estimate.skipped.items()]
    rest = len(skipped) - _MAX_REASONS
    more = [_counted(rest, "more reason")] if rest > 0 else []
    yield "skipped", "; ".join([*skipped[:_MAX_REASONS], *more]) or "nothing"
    lacks = [
        (gaps.no_s2, "without Sentinel-2"),
        (gaps.few_s2, f"with fewer than {_counted(gaps.wanted, 'date')} of it"),
    ]
    if gaps.no_s1 is not None:
        lacks.append((gaps.no_s1, "without Sentinel-1"))
    yield (
        "gaps",
        ", ".join(f"{_share(share)} {text}" for share, text in lacks)
        + f" (at {_counted(gaps.points, 'point')} of the area)",
    )
    if gaps.months:
        listed = ", ".join(gaps.months[:_MAX_MONTHS])
        more_months = " ..." if len(gaps.months) > _MAX_MONTHS else ""
        yield "", f"{_counted(len(gaps.months), 'month')} without Sentinel-2: {listed}{more_months}"


def _costs(estimate: "Estimate") -> Iterator[tuple[str, str]]:
    reads, seconds, disk = estimate.reads, estimate.seconds, estimate.disk
    yield "to read", f"about {_bytes(reads.bytes)} in {_counted(reads.requests, 'band')} of scenes"
    network = estimate.assumed["network_bytes_per_second"]
    yield (
        "time",
        f"about {duration(seconds.total)}: reading {duration(seconds.read)}, meanwhile "
        f"classifying {duration(seconds.classify)}, writing {duration(seconds.write)}",
    )
    yield (
        "",
        f"assumed: {_bytes(network)} per second from a provider; measured here: the model on a few "
        "windows, and how fast a tile is inflated",
    )
    yield from _prices(estimate)
    yield "memory", f"about {_bytes(estimate.memory)} at most"
    yield (
        "disk",
        f"about {_bytes(disk.run)} for the run ({_bytes(disk.free_for_run)} free), "
        f"{_bytes(disk.map)} for the map ({_bytes(disk.free_for_map)} free)",
    )
    yield (
        "credentials",
        ", ".join(f"{_SENSOR_NAMES[each.sensor]} {each.state}" for each in estimate.credentials),
    )


def _prices(estimate: "Estimate") -> Iterator[tuple[str, str]]:
    costs = estimate.costs
    largest = sorted(costs.cpu.items(), key=lambda entry: -entry[1])[:3]
    parts = ", ".join(f"{name} {share / costs.cpu_total:.0%}" for name, share in largest)
    yield "CPU", f"about {_hours(costs.cpu_total)}: {parts.replace('%', ' %')}"
    if costs.gpu is not None:
        yield "GPU", f"about {costs.gpu / 60:,.1f} minutes"
    for each in costs.egress:
        price = "price unknown" if each.dollars is None else f"${each.dollars:,.2f}"
        yield "egress", f"{each.source} {_bytes(each.bytes)}, {price} ({each.terms})"


def _hours(seconds: float) -> str:
    """CPU time: what a machine is paid by."""
    if seconds >= 360:
        return f"{_number(seconds / 3600)} CPU-hours"
    return f"{seconds:,.0f} CPU-seconds"


def _counted(n: int, noun: str, plural: str | None = None) -> str:
    """A count with its noun, such as ``1 block`` or ``2 passes``."""
    return f"{n:,} {noun if n == 1 else plural or f'{noun}s'}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _pixels(n: int) -> str:
    return f"{n / 1e9:,.2f} Gpx" if n >= 1e9 else f"{n / 1e6:,.2f} Mpx"


def _share(share: float) -> str:
    return f"{share:.1%}".replace("%", " %")


def _bytes(n: float) -> str:
    for size, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if n >= size:
            return f"{n / size:.3g} {name}" if n < 100 * size else f"{n / size:,.0f} {name}"
    return f"{n / 1e3:.0f} kB"
