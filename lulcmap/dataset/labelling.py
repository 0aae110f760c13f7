"""Label one place with a teacher: its dates, its composite, their radar, and one soft label."""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from lulcmap.catalog import Scene, choose_s1, rank_s2, s1_period
from lulcmap.dataset.clearness import clear_by_colours
from lulcmap.dataset.dates import LOST, MARGIN_PX, Observation, choose_dates
from lulcmap.dataset.images import of_orbit, read_composite, read_s1, s1_summary
from lulcmap.dataset.place_record import LabelledPlace
from lulcmap.dataset.sample import Image, Label, Sample, SkippedError
from lulcmap.dataset.settings import LabelRequest
from lulcmap.dataset.soft_labels import agreement_of, mean_probabilities, soft_label
from lulcmap.dataset.source import OpenArchive
from lulcmap.errors import ReadError
from lulcmap.imagery import CompositeRules
from lulcmap.model import Session, class_probabilities
from lulcmap.sensors import S1_BANDS, S1_NODATA

COMPOSITE = "composite"
"""End of the name of a composite's chip."""


@dataclass(frozen=True, slots=True)
class _Date:
    """A date, and what the teacher says of it."""

    seen: Observation
    image: Image
    shares: NDArray[np.float32]
    """(K, H, W) probabilities; NaN where the teacher has none."""

    @property
    def weight(self) -> NDArray[np.float32]:
        """(H, W) weight in the mean of the dates: how clear the whole date is, 0 under clouds."""
        clear = self.seen.clear & ~np.isnan(self.shares[0])
        return np.asarray(self.seen.share * clear, np.float32)


