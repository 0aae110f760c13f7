"""The card of version 2: what the model learnt from, its figures, and what it is not for.

    python -m recipes.real_land.model_card RUN_FOLDER --labels LABELS_FOLDER --out CARD.md

It fills ``model_card.md`` with the figures of ``RUN_FOLDER/figures.json`` beside those of the
teacher, version 1 and a forest (``LABELS_FOLDER/references.json``), and with the
sections of the card that the export wrote.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from recipes.real_land.development import FOREST, SENSORS, TEACHER, VERSION_1, harmed

TEMPLATE = Path(__file__).parent / "model_card.md"

Figures = Mapping[str, Any]


def fill_card(
    template: str, exported: str, seeds: Mapping[str, Figures], beside: Mapping[str, Figures]
) -> str:
    """Fill the template.

    Args:
        template: text with ``$name`` for each gap.
        exported: card that the export wrote.
        seeds: figures of each seed by its name, the shipped one first.
        beside: figures of the references.

    """
    first = next(iter(seeds.values()))
    return Template(template).substitute(
        inputs=section(exported, "Inputs and outputs"),
        settings=section(exported, "Settings"),
        comparison=section(exported, "Comparison with torch"),
        suites=suites_table(list(seeds.values()), beside),
        kinds=kinds_table(first, beside[TEACHER]),
        scenes=scenes_table(first),
        harmed=_list(harmed(dict(first))),
        ece=f"{first['both']['ece']:.3f}",
        seeds=_of_seeds(len(seeds)),
    )


def _of_seeds(count: int) -> str:
    if count == 1:
        return "one seed was trained"
    return f"mean and deviation of {count} seeds, of which the file is the first: none is chosen"


def section(card: str, title: str) -> str:
    """Text of a section of a card, without its heading; empty if there is none."""
    parts = card.split(f"\n## {title}\n")
    return parts[1].split("\n## ")[0].strip() if len(parts) > 1 else ""


def suites_table(seeds: Sequence[Figures], beside: Mapping[str, Figures]) -> str:
    """Rows of suites: mean over seeds with both sensors and each alone, beside the references."""
    lines = ["| | both | S2 only | S1 only | teacher | version 1 | forest |", "|" + "---|" * 7]
    for suite in seeds[0]["both"]:
        if suite == "ece":
            continue
        cells = [_over_seeds([seed[sensors].get(suite) for seed in seeds]) for sensors in SENSORS]
        cells += [_cell(beside[name]["both"].get(suite)) for name in (TEACHER, VERSION_1, FOREST)]
        lines.append(f"| {suite} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _over_seeds(figures: Sequence[Mapping[str, float] | None]) -> str:
    known = [one for one in figures if one is not None]
    if not known:
        return "-"
    means, kinds = ([one[key] for one in known] for key in ("mean", "by kind"))
    spread = f" ± {np.std(means, ddof=1):.3f}" if len(known) > 1 else ""
    return f"{np.mean(means):.3f}{spread} / {np.mean(kinds):.3f}"


def _cell(figures: Mapping[str, float] | None) -> str:
    return "-" if figures is None else f"{figures['mean']:.3f} / {figures['by kind']:.3f}"


def kinds_table(first: Figures, teacher: Figures) -> str:
    """Share right of each kind of cover in each suite, of the shipped seed and the teacher."""
    lines = ["| | kind | both | S2 only | teacher |", "|" + "---|" * 5]
    for suite, both in first["both"].items():
        if suite == "ece":
            continue
        for kind, share in both["kinds"].items():
            optical = first["S2 only"][suite]["kinds"][kind]
            told = teacher["both"].get(suite, {"kinds": {}})["kinds"].get(kind)
            last = "-" if told is None else f"{told:.3f}"
            lines.append(f"| {suite} | {kind} | {share:.3f} | {optical:.3f} | {last} |")
    return "\n".join(lines)


def scenes_table(first: Figures) -> str:
    """Share right of each real scene, with radar and without."""
    lines = ["| | scene | both | S2 only |", "|" + "---|" * 4]
    for suite in ("denmark", "ontario", "by eye", "by eye, Punjab", "held-out places"):
        of_suite = first["both"].get(suite, {"scenes": {}})["scenes"]
        for scene, share in of_suite.items():
            optical = first["S2 only"][suite]["scenes"][scene]
            lines.append(f"| {suite} | {scene} | {share:.3f} | {optical:.3f} |")
    return "\n".join(lines)


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines) or "None."


def main() -> None:
    """Write the card."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--exported", type=Path, required=True, help="card that the export wrote")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    seeds = json.loads((options.run / "figures.json").read_text())
    beside = json.loads((options.labels / "references.json").read_text())
    text = fill_card(
        TEMPLATE.read_text(encoding="utf-8"),
        options.exported.read_text(encoding="utf-8"),
        seeds,
        beside,
    )
    options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
