"""``lulcmap demo``: try lulcmap offline and without data."""

import shlex
from pathlib import Path

import click

from lulcmap.cli.command import Command
from lulcmap.cli.terminal import echo, note_lost_output

_YEAR = 2024


@click.command(
    cls=Command, short_help="Map a simulated country offline and compare with its truth."
)
@click.argument("folder", default="lulcmap-demo", type=click.Path(file_okay=False, path_type=Path))
@click.option("--seed", type=click.IntRange(0, 999), default=7, help="Seed of the country.")
@click.pass_context
def demo(ctx: click.Context, folder: Path, seed: int) -> None:
    """Map a simulated country with the same command as a real one.

    Writes the country's scenes, map and truth, and a picture of them, to FOLDER. Takes about a
    minute on two cores and needs no network. The model is not the default one but one trained on
    simulated countries; it never saw this one, because its training seeds begin at 1000.
    """
    from lulcmap.cli.predict import predict
    from lulcmap.errors import OutputError
    from lulcmap.simulation import (
        DEMO_MODEL,
        FOREST_MAP,
        MAP,
        Country,
        clear_demo_folder,
        draw_comparison,
        map_with_forest,
        score_map,
        simulate,
    )

    country = Country(seed=seed, year=_YEAR)
    echo(
        f"Simulating a country of {country.height} x {country.width} pixels in {folder}: "
        f"{country.s2_dates} Sentinel-2 and {country.s1_dates} Sentinel-1 dates, two orbits each, "
        f"{country.cloud:.0%} cloud."
    )
    try:
        clear_demo_folder(folder)
        simulated = simulate(folder, country)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written to ({error.strerror}). Give another folder."
        ) from error
    out = folder / MAP
    options = ["--aoi", str(simulated.aoi), "--year", str(_YEAR), "--catalog", str(simulated.items)]
    options += ["--model", DEMO_MODEL, "--out", str(out), "--overwrite"]
    echo(f"$ lulcmap predict {shlex.join(options)}")
    ctx.invoke(predict.main, args=options, standalone_mode=False)

    map_with_forest(simulated, folder / FOREST_MAP, year=_YEAR)
    map_score, forest_score = score_map(out, simulated), score_map(folder / FOREST_MAP, simulated)
    draw_comparison(out, simulated, year=_YEAR, score=map_score, out_path=folder / "preview.png")
    echo(
        f"Wrote {out}, a Cloud-Optimized GeoTIFF of nine classes: {map_score.coverage:.2%} of the "
        "country is mapped.\n"
        f"Against the truth: mean IoU {map_score.mean_iou:.3f}, accuracy {map_score.accuracy:.1%}; "
        f"a random forest on the same pixels: {forest_score.mean_iou:.3f}, "
        f"{forest_score.accuracy:.1%}.\n"
        f"See {folder / 'preview.png'}: the satellite image, the map and the truth."
    )
    note_lost_output()
