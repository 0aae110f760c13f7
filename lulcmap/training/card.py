"""The model card: what a model was trained on, how good it is and what its limits are."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lulcmap.model import Contract

_LAND_WARNINGS = {
    "simulated": (
        "It was trained on simulated landscapes only and has seen no real pixel. Its maps of real "
        "land are a demonstration of the software; do not use them as land-cover data."
    ),
    "real": (
        "It was trained on real composites. In regions, seasons and landscapes unlike those above "
        "it is less accurate than its scores say."
    ),
}

_COMPARISON = "## Comparison with torch"

_NETWORK_NAMES = {
    "lulcformer": (
        "LULC-Former, built after Yu et al. 2026 (doi 10.1109/JSTARS.2025.3641788), not the "
        "authors' network"
    ),
    "segformer": "SegFormer (Xie et al. 2021) over all bands at once",
    "unet": "U-Net (Ronneberger et al. 2015) over all bands at once",
}
"""Description of a network, by its kind."""


def model_card(contract: Contract, checkpoint: Mapping[str, Any], *, checks: Sequence[str]) -> str:
    """The card of an exported model, Markdown.

    Args:
        contract: contract of the model file.
        checkpoint: checkpoint the model was exported from.
        checks: comparisons with torch, one line each.

    """
    parameters = sum(
        value.numel() for key, value in checkpoint["weights"].items() if _is_parameter(key)
    )
    training = checkpoint["training"]
    facts = {
        key: value
        for key, value in training.items()
        if key not in ("source", "figures", "losses", "validation", "calibration")
    }
    lines = [
        f"# {contract.name}",
        "",
        f"{_NETWORK_NAMES[checkpoint['config'].get('kind', 'lulcformer')]}; "
        f"{parameters / 1e6:.2f} M parameters, {contract.precision}.",
        "",
        "## Inputs and outputs",
        *contract.card_lines(),
        "",
        "## Training data",
        training.get("source") or "Not stated.",
        "",
        *_table(facts),
        "",
        "## Settings",
        *_table(checkpoint["settings"]),
        "",
        "## Accuracy",
        *_quality(training),
        *_calibration(training),
        "",
        "## Limits",
        f"- {_LAND_WARNINGS[contract.trained_on]}",
        f"- It knows the {len(contract.classes)} classes above and no others.",
        *_limits(contract),
        "",
        _COMPARISON,
        *(f"- {check}" for check in checks),
        "",
    ]
    return "\n".join(lines)


def is_card(path: Path) -> bool:
    """Whether a file is the card of an exported model.

    Raises:
        OSError: it cannot be read.

    """
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return {"## Inputs and outputs", "## Limits", _COMPARISON} <= set(lines)


def _quality(training: Mapping[str, Any]) -> list[str]:
    if "figures" in training:
        return _table(training["figures"])
    if "validation" in training:
        return [
            "On the validation chips, which also chose the best epoch, so a little too high:",
            "",
            *_table(training["validation"]),
        ]
    return ["Not measured."]


def _calibration(training: Mapping[str, Any]) -> list[str]:
    """Where the temperature comes from, and how honest it makes the confidence."""
    fit = training.get("calibration")
    if fit is None:
        return []
    how = (
        "each place judged with the temperature of the others"
        if fit["cross_fitted"]
        else "measured where it was fitted, so too low"
    )
    return [
        "",
        f"Temperature {fit['temperature']:.3g}, fitted to {fit['pixels']:,} pixels of "
        f"{fit['chips']:,} chips at {fit['places']:,} place{'s' * (fit['places'] != 1)} "
        f"({fit['labels']}): expected calibration error {fit['ece']:.1%} before, "
        f"{fit['ece_with_temperature']:.1%} after ({how}).",
    ]


def _limits(contract: Contract) -> list[str]:
    lines = [
        "- It needs composites as lulcmap makes them: other units, bands or sensors give wrong "
        "maps."
    ]
    if contract.stride > 1:
        lines.append(
            f"- It classifies cells of {contract.stride} px; narrower features are often lost."
        )
    if any(given.optional for given in contract.inputs.values()):
        lines.append("- A missing sensor costs accuracy; with both missing there is no map.")
    else:
        lines.append(f"- Where {' or '.join(contract.inputs)} is missing there is no map.")
    return lines


def _is_parameter(key: str) -> bool:
    """Whether an entry of the weights is a parameter and not a running statistic."""
    return not key.endswith(("running_mean", "running_var", "num_batches_tracked"))


def _table(values: Mapping[str, Any]) -> list[str]:
    rows = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            rows += [f"| {key}: {inner} | {number} |" for inner, number in value.items()]
        else:
            rows.append(f"| {key} | {value} |")
    return ["| | |", "| --- | --- |", *rows]
