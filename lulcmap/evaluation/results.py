"""The files of an evaluation, in a folder that is written whole or not at all."""

import csv
import json
from pathlib import Path
from typing import Any

from lulcmap.errors import OutputError
from lulcmap.evaluation.charts import confusion_chart, reliability_chart
from lulcmap.system import replacing

METRICS, MATRIX, PICTURE, RELIABILITY = (
    "metrics.json",
    "confusion.csv",
    "confusion.png",
    "reliability.png",
)


def check_evaluation_folder(out: Path, *, overwrite: bool) -> None:
    """See that a folder may be written there, before anything takes time.

    Raises:
        OutputError: it is there, or the folder it is to be in is not.

    """
    if out.exists() and not (overwrite and (out / METRICS).is_file()):
        what = "exists" if not overwrite else "exists and is no evaluation"
        raise OutputError(
            f"{out} {what}. Give --overwrite to replace an evaluation, or another --out."
        )
    if not out.absolute().parent.is_dir():
        raise OutputError(f"There is no folder {out.absolute().parent}; make it, or change --out.")


def write_evaluation(out: Path, facts: dict[str, Any], *, overwrite: bool) -> None:
    """Write metrics.json, confusion.csv, confusion.png, and reliability.png if it was calibrated.

    Args:
        out: the folder.
        facts: as ``figures.facts`` gives them.
        overwrite: whether an evaluation that is there may be replaced.

    Raises:
        OutputError: it is there, or cannot be written.

    """
    check_evaluation_folder(out, overwrite=overwrite)
    try:
        with replacing(out) as part:
            part.mkdir()
            text = json.dumps(facts, indent=1, allow_nan=False)
            (part / METRICS).write_text(text + "\n", encoding="utf-8")
            _write_matrix(part / MATRIX, facts)
            confusion_chart(facts).save(part / PICTURE, optimize=True)
            if facts["calibration"]:
                reliability_chart(facts).save(part / RELIABILITY, optimize=True)
    except OSError as error:
        raise OutputError(
            f"The folder {out} cannot be written ({error.strerror or error}). Make room, or change "
            "--out."
        ) from error


def _write_matrix(path: Path, facts: dict[str, Any]) -> None:
    """One row a true class, one column a given one."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([f"true class (votes: {facts['labels']['votes']})", *facts["classes"]])
        for name, row in zip(facts["classes"], facts["confusion"], strict=True):
            writer.writerow([name, *row])
