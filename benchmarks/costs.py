"""Measure what runs take, and compare it with what ``lulcmap plan`` foretold.

Each case is planned and made, one after the other, in processes of their own; compiled loops come
from the cache after a first run that is not counted. From what the stages of all runs took, the
rates of ``lulcmap/planning/estimate/costs.py`` follow, by least squares; those of work that no run
does (``warped``) come out as 0, and are to stay as they are.

    python benchmarks/costs.py FOLDER [--only NAME] [--size 1024]
    python benchmarks/costs.py FOLDER --archive items.json --aoi area.geojson --period DAY DAY
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from lulcmap.planning.estimate.costs import inflate_seconds
from lulcmap.simulation import Country, simulate

LULCMAP = [sys.executable, "-m", "lulcmap"]

CASES: Mapping[str, Sequence[str]] = {
    "tiny": ["--model", "lulcformer-tiny"],
    "tiny, small blocks": ["--model", "lulcformer-tiny", "--block-size", "384"],
    "forest": ["--model", "random-forest-simulated"],
    "tiny-real, few dates": ["--model", "lulcformer-tiny-real", "--max-scenes", "4"],
    "without Sentinel-1": ["--model", "lulcformer-tiny", "--s1", "off"],
}
"""Options of ``lulcmap`` by the name of a case."""

WITHIN = 0.3
"""Largest difference between what is foretold and what a run takes, as a share of the latter."""


def run(command: Sequence[str]) -> tuple[dict[str, Any], float]:
    """Run a command that prints JSON; return that and its CPU-seconds, with its children's."""
    before = os.times()
    done = subprocess.run([*LULCMAP, *command], check=True, stdout=subprocess.PIPE)
    after = os.times()
    used = after.children_user + after.children_system
    return json.loads(done.stdout), used - before.children_user - before.children_system


def measured(folder: Path, name: str, options: Sequence[str]) -> dict[str, Any]:
    """Plan and make a map; return what was foretold, what was done, and what it took."""
    out = folder / f"{name.replace(' ', '-').replace(',', '')}.tif"
    speed = inflate_seconds()
    foretold, _ = run(["plan", *options, "--out", str(out), "--device", "cpu", "--json"])
    report, used = run(["predict", *options, "--out", str(out), "--device", "cpu", "--json", "-q"])
    for file in out.parent.glob(f"{out.stem}.*"):
        file.unlink()
    return {
        "foretold": foretold,
        "stages": report["stages"],
        "cpu": used,
        "speed": min(speed, inflate_seconds()),
    }


def taken(case: Mapping[str, Any]) -> dict[str, float]:
    """CPU-seconds of a run by what they were for."""
    blocks, assembly = case["stages"]["blocks"], case["stages"]["assembly"]
    own = {name: blocks["cpu"].get(name, 0.0) for name in ("reading", "compositing", "writing")}
    classifying = blocks["cpu_seconds"] - sum(own.values())
    joining = assembly["cpu_seconds"]
    rest = case["cpu"] - blocks["cpu_seconds"] - joining
    return {"start": rest, **own, "classifying": classifying, "joining": joining}


def rates(cases: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The rates that fit what the runs took best, none below 0."""
    found: dict[str, float] = {}
    works = [case["foretold"]["costs"]["work"] for case in cases]
    for stage, amounts in works[0].items():
        rows = np.array([list(work[stage].values()) for work in works])
        seconds = np.array([taken(case)[stage] for case in cases])
        fitted, _ = nnls(rows / seconds[:, None], np.ones(len(cases)))  # as shares of each
        found |= dict(zip(amounts, fitted.tolist(), strict=True))
    return found | {"inflate": statistics.median(case["speed"] for case in cases)}


def show(name: str, case: Mapping[str, Any]) -> bool:
    """Print a run beside what was foretold; return whether both are near each other."""
    foretold, took = case["foretold"]["costs"]["cpu"], taken(case)
    total, expected = sum(took.values()), sum(foretold.values())
    print(f"{name}: {expected:.1f} CPU-s foretold, {total:.1f} taken ({expected / total - 1:+.0%})")
    for stage, seconds in took.items():
        print(f"    {stage:<12} {foretold[stage]:7.2f} {seconds:7.2f}")
    return abs(expected / total - 1) <= WITHIN


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the simulated country is kept")
    parser.add_argument("--only", action="append", help="name of a case; all by default")
    parser.add_argument("--size", type=int, default=1024, help="side of the country, pixels")
    parser.add_argument("--archive", type=Path, help="an ItemCollection to map instead")
    parser.add_argument("--aoi", type=Path, help="the area in it")
    parser.add_argument("--period", nargs=2, help="first and last day, for --archive")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    items, aoi = asked.archive, asked.aoi
    if items is None:
        items, aoi = asked.folder / "items.json", asked.folder / "aoi.geojson"
        if not items.exists():
            country = Country(seed=11, height=asked.size, width=asked.size, s2_dates=8, s1_dates=6)
            simulate(asked.folder, country)
    when = ["--year", "2024"] if asked.period is None else [*("--start", asked.period[0])]
    when += [] if asked.period is None else ["--end", asked.period[1]]
    common = ["--aoi", str(aoi), "--catalog", str(items), *when]
    # The first run leaves the compiled loops in the cache, and is not counted.
    measured(asked.folder, "first", [*common, *CASES["tiny-real, few dates"]])
    cases = {
        name: measured(asked.folder, name, [*common, *options])
        for name, options in CASES.items()
        if not asked.only or name in asked.only
    }
    near = [show(name, case) for name, case in cases.items()]
    print("rates:", ", ".join(f"{k}={v:.3g}" for k, v in rates(list(cases.values())).items()))
    if not all(near):
        sys.exit(f"A run took more than {WITHIN:.0%} more or less than foretold.")


if __name__ == "__main__":
    main()
