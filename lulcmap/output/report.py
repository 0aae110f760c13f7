"""What a map was made from, and what is missing: the report beside it."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from lulcmap.errors import OutputError
from lulcmap.legend import LandCover

SOURCES = (
    "not_mapped",
    "s2_and_s1",
    "s2_only",
    "s1_only",
    "s2_and_s1_other_orbit",
    "s1_only_other_orbit",
)
"""What a pixel was mapped from; the index is its value in a block's band ``source``."""

_MOST_NAMES = 3
"""Lost assets named in the warning; the report has them all."""


@dataclass(frozen=True, slots=True)
class MapReport:
    """A finished map: what it holds, what it was made from, what is missing."""

    map: Path
    """The COG."""

    already_made: bool = False
    """The map was there, made to the same plan; nothing was done."""

    pixels: Mapping[str, int] = field(default_factory=dict)
    """Pixels of the polygon by what they were mapped from: the names of ``SOURCES``."""

    classes: Mapping[str, int] = field(default_factory=dict)
    """Pixels of the polygon by class name."""

    scenes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Ids of the scenes that gave pixels: ``"s2"``, ``"s1"``."""

    unused: Sequence[str] = ()
    """Ids of scenes found that gave no pixel: too cloudy, elsewhere, or not needed."""

    skipped: Sequence[tuple[str, str]] = ()
    """Items that could not be used, each with the reason."""

    lost: Sequence[tuple[str, str, str]] = ()
    """Assets that could not be read: scene, band, reason."""

    unmasked: Sequence[str] = ()
    """Ids of scenes that have no scene classification, so that their clouds stayed."""

    warnings: Sequence[str] = ()
    """What the map's user should know, each one plain sentence."""

    min_coverage: float = 0.0
    """Share of the polygon's pixels that a complete map has a class for."""

    facts: Mapping[str, Any] = field(default_factory=dict)
    """Software, plan, area, period, legend, maps, model and device, as plain JSON."""

    @property
    def total(self) -> int:
        """Pixels of the polygon."""
        return sum(self.pixels.values())

    @property
    def coverage(self) -> float:
        """Share of the polygon's pixels that have a class, 0 to 1."""
        return 1 - self.pixels.get("not_mapped", 0) / self.total if self.total else 0.0

    @property
    def complete(self) -> bool:
        """Whether as much was mapped as was wanted."""
        return self.coverage >= self.min_coverage

    @classmethod
    def collect(
        cls,
        out: Path,
        blocks: Iterable[Mapping[str, Any]],
        *,
        legend: Sequence[LandCover],
        scenes: Mapping[str, Sequence[str]],
        skipped: Sequence[tuple[str, str]],
        warnings: Sequence[str],
        min_coverage: float,
        facts: Mapping[str, Any],
    ) -> Self:
        """The report of a run, from the facts its blocks carry.

        Args:
            out: the COG.
            blocks: for each block ``pixels`` and ``classes`` (counts by name), ``used``,
                ``unmasked`` (scene ids) and ``lost`` (scene, band, reason).
            legend: of the map; classes are named in its order.
            scenes: ids of all scenes the plan has, by sensor.
            skipped: items that could not be used, each with the reason.
            warnings: sentences.
            min_coverage: as of the report.
            facts: software, plan, area, period, legend, maps, model, device.

        """
        pixels: Counter[str] = Counter()
        classes: Counter[str] = Counter()
        used: set[str] = set()
        unmasked: set[str] = set()
        lost: set[tuple[str, str, str]] = set()
        for block in blocks:
            pixels.update(block["pixels"])
            classes.update(block["classes"])
            used.update(block["used"])
            unmasked.update(block["unmasked"])
            lost.update((scene, band, reason) for scene, band, reason in block["lost"])
        ids = [scene for group in scenes.values() for scene in group]
        return cls(
            map=out,
            pixels={name: pixels[name] for name in SOURCES if pixels[name]},
            classes={cover.name: classes[cover.name] for cover in legend if classes[cover.name]},
            scenes={
                sensor: [scene for scene in group if scene in used]
                for sensor, group in scenes.items()
            },
            unused=[scene for scene in ids if scene not in used],
            skipped=list(skipped),
            lost=sorted(lost),
            unmasked=sorted(unmasked),
            warnings=[*warnings, *_warnings(pixels, sorted(lost), len(unmasked))],
            min_coverage=min_coverage,
            facts=facts,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON, in the order a reader wants it."""
        return {
            "map": self.map.name,
            "already_made": self.already_made,
            "coverage": round(self.coverage, 6),
            "min_coverage": self.min_coverage,
            "complete": self.complete,
            "pixels": {"total": self.total, **self.pixels},
            "classes": dict(self.classes),
            "warnings": list(self.warnings),
            "scenes": {sensor: list(group) for sensor, group in self.scenes.items()},
            "unused": list(self.unused),
            "skipped": [{"id": scene, "reason": reason} for scene, reason in self.skipped],
            "lost": [
                {"scene": scene, "band": band, "reason": reason}
                for scene, band, reason in self.lost
            ],
            "unmasked": list(self.unmasked),
            **self.facts,
        }

    @classmethod
    def read(cls, out: Path, *, min_coverage: float) -> Self | None:
        """The report beside a map that was made before; None where there is none to be read.

        Args:
            out: the map.
            min_coverage: what is wanted of it now.

        """
        try:
            seen = json.loads(path_of(out).read_text())
            made = cls._from_dict(out, seen | {"min_coverage": min_coverage})
            return made if 0 <= made.coverage <= 1 else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    @classmethod
    def _from_dict(cls, out: Path, seen: dict[str, Any]) -> Self:
        known = {"map", "already_made", "coverage", "min_coverage", "complete", "pixels"}
        known |= {"classes", "warnings", "scenes", "unused", "skipped", "lost", "unmasked"}
        return cls(
            map=out,
            already_made=True,
            pixels={name: count for name, count in seen["pixels"].items() if name != "total"},
            classes=seen["classes"],
            scenes=seen["scenes"],
            unused=seen["unused"],
            skipped=[(entry["id"], entry["reason"]) for entry in seen["skipped"]],
            lost=[(entry["scene"], entry["band"], entry["reason"]) for entry in seen["lost"]],
            unmasked=seen["unmasked"],
            warnings=seen["warnings"],
            min_coverage=seen["min_coverage"],
            facts={name: value for name, value in seen.items() if name not in known},
        )

    def write(self) -> Path:
        """Put the report beside the map.

        Raises:
            OutputError: the folder cannot be written to.

        """
        path = path_of(self.map)
        temporary = path.with_name(f".{path.name}.part")
        try:
            temporary.write_text(json.dumps(self.to_dict(), indent=2) + "\n")
            temporary.replace(path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise OutputError(
                f"The report {path} could not be written ({error.strerror}). Make room or choose "
                "another --out, then run the same command again."
            ) from error
        return path

    def __str__(self) -> str:
        """One line for the terminal."""
        if self.already_made:
            return f"{self.map}: already made, nothing to do"
        counts = ", ".join(
            f"{len(group)} {sensor.upper()} scenes" for sensor, group in self.scenes.items()
        )
        more = len(self.facts.get("maps", [])) - 1
        others = f" and {more} more" if more > 0 else ""
        return (
            f"{self.map}{others}: {self.coverage:.1%} of {self.total:,} pixels mapped from {counts}"
        )


@dataclass(frozen=True, slots=True)
class ShardReport:
    """What one process of several did."""

    run: Path
    """The run folder."""

    shard: str
    """``"3/10"``."""

    blocks: int
    """Of the shard, all done."""

    made: int
    """Of them, those made now."""

    left: int
    """Blocks of the run that are not done, of all shards."""

    then: str
    """The command that makes the map when none is left."""

    warnings: Sequence[str] = ()
    """What the map's user should know, each one plain sentence."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "run": str(self.run),
            "shard": self.shard,
            "blocks": self.blocks,
            "made": self.made,
            "left": self.left,
            "then": self.then,
            "warnings": list(self.warnings),
        }

    def __str__(self) -> str:
        """One line for the terminal."""
        rest = f"{self.left:,} of the run are left" if self.left else "none of the run is left"
        return (
            f"Shard {self.shard} of {self.run}: {self.blocks:,} blocks, {self.made:,} made now; "
            f"{rest}. When none is left: {self.then}"
        )


