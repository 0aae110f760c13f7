"""``lulcmap export-onnx``: export a checkpoint to a model file for ``predict``."""

from pathlib import Path

import click

from lulcmap.cli.app import need_torch
from lulcmap.cli.command import Command
from lulcmap.cli.terminal import echo, note_lost_output


@click.command("export-onnx", cls=Command, short_help="Export a checkpoint to a model file.")
@click.argument("checkpoint", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="ONNX file to write; by default beside the checkpoint, named after the model.",
)
@click.option("--name", help="Name of the model; by default the network's.")
@click.option("--fp16", is_flag=True, help="Half precision: half the file size, for GPUs.")
@click.option("--overwrite", is_flag=True, help="Replace the file and its card if they exist.")
def export_onnx(
    *, checkpoint: Path, out: Path | None, name: str | None, fp16: bool, overwrite: bool
) -> None:
    """Export CHECKPOINT to one ONNX file with its contract, and write a model card beside it.

    The file is compared with the network at several sizes and with either sensor missing, and kept
    only if it makes the same map. Takes one to four minutes.

    \b
        lulcmap export-onnx run/checkpoint.pt --out lulcformer-tiny.onnx
    """
    need_torch("Exporting")
    from lulcmap.training import export_onnx, load_checkpoint

    saved = load_checkpoint(checkpoint)
    default_name = name or saved["config"]["name"]
    target = out or checkpoint.with_name(f"{default_name}{'-fp16' if fp16 else ''}.onnx")
    model_file = export_onnx(saved, target, name=name, fp16=fp16, overwrite=overwrite)
    for check in model_file.checks:
        echo(check.describe())
    size = model_file.path.stat().st_size / 1e6
    echo(f"{model_file.path}: {size:.1f} MB; card: {model_file.card}")
    note_lost_output()
