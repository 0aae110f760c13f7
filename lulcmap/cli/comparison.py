"""What ``lulcmap evaluate --against`` prints and writes."""

import json
from pathlib import Path
from typing import Any

from lulcmap.cli.terminal import echo, in_line, note_lost_output

_TOTALS = (("oa", "overall accuracy"), ("f1", "mean F1"), ("miou", "mean IoU"))


def report_comparison(
    comparison: dict[str, Any], out: Path | None, *, overwrite: bool, as_json: bool
) -> None:
    """Print a comparison, and write its folder.

    Args:
        comparison: comparison as ``Comparison.to_json`` gives it.
        out: path of the folder; None writes none.
        overwrite: whether an evaluation in it may be replaced.
        as_json: whether to print JSON.

    Raises:
        OutputError: the folder cannot be written.

    """
    from lulcmap.evaluation import write_comparison

    if out is not None:
        write_comparison(out, comparison, overwrite=overwrite)
    if as_json:
        echo(json.dumps(comparison))
    else:
        _show(comparison)
        if out is not None:
            echo(f"Written to {out}.")
    if out is not None:
        note_lost_output()


def _show(comparison: dict[str, Any]) -> None:
    first, second = (in_line(comparison[key]["name"]) for key in ("first", "second"))
    labels = comparison["labels"]
    echo(f"first: {first}; second: {second}")
    echo(in_line(f"against {labels['name']}; votes: {labels['votes']}"))
    echo(f"{comparison['pixels']:,} pixels in {comparison['places']:,} places\n")
    echo(f"{'points of 100':<28}{'first':>8}{'second':>8}{'difference':>12}  95 % interval")
    for key, title in _TOTALS:
        _show_row(title, comparison["scores"][key])
    for row in comparison["per_class"]:
        if row["f1"]["difference"] is not None:
            _show_row(in_line(f"F1 of {row['class']}"), row["f1"])
    outcomes, won = comparison["outcomes"], comparison["places_won"]
    echo(
        f"\npixels: both right {outcomes['both_right']:,}, only the first "
        f"{outcomes['only_first_right']:,}, only the second {outcomes['only_second_right']:,}, "
        f"both wrong {outcomes['both_wrong']:,}"
    )
    echo(
        f"places: the first more often right in {won['first']:,}, the second in "
        f"{won['second']:,}, neither in {won['neither']:,}"
    )
    adjusted = comparison["area_adjusted"]
    if adjusted is not None and adjusted["difference"] is not None:
        echo(
            f"area-adjusted accuracy: {100 * adjusted['difference']:+.1f} +- "
            f"{100 * adjusted['margin']:.1f} points"
        )
    echo(f"\n{in_line(comparison['verdict'])}")
    for note in comparison["notes"]:
        echo(in_line(note))


def _show_row(title: str, score: dict[str, float | None]) -> None:
    def points(value: float | None, form: str) -> str:
        return "-" if value is None else format(100 * value, form)

    ends = ""
    if score["low"] is not None and score["high"] is not None:
        ends = f"{points(score['low'], '+.1f')} to {points(score['high'], '+.1f')}"
    echo(
        f"{title:<28}{points(score['first'], '.1f'):>8}{points(score['second'], '.1f'):>8}"
        f"{points(score['difference'], '+.1f'):>12}  {ends}"
    )
