"""``lulcmap sample``: draw points of a map, to be labelled."""

from pathlib import Path

import click

from lulcmap.cli.app import json_option
from lulcmap.cli.command import Command
from lulcmap.cli.terminal import echo, in_line, note_lost_output


@click.command(cls=Command, short_help="Draw a stratified random sample of a map, to be labelled.")
@click.argument("path", metavar="MAP", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--size", type=click.IntRange(1), required=True, help="Points in all.")
@click.option(
    "--min-per-class", type=click.IntRange(2), default=50, help="Least points of each class."
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, help="Random seed; the same seed, the same points."
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="GeoPackage to write.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing file and the labels in it.")
@json_option
def sample(
    *,
    path: Path,
    size: int,
    min_per_class: int,
    seed: int,
    out: Path,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Draw points at random in each class of MAP, to be labelled.

    Rare classes get --min-per-class points, the others share the rest by area, as Olofsson et al.
    (2014) recommend.

    \b
        lulcmap sample luxembourg-2024.tif --size 600 --out sample.gpkg
        lulcmap evaluate luxembourg-2024.tif --labels sample.gpkg

    In between, label the points without looking at the map: open the file in QGIS over imagery of
    the map's period, and write the class of the pixel around each point, by name or number, into
    the column `label`. Points left empty are not counted.
    """
    import json

    from lulcmap.cli.progress import bars
    from lulcmap.evaluation import check_sample_path, draw_sample, write_sample

    check_sample_path(out, overwrite=overwrite)
    with bars(hidden=as_json) as progress:
        points = draw_sample(
            path, size=size, min_per_class=min_per_class, seed=seed, progress=progress
        )
    write_sample(out, points, overwrite=overwrite)
    if as_json:
        strata = [stratum.to_json() for stratum in points.strata]
        echo(json.dumps({"out": str(out), "seed": seed, "strata": strata}))
    else:
        echo(f"{'class':<22}{'pixels':>16}{'km2':>16}{'points':>8}")
        for row in points.strata:
            name = in_line(row.name)
            echo(f"{name:<22}{row.pixels:>16,}{row.km2:>16,.2f}{row.points:>8}")
        echo(
            f"\n{out}: {len(points.lon)} points in random order. Write the class of each, by name "
            "or\nnumber, into its column `label`, without looking at the map; then:\n\n"
            f"    lulcmap evaluate {path} --labels {out}"
        )
    note_lost_output()
