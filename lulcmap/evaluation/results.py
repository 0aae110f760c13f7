"""Write the files of an evaluation: the whole folder, or nothing."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lulcmap.errors import OutputError
from lulcmap.evaluation.charts import confusion_chart, reliability_chart
from lulcmap.evaluation.comparison_chart import comparison_chart
from lulcmap.evaluation.points import POINTS, write_points
from lulcmap.evaluation.stratified import LabelledSample
from lulcmap.system import check_destination, check_ours, read_json, replacing, write_table

METRICS, MATRIX, PICTURE, RELIABILITY = (
    "metrics.json",
    "confusion.csv",
    "confusion.png",
    "reliability.png",
)

COMPARISON, COMPARISON_PICTURE = "comparison.json", "comparison.png"

_NAMES = {METRICS, MATRIX, PICTURE, RELIABILITY, POINTS}

_COMPARISON_NAMES = {COMPARISON, COMPARISON_PICTURE}


def check_evaluation_folder(out: Path, *, overwrite: bool) -> None:
    """Check that the folder may be written, before the work begins.

    Args:
        out: path of the folder.
        overwrite: whether an evaluation in it may be replaced.

    Raises:
        OutputError: the folder exists or holds other files, or its parent does not exist.

    """
    check_destination(out, folder=True)
    if out.exists() and not overwrite:
        raise OutputError(
            f"{out} exists. Give --overwrite to replace an evaluation, or another --out."
        )
    check_ours(out, _is_evaluation, kind="an evaluation without other files")


def _is_evaluation(folder: Path) -> bool:
    """Whether a folder holds the files of an evaluation, and no other that would be lost."""
    names = {path.name.removesuffix(".aux.xml") for path in folder.iterdir()}
    metrics = read_json(folder / METRICS) or {}
    if names <= _NAMES and {"subject", "labels", "confusion"} <= set(metrics):
        return True
    comparison = read_json(folder / COMPARISON) or {}
    return names <= _COMPARISON_NAMES and {"first", "second", "outcomes"} <= set(comparison)


def write_evaluation(
    out: Path,
    metrics: dict[str, Any],
    *,
    sample: LabelledSample | None = None,
    overwrite: bool,
) -> None:
    """Write metrics.json, confusion.csv and .png.

    And reliability.png if there are confidences, points.csv if the labels are a sample.

    Args:
        out: path of the folder.
        metrics: metrics as ``Evaluation.to_json`` gives them.
        sample: the labelled points, if they are a stratified sample.
        overwrite: whether an evaluation in it may be replaced.

    Raises:
        OutputError: the folder exists, or cannot be written.

    """
    with _replacing_evaluation(out, overwrite=overwrite) as part:
        _write_json(part / METRICS, metrics)
        _write_matrix(part / MATRIX, metrics)
        confusion_chart(metrics).save(part / PICTURE, optimize=True)
        if metrics["calibration"]:
            reliability_chart(metrics).save(part / RELIABILITY, optimize=True)
        if sample is not None:
            write_points(part / POINTS, sample, metrics["classes"])


def write_comparison(out: Path, comparison: dict[str, Any], *, overwrite: bool) -> None:
    """Write comparison.json and .png.

    Args:
        out: path of the folder.
        comparison: comparison as ``Comparison.to_json`` gives it.
        overwrite: whether an evaluation in it may be replaced.

    Raises:
        OutputError: the folder exists, or cannot be written.

    """
    with _replacing_evaluation(out, overwrite=overwrite) as part:
        _write_json(part / COMPARISON, comparison)
        comparison_chart(comparison).save(part / COMPARISON_PICTURE, optimize=True)


@contextmanager
def _replacing_evaluation(out: Path, *, overwrite: bool) -> Iterator[Path]:
    """A new folder to fill in the body, which takes the place of ``out`` when the body ends."""
    check_evaluation_folder(out, overwrite=overwrite)
    try:
        with replacing(out) as part:
            part.mkdir()
            yield part
    except OSError as error:
        raise OutputError(
            f"The folder {out} cannot be written ({error.strerror or error}). Free some space, or "
            "change --out."
        ) from error


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _write_matrix(path: Path, metrics: dict[str, Any]) -> None:
    """Write the confusion matrix: a row for each true class, a column for each predicted one."""
    head = [f"true class (votes: {metrics['labels']['votes']})", *metrics["classes"]]
    rows = zip(metrics["classes"], metrics["confusion"], strict=True)
    write_table(path, [head, *([name, *counts] for name, counts in rows)])
