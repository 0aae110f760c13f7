"""``lulcmap models wrap``: give a foreign ONNX network its contract."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lulcmap.cli.app import json_option
from lulcmap.cli.command import Command
from lulcmap.cli.terminal import echo, in_line, note_lost_output

if TYPE_CHECKING:
    from lulcmap.model import WrappedModel

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"


class _Text(click.ParamType):  # type: ignore[type-arg]  # generic only since Click 8.4
    """A value that a function makes of the text."""

    def __init__(self, name: str, parse: Callable[[str], Any], expected: str) -> None:
        self.name, self.parse, self.expected = name, parse, expected

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        if not isinstance(value, str):
            return value
        try:
            return self.parse(value)
        except ValueError:
            self.fail(f"{value!r} is not {self.expected}.", param, ctx)


def _list(value: str) -> tuple[str, ...]:
    parts = tuple(part.strip() for part in value.split(","))
    if not all(parts):
        raise ValueError
    return parts


def _numbers(value: str) -> tuple[float, ...]:
    parts = _list(value)
    if not all(re.fullmatch(_NUMBER, part) for part in parts):
        raise ValueError
    return tuple(map(float, parts))


def _pair(value: str) -> tuple[float, float]:
    low, high = _numbers(value)
    if low >= high:
        raise ValueError
    return low, high


def _range(value: str) -> tuple[float, float]:
    match = re.fullmatch(rf"({_NUMBER})-({_NUMBER})", value.strip())
    if match is None or float(match[1]) >= float(match[2]):
        raise ValueError
    return float(match[1]), float(match[2])


def _missing(value: str) -> dict[str, float]:
    if value == "refuse":
        return {}
    fills = {}
    for part in _list(value):
        name, equals, number = part.partition("=")
        if name not in ("fill", "s1", "s2") or not equals or not re.fullmatch(_NUMBER, number):
            raise ValueError
        fills[name] = float(number)
    return fills


_NAMES = _Text("names", _list, "a list of names with commas")
_NUMBERS = _Text("numbers", _numbers, "a list of numbers with commas")
_PAIR = _Text("low,high", _pair, "two numbers with a comma, the smaller one first")
_PX = click.IntRange(min=1, max=65535)


@click.command(cls=Command, short_help="Give a network made elsewhere its contract.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Model to write.  [default: FILE-lulcmap.onnx beside it]",
)
@click.option(
    "--classes",
    metavar="CSV|NAMES",
    help="Classes: a CSV file with the header code,name,colour, or names with commas.",
)
@click.option(
    "--inputs",
    type=_NAMES,
    help="Sensors of two inputs in their order: s2,s1; or by name: image=s2,radar=s1.",
)
@click.option("--bands", type=_NAMES, help="Bands in the network's order, such as B04,B03,B02,VV.")
@click.option(
    "--reflectance",
    type=_Text("low-high", _range, "two numbers with a hyphen, such as 0-1"),
    help="Its numbers for reflectance 0 and 1: 0-1, 0-10000 (DN), 0-255.",
)
@click.option("--scale", type=float, help="Instead: factor of DN, such as 0.0001.")
@click.option("--offset", type=float, default=0.0, help="With --scale: what is added then.")
@click.option("--clip", type=_PAIR, help="Smallest and largest number of Sentinel-2 then.")
@click.option("--s1", type=click.Choice(["db", "linear"]), help="Unit of Sentinel-1.")
@click.option("--s1-clip", type=_PAIR, help="Smallest and largest number of Sentinel-1.")
@click.option("--mean", type=_NUMBERS, help="Means to subtract then, one a band or one for all.")
@click.option("--std", type=_NUMBERS, help="Standard deviations to divide by then.")
@click.option(
    "--missing",
    type=_Text("refuse|fill=x|s1=x", _missing, "refuse, fill=0, or s1=0"),
    default="refuse",
    help="Pixels without a sensor: map none, or show the network this number (after --std).",
)
@click.option(
    "--layout",
    type=click.Choice(["nchw", "nhwc"]),
    help="Order of its axes.  [default: read from the graph]",
)
@click.option("--window", type=_PX, help="Window, px.  [default: the graph's, or 512]")
@click.option("--step", type=_PX, help="Distance of windows, px.  [default: 3/4 of a window]")
@click.option("--stride", type=_PX, help="Cell of the output, px.  [default: measured]")
@click.option("--output", help="Output to map from, where there are several.")
@click.option(
    "--returns",
    type=click.Choice(["logits", "probabilities", "classes"]),
    help="What it returns.  [default: told from a test window]",
)
@click.option("--resolution", type=float, help="Pixel size, m, against what FILE says; only 10.")
@click.option("--name", help="Name of the model.  [default: that of the file]")
@click.option("--license", default="", help="Licence of the weights.")
@click.option("--trained-on", default="", help="Training data: simulated, real, or a description.")
@click.option("--quality", default="", help="Quality by its makers' word, one line.")
@click.option("--overwrite", is_flag=True, help="Replace the model if it exists.")
@json_option
def wrap(
    *,
    file: Path,
    out: Path | None,
    classes: str | None,
    overwrite: bool,
    as_json: bool,
    **said: Any,
) -> None:
    """Write FILE, an ONNX network made elsewhere, as a model for --model.

    \b
        lulcmap models wrap unet.onnx --bands B04,B03,B02,B08 --reflectance 0-1 \\
            --mean 0.1 --std 0.05 --classes legend.csv

    The graph then takes composites as lulcmap makes them, and does the rest itself: bands, scale,
    normalisation, missing values, order of axes, and logits at its end. Shapes, window, stride and
    what the network returns are read from FILE or measured; what no file tells is asked for.
    Metadata of QGIS's Deepness and of geoai give defaults. The model then maps a test window of
    typical pixels, and is kept only if predict could use it.
    """
    import json

    from lulcmap.model import WrapRequest, wrap_model

    legend, codes = _classes(classes)
    said = {key: value if value is not None else _EMPTY.get(key) for key, value in said.items()}
    request = WrapRequest(classes=legend, codes=codes, **said)
    target = out or file.with_name(f"{file.stem}-lulcmap.onnx")
    model = wrap_model(file, target, request, overwrite=overwrite)
    if as_json:
        echo(json.dumps(_fields(model)))
    else:
        _show(model)
    note_lost_output()


_EMPTY: dict[str, tuple[()]] = {"inputs": (), "bands": (), "mean": (), "std": ()}
"""Values of lists that were not given."""


def _classes(text: str | None) -> tuple[Any, Any]:
    """Classes and codes of a CSV file, or classes of names."""
    if text is None:
        return (), None
    if text.lower().endswith(".csv") or Path(text).is_file():
        from lulcmap.dataset import read_legend

        legend = read_legend(Path(text))
        return legend.classes, legend.codes
    from lulcmap.errors import UsageError
    from lulcmap.legend import LandCover, default_colour

    names = [name.strip() for name in text.split(",")]
    try:
        classes = tuple(
            LandCover(at, name, default_colour(at, name, len(names)))
            for at, name in enumerate(names)
        )
    except ValueError as error:
        raise UsageError(
            f"--classes: {error}. Give names with commas, or a CSV file with the header code,name."
        ) from error
    return classes, None


def _fields(model: "WrappedModel") -> dict[str, Any]:
    import json

    trial = model.trial
    return {
        "file": str(model.path),
        "contract": json.loads(model.contract.to_json()),
        "transform": list(model.transform),
        "output": model.output,
        "shown": [list(values) for values in model.shown],
        "logits": list(trial.shape),
        "shares": trial.shares,
        "covers": {name: list(found) for name, found in trial.covers.items()},
        "seconds_per_window": trial.seconds,
        "notes": list(model.notes),
    }


def _show(model: "WrappedModel") -> None:
    contract, trial = model.contract, model.trial
    for line in model.transform:
        echo(f"input     {in_line(line)}")
    echo(f"output    {in_line(model.output)}")
    echo(
        f"windows   {contract.window} px every {contract.step} px, in cells of "
        f"{contract.stride} px; logits {' x '.join(map(str, trial.shape))}"
    )
    echo(f"speed     {trial.seconds:.2f} s a window on the {trial.device}")
    for low, mean, high in model.shown:
        echo(f"numbers   {low:.3g} to {high:.3g}, {mean:.3g} on average, on typical pixels")
    shares = ", ".join(f"{name} {share:.0%}" for name, share in trial.shares.items())
    echo(f"classes   {in_line(shares)}")
    covers = ", ".join(
        f"{cover} as {name} ({share:.0%})" for cover, (name, share) in trial.covers.items()
    )
    echo(f"sees      {in_line(covers)}")
    for note in model.notes:
        echo(f"note      {in_line(note)}")
    echo(f"{model.path}: {model.path.stat().st_size / 1e6:.1f} MB. Its quality is not measured.")
    echo(f"Try it: lulcmap predict --model {model.path} ...")
