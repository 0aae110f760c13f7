r"""Write the card of the real-sample model: ``card.md`` beside this file, filled with its scores.

    lulcmap evaluate TWIN.onnx --data RUN_FOLDER/fold-0/dataset --out SCORES
    lulcmap evaluate TWIN.onnx --data RUN_FOLDER/fold-0/dataset --prior balanced --out BALANCED
    python -m recipes.real_land.evaluate_folds TWIN.onnx OTHER_SEED.onnx ... --data ../shared/data \
        --dataset RUN_FOLDER/fold-0/dataset --out FOLD.json
    python -m recipes.real_land.evaluate_folds MODEL.onnx OTHER.onnx ... --data ../shared/data \
        --out SCENES.json
    python -m recipes.real_land.card MODEL.onnx --scores SCORES/metrics.json \
        --balanced BALANCED/metrics.json --folds FOLD.json ... --scenes SCENES.json \
        --failures FAILURES.md --out models/MODEL.md

MODEL was trained on all samples, TWIN with the same recipe and seed without a fold. The scores
are the twin's. The twin is the first model in the first ``FOLD.json``; the models after it in that
file are other seeds, and further files are of other folds.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from string import Template
from typing import Any

from lulcmap.legend import NAMES
from lulcmap.model import Contract, read_model
from recipes.real_land.evaluate_folds import FOREST, KINDS, SINGLE_SENSOR, interpreted_mean
from recipes.real_land.points import N_FOLDS

TEMPLATE = Path(__file__).with_name("card.md")

HELD_OUT = {
    "testing": ("patches", "landscapes"),
    "validation": ("validation patches", "validation landscapes"),
}
"""Use of a held-out fold and of the one after it, and the kinds of data measured there."""

Figures = Mapping[str, Any]
"""JSON written by ``lulcmap evaluate`` or ``evaluate_folds``."""


def fill_card(
    template: str,
    exported: str,
    contract: Contract,
    *,
    scores: Figures,
    balanced: Figures,
    folds: Sequence[Figures],
    scenes: Figures,
    failures: str,
) -> str:
    """The card, Markdown.

    Args:
        template: template of the card, with ``$names`` of the tables.
        exported: card that the export wrote beside the model.
        contract: contract of the model.
        scores: scores of ``lulcmap evaluate`` on the held-out landscapes.
        balanced: the same scores with ``--prior balanced``.
        folds: scores of ``evaluate_folds``, for each fold.
        scenes: scores of ``evaluate_folds`` for the model itself, then for its other seeds.
        failures: known failures on its maps, Markdown.

    """
    export = _sections(exported)
    figures = contract.training["figures"]
    values = {
        "name": contract.name,
        "standing": contract.quality,
        "takes": export["Inputs and outputs"],
        "settings": export["Settings"],
        "parity": export["Comparison with torch"],
        "source": contract.training["source"],
        "totals": "\n".join(_totals(scores, balanced)),
        "classes": "\n".join(_classes(scores)),
        "confusion": "\n".join(_confusion(scores)),
        "reliability": "\n".join(_reliability(scores)),
        "ece": f"{figures['ece']:.3f}",
        "ece_with_temperature": f"{figures['ece_with_temperature']:.3f}",
        "temperature": f"{contract.temperature:.2f}",
        "folds": "\n".join(_folds(folds)),
        "seeds": "\n".join(_seeds(folds[0])),
        "scenes": "\n".join(_scenes(next(iter(scenes.values())), folds[0])),
        "interpreted": "\n".join(_interpreted(list(scenes.values()), folds[0][FOREST])),
        "disturbed": "\n".join(_disturbed(_models(folds[0])[0])),
        "prior": "\n".join(_prior(contract)),
        "failures": failures.strip(),
    }
    return Template(template).substitute(values)


def _sections(text: str) -> dict[str, str]:
    """Sections of a card, by their headings."""
    parts = (part.partition("\n") for part in text.split("\n## ")[1:])
    return {head.strip(): body.strip() for head, _, body in parts}


def _table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _with_interval(score: Mapping[str, float | None]) -> str:
    """A value and its interval."""
    if score["value"] is None:
        return "-"
    ends = score["low"], score["high"]
    text = f"{score['value']:.3f}"
    return text if None in ends else f"{text} ({ends[0]:.3f} to {ends[1]:.3f})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _totals(scores: Figures, balanced: Figures) -> Iterator[str]:
    """Both sensors with intervals, then each alone."""
    names = ("oa", "f1", "miou")

    def rows() -> Iterator[Sequence[str]]:
        for label, report in (("", scores), (", `--prior balanced`", balanced)):
            yield (
                f"both sensors{label}",
                *(_with_interval(report["scores"][name]) for name in names),
            )
        for row in scores["sensors"]:
            if row["sensors"] in SINGLE_SENSOR:
                yield row["sensors"], *(_number(row[name]) for name in names)

    yield from _table(("", "accuracy", "macro F1", "mean IoU"), rows())


def _classes(scores: Figures) -> Iterator[str]:
    figures = ("f1", "iou", "precision", "recall")
    rows = (
        (row["class"], f"{row['true_pixels']:,}", *(_with_interval(row[name]) for name in figures))
        for row in scores["per_class"]
    )
    yield from _table(("class", "true pixels", "F1", "IoU", "precision", "recall"), rows)


def _confusion(scores: Figures) -> Iterator[str]:
    """Confusion matrix, percent of the true pixels of each class."""

    def rows() -> Iterator[Sequence[str]]:
        for name, counts in zip(scores["classes"], scores["confusion"], strict=True):
            total = sum(counts)
            yield name, *(f"{100 * n / total:.0f}" if total else "-" for n in counts)

    yield from _table(("truth, down; prediction, across", *scores["classes"]), rows())


def _reliability(scores: Figures) -> Iterator[str]:
    rows = (
        (
            f"{row['from']:.0%} to {row['to']:.0%}",
            f"{row['pixels']:,}",
            _number(row["confidence"]),
            _number(row["accuracy"]),
        )
        for row in scores["calibration"]["bins"]
        if row["pixels"]
    )
    yield from _table(("confidence", "pixels", "mean confidence", "accuracy"), rows)


def _models(fold: Figures) -> list[Figures]:
    """Scores of a fold's models, without the forest."""
    return [report for name, report in fold.items() if name != FOREST]


