"""What became of a place that a teacher labelled: in memory, and as a record on disk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from lulcmap.dataset.sample import Image, Label, Sample
from lulcmap.imagery import LostAsset
from lulcmap.legend import NODATA


@dataclass(frozen=True, slots=True)
class LabelledChip:
    """A chip before it is written."""

    sample: Sample
    """Name and grid of the chip."""

    label: Label
    """Its soft label."""

    image: Image
    """What the satellites saw."""


@dataclass(slots=True)
class LabelledPlace:
    """What became of a place: the fields of its record, and the chips before they are written."""

    chips: list[LabelledChip] = field(default_factory=list)
    left_out: dict[str, tuple[str, str]] = field(default_factory=dict)
    skipped: str | None = None
    lost: list[str] = field(default_factory=list)

    def add(self, sample: Sample, label: Label, image: Image) -> None:
        """Add a chip, if any pixel of it has a label."""
        if (label.ids != NODATA).any():
            self.chips.append(LabelledChip(sample, label, image))
        else:
            end = sample.name.rpartition("_")[2]
            self.left_out[end] = "no label", "no pixel of it has a label"

    def note(self, lost: Sequence[LostAsset]) -> None:
        """Note assets without which a chip was made."""
        self.lost += [f"{asset.scene}: {asset.band}: {asset.reason}" for asset in lost]

    def record(self, place: str) -> "PlaceRecord":
        """The record of the place."""
        names = tuple(chip.sample.name for chip in self.chips)
        return PlaceRecord(place, names, self.skipped, dict(self.left_out), tuple(self.lost))


@dataclass(frozen=True, slots=True)
class PlaceRecord:
    """What became of a place: a file of its own, so that a resumed run reports the same."""

    place: str
    """Name of the place."""

    chips: tuple[str, ...] = ()
    """Names of its chips."""

    skipped: str | None = None
    """Why it has no chip."""

    left_out: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Kind and reason by date, or chip, that is left out."""

    lost: tuple[str, ...] = ()
    """Assets that could not be read, of chips that were made without them."""

    def to_json(self) -> dict[str, Any]:
        """The record as plain JSON values."""
        return {
            "place": self.place,
            "chips": list(self.chips),
            "skipped": self.skipped,
            "left_out": {name: list(why) for name, why in sorted(self.left_out.items())},
            "lost": list(self.lost),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The record that ``to_json`` made the values of.

        Raises:
            AttributeError, KeyError, TypeError, ValueError: the values are not those of a place.

        """
        left_out = {
            str(name): (str(kind), str(why)) for name, (kind, why) in values["left_out"].items()
        }
        return cls(
            str(values["place"]),
            tuple(map(str, values["chips"])),
            values["skipped"],
            left_out,
            tuple(map(str, values["lost"])),
        )
