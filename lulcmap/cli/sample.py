"""``lulcmap sample``: points of a map to be labelled."""

from pathlib import Path
from typing import Any

import click

from lulcmap.cli.app import json_option


@click.command(short_help="Draw a stratified random sample of a map, to be labelled.")
@click.argument("path", metavar="MAP", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--size", type=click.IntRange(1), required=True, help="Points in all.")
@click.option(
    "--min-per-class", type=click.IntRange(2), default=50, help="Points of each class at least."
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, help="The same one draws the same points."
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The GeoPackage to write.",
)
@click.option("--overwrite", is_flag=True, help="Replace the file, and labels in it, if it exists.")
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
    """Draw points at random in each class of MAP.

    Rare classes get --min-per-class points, the others share the rest by area, as Olofsson et al.
    (2014) recommend.

    \b
        lulcmap sample luxembourg-2024.tif --size 600 --out sample.gpkg
        lulcmap evaluate luxembourg-2024.tif --labels sample.gpkg

    In between, somebody who does not look at the map says what is there: open the file in QGIS over
    imagery of the map's period, and write the class of the pixel around each point, its name or its
    number, into the column `label`. Points left empty are not counted.
    """
    import json

    from lulcmap.cli.progress import bars
    from lulcmap.evaluation import check_sample_path, draw_sample, write_sample

    check_sample_path(out, overwrite=overwrite)
    with bars(hidden=as_json) as progress:
        drawn = draw_sample(path, size=size, least=min_per_class, seed=seed, progress=progress)
    write_sample(out, drawn, overwrite=overwrite)
    strata: list[dict[str, Any]] = [
        {
            "class": one.name,
            "value": one.value,
            "pixels": one.pixels,
            "km2": one.km2,
            "points": one.points,
        }
        for one in drawn.strata
    ]
    if as_json:
        click.echo(json.dumps({"out": str(out), "seed": seed, "strata": strata}))
        return
    click.echo(f"{'class':<22}{'pixels':>16}{'km2':>16}{'points':>8}")
    for row in strata:
        click.echo(f"{row['class']:<22}{row['pixels']:>16,}{row['km2']:>16,.2f}{row['points']:>8}")
    click.echo(
        f"\n{out}: {len(drawn.lon)} points in random order. Write the class of each into its\n"
        "column `label`, by name or number, without looking at the map; then:\n\n"
        f"    lulcmap evaluate {path} --labels {out}"
    )
