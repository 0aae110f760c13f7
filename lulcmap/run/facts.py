"""What a finished block says of itself, in a tag of its file."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

PIXEL_ORIGINS = (
    "not_mapped",
    "s2_and_s1",
    "s2_only",
    "s1_only",
    "s2_and_s1_other_orbit",
    "s1_only_other_orbit",
)
"""What a pixel was mapped from; the index is its value in a block's band ``origin``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockFacts:
    """What the report needs to know of a block."""

    plan: str
    """Digest of the plan it was made under."""

    device: str
    """Device and runtime of the model."""

    pixels: Mapping[str, int]
    """Pixels of the area by what they were mapped from: the names of ``PIXEL_ORIGINS``."""

    classes: Mapping[str, int]
    """Pixels of the area by class name."""

    used: tuple[str, ...]
    """Ids of the scenes that gave pixels to its windows, sorted."""

    unmasked: tuple[str, ...]
    """Those of them without a scene classification, sorted."""

    lost: tuple[tuple[str, str, str], ...]
    """Assets that could not be read: scene, band, reason."""

    implausible: tuple[tuple[str, int], ...] = ()
    """Scenes of Sentinel-1 with pixels of implausible power, and their number in the block."""

    fallback: tuple[tuple[str, str, str], ...] = ()
    """Assets read from the second provider: scene, band, why the first could not give it. What a
    neighbour read for both is in the neighbour's file."""

    sun_zenith: tuple[float, float] | None = None
    """Smallest and largest zenith of the sun in its windows, degrees, of a model that takes it."""

    def to_json(self) -> dict[str, Any]:
        """The values of the tag."""
        values = asdict(self)
        if not self.fallback:
            del values["fallback"]
        if self.sun_zenith is None:
            del values["sun_zenith"]
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """What ``to_json`` made the values of.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: the values are of something else.

        """
        # blocks of version 0.1.0 lack these
        values = {"implausible": (), "fallback": (), "sun_zenith": None, **values}
        facts = {field.name: values[field.name] for field in fields(cls)}
        facts["used"], facts["unmasked"] = tuple(facts["used"]), tuple(facts["unmasked"])
        facts["lost"] = tuple((scene, band, reason) for scene, band, reason in facts["lost"])
        facts["fallback"] = tuple((scene, band, why) for scene, band, why in facts["fallback"])
        facts["implausible"] = tuple((scene, int(count)) for scene, count in facts["implausible"])
        if facts["sun_zenith"] is not None:
            low, high = map(float, facts["sun_zenith"])
            facts["sun_zenith"] = low, high
        for counts in ("pixels", "classes"):
            facts[counts] = {name: int(count) for name, count in facts[counts].items()}
        return cls(**facts)
