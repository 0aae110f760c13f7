"""``lulcmap models``: list models, show one, fetch, add one, wrap one made elsewhere."""

from pathlib import Path

import click

from lulcmap.cli.app import json_option
from lulcmap.cli.command import Command, CommandGroup
from lulcmap.cli.terminal import echo, in_line, note_lost_output
from lulcmap.cli.wrap import wrap


@click.group(
    cls=CommandGroup,
    invoke_without_command=True,
    short_help="List models; show, fetch, add or wrap one.",
)
@click.pass_context
def models(ctx: click.Context) -> None:
    """List the shipped, fetched and added models; * marks the default.

    \b
        lulcmap models
        lulcmap models show lulcformer-tiny
    """
    if ctx.invoked_subcommand is not None:
        return
    from lulcmap.model import DYNAMIC_WORLD, cached_models, models_folder, shipped_models

    shipped, fetched = shipped_models(), cached_models()
    if not shipped:
        echo(f"No shipped models in {models_folder()}. Give a file: --model FILE.onnx.")
    names = [*(model.name for model in shipped), *(model.name for model in fetched)]
    width = max(map(len, names), default=0)
    for model in shipped:
        size = f"{model.path.stat().st_size / 1e6:.1f} MB" if model.path.is_file() else "missing"
        mark = "*" if model.default else " "
        echo(f"{mark} {model.name:<{width}}  {size:>9}  {model.summary}")
    for cached in fetched:
        size = f"{cached.path.stat().st_size / 1e6:.1f} MB"
        is_added = cached.name == DYNAMIC_WORLD.name
        what = DYNAMIC_WORLD.summary if is_added else f"fetched, sha256 {cached.sha256[:12]}"
        echo(f"  {cached.name:<{width}}  {size:>9}  {what}")
        if is_added:
            echo(f"NOTICE of {cached.name}: {' '.join(DYNAMIC_WORLD.notice.split())}")
    if DYNAMIC_WORLD.name not in names:
        echo(f"Can be added: {DYNAMIC_WORLD.summary}. lulcmap models add {DYNAMIC_WORLD.name}")


@models.command(cls=Command)
@click.argument("url", metavar="URL")
@click.option("--sha256", required=True, metavar="HEX", help="Expected sha256 of the file.")
@click.option("--name", help="Name for the model.  [default: that of the file]")
@json_option
def fetch(*, url: str, sha256: str, name: str | None, as_json: bool) -> None:
    """Download a model file and verify it; --model then accepts its name.

    \b
        lulcmap models fetch https://example.org/larger.onnx --sha256 0f3a...
        lulcmap predict --aoi luxembourg.geojson --year 2024 --model larger

    The file is kept in LULCMAP_CACHE, or ~/.cache/lulcmap. If it is incomplete or its sha256 is
    not the one given, nothing is kept.
    """
    import json

    from lulcmap.cli.progress import bars
    from lulcmap.model import fetch_model

    with bars(hidden=as_json) as progress:
        model = fetch_model(
            url, sha256=sha256, name=name, progress=lambda *done: progress("bytes", *done)
        )
    if as_json:
        values = {"name": model.name, "file": str(model.path), "sha256": model.sha256}
        echo(json.dumps(values))
    else:
        echo(f"Fetched {model.name}: {model.path}. See lulcmap models show {model.name}")
    note_lost_output()


@models.command(cls=Command)
@click.argument("name", metavar="NAME")
@click.option(
    "--from",
    "folder",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Folder of the released files on this machine, instead of a download.",
)
@json_option
def add(*, name: str, folder: Path | None, as_json: bool) -> None:
    """Make a model here from weights that others released: dynamic-world.

    \b
        lulcmap models add dynamic-world
        lulcmap predict --aoi luxembourg.geojson --year 2024 --model dynamic-world

    dynamic-world is the network of Google's Dynamic World (Apache-2.0), a second opinion: it sees
    Sentinel-2 only, is good on towns, and weak under low sun and in haze. Its weights, 1 MB, are
    fetched from Google's repository at a fixed commit, verified, and written as a model to
    LULCMAP_CACHE, or ~/.cache/lulcmap, with LICENSE and NOTICE. If it does not give the logits
    that are known of it, nothing is kept.

    Without a network, give the folder of variables.index and variables.data-00000-of-00001, such as
    model/forward/variables of a clone of github.com/google/dynamicworld, to --from.
    """
    import json

    from lulcmap.cli.progress import bars
    from lulcmap.model import DYNAMIC_WORLD, add_model

    with bars(hidden=as_json) as progress:
        model = add_model(name, folder=folder, progress=lambda *done: progress("bytes", *done))
    if as_json:
        values = {
            "name": model.name,
            "file": str(model.path),
            "sha256": model.sha256,
            "license": "Apache-2.0",
            "notice": DYNAMIC_WORLD.notice,
        }
        echo(json.dumps(values))
    else:
        echo(f"Added {model.name}: {model.path}")
        echo(f"{DYNAMIC_WORLD.summary}.")
        echo(f"Licence: {model.path.with_name('LICENSE')}. NOTICE:\n")
        echo(f"{DYNAMIC_WORLD.notice.strip()}\n")
        echo(f"See lulcmap models show {model.name}")
    note_lost_output()


@models.command(cls=Command)
@click.argument("model", metavar="NAME|FILE")
@json_option
def show(*, model: str, as_json: bool) -> None:
    """Print the contract and the card of a model.

    \b
        lulcmap models show lulcformer-tiny
    """
    import json

    from lulcmap.model import START, find_model, model_card, read_model

    file = read_model(find_model(model))
    contract, card = file.contract, model_card(model)
    if as_json:
        fields = json.loads(contract.to_json())
        values = {"file": str(file.path), "sha256": file.sha256, "contract": fields, "card": card}
        echo(json.dumps(values, indent=2))
        return
    echo(f"name        {in_line(contract.name)}")
    echo(f"file        {file.path}")
    echo(f"sha256      {file.sha256}")
    for name, item in contract.inputs.items():
        need = "optional" if item.optional else "required"
        echo(f"input {name}    {', '.join(item.bands)}")
        echo(f"            {item.dtype}, {item.unit}, nodata {item.nodata}, {need}")
    for name, scalar in contract.scalars.items():
        echo(f"scalar      {name}, {scalar.unit}, one a window")
    echo(f"output      {len(contract.classes)} classes, in cells of {contract.stride} px")
    numbered = zip(contract.ids, contract.classes, strict=True)
    classes = ", ".join(f"{id_} {name}" for id_, name in numbered)
    echo(f"classes     {in_line(classes)}")
    echo(f"windows     {contract.window} px every {contract.step} px of {contract.resolution:g} m")
    echo(f"precision   {contract.precision}, temperature {contract.temperature:g}")
    land = "" if contract.trained_on == "unknown" else " land"
    echo(f"trained on  {contract.trained_on}{land}")
    echo(f"quality     {in_line(contract.quality) or 'unknown: not measured by lulcmap'}")
    if contract.prior:
        shares = zip(contract.classes, contract.prior, strict=True)
        echo(f"prior       {', '.join(f'{name} {share:.1%}' for name, share in shares)}")
    for key, value in contract.training.items():
        if key == START:
            continue
        echo(f"training    {in_line(f'{key}: {value}')}")
    if card:
        echo(f"\n{card.strip()}")


models.add_command(wrap)
