"""``lulcmap models``: the shipped models, and what one of them is."""

import click

from lulcmap.cli.app import json_option


@click.group(invoke_without_command=True, short_help="List models, show one, or fetch one.")
@click.pass_context
def models(ctx: click.Context) -> None:
    """List the models that are here, shipped and fetched; * marks the default.

    \b
        lulcmap models
        lulcmap models show lulcformer-tiny
    """
    if ctx.invoked_subcommand is not None:
        return
    from lulcmap.model import cached_models, models_folder, shipped_models

    found, fetched = shipped_models(), cached_models()
    if not found:
        click.echo(f"No model is shipped in {models_folder()}. Give a file: --model FILE.onnx.")
    names = [*(model.name for model in found), *(model.name for model in fetched)]
    width = max(map(len, names), default=0)
    for model in found:
        size = f"{model.path.stat().st_size / 1e6:.1f} MB" if model.path.is_file() else "missing"
        mark = "*" if model.default else " "
        click.echo(f"{mark} {model.name:<{width}}  {size:>9}  {model.summary}")
    for other in fetched:
        size = f"{other.path.stat().st_size / 1e6:.1f} MB"
        click.echo(f"  {other.name:<{width}}  {size:>9}  fetched, sha256 {other.sha256[:12]}")


@models.command()
@click.argument("url", metavar="URL")
@click.option("--sha256", required=True, metavar="HEX", help="That the file must have.")
@click.option("--name", help="To call it.  [default: the file's]")
@json_option
def fetch(*, url: str, sha256: str, name: str | None, as_json: bool) -> None:
    """Fetch a model file, verify it and keep it; --model takes its name then.

    \b
        lulcmap models fetch https://example.org/larger.onnx --sha256 0f3a...
        lulcmap predict --aoi luxembourg.geojson --year 2024 --model larger

    It is kept in LULCMAP_CACHE, or ~/.cache/lulcmap. With another sha256 than the one given, or
    cut off, nothing is kept.
    """
    import json

    from lulcmap.cli.progress import bars
    from lulcmap.model import fetch_model

    with bars(hidden=as_json) as progress:
        found = fetch_model(
            url, sha256=sha256, name=name, progress=lambda *done: progress("bytes", *done)
        )
    if as_json:
        said = {"name": found.name, "file": str(found.path), "sha256": found.sha256}
        click.echo(json.dumps(said))
    else:
        click.echo(f"{found.name} is in {found.path}. What it is: lulcmap models show {found.name}")


@models.command()
@click.argument("model", metavar="NAME|FILE")
@json_option
def show(*, model: str, as_json: bool) -> None:
    """Print the contract and the card of a model.

    \b
        lulcmap models show lulcformer-tiny
    """
    import json

    from lulcmap.model import find_model, model_card, read_model

    file = read_model(find_model(model))
    contract, text = json.loads(file.contract.to_json()), model_card(model)
    if as_json:
        shown = {"file": str(file.path), "sha256": file.sha256, "contract": contract, "card": text}
        click.echo(json.dumps(shown, indent=2))
        return
    agreed = file.contract
    click.echo(f"name        {agreed.name}")
    click.echo(f"file        {file.path}")
    click.echo(f"sha256      {file.sha256}")
    for name, wanted in agreed.inputs.items():
        need = "may be missing" if wanted.optional else "required"
        click.echo(f"input {name}    {', '.join(wanted.bands)}")
        click.echo(f"            {wanted.dtype}, {wanted.unit}, nodata {wanted.nodata}, {need}")
    click.echo(f"output      {len(agreed.classes)} classes, one cell of {agreed.stride} px a side")
    numbered = zip(agreed.ids, agreed.classes, strict=True)
    click.echo(f"classes     {', '.join(f'{id_} {name}' for id_, name in numbered)}")
    click.echo(f"windows     {agreed.window} px every {agreed.step} px of {agreed.resolution:g} m")
    click.echo(f"precision   {agreed.precision}, temperature {agreed.temperature:g}")
    click.echo(f"trained on  {agreed.trained_on} land")
    if agreed.quality:
        click.echo(f"quality     {agreed.quality}")
    if agreed.prior:
        shares = zip(agreed.classes, agreed.prior, strict=True)
        click.echo(f"prior       {', '.join(f'{name} {share:.1%}' for name, share in shares)}")
    for key, value in agreed.training.items():
        click.echo(f"training    {key}: {value}")
    if text:
        click.echo(f"\n{text.strip()}")