def path_of(out: Path) -> Path:
    """Where the report of a map is: ``<out>.report.json``."""
    return out.with_name(f"{out.name}.report.json")


def _warnings(
    pixels: Mapping[str, int], lost: Sequence[tuple[str, str, str]], unmasked: int
) -> list[str]:
    total = sum(pixels.values()) or 1
    found = []
    if pixels.get("not_mapped"):
        found.append(f"{pixels['not_mapped'] / total:.2%} of the area could not be mapped.")
    for names, what in (
        (("s2_only",), "Sentinel-2 alone"),
        (("s1_only", "s1_only_other_orbit"), "Sentinel-1 alone"),
        (("s2_and_s1_other_orbit",), "Sentinel-1 of the other orbit direction"),
    ):
        count = sum(pixels.get(name, 0) for name in names)
        if count:
            found.append(f"{count / total:.2%} of the area was mapped from {what}.")
    if lost:
        named = ", ".join(f"{scene} {band}" for scene, band, _ in lost[:_MOST_NAMES])
        more = ", ..., all named in the report" if len(lost) > _MOST_NAMES else ""
        found.append(f"Assets that could not be read: {len(lost)} ({named}{more}).")
    if unmasked:
        found.append(
            f"{unmasked} Sentinel-2 scenes have no scene classification: clouds in them stayed."
        )
    return found
