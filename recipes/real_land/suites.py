"""The suites of judged images that every model is measured on, all of places that never train.

===================  ==============================================================================
denmark, ontario     the labelled scenes; rangeland there is grass or shrub
by eye               parts of seven scenes whose cover is plain to see
by eye, marsh        Chesapeake's southern salt marsh and its channels
by eye, Punjab       of two dates whose scenes train, with the teacher's labels
held-out places      of the new scenes, where the teacher is sure
a composite          of Parana's five dates, against the mean of the teacher's labels
CORINE               share of the pixels that an image's labels allow, and of labels found
low sun              what of the above has its sun 60 degrees or more from the zenith
points               of WorldCover, of single months and of a year's medians, as even squares
Lesotho, Africa      points as even squares; Africa's say only crops or not
made deserts, ...    landscapes of what the teacher does not know, made of held-out points
hazed, ...           the parts by eye and the held-out places, disturbed
===================  ==============================================================================
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.geo import solar_zenith
from lulcmap.legend import NAMES, NODATA
from lulcmap.sensors import S1_NODATA
from recipes.real_land.atmosphere import Sky
from recipes.real_land.corine import allowed_ids
from recipes.real_land.corrections import without_false_snow
from recipes.real_land.evaluate_folds import DISTURBED, Disturb
from recipes.real_land.judged import Judged, View, classes_as_kinds
from recipes.real_land.labels import KNOWN, taught
from recipes.real_land.points import held_out_points, load_points
from recipes.real_land.real_scenes import S2_OF_ARCHIVE, RealScene, real_scenes
from recipes.real_land.regional_points import (
    CROPS,
    NOT_CROPS,
    RegionalPoints,
    load_africa,
    load_lesotho,
)
from recipes.real_land.samples import N_OPTICAL, fill_missing_radar, nan_median
from recipes.real_land.scenes import LABELLED, interpreted_scenes, labelled_scenes, load_items
from recipes.real_land.told import told
from recipes.real_land.usable import MAX_SUN, clear
from recipes.real_land.wild.land import SETS
from recipes.real_land.wild.make import KINDS, make_landscape
from recipes.real_land.wild.materials import load_materials

SURE = 0.15
"""Margin of the teacher's probabilities from which its class is taken as true."""

LEAST_KEPT = 0.9
"""Share of the teacher's probabilities that must be left without snow that cannot be."""

LOW_SUN = 60.0
"""Sun zenith from which the sun is low, degrees."""

PATCH_PX = 64
"""Side of a point's even square, pixels."""

PATCHES_PER_POINT = 2
"""Months of each of WorldCover's points that are shown."""

REGIONAL_POINTS = 300
"""Points of Lesotho and of Africa that are shown."""

LANDSCAPES, LANDSCAPE_PX, LANDSCAPE_SEED = 8, 192, 1000
"""Landscapes of each kind, their side, pixels, and their seed, which no training has."""

NOON = Sky(40.0)
"""Sky over what has no date."""

ESRI_KINDS = {
    **{1: "water", 2: "trees", 3: "flooded_vegetation", 4: "crops", 5: "built", 6: "bare"},
    **{7: "snow_and_ice", 9: "grass or shrub_and_scrub"},
}
"""Classes of the labelled scenes' codes."""

DISTURBANCES = {
    "hazed": DISTURBED["hazy"],
    "half a pixel off": DISTURBED["optical grid half a pixel off"],
    "darker": DISTURBED["a fifth darker"],
}
"""What is done to real scenes, by the suite's name."""


@dataclass(frozen=True)
class Suite:
    """Images that belong together."""

    name: str
    """Name in the table."""

    images: Sequence[Judged]
    """The images."""

    is_pooled: bool = False
    """Whether the mean over kinds is of all images' pixels together; else of each image's own."""


def all_suites(data: Path, labels: Path, *, with_made: bool = True) -> Iterator[Suite]:
    """Make the suites, one after the other.

    Args:
        data: folder with ``archive``, ``scenes``, ``points`` and ``teacher``.
        labels: folder of ``python -m recipes.real_land.labels``.
        with_made: whether those of points and landscapes are made too.

    """
    labelled, (by_eye, punjab) = _labelled(data / "archive"), _by_eye(data / "archive")
    scenes = [scene for scene in real_scenes(data, use="held-out") if scene.name not in KNOWN]
    places = [image for scene in scenes if (image := _sure(scene, labels)) is not None]
    land = [scene for scene in scenes if scene.corine and scene.corine != ("Marine waters",)]
    corine = [_corine(scene) for scene in land]
    yield from (Suite(image.name, [image]) for image in labelled)
    yield Suite("by eye", by_eye)
    yield Suite("by eye, Punjab", punjab)
    yield Suite("by eye, marsh", [image for scene in scenes for image in _told(scene)])
    yield Suite("held-out places", places)
    yield Suite("a composite", [_composite(scenes, labels)])
    yield Suite("CORINE", corine)
    candidates = (*labelled, *by_eye, *corine)
    yield Suite("low sun", [one for one in candidates if one.view.sky.sun_zenith >= LOW_SUN])
    for name, disturb in DISTURBANCES.items():
        yield Suite(name, [_disturbed(image, disturb) for image in (*by_eye, *places)])
    if with_made:
        yield from point_suites(data / "points")
        yield from landscape_suites(data)


