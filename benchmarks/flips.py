"""Flip bits in the blocks of a run and in its finished map, and cut the map: none is believed.

python benchmarks/flips.py [--flips 1000]
"""

import argparse
import logging
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np

from lulcmap.catalog import make_period
from lulcmap.errors import OutputError
from lulcmap.output import made_before
from lulcmap.pipeline import map_area
from lulcmap.planning import Settings
from lulcmap.run import Plan, RunFolder
from lulcmap.simulation import Country, simulate

MODEL = "random-forest-simulated"


def flipped(content: bytes, random: np.random.Generator) -> bytes:
    """The content with one bit changed."""
    place = int(random.integers(8 * len(content)))
    changed = bytearray(content)
    changed[place // 8] ^= 1 << place % 8
    return bytes(changed)


def cut(content: bytes, random: np.random.Generator) -> bytes:
    """The beginning of the content."""
    return content[: int(random.integers(len(content)))]


def judged_blocks(run: RunFolder, plan: Plan, count: int, random: np.random.Generator) -> Counter:
    """What a run says of its blocks, each with one flipped bit."""
    verdicts: Counter[str] = Counter()
    for number in random.integers(len(plan.blocks), size=count):
        block = plan.placed_blocks[number]
        path = run.block_path(block.id)
        whole = path.read_bytes()
        path.write_bytes(flipped(whole, random))
        verdicts[run.fault(block, plan=plan.digest) or "accepted"] += 1
        path.write_bytes(whole)
    return verdicts


def judged_map(out: Path, plan: Plan, count: int, damage: partial[bytes]) -> Counter:
    """Whether a damaged map counts as made."""
    verdicts: Counter[str] = Counter()
    whole = out.read_bytes()
    asked = {"remote": False, "zones": False, "overwrite": False, "min_coverage": 0.99}
    for _ in range(count):
        out.write_bytes(damage(whole))
        try:
            verdicts["accepted" if made_before(out, plan, **asked) else "made again"] += 1
        except OutputError:
            verdicts["refused"] += 1
    out.write_bytes(whole)
    return verdicts


def main() -> None:
    """Print the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=1000)
    count = parser.parse_args().flips
    logging.disable(logging.CRITICAL)
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        country = simulate(Path(name) / "country", Country(seed=1, height=256, width=256))
        out = Path(name) / "map.tif"
        settings = Settings(model=MODEL, catalog=str(country.items), keep_run=True)
        map_area(str(country.aoi), out, period=make_period(year=2024), settings=settings)
        run = RunFolder(out.with_name("map.tif.run"))
        plan, _ = run.frozen()
        print(f"{count:,} flips in blocks: {dict(judged_blocks(run, plan, count, random))}")
        for damage in (flipped, cut):
            verdicts = judged_map(out, plan, count, partial(damage, random=random))
            print(f"{count:,} maps {damage.__name__}: {dict(verdicts)}")


if __name__ == "__main__":
    main()