@dataclass(frozen=True)
class PlaceLabeller:
    """Labels places; threads may share it."""

    request: LabelRequest
    """What is asked for."""

    archive: OpenArchive
    """Archive of the scenes."""

    session: Session
    """The teacher, ready to run."""

    _running: threading.Lock = field(default_factory=threading.Lock, repr=False)
    """Held while the teacher runs, which takes all cores by itself."""

    def label(self, place: Sample) -> LabelledPlace:
        """Label a place.

        Raises:
            ProviderError: the provider failed, or a date that could be labelled was lost and no
                other could.

        """
        s2, s1 = self._find(place)
        if not s2:
            return LabelledPlace(skipped="no Sentinel-2 scene was found")
        choice = choose_dates(self.archive.reader, place, s2, self.request)
        done = LabelledPlace(left_out=choice.left_out)
        dates = list(self._dates(place, choice.dates, s1, done))
        if not dates:
            done.skipped = _why_no_date(done.left_out)
            return done
        mean = mean_probabilities([one.shares for one in dates], [one.weight for one in dates])
        for date in dates:
            done.add(_named(place, date.seen.stamp), self._label(date, mean), date.image)
        if self.request.composites:
            self._add_composite(place, (s2, s1), mean, dates, done)
        if not done.chips:
            done.skipped = "no pixel of it has a label"
        return done

    def _dates(
        self, place: Sample, chosen: Sequence[Observation], s1: Sequence[Scene], done: LabelledPlace
    ) -> Iterator[_Date]:
        """The dates to label, with their radar and the teacher's probabilities."""
        for seen in chosen:
            try:
                image, radar = self._image(place, seen, s1, done)
            except ReadError as error:
                done.left_out[seen.stamp] = LOST, str(error)
                continue
            if self.request.s1 == "required" and not image.s1_ids:
                why = f"no Sentinel-1 scene within {self.request.s1_days} days shows any of it"
                done.left_out[seen.stamp] = "no radar", why
                continue
            with self._running:
                shares = class_probabilities(
                    self.session, seen.image, radar, margin=MARGIN_PX, sun_zenith=seen.sun_zenith
                )
            yield _Date(seen, image, shares)

    def _label(self, date: _Date, mean: NDArray[np.float32]) -> Label:
        """The label of a date's chip: that of all dates, or its own."""
        clear, least = date.seen.clear, self.request.min_margin
        if self.request.average:
            return soft_label(mean, date.shares, seen=clear, min_margin=least)
        return soft_label(date.shares, seen=clear, min_margin=least)

    def _find(self, place: Sample) -> tuple[list[Scene], list[Scene]]:
        """Scenes of Sentinel-2 in the period, and of Sentinel-1 around it."""
        request, period = self.request, self.request.period
        reach = timedelta(days=request.s1_days)
        s1_days = (period.start - reach, period.end + reach)
        if request.composites:
            yearly = s1_period(period)
            s1_days = min(s1_days[0], yearly[0]), max(s1_days[1], yearly[1])
        return self.archive.find(
            place.area(),
            (period.start, period.end),
            s1_days,
            request.max_cloud,
            s1=request.s1 != "off",
        )

    def _image(
        self, place: Sample, seen: Observation, scenes: Sequence[Scene], done: LabelledPlace
    ) -> tuple[Image, NDArray[np.int16]]:
        """A date's image with the radar nearest to it; and that radar with the margin."""
        wide, orbit = place.grid.pad(MARGIN_PX), self.archive.options.orbit
        near = self._nearest(of_orbit(scenes, orbit), seen.datatake[0].acquired)
        if near:
            radar, used, lost = read_s1(self.archive, wide, near)
            done.note(lost)
        else:
            radar, used = np.full((len(S1_BANDS), *wide.shape), S1_NODATA, np.int16), []
        inner = slice(MARGIN_PX, -MARGIN_PX)
        own = np.ascontiguousarray(radar[:, inner, inner])
        image = Image(
            np.ascontiguousarray(seen.image[:, inner, inner]),
            own,
            seen.datatake[0].acquired.date(),
            seen.ids,
            *s1_summary(used if (own != S1_NODATA).any() else [], orbit),
        )
        return image, radar

    def _nearest(self, scenes: Sequence[Scene], moment: datetime) -> list[Scene]:
        """The radar scenes of the datatakes nearest to a moment, within the days asked for."""
        reach = timedelta(days=self.request.s1_days)
        distances: dict[str, timedelta] = {}
        for scene in scenes:
            distance = abs(scene.acquired - moment)
            if distance <= reach:
                before = distances.get(scene.datatake, distance)
                distances[scene.datatake] = min(before, distance)
        by_distance = sorted(distances, key=lambda one: (distances[one], one))
        nearest = set(by_distance[: self.request.s1_dates])
        return [scene for scene in scenes if scene.datatake in nearest]

    def _add_composite(
        self,
        place: Sample,
        scenes: tuple[Sequence[Scene], Sequence[Scene]],
        mean: NDArray[np.float32],
        dates: Sequence[_Date],
        done: LabelledPlace,
    ) -> None:
        """Add the chip of the period's composite, with the label of all dates."""
        period, options, (s2, s1) = self.request.period, self.archive.options, scenes
        first, last = s1_period(period)
        radar = choose_s1(
            [scene for scene in s1 if first <= scene.acquired.date() <= last],
            period,
            orbit="descending" if options.orbit == "any" else options.orbit,
        )
        ranked = rank_s2(s2, period)
        try:
            image, lost = read_composite(
                self.archive, place, ranked, radar, period=period, rules=CompositeRules()
            )
        except (SkippedError, ReadError) as reason:
            done.left_out[COMPOSITE] = "no composite", str(reason)
            return
        done.note(lost)
        label = soft_label(
            mean,
            seen=clear_by_colours(image.s2),
            agreement=_agreement(mean, dates),
            min_margin=self.request.min_margin,
        )
        done.add(_named(place, COMPOSITE), label, image)


def _agreement(mean: NDArray[np.float32], dates: Sequence[_Date]) -> NDArray[np.float32]:
    """(H, W) how well the dates' probabilities agree with their mean, 0 to 1."""
    filled = np.nan_to_num(mean)
    total, whole = np.zeros(mean.shape[1:], np.float32), np.zeros(mean.shape[1:], np.float32)
    for date in dates:
        total += date.weight * agreement_of(filled, np.nan_to_num(date.shares))
        whole += date.weight
    return np.asarray(total / np.maximum(whole, 1e-6), np.float32)


def _named(place: Sample, end: str) -> Sample:
    """The sample of one of a place's chips."""
    return replace(place, name=f"{place.name}_{end}")


def _why_no_date(left_out: Mapping[str, tuple[str, str]]) -> str:
    """Why no date of a place can be labelled.

    Raises:
        ReadError: one was lost: the place is tried again.

    """
    lost = [why for kind, why in left_out.values() if kind == LOST]
    if lost:
        raise ReadError(lost[0])
    counts = Counter(kind for kind, _ in left_out.values())
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items()))
    return f"none of its dates can be labelled ({kinds})"