def _labelled(archive: Path) -> list[Judged]:
    items, images = load_items(archive), []
    kinds = _kinds(list(ESRI_KINDS.values()))
    table = np.full(256, NODATA, np.uint8)
    table[list(ESRI_KINDS)] = np.arange(len(ESRI_KINDS))
    for scene in labelled_scenes(archive):
        view = View(scene.s2, scene.s1, _sky_of(items[LABELLED[scene.name][0]]))
        kind = np.where((scene.s2 > 0).all(0), table[scene.label], NODATA).astype(np.uint8)
        images.append(Judged(scene.name, view, kind, kinds))
    return images


def _by_eye(archive: Path) -> tuple[list[Judged], list[Judged]]:
    """The scenes with parts told by eye: those of places that never train, and Punjab."""
    items: dict[str, Any] = load_items(archive)
    apart: tuple[list[Judged], list[Judged]] = ([], [])
    for scene in interpreted_scenes(archive):
        names = list(dict.fromkeys(" or ".join(of_part) for of_part, _ in scene.parts))
        kind = np.full(scene.s2.shape[1:], NODATA, np.uint8)
        for of_part, where in scene.parts:
            kind[where] = names.index(" or ".join(of_part))
        view = View(scene.s2, scene.s1, _sky_of(items[scene.name]))
        trains = scene.name.endswith("T43RCP")
        apart[trains].append(Judged(_short(scene.name), view, kind, _kinds(names)))
    return apart


def _short(name: str) -> str:
    """Name of a scene: as in ``places.csv``, or the last parts of its item's id."""
    names = {key: name for name, key in S2_OF_ARCHIVE.items()}
    return names.get(name) or "-".join(name.split("_")[-2:])


def _sky_of(item: dict[str, Any]) -> Sky:
    west, south, east, north = item["bbox"]
    day = datetime.fromisoformat(item["properties"]["datetime"].replace("Z", ""))
    lon, lat = (west + east) / 2, (south + north) / 2
    return Sky.over(float(solar_zenith(day, lon, lat)), lat, day.month)


def _kinds(names: Sequence[str]) -> list[tuple[str, tuple[int, ...]]]:
    return [(name, tuple(NAMES.index(one) for one in name.split(" or "))) for name in names]


def _sure(scene: RealScene, labels: Path) -> Judged | None:
    """A scene where the teacher is sure; None where it cannot be trusted at all."""
    if scene.sky.sun_zenith > MAX_SUN:
        return None
    usable = clear(scene)
    probabilities, kept = without_false_snow(scene, taught(labels, scene))
    # what is told by eye is judged by that
    kind = _sure_classes(probabilities, usable & (kept > LEAST_KEPT) & (told(scene) == NODATA))
    if (kind == NODATA).all():
        return None
    return Judged(scene.name, _view(scene), kind, classes_as_kinds())


