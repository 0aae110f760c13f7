"""The report of a map: what it was made from, and what is missing."""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from lulcmap.errors import OutputError
from lulcmap.geo import BlockId
from lulcmap.legend import LandCover
from lulcmap.run import PIXEL_ORIGINS, About, BlockFacts, Plan
from lulcmap.system import BusyShares, read_json, replacing

_MAX_NAMES = 3
"""Lost assets, implausible scenes or damaged blocks named in a warning; the report has them all."""

REPORT_ENDING = ".report.json"
"""Ending of a report's name, after the map's."""

_PROOF = "report_sha256"
"""Key of a report's own checksum; reports of version 0.1.0, without those of maps, have none."""


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """One file of a map."""

    file: str
    """Name of the file."""

    crs: str
    """``"EPSG:<code>"`` or a PROJ string."""

    height: int
    """Rows."""

    width: int
    """Columns."""

    bytes: int | None = None
    """Size of the file; None in reports of version 0.1.0."""

    sha256: str | None = None
    """SHA-256 of the file, hexadecimal; None likewise."""


@dataclass(frozen=True, slots=True)
class UsedModel:
    """The model a map was made with."""

    name: str
    """Name of the model."""

    sha256: str
    """SHA-256 of its file, hexadecimal."""

    trained_on: str
    """Kind of land it was trained on, ``"simulated"`` or ``"real"``."""

    quality: str
    """How good it is, in words that follow its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapReport:
    """A finished map: what it holds, what it was made from, and what is missing.

    It is ``<map>.report.json``.
    """

    map: Path
    """Path of the COG."""

    already_made: bool = False
    """Whether the map existed, made under the same plan, so that nothing was done."""

    min_coverage: float = 0.0
    """Share of the area's pixels that a complete map has a class for, 0 to 1."""

    pixels: Mapping[str, int]
    """Pixels of the area by what they were mapped from: the names of ``PIXEL_ORIGINS``."""

    classes: Mapping[str, int]
    """Pixels of the area by class name."""

    warnings: tuple[str, ...] = ()
    """What the map's user should know, one sentence each."""

    scenes: Mapping[str, Sequence[str]]
    """Ids of the scenes that gave pixels, by sensor: ``"s2"``, ``"s1"``."""

    unused: tuple[str, ...] = ()
    """Ids of the scenes found that gave no pixel: too cloudy, elsewhere, or not needed."""

    skipped: tuple[tuple[str, str], ...] = ()
    """Ids of the items that could not be used, each with the reason."""

    lost: tuple[tuple[str, str, str], ...] = ()
    """Assets that could not be read: scene, band, reason."""

    unmasked: tuple[str, ...] = ()
    """Ids of the scenes without a scene classification, whose clouds stayed."""

    fallback: tuple[tuple[str, str, str, str], ...] = ()
    """Assets read from the second provider: scene, its id there, band, why the first could not give
    it."""

    implausible: tuple[tuple[str, int], ...] = ()
    """Ids of the Sentinel-1 scenes with implausible power, each with the number of such pixels."""

    software: str
    """Name and version of lulcmap."""

    plan: str
    """Digest of the plan."""

    area: str
    """Name of the area."""

    period: tuple[str, str]
    """First and last day, ISO 8601."""

    legend: tuple[LandCover, ...]
    """The map's classes."""

    maps: tuple[WrittenFile, ...]
    """Every file of the map, the largest part of the area first, then those of zones."""

    model: UsedModel
    """The model."""

    prior: str
    """Class prior: ``"natural"`` or ``"balanced"``."""

    counted_on: tuple[str, ...]
    """CRSs of the UTM zones in which the pixels were counted."""

    device: tuple[str, ...]
    """Devices and runtimes the model ran on."""

    catalog: str
    """Name of the provider, or of both."""

    platforms: Mapping[str, int]
    """How many scenes each satellite gave."""

    s1_orbit: str | None
    """Orbit direction of Sentinel-1; None without it."""

    hectares: Mapping[str, float] = field(default_factory=dict)
    """True area of each class in the map's files, and of what is not mapped, hectares."""

    observed: tuple[str, str] | None = None
    """When the first and the last of the scenes used were acquired, UTC, ISO 8601."""

    addresses: Mapping[str, str] = field(default_factory=dict)
    """Address of the STAC item of each scene used, by its id, of those that have one."""

    license: str | None = None
    """Licence of the map, an SPDX expression; None if none was stated."""

    layers: Mapping[str, Sequence[WrittenFile]] = field(default_factory=dict)
    """Further files by the name of their layer, one for each file of the map."""

    sun_zenith: tuple[float, float] | None = None
    """Smallest and largest zenith of the sun that the model was given, degrees; None if it takes
    none, or has seen no Sentinel-2."""

    stages: Mapping[str, BusyShares] = field(default_factory=dict, compare=False)
    """How long each stage of this run took, and how busy its activities were; in no file, for the
    same map has the same bytes however long it took."""

    @property
    def title(self) -> str:
        """What the map shows, for a heading."""
        start, end = self.period
        is_year = (start[4:], end[4:]) == ("-01-01", "-12-31")
        span = start[:4] if is_year and start[:4] == end[:4] else f"{start} to {end}"
        return f"Land cover of {self.area}, {span}"

    @property
    def attribution(self) -> str:
        """Whose data the map holds."""
        first, last = (day[:4] for day in self.period)
        covered = first if first == last else f"{first}-{last}"
        return f"Contains modified Copernicus Sentinel data {covered}; made with lulcmap"

    @property
    def total(self) -> int:
        """Pixels of the area."""
        return sum(self.pixels.values())

    @property
    def coverage(self) -> float:
        """Share of the area's pixels that have a class, 0 to 1."""
        return 1 - self.pixels.get("not_mapped", 0) / self.total if self.total else 0.0

    @property
    def complete(self) -> bool:
        """Whether the map covers as much of the area as was asked for."""
        return self.coverage >= self.min_coverage

    @classmethod
    def collect(
        cls,
        out: Path,
        blocks: Iterable[BlockFacts],
        plan: Plan,
        about: About,
        *,
        maps: Sequence[WrittenFile],
        min_coverage: float,
        license: str | None = None,
    ) -> Self:
        """The report of a run, from the facts of its blocks.

        Args:
            out: path of the COG.
            blocks: facts of every block.
            plan: the plan of the run.
            about: what else the run knows.
            maps: every file of the map.
            min_coverage: share of the area's pixels, below which the map is incomplete.
            license: licence of the map.

        """
        total = _Totals.of(blocks)
        pixels, used = total.pixels, total.used
        twins = dict(plan.twins)
        ids = [scene for scenes in plan.scenes.values() for scene in scenes]
        warnings = [*about.notes, *_model_warnings(plan, about)]
        return cls(
            map=out,
            min_coverage=min_coverage,
            pixels={name: pixels[name] for name in PIXEL_ORIGINS if pixels[name]},
            classes={
                cover.name: total.classes[cover.name]
                for cover in about.legend
                if total.classes[cover.name]
            },
            warnings=(
                *warnings,
                *_warnings(pixels, sorted(total.lost), len(total.unmasked)),
                *_fallback_warnings(plan, total.fallback),
                *_power_warnings(total.implausible),
            ),
            scenes={
                sensor: [scene for scene in scenes if scene in used]
                for sensor, scenes in plan.scenes.items()
            },
            unused=tuple(scene for scene in ids if scene not in used),
            skipped=about.skipped,
            lost=tuple(sorted(total.lost)),
            unmasked=tuple(sorted(total.unmasked)),
            fallback=tuple(
                (scene, twins.get(scene, ""), band, why)
                for scene, band, why in sorted(total.fallback)
            ),
            implausible=tuple(sorted(total.implausible.items())),
            software=f"lulcmap {plan.version}",
            plan=about.plan,
            area=about.name,
            period=plan.period,
            legend=about.legend,
            maps=tuple(maps),
            model=UsedModel(plan.model, plan.model_sha256, about.trained_on, about.quality),
            prior=plan.prior,
            counted_on=tuple(sorted(f"EPSG:{zone}" for zone in plan.zones)),
            device=tuple(sorted(total.devices)),
            catalog=about.catalog,
            platforms=about.platforms,
            s1_orbit=about.s1_orbit,
            observed=_observed(about.acquired, used),
            addresses={scene: href for scene, href in about.addresses.items() if scene in used},
            license=license,
            sun_zenith=total.sun_zenith,
        )

    def with_damage(self, blocks: Sequence[BlockId]) -> Self:
        """The report with a warning of blocks that were found damaged and were made again."""
        if not blocks:
            return self
        names = ", ".join(map(str, blocks[:_MAX_NAMES])) + ", ..." * (len(blocks) > _MAX_NAMES)
        warning = (
            "Blocks of the run that were found damaged on the disk and made again: "
            f"{len(blocks):,} ({names}). Check the disk."
        )
        return replace(self, warnings=(*self.warnings, warning))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, in the order a reader wants it."""
        return {
            "map": self.map.name,
            "already_made": self.already_made,
            "coverage": round(self.coverage, 6),
            "min_coverage": self.min_coverage,
            "complete": self.complete,
            "pixels": {"total": self.total, **self.pixels},
            "classes": dict(self.classes),
            "hectares": {name: round(area, 2) for name, area in self.hectares.items()},
            "warnings": list(self.warnings),
            "scenes": {sensor: list(scenes) for sensor, scenes in self.scenes.items()},
            "unused": list(self.unused),
            "skipped": [{"id": item, "reason": reason} for item, reason in self.skipped],
            "lost": [
                {"scene": scene, "band": band, "reason": reason}
                for scene, band, reason in self.lost
            ],
            "unmasked": list(self.unmasked),
            "fallback": [
                {"scene": scene, "read": twin, "band": band, "reason": reason}
                for scene, twin, band, reason in self.fallback
            ],
            "implausible": [{"scene": scene, "pixels": count} for scene, count in self.implausible],
            "software": self.software,
            "plan": self.plan,
            "area": self.area,
            "period": list(self.period),
            "legend": [asdict(cover) for cover in self.legend],
            "maps": [asdict(written) for written in self.maps],
            "model": asdict(self.model),
            "prior": self.prior,
            "counted_on": list(self.counted_on),
            "device": list(self.device),
            "catalog": self.catalog,
            "platforms": dict(self.platforms),
            "s1_orbit": self.s1_orbit,
            "observed": None if self.observed is None else list(self.observed),
            **({} if self.sun_zenith is None else {"sun_zenith": list(self.sun_zenith)}),
            "license": self.license,
            "layers": {
                name: [asdict(written) for written in files] for name, files in self.layers.items()
            },
            "addresses": dict(self.addresses),
        }

    @classmethod
    def from_json(cls, out: Path, values: Mapping[str, Any], *, min_coverage: float) -> Self:
        """The report that ``to_json`` made the values of, now of a map that is already made.

        Args:
            out: path of the COG.
            values: as ``to_json`` gives them, or as version 0.1.0 did.
            min_coverage: share of the area's pixels that is asked for now.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: the values are of something else.

        """
        model = {**values["model"]}
        for name, name_0_1 in (("trained_on", "knows"), ("quality", "worth")):
            model[name] = model.pop(name_0_1, None) or model[name]
        return cls(
            map=out,
            already_made=True,
            min_coverage=min_coverage,
            pixels={name: count for name, count in values["pixels"].items() if name != "total"},
            classes=values["classes"],
            warnings=tuple(values["warnings"]),
            scenes=values["scenes"],
            unused=tuple(values["unused"]),
            skipped=tuple((entry["id"], entry["reason"]) for entry in values["skipped"]),
            lost=tuple(
                (entry["scene"], entry["band"], entry["reason"]) for entry in values["lost"]
            ),
            unmasked=tuple(values["unmasked"]),
            fallback=tuple(
                (entry["scene"], entry["read"], entry["band"], entry["reason"])
                for entry in values.get("fallback", ())
            ),
            implausible=tuple(
                (entry["scene"], entry["pixels"]) for entry in values.get("implausible", ())
            ),
            software=values["software"],
            plan=values["plan"],
            area=values["area"],
            period=tuple(values["period"]),
            legend=tuple(LandCover(**cover) for cover in values["legend"]),
            maps=tuple(WrittenFile(**written) for written in values["maps"]),
            model=UsedModel(**model),
            prior=values["prior"],
            counted_on=tuple(values["counted_on"]),
            device=tuple(values["device"]),
            catalog=values["catalog"],
            platforms=values["platforms"],
            s1_orbit=values["s1_orbit"],
            hectares=values.get("hectares", {}),
            observed=tuple(values["observed"]) if values.get("observed") else None,
            addresses=values.get("addresses", {}),
            sun_zenith=tuple(values["sun_zenith"]) if values.get("sun_zenith") else None,
            license=values.get("license"),
            layers={
                name: tuple(WrittenFile(**written) for written in files)
                for name, files in values.get("layers", {}).items()
            },
        )

    @classmethod
    def read(cls, out: Path, *, min_coverage: float) -> Self | None:
        """The report beside a map that was made before; None where none can be read undamaged.

        Args:
            out: path of the map.
            min_coverage: share of the area's pixels that is asked for now.

        """
        try:
            values = json.loads(report_path(out).read_bytes())
            proof = values.pop(_PROOF, None)
            report = cls.from_json(out, values, min_coverage=min_coverage)
            has_proofs = any(written.sha256 for written in report.maps)
            is_whole = proof == _digest(values) if proof or has_proofs else bool(report.maps)
            return report if is_whole and 0 <= report.coverage <= 1 else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

    def write(self) -> Path:
        """Write the report beside the map.

        Raises:
            OutputError: the folder cannot be written to.

        """
        path, values = report_path(self.map), self.to_json()
        try:
            with replacing(path) as part:
                text = json.dumps({**values, _PROOF: _digest(values)}, indent=2)
                part.write_text(text + "\n", encoding="ascii")
        except OSError as error:
            raise OutputError(
                f"The report {path} cannot be written ({error.strerror}). Free some space or "
                "choose another --out, then run the same command again."
            ) from error
        return path

    def __str__(self) -> str:
        """One line for the terminal."""
        if self.already_made:
            return f"{self.map}: already made, nothing to do"
        counts = ", ".join(
            f"{len(scenes)} {sensor.upper()} scene{'' if len(scenes) == 1 else 's'}"
            for sensor, scenes in self.scenes.items()
        )
        more = len(self.maps) - 1
        others = f" and {more} more" if more > 0 else ""
        return (
            f"{self.map}{others}: {self.coverage:.1%} of {self.total:,} pixels mapped from {counts}"
        )


def _observed(acquired: Mapping[str, str], used: Iterable[str]) -> tuple[str, str] | None:
    """When the first and the last of some scenes were acquired."""
    times = sorted(acquired[scene] for scene in used if scene in acquired)
    return (times[0], times[-1]) if times else None


def report_path(out: Path) -> Path:
    """Path of a map's report: ``<out>.report.json``."""
    return out.with_name(f"{out.name}{REPORT_ENDING}")