def _folds(folds: Sequence[Figures]) -> Iterator[str]:
    """Model and forest on the held-out samples of each fold: accuracy / macro F1."""
    names = ("accuracy", "macro_f1")
    results = []
    for fold in folds:
        model, forest = _models(fold)[0], fold[FOREST]
        for offset, (use, kinds) in enumerate(HELD_OUT.items()):
            number = (model["fold"] + offset) % N_FOLDS
            scores = [
                [one[kind][name] for name in names] for kind in kinds for one in (model, forest)
            ]
            results.append((number, use, scores))

    def rows() -> Iterator[Sequence[str]]:
        for number, use, scores in sorted(results):
            yield str(number), use, *map(_two_scores, scores)
        columns = zip(*(scores for _, _, scores in results), strict=True)
        means = ([mean(values) for values in zip(*column, strict=True)] for column in columns)
        yield "mean", "", *map(_two_scores, means)

    head = ("fold", "held out for", "patches", "forest", "landscapes", "forest")
    yield from _table(head, rows())


def _two_scores(scores: Sequence[float]) -> str:
    return " / ".join(f"{score:.3f}" for score in scores)


def _seeds(fold: Figures) -> Iterator[str]:
    """Mean and standard deviation over the seeds of one fold, and the forest."""
    models, forest = _models(fold), fold[FOREST]
    if len(models) < 2:
        yield "One seed was trained, so the spread over seeds is unknown."
        return

    def spread(values: list[float]) -> str:
        return f"{mean(values):.3f} +- {stdev(values):.3f}"

    def rows() -> Iterator[Sequence[str]]:
        names = ("accuracy", "macro_f1")
        for kind in KINDS:
            ours = (spread([model[kind][name] for model in models]) for name in names)
            yield kind, *ours, _two_scores([forest[kind][name] for name in names])

    yield from _table((f"{len(models)} seeds", "accuracy", "macro F1", FOREST), rows())


