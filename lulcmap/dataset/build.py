"""Build a dataset: a chip of every label and its image, in any order, each made once."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lulcmap.dataset.chips import SPLITS, Chip
from lulcmap.dataset.legend import Legend
from lulcmap.dataset.sample import Images, Labels, Sample, SkippedError
from lulcmap.dataset.splits import Assignment, assign_splits
from lulcmap.dataset.workers import completed
from lulcmap.dataset.writer import DatasetWriter, dataset_writer
from lulcmap.errors import NoScenesError, ProviderError
from lulcmap.legend import NODATA
from lulcmap.system import Progress, no_progress

logger = logging.getLogger(__name__)


MAX_FAILURES_IN_A_ROW = 10
"""Labels that may fail one after the other before the build gives up: the provider is down."""


@dataclass(frozen=True)
class BuildResult:
    """What a build made."""

    out: Path
    """Folder of the dataset."""

    rows: tuple[Chip, ...]
    """Rows of its index."""

    names: tuple[str, ...]
    """Names of the classes, by id."""

    new_chips: int
    """Chips made by this build; the others were finished before."""

    left_out: dict[str, str] = field(default_factory=dict)
    """Label files that are not used, and why."""

    skipped: dict[str, str] = field(default_factory=dict)
    """Label files without an image, and why."""

    failed: dict[str, str] = field(default_factory=dict)
    """Label files whose image was not available this time, and why; a rerun tries them again."""

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return {
            "chips": len(self.rows),
            "made": self.new_chips,
            "totals": self.totals(),
            "histogram": self.histogram(),
            "left_out": dict(sorted(self.left_out.items())),
            "skipped": dict(sorted(self.skipped.items())),
            "failed": dict(sorted(self.failed.items())),
        }

    def totals(self) -> dict[str, dict[str, int]]:
        """By split: chips, places, pixels with and without a class, and chips by annotator."""
        totals: dict[str, dict[str, int]] = {}
        for split in SPLITS:
            rows = [row for row in self.rows if row.split == split]
            totals[split] = {
                "chips": len(rows),
                "places": len({row.place for row in rows}),
                "labelled": sum(sum(row.counts) for row in rows),
                "unlabelled": sum(row.unlabelled for row in rows),
                **Counter(row.annotator for row in rows),
            }
        return totals

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
    """Make a chip of every label, and the index of all chips.

    If interrupted, rerun the same call; it resumes after the finished chips.

    Args:
        labels: labels, already found.
        images: images of the labels.
        out: folder of the dataset, new or begun with the same settings.
        legend: legend of the labels.
        validation: share of the places for validation, which decides when training stops.
        test: share of the places for testing, besides the hold-out.
        workers: chips made at a time.
        limit: most chips to make, spread over the labels; None makes all.
        progress: called with the progress.

    Raises:
        UsageError: the folder was begun with other settings.
        NoScenesError: no label has an image.
        ProviderError: many labels in a row failed, or all did.
        OutputError: the folder cannot be used.

    """
    assignment = assign_splits(labels.samples, validation=validation, test=test)
    samples = [sample for sample in labels.samples if sample.name in assignment.split]
    if limit is not None:
        step = max(len(samples) / limit, 1) if limit else 1
        samples = [samples[int(i * step)] for i in range(min(limit, len(samples)))]
    settings = {**labels.settings(), **images.settings(), "validation": validation, "test": test}
    with dataset_writer(out, legend.classes, settings) as writer:
        builder = _Builder(labels, images, writer)
        builder.run(samples, workers=workers, progress=progress)
        on_test_ground = {
            sample.source: assignment.left_out[sample.name]
            for sample in labels.samples
            if sample.name in assignment.left_out
        }
        result = BuildResult(
            out,
            tuple(_index_rows(builder.rows, assignment)),
            tuple(cover.name for cover in legend.classes),
            builder.new_chips,
            {**labels.left_out, **on_test_ground},
            builder.skipped,
            builder.failed,
        )
        if not result.rows:
            raise _no_chip_error(result)
        writer.finish(result.rows, result.to_json())
    return result


def _index_rows(rows: Sequence[Chip], assignment: Assignment) -> Iterator[Chip]:
    for row in sorted(rows, key=lambda row: row.chip):
        yield replace(row, place=assignment.place[row.chip], split=assignment.split[row.chip])


def _no_chip_error(result: BuildResult) -> Exception:
    """Why there is no chip."""
    if result.failed:
        source, reason = next(iter(sorted(result.failed.items())))
        return ProviderError(
            f"No chip could be made: {len(result.failed)} labels failed ({source}: {reason}). "
            "Rerun the same command later to resume."
        )
    reasons = result.skipped or result.left_out
    source, reason = next(iter(sorted(reasons.items())), ("--labels", "it holds no label"))
    return NoScenesError(
        f"No chip could be made: none of {len(reasons)} labels has an image ({source}: {reason}). "
        "Check the catalogue and its dates, or try another --catalog."
    )


@dataclass
class _Builder:
    """Makes the chips that are not finished."""

    labels: Labels
    images: Images
    writer: DatasetWriter
    rows: list[Chip] = field(default_factory=list)
    new_chips: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def run(self, samples: Sequence[Sample], *, workers: int, progress: Progress) -> None:
        """Make the missing chips, several at a time."""
        missing = []
        for sample in samples:
            row = self.writer.finished_chip(sample, self.labels.digest(sample))
            if row is None:
                missing.append(sample)
            else:
                self.rows.append(row)
        done, in_a_row = len(self.rows), 0
        progress("chips", done, len(samples))
        with closing(completed(self._make, missing, workers=workers)) as finished:
            for sample, future in finished:
                error = future.exception()
                in_a_row = in_a_row + 1 if isinstance(error, ProviderError) else 0
                self._record(sample, future)
                done += 1
                progress("chips", done, len(samples))
                if in_a_row == MAX_FAILURES_IN_A_ROW:
                    raise ProviderError(
                        f"{in_a_row} labels in a row failed, the last one {sample.source} "
                        f"({error}). Rerun the same command later to resume."
                    )

    def _make(self, sample: Sample) -> Chip:
        label = self.labels.read(sample)
        if not (label.ids != NODATA).any() and label.votes is None:
            raise SkippedError("no pixel of it has a class")
        image = self.images.read(sample)
        return self.writer.write_chip(sample, self.labels.digest(sample), label, image)

    def _record(self, sample: Sample, future: Future[Chip]) -> None:
        """Record what became of a sample.

        Raises:
            BaseException: any error that ends the build.

        """
        try:
            self.rows.append(future.result())
            self.new_chips += 1
        except SkippedError as reason:
            self.skipped[sample.source] = str(reason)
            logger.info("skipped %s: %s", sample.source, reason)
        except ProviderError as error:
            self.failed[sample.source] = str(error)
            logger.info("failed %s: %s", sample.source, error)
