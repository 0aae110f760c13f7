"""``lulcmap evaluate``: measure a model or a map against labels."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lulcmap.cli.app import json_option, need_torch, refuse_given
from lulcmap.cli.command import Command
from lulcmap.cli.comparison import report_comparison
from lulcmap.cli.options import PRIOR_OPTION
from lulcmap.cli.terminal import echo, in_line, note_lost_output

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
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    help="Device to run the model on.",
)
@PRIOR_OPTION
@click.option("--labels", type=_FILE, help="Raster, points or polygons to measure a map against.")
@click.option("--label-column", default="label", help="Column of points and polygons.")
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
    label_column: str,
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
        _show(metrics, out)
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
    files = [Path(one) for one in given]
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


def _show(metrics: dict[str, Any], out: Path | None) -> None:
    """Print tables and notes."""
    subject, labels = metrics["subject"], metrics["labels"]
    names = in_line(f"{subject['name']} against {labels['name']}")
    echo(f"{names}; votes: {labels['votes']}")
    unmapped = f"; labelled but not mapped: {metrics['unmapped']:,}" * bool(metrics["unmapped"])
    echo(f"{metrics['pixels']:,} pixels in {metrics['places']:,} places{unmapped}\n")
    if metrics["area_adjusted"]:
        _show_adjusted(metrics["area_adjusted"])
    for name, title in (("miou", "mean IoU"), ("oa", "overall accuracy"), ("f1", "mean F1")):
        echo(f"{title:<20}{_span(metrics['scores'][name])}")
    echo(
        f"\n{'class':<22}{'IoU':>7}  {'95 % interval':<15}{'precision':>10}{'recall':>8}{'F1':>8}"
        f"{'true pixels':>15}"
    )
    for row in metrics["per_class"]:
        ends = _ends(row["iou"])
        echo(
            f"{in_line(row['class']):<22}{_percent(row['iou']['value']):>7}  {ends:<15}"
            f"{_percent(row['precision']['value']):>10}{_percent(row['recall']['value']):>8}"
            f"{_percent(row['f1']['value']):>8}{row['true_pixels']:>15,}"
        )
    _show_rows("sensors", metrics["sensors"])
    _show_rows("region", metrics["regions"])
    _show_sets(metrics["sets"])
    if metrics["calibration"]:
        echo(f"\nexpected calibration error {_percent(metrics['calibration']['ece'])}")
    if metrics["temperature"]:
        echo(_temperature_line(metrics["temperature"]))
    echo()
    for note in metrics["notes"]:
        echo(in_line(note))
    if out is not None:
        echo(f"Written to {out}.")


def _show_sets(rows: list[dict[str, Any]]) -> None:
    """Print how many pixels of each label set are given one of its classes."""
    if rows:
        echo(f"\n{'set of classes':<32}{'right':>8}  {'95 % interval':<15}{'pixels':>15}")
    for row in rows:
        right = row["accuracy"]
        echo(
            f"{in_line(row['set']):<32}{_percent(right['value']):>8}  {_ends(right):<15}"
            f"{row['pixels']:>15,}"
        )


def _temperature_line(fit: dict[str, Any]) -> str:
    """The best temperature, and the calibration error with it."""
    how = "each place with that of the others" if fit["cross_fitted"] else "where it was fitted"
    return (
        f"best temperature {fit['temperature']:.2f} on {fit['pixels']:,} pixels of "
        f"{fit['places']:,} place{'s' * (fit['places'] != 1)}: calibration error "
        f"{_percent(fit['ece'])} of these pixels, {_percent(fit['ece_with_temperature'])} with it "
        f"({how})"
    )


def _show_rows(name: str, rows: list[dict[str, Any]]) -> None:
    """Print a table of the metrics of parts, if there are any."""
    if rows:
        echo(f"\n{name:<32}{'mIoU':>8}{'OA':>8}{'F1':>8}{'pixels':>15}")
    for row in rows:
        echo(
            f"{in_line(row[name]):<32}{_percent(row['miou']):>8}{_percent(row['oa']):>8}"
            f"{_percent(row['f1']):>8}{row['pixels']:>15,}"
        )


def _show_adjusted(adjusted: dict[str, Any]) -> None:
    """Print area-adjusted estimates, each with half its 95 % confidence interval."""
    echo(f"Area-adjusted ({adjusted['method']}), +- 95 %:")
    echo(f"overall accuracy {_margin(adjusted['overall_accuracy'])}")
    echo(
        f"{'class':<22}{'users accuracy':>18}{'producers accuracy':>20}{'mapped km2':>16}"
        f"{'true km2':>32}"
    )
    for row in adjusted["per_class"]:
        area = row["area_km2"]
        echo(
            f"{in_line(row['class']):<22}{_margin(row['users_accuracy']):>18}"
            f"{_margin(row['producers_accuracy']):>20}{row['mapped_km2']:>16,.2f}"
            f"{area['value']:>18,.2f} +- {area['margin']:,.2f}"
        )
    echo("\nOf the points themselves:")


def _margin(estimate: dict[str, float | None]) -> str:
    value, margin = estimate["value"], estimate["margin"]
    return "-" if value is None or margin is None else f"{value:.1%} +- {margin:.1%}"


def _span(metric: dict[str, float | None]) -> str:
    ends = _ends(metric)
    return _percent(metric["value"]) + (f"  (95 %: {ends})" if ends else "")


def _ends(metric: dict[str, float | None]) -> str:
    low, high = metric["low"], metric["high"]
    return "" if low is None or high is None else f"{low:.1%} - {high:.1%}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
