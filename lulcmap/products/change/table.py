"""What a comparison of maps finds: rows of transitions, of classes and of years."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lulcmap.products.change.codes import Colour
from lulcmap.products.change.trajectory import Rates


@dataclass(frozen=True, slots=True)
class Transition:
    """The area of one pair of classes in one region."""

    region: str
    """Name of the region; ``"all"`` for the whole maps."""

    first_id: int | None
    """Value of the class in the first map; None if a year is unsure."""

    first: str
    """Its name; ``"unsure"``."""

    last_id: int | None
    """Value of the class in the last map; None if a year is unsure."""

    last: str
    """Its name; ``"unsure"``."""

    pixels: float
    """Pixels, those at a border in part."""

    ha: float
    """Hectares on the WGS 84 ellipsoid."""

    percent: float
    """Percent of the area of the region that both maps show."""

    @property
    def is_change(self) -> bool:
        """Whether the two classes differ."""
        return self.first_id != self.last_id

    def to_json(self) -> dict[str, Any]:
        """The row as plain JSON values, its columns in order."""
        return {
            "region": self.region,
            "first_id": self.first_id,
            "first": self.first,
            "last_id": self.last_id,
            "last": self.last,
            "pixels": round(self.pixels, 3),
            "ha": round(self.ha, 4),
            "percent": round(self.percent, 4),
        }


@dataclass(frozen=True, slots=True)
class ClassChange:
    """Gains and losses of one class in one region."""

    region: str
    """Name of the region; ``"all"`` for the whole maps."""

    class_id: int
    """Value of the class."""

    name: str
    """Name of the class."""

    first_ha: float
    """Hectares in the first map, where both are sure."""

    last_ha: float
    """Hectares in the last map, where both are sure."""

    unchanged_ha: float
    """Hectares that have the class in both."""

    @property
    def gain_ha(self) -> float:
        """Hectares that became the class."""
        return self.last_ha - self.unchanged_ha

    @property
    def loss_ha(self) -> float:
        """Hectares that were the class and are no more."""
        return self.first_ha - self.unchanged_ha

    @property
    def net_ha(self) -> float:
        """Gain less loss."""
        return self.last_ha - self.first_ha

    def to_json(self) -> dict[str, Any]:
        """The row as plain JSON values, its columns in order."""
        percent = 100 * self.net_ha / self.first_ha if self.first_ha else None
        return {
            "region": self.region,
            "class_id": self.class_id,
            "class": self.name,
            "first_ha": round(self.first_ha, 4),
            "last_ha": round(self.last_ha, 4),
            "unchanged_ha": round(self.unchanged_ha, 4),
            "gain_ha": round(self.gain_ha, 4),
            "loss_ha": round(self.loss_ha, 4),
            "net_ha": round(self.net_ha, 4),
            "net_percent": None if percent is None else round(percent, 4),
        }


@dataclass(frozen=True, slots=True)
class YearArea:
    """The area of one class in one year and region."""

    region: str
    """Name of the region; ``"all"`` for the whole maps."""

    year: str
    """Year or period of the map, or the name of its file."""

    class_id: int | None
    """Value of the class; None for unsure pixels."""

    name: str
    """Name of the class."""

    mapped_ha: float
    """Hectares as the map shows them."""

    ha: float
    """Hectares along the most probable paths; of two maps, ``mapped_ha``."""

    def to_json(self) -> dict[str, Any]:
        """The row as plain JSON values, its columns in order."""
        return {
            "region": self.region,
            "year": self.year,
            "class_id": self.class_id,
            "class": self.name,
            "mapped_ha": round(self.mapped_ha, 4),
            "ha": round(self.ha, 4),
        }


@dataclass(frozen=True, slots=True)
class AdjustedChange:
    """Change as a labelled sample tells it."""

    name: str
    """``"change"`` for all of it, or the name of a stratum."""

    mapped_ha: float
    """Hectares in the change raster."""

    ha: float
    """Error-adjusted hectares."""

    ci95_ha: float | None
    """Half their 95 % confidence interval; None where the sample cannot tell."""

    def to_json(self) -> dict[str, Any]:
        """The row as plain JSON values, its columns in order."""
        return {
            "name": self.name,
            "mapped_ha": round(self.mapped_ha, 4),
            "adjusted_ha": round(self.ha, 4),
            "ci95_ha": None if self.ci95_ha is None else round(self.ci95_ha, 4),
        }


@dataclass(frozen=True, slots=True)
class Trajectory:
    """What the most probable paths through three maps or more changed."""

    rates: Rates
    """The model."""

    uses_confidence: bool
    """Whether the maps' confidence stood for the rate of errors."""

    mapped_steps_ha: float
    """Hectares that change from one map to the next, all steps added up, as the maps show them."""

    steps_ha: float
    """The same along the paths."""

    mapped_ends_ha: float
    """Hectares that differ between the first and the last map as they show them."""

    expected_ends_ha: float
    """Hectares that differ according to the model, whichever they are."""

    unconfirmed_ha: float
    """Hectares whose only change is in the first or the last map, and was removed."""

    by_count_ha: tuple[float, ...]
    """Hectares with 0, 1, 2, ... changes along the path."""

    @property
    def flicker_percent(self) -> float | None:
        """Percent of the change from map to map that was removed; None if there is no change."""
        if not self.mapped_steps_ha:
            return None
        return 100 * (1 - self.steps_ha / self.mapped_steps_ha)

    def to_json(self) -> dict[str, Any]:
        """The trajectory as plain JSON values."""
        percent = self.flicker_percent
        return {
            "change_rate": self.rates.change,
            "error_rate": self.rates.error,
            "uses_confidence": self.uses_confidence,
            "mapped_steps_ha": round(self.mapped_steps_ha, 4),
            "steps_ha": round(self.steps_ha, 4),
            "flicker_percent": None if percent is None else round(percent, 4),
            "mapped_first_to_last_ha": round(self.mapped_ends_ha, 4),
            "expected_first_to_last_ha": round(self.expected_ends_ha, 4),
            "unconfirmed_ha": round(self.unconfirmed_ha, 4),
            "ha_by_changes": [round(ha, 4) for ha in self.by_count_ha],
        }


@dataclass(frozen=True)
class ChangeTable:
    """Change between maps, by region."""

    title: str
    """Names of the maps' files."""

    labels: tuple[str, ...]
    """Years of the maps, or other names."""

    transitions: tuple[Transition, ...]
    """A row for each region and pair of classes that occurs in it, and for unsure pixels."""

    classes: tuple[ClassChange, ...]
    """A row for each region and class that occurs in it."""

    years: tuple[YearArea, ...]
    """A row for each region, map and class."""

    colours: Mapping[int, Colour]
    """Red, green and blue of the classes."""

    trajectory: Trajectory | None
    """What three maps or more tell; None for two."""

    adjusted: tuple[AdjustedChange, ...]
    """What a labelled sample tells; empty without one."""

    notes: tuple[str, ...]
    """What a reader has to know, in sentences."""

    @property
    def regions(self) -> tuple[str, ...]:
        """Names of the regions."""
        return tuple(dict.fromkeys(row.region for row in self.transitions))

    def to_json(self) -> dict[str, Any]:
        """The table as plain JSON values."""
        return {
            "maps": list(self.labels),
            "transitions": [row.to_json() for row in self.transitions],
            "classes": [row.to_json() for row in self.classes],
            "years": [row.to_json() for row in self.years],
            "trajectory": None if self.trajectory is None else self.trajectory.to_json(),
            "adjusted": [row.to_json() for row in self.adjusted],
            "notes": list(self.notes),
        }
