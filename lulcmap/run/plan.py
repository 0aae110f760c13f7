"""The plan of a run: everything that decides a map's pixels, and its hash."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from lulcmap.geo import Block, BlockId, Box


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that decides a map's pixels, and nothing else: no time, host, path or worker.

    It is ``plan.json`` of the run folder.
    """

    version: str
    """Version of lulcmap."""

    period: tuple[str, str]
    """First and last day, ISO 8601."""

    area: str
    """SHA-256 of the polygon's WKB, hexadecimal."""

    crs: tuple[str, ...]
    """CRS of each map: ``"EPSG:<code>"`` or a PROJ string."""

    lattice: tuple[int, int]
    """Size and step of the windows, pixels."""

    block_size: int
    """Pixels a side of a block."""

    blocks: tuple[BlockId, ...]
    """Ids of the blocks."""

    boxes: tuple[tuple[int, int, int, int], ...]
    """Box of each block: first row and column in the zone's pixels, height and width."""

    s2_dates: tuple[tuple[str, ...], ...]
    """Ids of Sentinel-2's scenes by date, the best date first; within a date each zone begins with
    those on its own grid."""

    s1_passes: tuple[tuple[str, ...], ...]
    """Ids of Sentinel-1's scenes, datatake by datatake."""

    s1_others: tuple[tuple[str, ...], ...]
    """Ids of the scenes of the other orbit direction, likewise."""

    rules: Mapping[str, Any]
    """Rules of the composite, plain JSON."""

    s1: str
    """Use of Sentinel-1: ``"off"``, ``"optional"`` or ``"required"``."""

    blend: str
    """How windows are joined."""

    prior: str
    """Class prior: ``"natural"`` or ``"balanced"``."""

    model: str
    """Name of the model."""

    model_sha256: str
    """SHA-256 of the model's file, hexadecimal."""

    items: str
    """SHA-256 of the frozen items, hexadecimal; empty in a plan that begins no run."""

    sources: Mapping[str, tuple[str, str]]
    """By sensor, the provider's name or the API's URL, and its profile."""

    fallback: str | None = None
    """Second provider of the same products; None is none."""

    twins: tuple[tuple[str, str], ...] = ()
    """Ids of the scenes that the second provider has too, each with its id there."""

    max_cloud: float
    """Percent of cloud cover above which scenes of Sentinel-2 were skipped."""

    @property
    def placed_blocks(self) -> tuple[Block, ...]:
        """Every block with its box."""
        return tuple(
            Block(number, Box(*box)) for number, box in zip(self.blocks, self.boxes, strict=True)
        )

    @property
    def zones(self) -> tuple[int, ...]:
        """EPSG codes of the UTM zones that have a block, sorted."""
        return tuple(sorted({block.zone for block in self.blocks}))

    @property
    def scenes(self) -> dict[str, list[str]]:
        """Ids of all scenes, by sensor."""
        return {
            "s2": [scene for date in self.s2_dates for scene in date],
            "s1": [scene for date in (*self.s1_passes, *self.s1_others) for scene in date],
        }

    def to_json(self) -> dict[str, Any]:
        """The plan as plain JSON values: what comes back when it is written and read.

        Without a second provider, it has the keys of version 0.1.0, and so its digest.
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.fallback is None:
            del values["fallback"], values["twins"]
        return json.loads(json.dumps(values))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The plan that ``to_json`` made the values of; other keys are left out.

        Raises:
            KeyError, TypeError, ValueError: the values are not those of a plan.

        """
        values = {"fallback": None, "twins": (), **values}
        plan = {field.name: values[field.name] for field in fields(cls)}
        for name in ("period", "crs", "lattice"):
            plan[name] = tuple(plan[name])
        for name in ("boxes", "s2_dates", "s1_passes", "s1_others", "twins"):
            plan[name] = tuple(map(tuple, plan[name]))
        plan["blocks"] = tuple(BlockId(*map(int, number)) for number in plan["blocks"])
        plan["sources"] = {sensor: tuple(pair) for sensor, pair in plan["sources"].items()}
        made = cls(**plan)
        if len(made.placed_blocks) != len(made.blocks):
            raise ValueError("a plan's blocks and boxes are not as many")
        return made

    @property
    def digest(self) -> str:
        """SHA-256 of the plan, hexadecimal: equal where the map is."""
        return _digest(self.to_json())

    @property
    def request(self) -> str:
        """SHA-256 of the request, hexadecimal: the plan without the scenes that were found."""
        values = self.to_json()
        for searched in ("items", "s2_dates", "s1_passes", "s1_others", "fallback", "twins"):
            values.pop(searched, None)
        return _digest(values)


def _digest(value: Mapping[str, Any]) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
