"""The model card: what a model was made from, how good it is, and what it cannot do."""

from collections.abc import Mapping, Sequence
from typing import Any

from lulcmap.contract import Contract

_KNOWS = {
    "simulated": (
        "It was trained on simulated landscapes only and has seen no real pixel. Its maps of real "
        "land are a demonstration of the software; do not use them as land-cover data."
    ),
    "real": (
        "It was trained on real composites. Regions, seasons and landscapes unlike those below are "
        "new to it, and it will be less good there than its figures say."
    ),
}


def card_of(contract: Contract, checkpoint: Mapping[str, Any], *, checks: Sequence[str]) -> str:
    """The card of an exported model, Markdown.

    Args:
        contract: of the model file.
        checkpoint: it was made from.
        checks: what the comparison with torch found, a line each.

    """
    parameters = sum(value.numel() for key, value in checkpoint["weights"].items() if _learned(key))
    training = checkpoint["training"]
    figures = training.get("figures")
    facts = {
        key: value for key, value in training.items() if key not in ("source", "figures", "losses")
    }
    lines = [
        f"# {contract.name}",
        "",
        f"LULC-Former, built after Yu et al. 2026 (doi 10.1109/JSTARS.2025.3641788); "
        f"{parameters / 1e6:.2f} M parameters, {contract.precision}. Not the authors' network.",
        "",
        "## What it takes and gives",
        *(
            f"- `{name}`: {', '.join(given.bands)}; {given.dtype}, {given.unit}, "
            f"nodata {given.nodata}{'; may be missing' if given.optional else ''}"
            for name, given in contract.inputs.items()
        ),
        f"- logits of {len(contract.classes)} classes, one cell for {contract.stride} x "
        f"{contract.stride} px of {contract.resolution:g} m: {', '.join(contract.classes)}",
        "",
        "## What it was trained on",
        training.get("source") or "Not stated.",
        "",
        *_table(facts),
        "",
        "## Settings",
        *_table(checkpoint["settings"]),
        "",
        "## How good it is",
        *(_table(figures) if figures else ["Not measured."]),
        "",
        "## What it cannot do",
        f"- {_KNOWS[contract.knows]}",
        "- It tells the nine classes of Dynamic World apart and no others.",
        f"- It decides on cells of {contract.stride} px; what is narrower is often lost.",
        "- It needs composites as lulcmap makes them: other units, bands or sensors give nonsense.",
        "- A missing sensor costs accuracy; with both missing there is no map.",
        "",
        "## The file beside torch",
        *(f"- {check}" for check in checks),
        "",
    ]
    return "\n".join(lines)


def _learned(key: str) -> bool:
    """Whether an entry of the weights is a parameter, not a running statistic."""
    return not key.endswith(("running_mean", "running_var", "num_batches_tracked"))


def _table(values: Mapping[str, Any]) -> list[str]:
    rows = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            rows += [f"| {key}: {inner} | {number} |" for inner, number in value.items()]
        else:
            rows.append(f"| {key} | {value} |")
    return ["| | |", "| --- | --- |", *rows]
