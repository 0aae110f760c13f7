"""Label real scenes with a teacher: find the places, label each one, write the dataset."""

import hashlib
import logging
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lulcmap.dataset.build import MAX_FAILURES_IN_A_ROW, BuildResult
from lulcmap.dataset.chips import Chip
from lulcmap.dataset.dates import LOST, MARGIN_PX
from lulcmap.dataset.labelling import PlaceLabeller
from lulcmap.dataset.place_record import PlaceRecord
from lulcmap.dataset.places import area_places, drawn, file_places
from lulcmap.dataset.sample import Sample
from lulcmap.dataset.settings import LabelRequest
from lulcmap.dataset.source import OpenArchive, archive_settings
from lulcmap.dataset.splits import assign_splits
from lulcmap.dataset.workers import completed
from lulcmap.dataset.writer import PLACES, DatasetWriter, dataset_writer
from lulcmap.errors import ModelError, NoScenesError, OutputError, ProviderError, UsageError
from lulcmap.geo import load_area
from lulcmap.model import Contract, Session, find_model, open_session
from lulcmap.system import Progress, no_progress, read_json, write_json

logger = logging.getLogger(__name__)

_SIZES_PX = (64, 2048)
"""Smallest and largest side of a chip."""


@dataclass(frozen=True)
class LabelResult(BuildResult):
    """What a labelling made; ``skipped`` and ``failed`` are of places."""

    dates: Mapping[str, int] = field(default_factory=dict)
    """Dates and composites that are left out, by kind."""

    lost: tuple[str, ...] = ()
    """Assets that could not be read, of chips that were made without them, and of dates that were
    left out."""

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return {
            **super().to_json(),
            "dates_left_out": dict(sorted(self.dates.items())),
            "lost": sorted(self.lost),
        }


def label_scenes(
    request: LabelRequest, out: Path, *, progress: Progress = no_progress
) -> LabelResult:
    """Make a dataset of real scenes that a model labels, or resume one.

    If interrupted, call it again; it resumes after the finished places.

    Args:
        request: the teacher, the places, the period and how they are labelled.
        out: folder of the dataset, new or begun with the same request; the splits, the number of
            places and the workers may differ.
        progress: called with the places that are done, and all.

    Raises:
        UsageError: the request cannot be used, or the folder was begun with another.
        NoScenesError: no place has a date that can be labelled.
        ModelError: the teacher cannot be used; ``DeviceError``: the device is not available.
        ProviderError: the provider failed.
        OutputError: the folder cannot be used.

    """
    _check(request)
    archive = replace(request.archive, keep_without_s1=request.s1 != "required")
    session = open_session(
        find_model(request.teacher), device=request.device, batch_size=request.batch_size
    )
    for note in session.notes:
        logger.warning(note)
    contract = session.contract
    if "s2" not in contract.inputs:
        raise ModelError(
            f"Model {contract.name!r} does not take Sentinel-2, whose dates are labelled. Choose "
            "another --teacher."
        )
    places = _places(request, contract.name)
    settings = {**_settings(request, session, places), **archive_settings(archive)}
    with OpenArchive(archive) as opened, dataset_writer(out, contract.legend, settings) as writer:
        run = _Run(PlaceLabeller(request, opened, session), writer, session.sha256)
        run.label(drawn(places, request.limit), workers=archive.workers, progress=progress)
        result = run.result(request, contract)
        if not result.rows:
            raise _no_chip_error(result)
        writer.finish(result.rows, {**result.to_json(), "made": len(result.rows)})
    return result


def _check(request: LabelRequest) -> None:
    least, most = _SIZES_PX
    if request.size % 2 or not least <= request.size <= most:
        raise UsageError(
            f"A chip of {request.size} pixels a side; give an even --size from {least} to {most}."
        )
    if (request.area is None) == (request.places is None):
        raise UsageError("Give the places by --aoi or by --places, one of them.")
    if not 0 <= request.validation + request.test < 1:
        raise UsageError("--validation and --test leave nothing to train on; give smaller shares.")


def _places(request: LabelRequest, teacher: str) -> list[Sample]:
    if request.places is not None:
        return file_places(request.places, request.size, teacher, request.layer)
    assert request.area is not None  # checked
    return area_places(load_area(request.area, layer=request.layer), request.size, teacher)


def _settings(request: LabelRequest, session: Session, places: Sequence[Sample]) -> dict[str, Any]:
    """Settings that decide the chips, plain JSON."""
    names = "\n".join(place.name for place in places)
    period = request.period
    return {
        "labels": "teacher",
        "teacher": _provenance(session.contract, session.sha256),
        "places": hashlib.sha256(names.encode()).hexdigest(),
        "period": [period.start.isoformat(), period.end.isoformat()],
        **{
            name: getattr(request, name)
            for name in (
                *("size", "dates", "average", "composites", "max_scenes", "max_cloud"),
                *("min_clear_share", "max_sun_zenith", "min_margin", "s1", "s1_days", "s1_dates"),
            )
        },
        "margin": MARGIN_PX,
        "validation": request.validation,
        "test": request.test,
    }


