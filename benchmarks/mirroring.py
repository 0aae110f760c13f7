"""Time to mirror land where a window has none, compared with the network's time for the window.

    python benchmarks/mirroring.py [--rounds 5]

One thread. The mirroring of a rectangle is first compared with numpy's padding.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from lulcmap.model import find_model, mirrored, open_session

SIDE = 512
"""Pixels a side of a window."""


def masks(rng: np.random.Generator) -> dict[str, NDArray[np.bool_]]:
    """Windows with land in part: True where there is land."""
    row, col = np.indices((SIDE, SIDE))
    smooth = gaussian_filter(rng.standard_normal((SIDE, SIDE)), 12)
    return {
        "a scene of 224 px": (abs(row - 212) < 112) & (abs(col - 262) < 112),
        "one side of a swath": row + col / 3 < 300,
        "between clouds": smooth > 0,
        "one pixel in a hundred": rng.random((SIDE, SIDE)) < 0.01,
    }


def seconds(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def check() -> None:
    """Check that a rectangle is mirrored as numpy pads it."""
    has_land = np.pad(np.ones((60, 80), bool), ((40, 30), (50, 70)))
    land = np.arange(60 * 80).reshape(60, 80)
    rows, cols = mirrored(has_land)
    expected = np.pad(land, ((40, 30), (50, 70)), mode="reflect")
    np.testing.assert_array_equal(land[rows - 40, cols - 50], expected)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    check()
    rng = np.random.default_rng(0)
    session = open_session(find_model(None), device="cpu", threads=1)
    s2 = rng.integers(1, 6000, (1, 9, SIDE, SIDE), dtype=np.uint16)
    s1 = rng.integers(-3000, 0, (1, 2, SIDE, SIDE), dtype=np.int16)
    calls = {name: lambda mask=mask: mirrored(mask) for name, mask in masks(rng).items()}
    calls["the network"] = lambda: session.run(s2, s1)
    session.run(s2, s1)
    times = [{name: seconds(call) for name, call in calls.items()} for _ in range(rounds)]
    for name in calls:
        print(f"{name}: {1e3 * median(one[name] for one in times):.0f} ms")


if __name__ == "__main__":
    main()
