"""What the commands that make a dataset print of it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lulcmap.cli.terminal import echo, in_line

if TYPE_CHECKING:
    from lulcmap.dataset import BuildResult

_MAX_SHOWN = 5
"""Reasons that are printed; the report has all."""


def show_chips(result: "BuildResult") -> None:
    """Print the chips by split and by class."""
    totals, histogram = result.totals(), result.histogram()
    echo(f"{result.out}: {len(result.rows):,} chips, {result.new_chips:,} of them new.")
    echo(f"{'split':<12}{'chips':>9}{'places':>9}{'labelled px':>16}{'unlabelled':>12}")
    for split, total in totals.items():
        pixels = total["labelled"] + total["unlabelled"]
        share = f"{total['unlabelled'] / pixels:.1%}" if pixels else "-"
        echo(
            f"{split:<12}{total['chips']:>9,}{total['places']:>9,}{total['labelled']:>16,}"
            f"{share:>12}"
        )
    echo("\nShare of the labelled pixels")
    width = max(len("class"), *(len(name) for name in result.names)) + 2
    echo(f"{'class':<{width}}" + "".join(f"{split:>12}" for split in histogram))
    for name in result.names:
        shares = [
            f"{counts[name] / totals[split]['labelled']:.2%}" if totals[split]["labelled"] else "-"
            for split, counts in histogram.items()
        ]
        echo(f"{name:<{width}}" + "".join(f"{share:>12}" for share in shares))


def show_reasons(result: "BuildResult", titles: Mapping[str, Mapping[str, str]]) -> None:
    """Print why something has no chip, by the title of each list of reasons."""
    for title, reasons in titles.items():
        if reasons:
            echo(f"\n{title}: {len(reasons):,} (all in {result.out / 'report.json'})")
            for name, reason in sorted(reasons.items())[:_MAX_SHOWN]:
                echo(f"  {in_line(f'{name}: {reason}')}")
