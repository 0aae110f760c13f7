"""Build a dataset: every label with its image, a chip at a time, in any order, once."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lulcmap.dataset.chips import SPLITS, Chip
from lulcmap.dataset.legend import Legend
from lulcmap.dataset.sample import Images, Labels, Sample, SkippedError
from lulcmap.dataset.splits import Places, arrange
from lulcmap.dataset.writer import Folder, open_dataset, placed
from lulcmap.errors import NoScenesError, ProviderError
from lulcmap.legend import NODATA
from lulcmap.system import Progress, no_progress

logger = logging.getLogger(__name__)


_IN_A_ROW = 10
"""Labels that fail one after the other until the build is given up: the provider is down."""


@dataclass(frozen=True)
class BuildResult:
    """What a build made."""

    out: Path
    """The dataset."""

    rows: tuple[Chip, ...]
    """Its index."""

    names: tuple[str, ...]
    """Of the classes."""

    made: int
    """Chips made now; the others were there."""

    left_out: dict[str, str] = field(default_factory=dict)
    """Label files that are not used, and why."""

    skipped: dict[str, str] = field(default_factory=dict)
    """Label files without an image, and why."""

    failed: dict[str, str] = field(default_factory=dict)
    """Label files whose image could not be had this time, and why; a rerun tries them again."""

    def to_dict(self) -> dict[str, Any]:
        """The report, plain JSON."""
        return {
            "chips": len(self.rows),
            "made": self.made,
            "totals": self.totals(),
            "histogram": self.histogram(),
            "left_out": dict(sorted(self.left_out.items())),
            "skipped": dict(sorted(self.skipped.items())),
            "failed": dict(sorted(self.failed.items())),
        }

    def totals(self) -> dict[str, dict[str, int]]:
        """By split: chips, places, pixels with and without a class, and chips by annotator."""
        found: dict[str, dict[str, int]] = {}
        for split in SPLITS:
            rows = [row for row in self.rows if row.split == split]
            found[split] = {
                "chips": len(rows),
                "places": len({row.place for row in rows}),
                "labelled": sum(sum(row.counts) for row in rows),
                "unlabelled": sum(row.unlabelled for row in rows),
                **Counter(row.annotator for row in rows),
            }
        return found

    def histogram(self) -> dict[str, dict[str, int]]:
        """By split, the pixels of each class."""
        return {
            split: {
                name: sum(row.counts[number] for row in self.rows if row.split == split)
                for number, name in enumerate(self.names)
            }
            for split in SPLITS
        }


def build(
    labels: Labels,
    images: Images,
    out: Path,
    *,
    legend: Legend,
    validation: float = 0.1,
    test: float = 0.0,
    workers: int = 4,
    limit: int | None = None,
    progress: Progress = no_progress,
) -> BuildResult:
    """Make a chip of every label, and the index of all.

    Killed at any moment, the same call goes on from the chips that are finished.

    Args:
        labels: found already.
        images: of the labels.
        out: the dataset's folder, new or begun with the same settings.
        legend: of the labels.
        validation: share of the places that training is stopped by.
        test: share of the places to test with, besides the hold-out.
        workers: chips made at a time.
        limit: most chips to make, spread over the labels; None for all.
        progress: told how far it is.

    Raises:
        UsageError: the folder was begun with other settings.
        NoScenesError: no label has an image.
        ProviderError: many labels in a row failed, or all did.
        OutputError: the folder cannot be used.

    """
    places = arrange(labels.samples, validation=validation, test=test)
    wanted = [sample for sample in labels.samples if sample.name in places.split]
    if limit is not None:
        step = max(len(wanted) / limit, 1) if limit else 1
        wanted = [wanted[int(i * step)] for i in range(min(limit, len(wanted)))]
    settings = {**labels.settings(), **images.settings(), "validation": validation, "test": test}
    with open_dataset(out, legend.classes, settings) as folder:
        work = _Work(labels, images, folder, len(legend.classes))
        work.go(wanted, workers=workers, progress=progress)
        shared = {
            sample.source: places.left_out[sample.name]
            for sample in labels.samples
            if sample.name in places.left_out
        }
        built = BuildResult(
            out,
            tuple(_indexed(work.rows, places)),
            tuple(cover.name for cover in legend.classes),
            work.made,
            {**labels.left_out, **shared},
            work.skipped,
            work.failed,
        )
        if not built.rows:
            raise _nothing(built)
        folder.close(built.rows, legend.classes, settings, built.to_dict())
    return built


def _indexed(rows: Sequence[Chip], places: Places) -> Iterator[Chip]:
    for row in sorted(rows, key=lambda row: row.chip):
        yield placed(row, places.of[row.chip], places.split[row.chip])


def _nothing(built: BuildResult) -> Exception:
    """Why there is no chip."""
    if built.failed:
        source, reason = next(iter(sorted(built.failed.items())))
        return ProviderError(
            f"No chip could be made: {len(built.failed)} labels failed ({source}: {reason}). Run "
            "the same command again later to go on."
        )
    reasons = built.skipped or built.left_out
    source, reason = next(iter(sorted(reasons.items())), ("--labels", "it holds no label"))
    return NoScenesError(
        f"No chip could be made: of {len(reasons)} labels none has an image ({source}: {reason}). "
        "Check the catalogue and its dates, or try another --catalog."
    )


@dataclass
class _Work:
    """Chips being made."""

    labels: Labels
    images: Images
    folder: Folder
    classes: int
    rows: list[Chip] = field(default_factory=list)
    made: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def go(self, wanted: Sequence[Sample], *, workers: int, progress: Progress) -> None:
        """Make what is not there, several at a time."""
        todo = []
        for sample in wanted:
            row = self.folder.done(sample, self.labels.digest(sample))
            if row is None:
                todo.append(sample)
            else:
                self.rows.append(row)
        done, in_a_row = len(self.rows), 0
        progress("chips", done, len(wanted))
        pool = ThreadPoolExecutor(workers, "chip")
        waiting: dict[Future[Chip], Sample] = {}
        rest = iter(todo)
        try:
            while True:
                for sample in rest:
                    waiting[pool.submit(self._make, sample)] = sample
                    if len(waiting) >= 2 * workers:
                        break
                if not waiting:
                    break
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    sample, error = waiting.pop(future), future.exception()
                    in_a_row = in_a_row + 1 if isinstance(error, ProviderError) else 0
                    self._note(sample, future)
                    done += 1
                    progress("chips", done, len(wanted))
                    if in_a_row == _IN_A_ROW:
                        raise ProviderError(
                            f"{in_a_row} labels in a row failed, the last one {sample.source} "
                            f"({error}). Run the same command again later to go on."
                        )
        finally:
            # Without waiting: what is made after an error or a signal is wanted by nobody.
            pool.shutdown(wait=not waiting, cancel_futures=True)

    def _make(self, sample: Sample) -> Chip:
        label = self.labels.read(sample)
        if not (label.ids != NODATA).any() and label.votes is None:
            raise SkippedError("no pixel of it has a class")
        image = self.images.of(sample)
        digest = self.labels.digest(sample)
        return self.folder.write(sample, digest, label, image, self.classes)

    def _note(self, sample: Sample, future: Future[Chip]) -> None:
        """Keep what became of a sample.

        Raises:
            BaseException: what ends the build.

        """
        try:
            self.rows.append(future.result())
            self.made += 1
        except SkippedError as reason:
            self.skipped[sample.source] = str(reason)
            logger.info("skipped %s: %s", sample.source, reason)
        except ProviderError as error:
            self.failed[sample.source] = str(error)
            logger.info("failed %s: %s", sample.source, error)
