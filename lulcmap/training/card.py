"""The model card: what a model was made from, how good it is, and what it cannot do."""

from collections.abc import Mapping, Sequence
from typing import Any

from lulcmap.model import Contract

_LAND_WARNINGS = {
    "simulated": (
        "It was trained on simulated landscapes only and has seen no real pixel. Its maps of real "
        "land are a demonstration of the software; do not use them as land-cover data."
    ),
    "real": (
        "It was trained on real composites. Regions, seasons and landscapes unlike those below are "
        "new to it, and it will be less good there than its figures say."
    ),
}

_NETWORK_NAMES = {
    "lulcformer": (
        "LULC-Former, built after Yu et al. 2026 (doi 10.1109/JSTARS.2025.3641788), not the "
        "authors' network"
    ),
    "segformer": "SegFormer (Xie et al. 2021) over all bands at once",
    "unet": "U-Net (Ronneberger et al. 2015) over all bands at once",
}
"""By the kind of network."""


def model_card(contract: Contract, checkpoint: Mapping[str, Any], *, checks: Sequence[str]) -> str:
    """The card of an exported model, Markdown.

    Args:
        contract: of the model file.
        checkpoint: it was made from.
        checks: what the comparison with torch found, a line each.

    """
    parameters = sum(
        value.numel() for key, value in checkpoint["weights"].items() if _is_parameter(key)
    )
    training = checkpoint["training"]
    facts = {
        key: value
        for key, value in training.items()
        if key not in ("source", "figures", "losses", "validation")
    }
    lines = [
        f"# {contract.name}",
        "",
        f"{_NETWORK_NAMES[checkpoint['config'].get('kind', 'lulcformer')]}; {parameters / 1e6:.2f} M "
        f"parameters, {contract.precision}.",
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
        *_quality(training),
        "",
        "## What it cannot do",
        f"- {_LAND_WARNINGS[contract.trained_on]}",
        f"- It tells the {len(contract.classes)} classes above apart and no others.",
        *_limits(contract),
        "",
        "## The file beside torch",
        *(f"- {check}" for check in checks),
        "",
    ]
    return "\n".join(lines)


def _quality(training: Mapping[str, Any]) -> list[str]:
    if "figures" in training:
        return _table(training["figures"])
    if "validation" in training:
        return [
            "On the validation chips, by which the best epoch was chosen, so a little too good:",
            "",
            *_table(training["validation"]),
        ]
    return ["Not measured."]


def _limits(contract: Contract) -> list[str]:
    lines = [
        "- It needs composites as lulcmap makes them: other units, bands or sensors give nonsense."
    ]
    if contract.stride > 1:
        lines.append(
            f"- It decides on cells of {contract.stride} px; what is narrower is often lost."
        )
    if any(given.optional for given in contract.inputs.values()):
        lines.append("- A missing sensor costs accuracy; with both missing there is no map.")
    else:
        lines.append(f"- Where {' or '.join(contract.inputs)} is missing there is no map.")
    return lines


def _is_parameter(key: str) -> bool:
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
