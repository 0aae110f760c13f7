"""``lulcmap export-onnx``: export a checkpoint to a model file for ``predict``."""

from pathlib import Path
from typing import Any

import click

from lulcmap.cli.app import need_torch, refuse_given
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
@click.option(
    "--window",
    type=int,
    metavar="PX",
    help="Side of the windows to map in, a multiple of 32.  [default: the checkpoint's, or 512]",
)
@click.option(
    "--temperature-from",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Dataset to fit the temperature of the confidence to.",
)
@click.option(
    "--temperature-split",
    type=click.Choice(["validation", "test", "train", "all"]),
    default="validation",
    help="Split of --temperature-from.",
)
@click.option("--overwrite", is_flag=True, help="Replace the file and its card if they exist.")
@click.pass_context
def export_onnx(
    ctx: click.Context,
    /,
    *,
    checkpoint: Path,
    out: Path | None,
    name: str | None,
    fp16: bool,
    window: int | None,
    temperature_from: Path | None,
    temperature_split: str,
    overwrite: bool,
) -> None:
    """Export CHECKPOINT to one ONNX file with its contract, and write a model card beside it.

    The file is compared with the network at several sizes and with either sensor missing, and kept
    only if it makes the same map. Takes one to four minutes.

    \b
        lulcmap export-onnx run/checkpoint.pt --out lulcformer-tiny.onnx
        lulcmap export-onnx run/best.pt --temperature-from dataset --temperature-split test

    With --temperature-from, logits are divided by the temperature under which the labels of a
    dataset are most likely: the classes stay, and a confidence of 80 % is right about 80 % of the
    time there. Take places that the network did not learn from.
    """
    if temperature_from is None:
        refuse_given(ctx, ("temperature_split",), "It is the split of --temperature-from.")
    need_torch("Exporting")
    from lulcmap.training import check_export, export_onnx, load_checkpoint, with_window

    saved = load_checkpoint(checkpoint)
    if window is not None:
        saved = with_window(saved, window)
    default_name = name or saved["config"]["name"]
    target = out or checkpoint.with_name(f"{default_name}{'-fp16' if fp16 else ''}.onnx")
    check_export(target, overwrite=overwrite)
    if temperature_from is not None:
        saved = _calibrated(saved, temperature_from, temperature_split)
    model_file = export_onnx(saved, target, name=name, fp16=fp16, overwrite=overwrite)
    for check in model_file.checks:
        echo(check.describe())
    size = model_file.path.stat().st_size / 1e6
    echo(f"{model_file.path}: {size:.1f} MB; card: {model_file.card}")
    note_lost_output()


def _calibrated(saved: dict[str, Any], folder: Path, split: str) -> dict[str, Any]:
    """The checkpoint with a temperature fitted to a dataset."""
    from lulcmap.cli.progress import bars
    from lulcmap.dataset import Dataset
    from lulcmap.training import with_temperature

    with bars(hidden=False) as progress:
        fitted = with_temperature(
            saved, Dataset.open(folder), split, progress=lambda *done: progress("chips", *done)
        )
    fit = fitted["training"]["calibration"]
    how = "crosswise over the places" if fit["cross_fitted"] else "on the same place"
    echo(
        f"Temperature {fit['temperature']:.3g}, fitted to {fit['pixels']:,} pixels of "
        f"{fit['places']:,} place{'s' * (fit['places'] != 1)}: calibration error {fit['ece']:.1%} "
        f"before, {fit['ece_with_temperature']:.1%} after ({how})"
    )
    return fitted