def is_report(path: Path) -> bool:
    """Whether a file is the report of some map, whole or changed since.

    Raises:
        OSError: it cannot be read.

    """
    values = read_json(path)
    return values is not None and {"map", "software", "plan", "pixels"} <= set(values)


def _digest(values: Mapping[str, Any]) -> str:
    """SHA-256 of JSON values, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


@dataclass(slots=True)
class _Totals:
    """What the blocks of a run say, together."""

    pixels: Counter[str] = field(default_factory=Counter)
    classes: Counter[str] = field(default_factory=Counter)
    used: set[str] = field(default_factory=set)
    unmasked: set[str] = field(default_factory=set)
    lost: set[tuple[str, str, str]] = field(default_factory=set)
    fallback: set[tuple[str, str, str]] = field(default_factory=set)
    implausible: Counter[str] = field(default_factory=Counter)
    devices: set[str] = field(default_factory=set)
    zeniths: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, blocks: Iterable[BlockFacts]) -> Self:
        """The totals of some blocks."""
        total = cls()
        for block in blocks:
            total.pixels.update(block.pixels)
            total.classes.update(block.classes)
            total.used.update(block.used)
            total.unmasked.update(block.unmasked)
            total.lost.update(block.lost)
            total.fallback.update(block.fallback)
            total.implausible.update(dict(block.implausible))
            total.devices.add(block.device)
            total.zeniths += block.sun_zenith or ()
        return total

    @property
    def sun_zenith(self) -> tuple[float, float] | None:
        """Smallest and largest zenith of the sun, degrees."""
        zeniths = [round(zenith, 2) for zenith in self.zeniths]
        return (min(zeniths), max(zeniths)) if zeniths else None


def _model_warnings(plan: Plan, about: About) -> list[str]:
    if about.trained_on != "simulated" or about.simulated:
        return []
    return [
        f"Model {plan.model} knows simulated landscapes only; do not use this map of a real "
        "place for any decision."
    ]


def _warnings(
    pixels: Mapping[str, int], lost: Sequence[tuple[str, str, str]], unmasked: int
) -> list[str]:
    total = sum(pixels.values()) or 1
    warnings = []
    if pixels.get("not_mapped"):
        warnings.append(f"{pixels['not_mapped'] / total:.2%} of the area could not be mapped.")
    for names, sensor in (
        (("s2_only",), "Sentinel-2 alone"),
        (("s1_only", "s1_only_other_orbit"), "Sentinel-1 alone"),
        (("s2_and_s1_other_orbit",), "Sentinel-1 of the other orbit direction"),
    ):
        count = sum(pixels.get(name, 0) for name in names)
        if count:
            warnings.append(f"{count / total:.2%} of the area was mapped from {sensor}.")
    if lost:
        named = ", ".join(f"{scene} {band}" for scene, band, _ in lost[:_MAX_NAMES])
        more = ", ..., all named in the report" if len(lost) > _MAX_NAMES else ""
        warnings.append(f"Assets that could not be read: {len(lost)} ({named}{more}).")
    if unmasked:
        warnings.append(
            f"{unmasked} Sentinel-2 scenes have no scene classification: clouds in them stayed."
        )
    return warnings


def _fallback_warnings(plan: Plan, fallback: Collection[tuple[str, str, str]]) -> list[str]:
    if not fallback:
        return []
    scenes = sorted({scene for scene, _, _ in fallback})
    named = ", ".join(scenes[:_MAX_NAMES]) + ", ..." * (len(scenes) > _MAX_NAMES)
    return [
        f"Assets read from the fallback {plan.fallback}, for the catalogue could not give them: "
        f"{len(fallback)}, of {len(scenes)} scenes ({named}). They are the same products."
    ]


def _power_warnings(implausible: Mapping[str, int]) -> list[str]:
    named = sorted(implausible.items(), key=lambda entry: (-entry[1], entry[0]))[:_MAX_NAMES]
    warnings = [
        f"{count:,} {'pixel' if count == 1 else 'pixels'} of scene {scene} "
        f"{'holds' if count == 1 else 'hold'} implausible power, taken as nodata."
        for scene, count in named
    ]
    more = len(implausible) - len(named)
    if more:
        warnings.append(
            f"{more} more Sentinel-1 scenes hold implausible power, all named in the report."
        )
    return warnings
