"""``lulcmap plan`` on thousands of malformed areas.

Each must end in a plan or in one clear error. Prints how many of each there are, and which took
longest; the exit code is 1 if one ended in anything else.

    python -m benchmarks.polygons [--examples 2000] [--seed 0]
"""

import argparse
import re
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from unittest import mock

import hypothesis

from tests.support.polygons import Aoi, Outcome, Planner, aois

SHOWN = 5
"""How many of the slowest areas are printed."""


def outcomes(folder: Path, *, examples: int, seed: int) -> list[tuple[Aoi, Outcome]]:
    planner, found = Planner(folder), []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(aois)
    def look(aoi: Aoi) -> None:
        found.append((aoi, planner.plan(aoi)))

    # The model is not run.
    with mock.patch("lulcmap.planning.estimate.run._window_seconds", return_value=0.5):
        look()
    return found


def sort_of(outcome: Outcome) -> str:
    """The outcome without the details of its area."""
    text = outcome.fault.strip().splitlines()[-1] if outcome.fault else outcome.message
    text = re.sub(r"\S*area\.geojson", "FILE", text)
    text = re.sub(r"-?\d[\d.,]*(e[+-]?\d+)?|-?\binf\b|\bnan\b", "#", text)
    return re.sub(r"[(#].*[)#]", "#", text)[:100]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = outcomes(Path(folder), examples=given.examples, seed=given.seed)
    sorts: defaultdict[tuple[int, str], list[float]] = defaultdict(list)
    for _, outcome in found:
        sorts[outcome.code, sort_of(outcome)].append(outcome.seconds)
    print(f"{len(found)} areas, {sum(outcome.seconds for _, outcome in found):.0f} s")
    for (code, text), times in sorted(sorts.items(), key=lambda item: -max(item[1])):
        print(f"{len(times):5d} x exit {code}, at most {max(times):6.2f} s: {text}")
    print("The slowest:")
    for aoi, outcome in sorted(found, key=lambda pair: -pair[1].seconds)[:SHOWN]:
        print(f"{outcome.seconds:6.2f} s, {aoi.kind}, exit {outcome.code}: {aoi.text[:300]!r}")
    faults = [(aoi, outcome) for aoi, outcome in found if outcome.fault]
    for aoi, outcome in faults:
        print(f"FAULT, {aoi.kind}, exit {outcome.code}: {aoi.text!r}\n{outcome.fault}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