def _sure_classes(
    probabilities: NDArray[np.float32], usable: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    ordered = np.sort(probabilities, 0)
    sure = (ordered[-1] - ordered[-2] >= SURE) & usable
    return np.where(sure, probabilities.argmax(0), NODATA).astype(np.uint8)


def _told(scene: RealScene) -> list[Judged]:
    """A new scene with parts told by eye; none if it has none."""
    kind = told(scene)
    if (kind == NODATA).all():
        return []
    return [Judged(scene.name, _view(scene), kind, classes_as_kinds())]


def _view(scene: RealScene) -> View:
    return View(scene.s2, scene.s1, scene.sky)


def _composite(scenes: Sequence[RealScene], labels: Path) -> Judged:
    """The median of Parana's dates, and what the teacher says of them on average."""
    dates = [scene for scene in scenes if scene.source == "parana"]
    s2 = np.median(np.stack([scene.s2 for scene in dates]), 0).astype(np.uint16)
    mean = np.mean([without_false_snow(one, taught(labels, one))[0] for one in dates], 0)
    kind = _sure_classes(mean, np.all([clear(scene) for scene in dates], 0))
    return Judged("parana, 5 dates", View(s2, dates[0].s1, NOON), kind, classes_as_kinds())


def _corine(scene: RealScene) -> Judged:
    """A scene whose classes are right wherever one of CORINE's labels allows them."""
    kind = np.where((scene.s2 > 0).all(0), 0, NODATA).astype(np.uint8)
    kinds = [("allowed", tuple(allowed_ids(scene.corine)))]
    return Judged(scene.name, _view(scene), kind, kinds, scene.corine)


def _disturbed(image: Judged, disturb: Disturb) -> Judged:
    s2, s1 = disturb(image.view.s2, image.view.s1)
    s1 = np.where(image.view.s1 == S1_NODATA, S1_NODATA, s1).astype(np.int16)
    s2 = np.where(image.view.s2 == 0, 0, s2).astype(np.uint16)
    return replace(image, view=replace(image.view, s2=s2, s1=s1))


def point_suites(folder: Path) -> Iterator[Suite]:
    """Suites of held-out points, each an even square."""
    points = held_out_points(load_points(folder))[1]
    points = points[points.weight == 1]  # most others are fields of one region
    rng = np.random.default_rng(0)
    seen = np.isfinite(points.clear[:, :, 0])
    place = np.repeat(np.flatnonzero(seen.any(1)), PATCHES_PER_POINT)
    month = (seen[place] * rng.random((len(place), 12))).argmax(1)
    months = _patches(points.clear[place, month], points.label[place], classes_as_kinds())
    yield Suite("points", months, is_pooled=True)
    place = np.flatnonzero(seen.sum(1) > 2)
    medians = nan_median(points.clear[place])
    year = _patches(medians, points.label[place], classes_as_kinds())
    yield Suite("points, a year", year, is_pooled=True)
    kinds = [*classes_as_kinds(), ("not crops", tuple(set(range(len(NAMES))) - {CROPS}))]
    for name, regional in (("Lesotho", load_lesotho(folder)), ("Africa", load_africa(folder))):
        spectra, label = _some(regional, rng)
        label = np.where(label == NOT_CROPS, len(NAMES), label).astype(np.uint8)
        yield Suite(name, _patches(spectra, label, kinds), is_pooled=True)


def landscape_suites(data: Path) -> Iterator[Suite]:
    """Suites of wild landscapes, made of the spectra of held-out points."""
    materials = load_materials(data / "points", held_out=True)
    of_sets = zip(SETS, _kinds([" or ".join(names) for names in SETS.values()]), strict=True)
    kinds = [*classes_as_kinds(), *((name, ids) for name, (_, ids) in of_sets)]
    table = np.full(256, NODATA, np.uint8)
    table[: len(NAMES)] = np.arange(len(NAMES))
    table[NOT_CROPS - np.arange(len(SETS))] = len(NAMES) + np.arange(len(SETS))
    for kind in KINDS:
        images = []
        for number in range(LANDSCAPES):
            made = make_landscape(kind, number, materials, size=LANDSCAPE_PX, seed=LANDSCAPE_SEED)
            view = View(made.s2, made.s1, replace(NOON, sun_zenith=made.sun_zenith))
            images.append(Judged(f"{kind} {number}", view, table[made.label], kinds))
        yield Suite(f"made {kind}", images, is_pooled=True)


def _some(
    points: RegionalPoints, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Spectra (N, 9) of some held-out points in one of their periods, and their labels."""
    held = points[points.held_out & points.seen.any(1)]
    held = held[rng.permutation(len(held))[:REGIONAL_POINTS]]
    period = (held.seen * rng.random(held.seen.shape)).argmax(1)
    return held.s2[np.arange(len(held)), period], held.label


def _patches(
    spectra: NDArray[np.float32],
    label: NDArray[np.uint8],
    kinds: Sequence[tuple[str, tuple[int, ...]]],
) -> list[Judged]:
    """An even square of each spectrum, (N, 9) or (N, 11), of which the middle is judged."""
    if spectra.shape[1] > N_OPTICAL:
        spectra = fill_missing_radar(spectra, label.astype(np.intp))
    kind = np.full((PATCH_PX, PATCH_PX), NODATA, np.uint8)
    images = []
    for number, (spectrum, of_point) in enumerate(zip(spectra, label, strict=True)):
        s2 = np.rint(spectrum[:N_OPTICAL]).clip(1, 65535).astype(np.uint16)
        radar = np.full(2, S1_NODATA, np.int16)
        if len(spectrum) > N_OPTICAL:
            radar = np.rint(100 * spectrum[N_OPTICAL:]).astype(np.int16)
        even = [
            np.broadcast_to(x[:, None, None], (len(x), PATCH_PX, PATCH_PX)) for x in (s2, radar)
        ]
        judged = kind.copy()
        judged[PATCH_PX // 2, PATCH_PX // 2] = of_point
        images.append(Judged(f"{number}", View(even[0], even[1], NOON), judged, kinds))
    return images
