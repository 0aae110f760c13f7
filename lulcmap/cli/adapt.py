"""``lulcmap adapt``: a better model for a land, from labels of it."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from lulcmap.cli.app import json_option
from lulcmap.cli.command import Command
from lulcmap.cli.options import imagery_options, period_of, period_options, setting
from lulcmap.cli.terminal import echo, in_line, note_lost_output

if TYPE_CHECKING:
    from lulcmap.adaptation import Adaptation, CatalogImagery, Imagery

NOT_BETTER = 1
"""Exit code if no way is better than the model as it is, and nothing is written."""

_PATH = click.Path(path_type=Path)


class _NewClass(click.ParamType[tuple[str, str | None]]):
    """A class and its colour: oil_palm or oil_palm=7B8F1A."""

    name = "new class"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, str | None]:
        """Name and colour, None if it has none."""
        if isinstance(value, tuple):
            return value
        name, sign, colour = value.partition("=")
        if sign and not re.fullmatch("[0-9A-Fa-f]{6}", colour):
            self.fail(f"{value!r}: a colour is six hexadecimal digits, RRGGBB.", param, ctx)
        return name.strip(), colour.upper() or None


@click.command(cls=Command, short_help="Make a better model for a land, from labels of it.")
@setting(
    "model",
    "Model to adapt: a name from `lulcmap models`, or an ONNX file.  [default: the one marked * "
    "there]",
)
@click.option(
    "--labels",
    type=_PATH,
    required=True,
    help="Points or polygons with a column class: names or ids. What lulcmap label writes, or any "
    "vector file, or CSV with lon and lat.",
)
@click.option(
    "--out", type=_PATH, required=True, help="ONNX file to write, and its card beside it."
)
@click.option(
    "--composite",
    "composites",
    type=_PATH,
    multiple=True,
    help="Composite that lulcmap predict --save-composite kept; give it once for each. A label is "
    "looked at in the first that shows it. Instead of --aoi.",
)
@click.option(
    "--aoi",
    metavar="FILE|W,S,E,N",
    help="Area of the map, as for predict; only the land around labels is read.",
)
@click.option("--layer", help="Layer of --aoi, where it has several.")
@period_options
@click.option(
    "--way",
    type=click.Choice(["head", "whole", "both"]),
    default="head",
    help="head fits the last layer anew; whole trains the network on, which takes longer and needs "
    "lulcmap[train]; both tries both, and keeps the better.",
)
@click.option(
    "--new-class",
    "new_classes",
    type=_NewClass(),
    metavar="NAME[=RRGGBB]",
    multiple=True,
    help="Class that the model does not have, with its colour; give it once for each.",
)
@click.option("--name", help="Name of the new model.  [default: that of --out]")
@click.option(
    "--seed", type=click.IntRange(0), default=0, help="Random seed of the cross-validation."
)
@imagery_options
@click.option("--overwrite", is_flag=True, help="Replace the model at --out.")
@json_option
@click.pass_context
def adapt(
    ctx: click.Context,
    /,
    *,
    model: str | None,
    labels: Path,
    out: Path,
    composites: tuple[Path, ...],
    aoi: str | None,
    layer: str | None,
    way: str,
    new_classes: tuple[tuple[str, str | None], ...],
    name: str | None,
    seed: int,
    overwrite: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Make a better model for a land from some hundred --labels of it.

    \b
        lulcmap adapt --labels labels.gpkg --composite map-composite.tif --out mine.onnx
        lulcmap adapt --labels labels.gpkg --aoi country.geojson --year 2024 --out mine.onnx
        lulcmap predict --aoi country.geojson --year 2024 --model mine.onnx

    The labels are split into five parts, the labels of a square kilometre always together. Each
    part is judged by a model that learnt from the other four, and the model as it is by the same
    labels. The new model is written only if it is right more often, and the 95 % interval of the
    difference lies above 0; else nothing is written and the exit code is 1.

    It needs 50 labels at 10 places of 1 km, and 15 at 5 places of each new class.
    """
    import json

    from lulcmap.adaptation import KeptComposite, adapt_model
    from lulcmap.cli.progress import bars

    _check_source(ctx, composites, aoi, options)
    imagery: list[Imagery] = [KeptComposite.open(path) for path in composites]
    if aoi is not None:
        imagery = [_catalog(aoi, layer, options)]
    with bars(hidden=as_json) as progress:
        result = adapt_model(
            model,
            labels,
            imagery,
            out,
            ways=("head", "whole") if way == "both" else (way,),  # type: ignore[arg-type]
            new_classes=dict(new_classes),
            name=name,
            seed=seed,
            overwrite=overwrite,
            progress=progress,
        )
    if as_json:
        echo(json.dumps(result.to_json()))
    else:
        _show(result, aoi)
    note_lost_output()
    if result.out is None:
        ctx.exit(NOT_BETTER)


def _check_source(
    ctx: click.Context, composites: tuple[Path, ...], aoi: str | None, options: dict[str, Any]
) -> None:
    has_period = any(
        options[key] is not None for key in ("year", "month", "season", "last", "start", "end")
    )
    if bool(composites) == (aoi is not None):
        raise click.UsageError(
            "Give the imagery of the labels: --composite, which lulcmap predict --save-composite "
            "kept, or --aoi and a period, not both."
        )
    if composites and has_period:
        raise click.UsageError("A composite has its period already. Give no other.")
    given = [
        param.opts[0]
        for param in ctx.command.params
        if param.name in {"layer", *options}
        and ctx.get_parameter_source(param.name) is ParameterSource.COMMANDLINE
    ]
    if composites and given:
        raise click.UsageError(
            f"{given[0]} has no effect on a composite, which is made already. Leave it out, or "
            "give --aoi and a period instead of --composite."
        )


def _catalog(aoi: str, layer: str | None, options: dict[str, Any]) -> "CatalogImagery":
    from lulcmap.adaptation import CatalogImagery
    from lulcmap.geo import load_area
    from lulcmap.planning import Settings

    period = period_of(options)
    area = load_area(aoi, layer=layer)
    return CatalogImagery(area.name, area.polygon, period, Settings.of(options))


def _show(result: "Adaptation", aoi: str | None) -> None:
    """Print what was measured, and what to do next."""
    gone = ", ".join(f"{n} {in_line(reason)}" for reason, n in result.left_out.items())
    echo(
        f"{result.n_labels} labels at {result.n_places} places of 1 km"
        f"{f'; left out: {gone}' if gone else ''}."
    )
    for one in result.tried:
        echo(f"{one.way:<6} {one.gain.describe()}.")
        echo(f"       {'class':<24}{'labels':>7}{'F1 before':>11}{'after':>8}")
        for name, (n, before, after) in one.gain.of_classes.items():
            echo(f"       {in_line(name):<24}{n:>7}{before:>11.3f}{after:>8.3f}")
    for note in result.notes:
        echo(f"Note: {in_line(note)}", err=True)
    if result.out is None:
        echo(
            f"Nothing is written: on labels left out, {in_line(result.parent)} is not shown to be "
            "worse. Label more, spread over the land and the classes that the map confuses."
        )
        return
    echo(f"\n{result.out}: {in_line(result.parent)}, adapted ({result.chosen}). Map with it:\n")
    echo(f"    lulcmap predict --aoi {aoi or 'AREA'} --year YEAR --model {result.out}")
