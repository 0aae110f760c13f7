"""Time of ``lulcmap --help``, compared with a Python that does nothing.

Both run in turns; medians are printed.

    python benchmarks/startup.py [--rounds 15]
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

MAX_S = 0.3
"""Most seconds that ``lulcmap --help`` may take."""

COMMANDS = {
    "lulcmap --help": [str(Path(sys.executable).with_name("lulcmap")), "--help"],
    "python -c pass": [sys.executable, "-c", "pass"],
}


def seconds(command: list[str]) -> float:
    # An installed package has its bytecode; this machine may be set not to write any.
    settings = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=settings)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for turn in range(rounds + 1):
        for name, command in COMMANDS.items():
            duration = seconds(command)
            if turn:  # the first turn compiles
                times[name].append(duration)
    for name, runs in times.items():
        print(f"{name}: median {statistics.median(runs):.3f} s, fastest {min(runs):.3f} s")
    if statistics.median(times["lulcmap --help"]) >= MAX_S:
        sys.exit(f"lulcmap --help takes more than {MAX_S} s.")


if __name__ == "__main__":
    main()
