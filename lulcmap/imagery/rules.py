"""Rules of the Sentinel-2 composite: which observations count, and how many a pixel needs."""

from dataclasses import dataclass
from typing import Any

from lulcmap.sensors import SCL_MASKED


@dataclass(frozen=True, slots=True)
class CompositeRules:
    """Which Sentinel-2 observations count as clear, and how many a pixel needs."""

    min_clear: int = 5
    """Clear observations after which a pixel stops, 1 to 255."""

    max_scenes: int = 12
    """Dates with data, clear or not, after which a pixel stops, 1 to 255."""

    mask_codes: tuple[int, ...] = SCL_MASKED
    """Scene classification codes that are not clear. No data (0) does not even count as a try."""

    mask_dilation: int = 2
    """20 m pixels by which masked clouds and shadows are grown, in all eight directions."""

    def __post_init__(self) -> None:
        counts = (self.min_clear, self.max_scenes)
        if not all(1 <= count <= 255 for count in counts) or self.mask_dilation < 0:
            raise ValueError(
                f"min_clear and max_scenes must be 1 to 255 and mask_dilation 0 or more, got {self}"
            )

    @property
    def slots(self) -> int:
        """Largest number of observations a pixel can have."""
        return min(self.min_clear, self.max_scenes)

    def to_json(self) -> dict[str, Any]:
        """JSON values for ``plan.json``; two keys keep their names of version 0.1.0."""
        return {
            "min_clear": self.min_clear,
            "max_scenes": self.max_scenes,
            "masked": list(self.mask_codes),
            "dilation": self.mask_dilation,
        }
