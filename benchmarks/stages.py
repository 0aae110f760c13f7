"""Where the CPU-seconds of a command of lulcmap go: by stage, and by line of its code.

The command runs in this process. Every ten milliseconds a thread asks the kernel how long each
thread has run (Linux), and adds that to the line it is in: the innermost line of lulcmap. A thread
without Python is the network's (or, while a map is written, GDAL's). Nothing of lulcmap is changed,
and other work on the machine does not count.

    python -m benchmarks.stages predict --aoi AREA --year 2024 --catalog FILE --out MAP.tif
"""

import linecache
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType

INTERVAL = 0.01
"""Seconds between samples."""

STAGES = {
    "imagery/assets/deflate.py": "inflate, undo the predictor",
    "imagery/assets": "fetch, headers",
    "imagery/": "composite",
    "model/inference.py": "windows, blend, decide",
    "model/decide.py": "windows, blend, decide",
    "model/mirror.py": "mirror",
    "model/windows.py": "windows, blend, decide",
    "model/": "network",
    "output/": "join, COG, sidecars",
    "run/": "blocks on disk",
    "blocks/": "windows, blend, decide",
    "catalog/": "search and plan",
    "planning/": "search and plan",
    "geo/": "search and plan",
}
"""Stages by the beginning of a module's path; the first that fits counts."""

Place = tuple[str, str, int]
"""Stage, file and line."""


def place_of(frame: FrameType | None, package: str) -> Place:
    """The innermost line of lulcmap on a stack; an import counts as one, whoever asks for it."""
    found: tuple[str, int] | None = None
    while frame is not None:
        name = frame.f_code.co_filename
        if "importlib._bootstrap" in name:
            return "import", "", 0
        if found is None and name.startswith(package):
            found = name[len(package) :], frame.f_lineno
        frame = frame.f_back
    if found is None:
        return "other", "", 0
    stages = (stage for start, stage in STAGES.items() if found[0].startswith(start))
    return next(stages, "other"), *found


class Sampler(threading.Thread):
    """Counts CPU-seconds by place until it is stopped."""

    def __init__(self, package: str) -> None:
        super().__init__(daemon=True)
        self.spent: Counter[Place] = Counter()
        self._package, self._seen, self._ended = package, dict[int, int](), threading.Event()

    def run(self) -> None:
        """Sample."""
        while not self._ended.wait(INTERVAL):
            self.sample()

    def stop(self) -> None:
        """Stop sampling."""
        self._ended.set()
        self.join()

    def sample(self) -> None:
        """Add what every thread has run since the last sample to the place it is in now."""
        frames = sys._current_frames()
        known = {thread.native_id: thread.ident for thread in threading.enumerate()}
        for folder in Path("/proc/self/task").iterdir():
            task = int(folder.name)
            try:
                ran = int((folder / "schedstat").read_text().split()[0])
            except OSError:  # it has ended
                continue
            spent = ran - self._seen.get(task, 0)
            self._seen[task] = ran
            if task == self.native_id or not spent:
                continue
            if task in known:
                place = place_of(frames.get(known[task] or 0), self._package)
            else:
                place = "network", "threads of its own", 0
            self.spent[place] += spent / 1e9


def report(sampler: Sampler, package: str, whole: float) -> None:
    """Print the table by stage and the dearest lines."""
    stages: Counter[str] = Counter()
    for (stage, _, _), seconds in sampler.spent.items():
        stages[stage] += seconds
    for stage, seconds in stages.most_common():
        print(f"{stage:30s} {seconds:7.2f} CPU-s  {seconds / sum(stages.values()):4.0%}")
    print(f"{'the process':30s} {whole:7.2f} CPU-s, this measurement included\n")
    for (_, name, line), seconds in sampler.spent.most_common(25):
        code = linecache.getline(package + name, line).strip()
        print(f"{seconds:7.2f}  {name}:{line}  {code}")


def main() -> None:
    package = str(Path(__file__).parents[1] / "lulcmap") + "/"
    sampler = Sampler(package)
    sampler.start()
    from lulcmap.cli import main as run

    sys.argv = ["lulcmap", *sys.argv[1:]]
    try:
        run()
    except SystemExit as ended:
        if ended.code:
            raise
    finally:
        sampler.stop()
    report(sampler, package, time.process_time())


if __name__ == "__main__":
    main()
