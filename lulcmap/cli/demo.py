"""``lulcmap demo``: see what it does, without a network and without data."""

import shlex
import shutil
from pathlib import Path

import click

YEAR = 2024


@click.command(short_help="Map a simulated country, offline, and compare with its truth.")
@click.argument("folder", default="lulcmap-demo", type=click.Path(file_okay=False, path_type=Path))
@click.option("--seed", type=click.IntRange(0, 999), default=7, help="Of the country.")
@click.pass_context
def demo(ctx: click.Context, folder: Path, seed: int) -> None:
    """Map a country that does not exist, with the very command for a real one.

    Writes the country's scenes, its map, its truth and a picture of them into FOLDER. Takes about a
    minute on two cores, and no network. Its model is not the default one but one that learnt from
    such countries; it never saw this one, for the seeds it was trained on begin at 1000.
    """
    from lulcmap.cli.predict import predict
    from lulcmap.errors import OutputError
    from lulcmap.simulation import (
        DEMO_MODEL,
        Country,
        draw_comparison,
        map_with_forest,
        score_map,
        simulate,
    )

    country = Country(seed=seed, year=YEAR)
    click.echo(
        f"Simulating a country of {country.height} x {country.width} pixels in {folder}: "
        f"{country.s2_dates} Sentinel-2 and {country.s1_dates} Sentinel-1 dates, two orbits each, "
        f"{country.cloud:.0%} cloud."
    )
    try:
        for stale in folder.glob("*.tif.run"):  # of another country
            shutil.rmtree(stale)
        made = simulate(folder, country)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written to ({error.strerror}); name another folder."
        ) from error
    out = folder / "map.tif"
    options = ["--aoi", str(made.aoi), "--year", str(YEAR), "--catalog", str(made.items)]
    options += ["--model", DEMO_MODEL, "--out", str(out), "--overwrite"]
    click.echo(f"$ lulcmap predict {shlex.join(options)}")
    ctx.invoke(predict.main, args=options, standalone_mode=False)

    map_with_forest(made, folder / "forest.tif", year=YEAR)
    map_of, forest = score_map(out, made), score_map(folder / "forest.tif", made)
    draw_comparison(out, made, year=YEAR, verdict=map_of, to=folder / "preview.png")
    click.echo(
        f"Made {out}, a Cloud-Optimized GeoTIFF in nine classes: {map_of.coverage:.2%} of the "
        "country is mapped.\n"
        f"Against the truth: mean IoU {map_of.mean_iou:.3f}, accuracy {map_of.accuracy:.1%}; a "
        f"random forest on the same pixels: {forest.mean_iou:.3f}, {forest.accuracy:.1%}.\n"
        f"Look at {folder / 'preview.png'}: what the satellites saw, the map, the truth."
    )