def _scenes(own: Figures, fold: Figures) -> Iterator[str]:
    """Agreement with the labelled scenes, of the model and of every seed that lacks a fold."""
    models = _models(fold)

    def rows() -> Iterator[Sequence[str]]:
        for name, scene in own["scenes"].items():
            alone = (f"{own[part]['scenes'][name]['agreement']:.3f}" for part in SINGLE_SENSOR)
            seeds = ", ".join(f"{model['scenes'][name]['agreement']:.3f}" for model in models)
            forest = fold[FOREST]["scenes"][name]["agreement"]
            ours = f"{scene['agreement']:.3f}"
            yield name, ours, *alone, f"{scene['commonest']:.3f}", seeds, f"{forest:.3f}"

    head = ("scene", "this model", *SINGLE_SENSOR, "share of its commonest class", "twins", FOREST)
    yield from _table(head, rows())


def _interpreted(seeds: Sequence[Figures], forest: Figures) -> Iterator[str]:
    """Share of correct pixels in the interpreted parts, by scene and over all scenes."""
    own, *others = seeds
    totals = [
        ("all", own),
        *((f"all, another seed ({number})", seed) for number, seed in enumerate(others, 1)),
        (f"all, {FOREST}", forest),
    ]

    def rows() -> Iterator[Sequence[str]]:
        for name, kinds in own["interpreted"].items():
            covers = ", ".join(f"{kind} {share:.2f}" for kind, share in kinds.items())
            pixels = _number(own["interpreted pixels"][name])
            yield name, _number(mean(kinds.values())), pixels, covers
        for label, report in totals:
            pixels = _number(mean(report["interpreted pixels"].values()))
            yield label, _number(interpreted_mean(report["interpreted"])), pixels, ""

    yield from _table(("scene", "mean over kinds", "all pixels", "each kind"), rows())


def _disturbed(report: Figures) -> Iterator[str]:
    cases = {"as they are": report["landscapes"], **report["disturbed"]}
    rows = (
        (name, f"{case['accuracy']:.3f}", f"{case['macro_f1']:.3f}") for name, case in cases.items()
    )
    yield from _table(("landscapes", "accuracy", "macro F1"), rows)


def _prior(contract: Contract) -> Iterator[str]:
    rows = ((name, f"{share:.1%}") for name, share in zip(NAMES, contract.prior, strict=True))
    yield from _table(("class", "share"), rows)


def main() -> None:
    """Read the scores, fill in the template, write the card."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--scores", type=Path, required=True, help="metrics.json")
    parser.add_argument("--balanced", type=Path, required=True, help="metrics.json")
    parser.add_argument("--folds", type=Path, nargs="+", required=True)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--failures", type=Path, required=True, help="hand-written Markdown")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    text = fill_card(
        TEMPLATE.read_text(encoding="utf-8"),
        options.model.with_suffix(".md").read_text(encoding="utf-8"),
        read_model(options.model).contract,
        scores=json.loads(options.scores.read_text(encoding="utf-8")),
        balanced=json.loads(options.balanced.read_text(encoding="utf-8")),
        folds=[json.loads(path.read_text(encoding="utf-8")) for path in options.folds],
        scenes=json.loads(options.scenes.read_text(encoding="utf-8")),
        failures=options.failures.read_text(encoding="utf-8"),
    )
    options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
