"""``lulcmap sample``: draw points of a map, to be labelled."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lulcmap.cli.app import json_option, refuse_given
from lulcmap.cli.command import Command
from lulcmap.cli.terminal import echo, in_line, note_lost_output

if TYPE_CHECKING:
    from lulcmap.evaluation import MapSample, TrainingSample

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

_LEAST = {"accuracy": 50, "training": 10}
"""Least points of each class, by what the sample is for."""


@click.command(cls=Command, short_help="Draw points of a map, to be labelled.")
@click.argument("path", metavar="MAP", type=_FILE)
@click.option("--size", type=click.IntRange(1), required=True, help="Points in all.")
@click.option(
    "--for",
    "purpose",
    type=click.Choice(["accuracy", "training"]),
    default="accuracy",
    help="Draw at random, to estimate from; or choose where labels help the model most.",
)
@click.option(
    "--min-per-class",
    type=click.IntRange(2),
    show_default=False,
    help="Least points of each class.  [default: 50, or 10 for training]",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, help="Random seed; the same seed, the same points."
)
@click.option(
    "--quality",
    type=_FILE,
    show_default=False,
    help="Layer with the margin or confidence of each pixel, for training.  [default: "
    "MAP-quality.tif beside MAP]",
)
@click.option(
    "--composite",
    type=_FILE,
    show_default=False,
    help="Image whose spectra points are spread over, for training.  [default: MAP-composite.tif "
    "beside MAP]",
)
@click.option("--regions", type=_FILE, help="Polygons to spread points over, for training.")
@click.option("--region-column", default="name", help="Column of --regions with their names.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="GeoPackage to write.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing file and the labels in it.")
@json_option
@click.pass_context
def sample(
    ctx: click.Context,
    /,
    *,
    path: Path,
    size: int,
    purpose: str,
    min_per_class: int | None,
    seed: int,
    quality: Path | None,
    composite: Path | None,
    regions: Path | None,
    region_column: str,
    out: Path,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Draw points of MAP, to be labelled: at random, or where labels help the model most.

    \b
        lulcmap sample luxembourg-2024.tif --size 600 --out sample.gpkg
        lulcmap sample luxembourg-2024.tif --size 300 --for training --out training.gpkg

    At random, in each class of the map: rare classes get --min-per-class points, the others share
    the rest by area, as Olofsson et al. (2014) recommend. Accuracies and areas are estimated from
    these points, and from no others.

    With --for training, points lie where the model is unsure (a low margin in the map's quality
    layer, which `lulcmap predict --confidence` writes; without one, at boundaries of classes), rare
    classes get more than their share, and points are spread over the map and its spectra. The file
    says so, and `lulcmap evaluate` and `lulcmap areas` refuse it.

    Label the points with `lulcmap label`, or in QGIS: write the class of the pixel around each
    point, by name or number, into the column `label`, without looking at the map.
    """
    import json

    from lulcmap.cli.progress import bars
    from lulcmap.evaluation import (
        check_sample_path,
        draw_sample,
        draw_training_sample,
        load_regions,
        write_sample,
        write_training_sample,
    )

    if purpose == "accuracy":
        names = ("quality", "composite", "regions", "region_column")
        refuse_given(ctx, names, "They are for --for training.")
    elif regions is None:
        refuse_given(ctx, ("region_column",), "It is for --regions.")
    check_sample_path(out, overwrite=overwrite)
    drawing: dict[str, Any] = {
        "size": size,
        "min_per_class": min_per_class or _LEAST[purpose],
        "seed": seed,
    }
    with bars(hidden=as_json) as progress:
        if purpose == "accuracy":
            points = draw_sample(path, **drawing, progress=progress)
        else:
            chosen = draw_training_sample(
                path,
                **drawing,
                quality=quality,
                composite=composite,
                regions=None if regions is None else load_regions(regions, column=region_column),
                progress=progress,
            )
    if purpose == "accuracy":
        write_sample(out, points, overwrite=overwrite)
        described = {"strata": [stratum.to_json() for stratum in points.strata]}
    else:
        write_training_sample(out, chosen, overwrite=overwrite)
        described = chosen.to_json()
    if as_json:
        echo(json.dumps({"out": str(out), "seed": seed, **described}))
    elif purpose == "accuracy":
        _show(points, path, out)
    else:
        _show_training(chosen, path, out)
    note_lost_output()


def _show(points: "MapSample", path: Path, out: Path) -> None:
    """Print the strata of a random sample, and what to do next."""
    echo(f"{'class':<22}{'pixels':>16}{'km2':>16}{'points':>8}")
    for row in points.strata:
        echo(f"{in_line(row.name):<22}{row.pixels:>16,}{row.km2:>16,.2f}{row.points:>8}")
    echo(
        f"\n{out}: {len(points.lon)} points in random order. Label them without looking at the "
        f"map; then estimate:\n\n    lulcmap label {out} --map {path}\n"
        f"    lulcmap evaluate {path} --labels {out}"
    )


def _show_training(chosen: "TrainingSample", path: Path, out: Path) -> None:
    """Print the classes of a sample to train with, what it was chosen by, and what to do next."""
    described = chosen.to_json()
    echo(f"{'class':<22}{'pixels':>16}{'points':>8}")
    for row in described["classes"]:
        echo(f"{in_line(row['class']):<22}{row['pixels']:>16,}{row['points']:>8}")
    spread_over = " and ".join(described["spread_over"])
    echo(f"\nChosen by {in_line(chosen.source)}, spread over {spread_over}.")
    if not chosen.is_margin:
        echo(
            "Note: The map has no layer of confidence, so points are of rare classes and at "
            "boundaries. Map with lulcmap predict --confidence to choose where the model is "
            "unsure.",
            err=True,
        )
    echo(
        f"{out}: {len(chosen.lon)} points to train with; no accuracy is estimated from them. Label "
        f"them:\n\n    lulcmap label {out} --map {path}"
    )
