"""``lulcmap evaluate``: measure a model or a map against labels."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lulcmap.cli.app import json_option, need_torch, refuse_given
from lulcmap.cli.command import Command
from lulcmap.cli.comparison import report_comparison
from lulcmap.cli.metrics import show_metrics
from lulcmap.cli.options import PRIOR_OPTION
from lulcmap.cli.terminal import echo, note_lost_output

if TYPE_CHECKING:
    from lulcmap.evaluation import Comparison, Evaluation, Predictor, Regions
    from lulcmap.model import Contract

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)

_MAPS = {".tif", ".tiff", ".vrt"}
_CHECKPOINT = ".pt"


@click.command(cls=Command, short_help="Measure a model or a map against labels.")
@click.argument("subject", metavar="MODEL|MAP")
@click.option(
    "--against",
    metavar="MODEL|MAP",
    help="Another model or map to compare with, on the same labels.",
)
@click.option("--data", type=_FOLDER, help="Dataset to measure a model on.")
@click.option(
    "--split",
    type=click.Choice(["test", "validation", "train", "all"]),
    default="test",
    help="Split of --data.",
)
@click.option(
    "--votes",
    type=click.Choice(["strict", "simple-majority", "consensus", "majority"]),
    default="consensus",
    help="Scheme that merges several annotators' votes into one label.",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda", "openvino"]),
    default="auto",
    help="Device to run the model on; a checkpoint does not run on openvino.",
)
@PRIOR_OPTION
@click.option("--labels", type=_FILE, help="Raster, points or polygons to measure a map against.")
@click.option(
    "--label-column",
    show_default=False,
    help="Column of points and polygons.  [default: label, or class of lulcmap label]",
)
@click.option(
    "--crosswalk",
    metavar="FILE|NAME",
    help="Classes of the map by code of --labels: a CSV file, dynamic-world, esri or worldcover.",
)
@click.option(
    "--regions",
    type=_FILE,
    show_default=False,
    help="Polygons to give metrics for.  [default: cells of 30 degrees]",
)
@click.option("--region-column", default="name", help="Column of --regions with their names.")
@click.option("--draws", type=click.IntRange(100), default=1000, help="Draws of the bootstrap.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Random seed of the bootstrap.")
@click.option("--out", type=_FOLDER, help="Folder for metrics.json, tables and pictures.")
@click.option("--overwrite", is_flag=True, help="Replace an existing evaluation in --out.")
@json_option
@click.pass_context
def evaluate(
    ctx: click.Context,
    /,
    *,
    subject: str,
    against: str | None,
    data: Path | None,
    split: str,
    votes: str,
    device: str,
    prior: str,
    labels: Path | None,
    label_column: str | None,
    crosswalk: str | None,
    regions: Path | None,
    region_column: str,
    draws: int,
    seed: int,
    out: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Measure a model on a dataset, or a finished map against labels.

    \b
        lulcmap evaluate run/checkpoint.pt --data dataset --out scores
        lulcmap evaluate lulcformer-tiny.onnx --data dataset --votes strict
        lulcmap evaluate luxembourg-2024.tif --labels sample.gpkg
        lulcmap evaluate luxembourg-2024.tif --labels worldcover.tif --crosswalk worldcover
        lulcmap evaluate mine.onnx --against lulcformer-tiny-real --data dataset

    A model is a training checkpoint, an ONNX file or a name from `lulcmap models`; a map is a
    GeoTIFF of classes. Prints mean IoU, overall accuracy, F1 and the metrics of each class with
    95 % confidence intervals (a bootstrap over places), metrics by region, calibration, and for a
    model the metrics of each sensor alone. For a sample drawn by `lulcmap sample`, also the
    area-adjusted accuracies and areas of Olofsson et al. (2014).

    With --against, prints instead how much better or worse the first is than the other, with a
    95 % confidence interval of the difference and a verdict.
    """
    import json

    from lulcmap.cli.progress import bars
    from lulcmap.evaluation import (
        Regions,
        check_evaluation_folder,
        evaluate_map,
        load_regions,
        write_evaluation,
    )

    _check(ctx, Path(subject).suffix.lower())
    if out is not None:
        check_evaluation_folder(out, overwrite=overwrite)
    if against is not None:
        comparison = _compare(ctx, subject, against, as_json=as_json)
        report_comparison(
            comparison.to_json(draws=draws, seed=seed), out, overwrite=overwrite, as_json=as_json
        )
        return
    areas = Regions() if regions is None else load_regions(regions, column=region_column)
    with bars(hidden=as_json) as progress:
        if labels is not None:
            evaluation = evaluate_map(
                Path(subject),
                labels,
                crosswalk=crosswalk,
                label_column=label_column,
                regions=areas,
                progress=lambda *done: progress("labels", *done),
            )
        else:
            evaluation = _evaluate_model(
                subject,
                data,
                split=split,
                votes=votes,
                device=device,
                prior=prior,
                regions=areas,
                progress=lambda *done: progress("chips", *done),
            )
    metrics = evaluation.to_json(draws=draws, seed=seed)
    if out is not None:
        write_evaluation(out, metrics, sample=evaluation.sample, overwrite=overwrite)
    if as_json:
        echo(json.dumps(metrics))
    else:
        show_metrics(metrics, out)
    if out is not None:
        note_lost_output()


