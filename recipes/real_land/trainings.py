"""Trainings of a recipe: ``lulcmap train`` as processes that run side by side."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

TRAIN_OPTIONS = (
    *("--augmentation", "strong"),
    *("--missing-s1", "0.4"),
    *("--missing-s2", "0.05"),
    *("--balance", "0"),
    *("--gamma", "0"),
)
"""Options of ``lulcmap train`` set by the recipes. Radar is missing from two samples of five, so
that the map without it is as good as it can be; neither rare classes nor hard pixels get more
weight, so that the confidence stays valid for real land."""


def run_trainings(options: Mapping[Path, Sequence[str]]) -> None:
    """Run trainings side by side and wait for all of them.

    Each training has one thread: a second one hardly speeds up such a small network, and with a
    fixed number of threads the same command gives the same file.

    Args:
        options: options of each training beside ``TRAIN_OPTIONS``, by its folder.

    Raises:
        SystemExit: one failed.

    """
    with ExitStack() as stack:
        running = []
        for folder, own in options.items():
            # only one training can show its progress on the terminal
            log = None if not running else stack.enter_context(Path(f"{folder}.log").open("w"))
            command = [sys.executable, "-m", "lulcmap", "train", "--out", str(folder)]
            process = subprocess.Popen([*command, *own, *TRAIN_OPTIONS], stdout=log, stderr=log)
            stack.callback(process.terminate)
            running.append(process)
        codes = [process.wait() for process in running]
    for folder, code in zip(options, codes, strict=True):
        if code:
            raise SystemExit(
                f"The training in {folder} failed with exit code {code}. See its output above or "
                f"in {folder}.log, then rerun the same command to resume."
            )
