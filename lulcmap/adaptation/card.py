"""What an adapted model says of itself: its contract and its card."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lulcmap.model import Contract

_SECTIONS = {"## Inputs and outputs", "## Limits"}
"""Headings that every card of a model has."""


def is_card(path: Path) -> bool:
    """Whether a file is the card of a model that lulcmap wrote.

    Raises:
        OSError: it cannot be read.

    """
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return set(lines) >= _SECTIONS


def adapted_card(
    contract: Contract, adapted: Mapping[str, Any], *, parent_card: str, notes: Sequence[str]
) -> str:
    """The card of an adapted model, Markdown.

    Args:
        contract: its contract.
        adapted: what ``Contract.training`` says of the adaptation.
        parent_card: card of the model it was made of; empty if there is none.
        notes: what its user has to know.

    """
    parent, figures = adapted["parent"], adapted["cross_validation"]
    low, high = figures["difference_95"]
    f1_low, f1_high = figures["f1_difference_95"]
    lines = [
        f"# {contract.name}",
        "",
        f"{parent['name']}, adapted to one land by {adapted['labels']} labels: "
        f"{_WAYS[adapted['way']]}.",
        "",
        "## Inputs and outputs",
        *contract.card_lines(),
        "",
        "## Adaptation",
        "| | |",
        "| --- | --- |",
        f"| model it was made of | {parent['name']}, sha256 {parent['sha256']} |",
        f"| labels | {adapted['labels']}, at {adapted['places']} places of 1 km |",
        f"| label file | {adapted['label_file']}, sha256 {adapted['label_sha256']} |",
        f"| imagery | {adapted['imagery']} |",
        f"| weighted by the land a label stands for | {'yes' if adapted['weighted'] else 'no'} |",
        *(f"| {key} | {value} |" for key, value in adapted["settings"].items()),
        "",
        "## Accuracy",
        f"Cross-validation in {adapted['folds']} parts; the labels of a place are never on both "
        "sides. Intervals of 95 %, by drawing places.",
        "",
        "| | before | after | difference |",
        "| --- | --- | --- | --- |",
        f"| labels right | {figures['accuracy_before']:.1%} | {figures['accuracy_after']:.1%} | "
        f"{100 * low:+.1f} to {100 * high:+.1f} points |",
        f"| mean F1 | {figures['f1_before']:.3f} | {figures['f1_after']:.3f} | "
        f"{f1_low:+.3f} to {f1_high:+.3f} |",
        "",
        "| class | labels | F1 before | F1 after |",
        "| --- | --- | --- | --- |",
        *(
            f"| {name} | {one['labels']} | {one['f1_before']:.3f} | {one['f1_after']:.3f} |"
            for name, one in figures["classes"].items()
        ),
        "",
        f"Temperature {contract.temperature:.3g}, fitted to the same left-out labels: expected "
        f"calibration error {adapted['calibration_error']:.1%}, measured where it was fitted, so a "
        "little too low.",
        "",
        "## Limits",
        "- It was fitted to the land and the period of its labels. Elsewhere, and in other years, "
        f"use {parent['name']}, or adapt that anew.",
        "- These figures are of the labels. The accuracy of a map is that of a random sample of "
        "it: lulcmap sample, then lulcmap evaluate.",
        f"- It knows the {len(contract.classes)} classes above and no others.",
        *(f"- {note}" for note in notes),
        "",
    ]
    if parent_card:
        lines += [f"## The model it was made of: {parent['name']}", "", _inner(parent_card), ""]
    return "\n".join(lines)


_WAYS = {
    "head": "its last layer was fitted anew, the rest is as it was",
    "whole": "the whole network was trained on",
}


def _inner(card: str) -> str:
    """A card as a section of another: its headings two levels down."""
    return "\n".join(
        f"##{line}" if line.startswith("#") else line for line in card.strip().splitlines()
    )
