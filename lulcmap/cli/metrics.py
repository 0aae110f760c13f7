"""What ``lulcmap evaluate`` prints."""

from pathlib import Path
from typing import Any

from lulcmap.cli.terminal import echo, in_line


def show_metrics(metrics: dict[str, Any], out: Path | None) -> None:
    """Print tables and notes.

    Args:
        metrics: metrics as ``Evaluation.to_json`` gives them.
        out: path of the folder that they were written to.

    """
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
