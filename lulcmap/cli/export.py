"""``lulcmap export-onnx``: a training's checkpoint to the model file ``predict`` reads."""

from pathlib import Path

import click

from lulcmap.cli.app import need_torch


@click.command("export-onnx", short_help="Turn a training's checkpoint into a model file.")
@click.argument("checkpoint", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The ONNX file to write; beside the checkpoint, named after the model, if not given.",
)
@click.option("--name", help="Of the model; the network's own if not given.")
@click.option("--fp16", is_flag=True, help="Half precision: half the size, for GPUs.")
@click.option("--overwrite", is_flag=True, help="Replace the file, and its card, if they exist.")
def export_onnx(
    *, checkpoint: Path, out: Path | None, name: str | None, fp16: bool, overwrite: bool
) -> None:
    """Write CHECKPOINT as one ONNX file with its contract, and a model card beside it.

    The file is compared with the network, at several sizes and with either sensor missing, and
    kept only if it makes the same map. Takes one to four minutes.

    \b
        lulcmap export-onnx run/checkpoint.pt --out lulcformer-tiny.onnx
    """
    need_torch("Exporting")
    from lulcmap.training import describe, export_onnx, load_checkpoint

    saved = load_checkpoint(checkpoint)
    model = name or saved["config"]["name"]
    target = out or checkpoint.with_name(f"{model}{'-fp16' if fp16 else ''}.onnx")
    made = export_onnx(saved, target, name=name, fp16=fp16, overwrite=overwrite)
    for check in made.checks:
        click.echo(describe(check))
    click.echo(f"{made.path}: {made.path.stat().st_size / 1e6:.1f} MB; card: {made.card}")