def _provenance(contract: Contract, sha256: str) -> dict[str, Any]:
    """Which model labelled, and what it says of itself."""
    says = {key: contract.training.get(key) for key in ("license", "licence", "source", "notice")}
    return {
        "name": contract.name,
        "sha256": sha256,
        "trained_on": contract.trained_on,
        "quality": contract.quality,
        **{key: value for key, value in says.items() if isinstance(value, str)},
    }


@dataclass
class _Run:
    """Labels the places that are not finished."""

    labeller: PlaceLabeller
    writer: DatasetWriter
    digest: str
    """SHA-256 of the teacher."""

    records: list[PlaceRecord] = field(default_factory=list)
    rows: list[Chip] = field(default_factory=list)
    places: dict[str, Sample] = field(default_factory=dict)
    """Places by name."""
    new_chips: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    def label(self, places: Sequence[Sample], *, workers: int, progress: Progress) -> None:
        """Label the missing places, several at a time."""
        (self.writer.path / PLACES).mkdir(exist_ok=True)
        self.places = {place.name: place for place in places}
        missing = [place for place in places if not self._is_finished(place)]
        self._remove_unfinished(missing)
        done, in_a_row = len(places) - len(missing), 0
        progress("places", done, len(places))
        with closing(completed(self._make, missing, workers=workers)) as finished:
            for place, future in finished:
                error = future.exception()
                in_a_row = in_a_row + 1 if isinstance(error, ProviderError) else 0
                if isinstance(error, ProviderError):
                    self.failed[place.name] = str(error)
                    logger.info("failed %s: %s", place.name, error)
                else:
                    record, rows = future.result()
                    self._add(record, rows)
                    self.new_chips += len(rows)
                done += 1
                progress("places", done, len(places))
                if in_a_row == MAX_FAILURES_IN_A_ROW:
                    raise ProviderError(
                        f"{in_a_row} places in a row failed, the last one {place.name} ({error}). "
                        "Rerun the same command later to resume."
                    )

    def _make(self, place: Sample) -> tuple[PlaceRecord, list[Chip]]:
        """Label a place and write its chips, then its record: with it, the place is finished."""
        labelled = self.labeller.label(place)
        rows = [
            self.writer.write_chip(chip.sample, self.digest, chip.label, chip.image)
            for chip in labelled.chips
        ]
        record = labelled.record(place.name)
        try:
            write_json(self._record_path(place), record.to_json())
        except OSError as error:
            raise OutputError(
                f"The dataset {self.writer.path} cannot be written ({error.strerror or error}). "
                "Free some space; then rerun the same command to resume."
            ) from error
        return record, rows

    def _record_path(self, place: Sample) -> Path:
        return self.writer.path / PLACES / f"{place.name}.json"

    def _is_finished(self, place: Sample) -> bool:
        """Whether a place has its record and all of its chips; they are kept then."""
        try:
            record = PlaceRecord.from_json(read_json(self._record_path(place)) or {})
        except (AttributeError, KeyError, TypeError, ValueError, OSError):
            return False
        found = [
            self.writer.finished_chip(replace(place, name=name), self.digest)
            for name in record.chips
        ]
        rows = [row for row in found if row is not None]
        if len(rows) < len(found):
            return False
        self._add(record, rows)
        return True

    def _add(self, record: PlaceRecord, rows: Sequence[Chip]) -> None:
        self.records.append(record)
        self.rows += [replace(row, place=record.place) for row in rows]

    def _remove_unfinished(self, missing: Sequence[Sample]) -> None:
        """Remove chips that a killed run left of places it did not finish."""
        names = {place.name for place in missing}
        for chip in sorted(self.writer.chips.iterdir()):
            if chip.name.rpartition("_")[0] in names:
                shutil.rmtree(chip, ignore_errors=True)

    def result(self, request: LabelRequest, contract: Contract) -> LabelResult:
        """What was made, the places in their splits."""
        with_chips = {row.place for row in self.rows}
        assignment = assign_splits(
            [place for name, place in self.places.items() if name in with_chips],
            validation=request.validation,
            test=request.test,
        )
        rows = [
            replace(row, place=assignment.place[row.place], split=assignment.split[row.place])
            for row in sorted(self.rows, key=lambda row: row.chip)
        ]
        kinds = Counter(kind for one in self.records for kind, _ in one.left_out.values())
        lost = [why for one in self.records for kind, why in one.left_out.values() if kind == LOST]
        return LabelResult(
            self.writer.path,
            tuple(rows),
            tuple(cover.name for cover in contract.legend),
            self.new_chips,
            skipped={one.place: one.skipped for one in self.records if one.skipped is not None},
            failed=self.failed,
            dates=kinds,
            lost=(*lost, *(asset for one in self.records for asset in one.lost)),
        )


def _no_chip_error(result: LabelResult) -> Exception:
    """Why there is no chip."""
    if result.failed:
        place, reason = next(iter(sorted(result.failed.items())))
        return ProviderError(
            f"No place could be labelled: {len(result.failed)} failed ({place}: {reason}). Rerun "
            "the same command later to resume."
        )
    place, reason = next(iter(sorted(result.skipped.items())), ("--aoi", "it holds no place"))
    return NoScenesError(
        f"No place could be labelled: none of {len(result.skipped)} has a date ({place}: "
        f"{reason}). Check the period and where the places lie, or try another --catalog."
    )