def _check(ctx: click.Context, suffix: str) -> None:
    """Check that the options fit a model or a map."""
    is_map = suffix in _MAPS
    if is_map:
        reason = "A map is measured against --labels; a dataset is for a model."
        refuse_given(ctx, ("data", "split", "votes", "device", "prior"), reason)
    else:
        reason = (
            "A model is measured on --data, the folder of a dataset; labels are for a map (.tif)."
        )
        refuse_given(ctx, ("labels", "label_column", "crosswalk"), reason)
    if suffix == _CHECKPOINT:
        refuse_given(ctx, ("prior",), "Only for a model file; export the checkpoint first.")
    if ctx.params["labels" if is_map else "data"] is None:
        raise click.UsageError(reason)


def _compare(ctx: click.Context, subject: str, against: str, *, as_json: bool) -> "Comparison":
    """Compare two models on --data, or two maps against --labels."""
    from lulcmap.cli.progress import bars
    from lulcmap.dataset import Dataset
    from lulcmap.evaluation import compare_maps, compare_models

    given = ctx.params
    is_map = Path(subject).suffix.lower() in _MAPS
    if is_map != (Path(against).suffix.lower() in _MAPS):
        raise click.UsageError("--against compares a model with a model, or a map with a map.")
    refuse_given(ctx, ("regions", "region_column"), "A comparison is of all regions together.")
    with bars(hidden=as_json) as progress:
        if is_map:
            return compare_maps(
                Path(subject),
                Path(against),
                given["labels"],
                crosswalk=given["crosswalk"],
                label_column=given["label_column"],
                progress=lambda *done: progress("labels", *done),
            )
        if given["prior"] != "natural" and Path(against).suffix.lower() == _CHECKPOINT:
            raise click.UsageError(
                "--prior is only for model files; export the checkpoint of --against first."
            )
        opened = [
            _open_model(model, given["device"], given["prior"]) for model in (subject, against)
        ]
        return compare_models(
            [(predict, description) for predict, description, _ in opened],
            Dataset.open(given["data"]),
            split=given["split"],
            scheme=given["votes"],
            subjects=_distinct([named for *_, named in opened], (subject, against)),
            progress=lambda *done: progress("chips", *done),
        )


def _distinct(subjects: list[dict[str, Any]], given: tuple[str, str]) -> list[dict[str, Any]]:
    """Subjects whose names differ: as they were given, where the models' names are the same."""
    if subjects[0]["name"] != subjects[1]["name"]:
        return subjects
    files = [Path(one).absolute() for one in given]
    names = [one.name for one in files]
    if names[0] == names[1]:
        names = [f"{one.parent.name}/{one.name}" for one in files]
    if names[0] == names[1]:
        names = [f"{names[0]} (first)", f"{names[1]} (second)"]
    return [{**subject, "name": name} for subject, name in zip(subjects, names, strict=True)]


def _open_model(
    subject: str, device: Any, prior: Any
) -> "tuple[Predictor, Contract, dict[str, Any]]":
    """Open a checkpoint or a model file; with its contract, and itself as plain JSON."""
    from lulcmap.errors import UsageError
    from lulcmap.evaluation import open_onnx_predictor
    from lulcmap.model import find_model

    path = Path(subject)
    if path.suffix.lower() == _CHECKPOINT:
        if not path.is_file():
            raise UsageError(f"No file {subject}; give the checkpoint of a training.")
        if device == "openvino":
            raise UsageError(
                f"{subject} is a checkpoint, and --device openvino runs model files. Export it: "
                "lulcmap export-onnx."
            )
        need_torch("Evaluating a checkpoint")
        from lulcmap.training import checkpoint_predictor

        predict, description = checkpoint_predictor(path, device)
        kind = "checkpoint"
    else:
        predict, description = open_onnx_predictor(find_model(subject), device, prior)
        kind = "model file"
    named = {"name": description.name, "kind": kind, "file": path.name, "prior": prior}
    return predict, description, named


def _evaluate_model(
    subject: str,
    data: Any,
    *,
    split: str,
    votes: str,
    device: Any,
    prior: Any,
    regions: "Regions",
    progress: Any,
) -> "Evaluation":
    """Measure a checkpoint or a model file."""
    from lulcmap.dataset import Dataset
    from lulcmap.evaluation import evaluate_model

    dataset = Dataset.open(data)
    predict, description, named = _open_model(subject, device, prior)
    return evaluate_model(
        predict,
        description,
        dataset,
        split=split,
        scheme=votes,
        regions=regions,
        subject=named,
        progress=progress,
    )
