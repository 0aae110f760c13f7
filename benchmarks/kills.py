"""Kill -9 at random moments: whether a run survives it.

A simulated country in two UTM zones is mapped again and again with ``lulcmap predict``, and the
process is killed at a random moment between the plan and the end. The same command is then rerun
until a run ends by itself. Its map must have the bytes of an undisturbed run, no block that was on
disk may be made again, and nothing else may be left behind.

    python benchmarks/kills.py [FOLDER] [--kills 200] [--model NAME|FILE]

FOLDER keeps the country and the counts, so the script itself resumes if interrupted.
"""

import argparse
import hashlib
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

STAGES = ("read", "predict", "write", "assembly")
"""Stages in which a kill may fall; one kill in five falls anywhere."""

EVENTS = {"compositing": "read", "classifying": "predict", "writing": "write", "wrote": "read"}
EVENTS["assembling"] = "assembly"
"""Words of the log, and the stage that begins with each."""

MAX_DELAY_S = {"read": 0.3, "predict": 0.1, "write": 0.0, "assembly": 0.3}
"""Most seconds from the beginning of a stage to the kill."""

YEAR = 2024


@dataclass
class Count:
    """Counts so far."""

    kills: Counter[str] = field(default_factory=Counter)
    """Kills by stage."""

    runs: int = 0
    """Maps that were finished."""

    attempts: int = 0
    """Processes started."""


class Attempt:
    """One process that maps, and its log."""

    def __init__(self, command: list[str]) -> None:
        self.stage = "start"
        self.begun: list[str] = []
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    def until(self, stage: str, *, skip: int) -> bool:
        """Follow the log until a stage has begun ``skip`` more times; False if the process ends."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            match = re.match(r"Debug: (\w+) (\S+)$", line)
            if match and match[1] in EVENTS:
                # While a block is classified, the next one is composited.
                if match[1] != "compositing" or self.stage != "predict":
                    self.stage = EVENTS[match[1]]
                if match[1] == "classifying":
                    self.begun.append(match[2])
                if self.stage == stage and match[1] != "wrote":
                    skip -= 1
                if skip < 0:
                    return True
        return False

    def kill(self) -> None:
        """Kill the process, and read the rest of the log."""
        self._process.kill()
        self.until("", skip=0)
        self._process.wait()

    def end(self) -> int:
        """Wait for the end; return the exit code."""
        self.until("", skip=0)
        return self._process.wait()


def simulate_country(folder: Path, size: int) -> None:
    """Simulate a country of ``size`` by ``size`` pixels on both sides of 12 degrees east."""
    from lulcmap.simulation import Country, simulate

    simulate(
        folder,
        Country(
            seed=4,
            height=size,
            width=size,
            west=724_400 - size * 5,
            north=5_306_000,
            s2_dates=4,
            s1_dates=2,
        ),
    )


def command(country: Path, out: Path, options: list[str]) -> list[str]:
    """The command that makes the map."""
    words = [sys.executable, "-m", "lulcmap", "predict", "--aoi", str(country / "aoi.geojson")]
    words += ["--year", str(YEAR), "--catalog", str(country / "items.json"), "--out", str(out)]
    return [*words, "--device", "cpu", "-vv", *options]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def torture(country: Path, place: Path, options: list[str], wanted: str, count: Count) -> None:
    """Kill the process of one map until it finishes, and check what it made."""
    out, run = place / "map.tif", place / "map.tif.run"
    done: set[str] = set()
    while True:
        count.attempts += 1
        attempt = Attempt(command(country, out, options))
        stage = random.choice([*STAGES, "any"])
        skip = random.randrange(4) if stage != "assembly" else 0
        aim = stage if stage != "any" else random.choice(STAGES)
        if attempt.until(aim, skip=skip):
            time.sleep(random.uniform(0, MAX_DELAY_S[aim] * (10 if stage == "any" else 1)))
            attempt.kill()
            ended = out.exists() and not run.exists()
        else:
            if attempt.end():
                sys.exit("A run that was not killed failed.")
            ended = True
        again = done & set(attempt.begun)
        if again:
            sys.exit(f"Blocks that were on disk were made again: {sorted(again)}")
        done |= {path.stem for path in (run / "blocks").glob("*.tif")}
        if ended:
            break
        count.kills[attempt.stage] += 1
        print(f"kill {count.kills.total()} fell in {attempt.stage}", file=sys.stderr, flush=True)
    check(place, wanted)
    count.runs += 1


FILES = [
    *("map.json", "map.png", "map.qml", "map.tif", "map.tif.aux.xml", "map.tif.report.json"),
]
"""Files of a map."""


def check(place: Path, wanted: str) -> None:
    """Check that the map is that of an undisturbed run, and that nothing else is left."""
    if digest(place / "map.tif") != wanted:
        sys.exit("The map differs from that of an undisturbed run.")
    left = sorted(path.name for path in place.iterdir())
    if left != FILES:
        sys.exit(f"Files are left behind: {left}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="keeps the country and the counts")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--model", default="lulcformer-tiny", help="a shipped model or a file")
    parser.add_argument("--block-size", default="384")
    parser.add_argument("--size", type=int, default=512, help="pixels a side of the country")
    parser.add_argument("--seed", type=int, help="seed of the moments")
    args = parser.parse_args()
    random.seed(args.seed)
    options = ["--block-size", args.block_size, "--model", args.model]
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        country, state = folder / "country", folder / "kills.json"
        if not (country / "items.json").exists():
            simulate_country(country, args.size)
        count = Count()
        if state.exists():
            kept = json.loads(state.read_text())
            count = Count(Counter(kept["kills"]), kept["runs"], kept["attempts"])
        with tempfile.TemporaryDirectory() as place:
            whole = Path(place) / "map.tif"
            subprocess.run(command(country, whole, options), check=True, capture_output=True)
            wanted = digest(whole)
        while count.kills.total() < args.kills or not all(count.kills[stage] for stage in STAGES):
            with tempfile.TemporaryDirectory() as place:
                torture(country, Path(place), options, wanted, count)
            state.write_text(json.dumps(vars(count) | {"kills": dict(count.kills)}))
    fell = ", ".join(f"{count.kills[stage]} in {stage}" for stage in STAGES)
    print(
        f"{count.kills.total()} kills over {count.runs} maps ({count.attempts} processes): {fell}. "
        "Every map has the bytes of an undisturbed run; no finished block was made again; nothing "
        "is left behind."
    )


if __name__ == "__main__":
    main()
