"""Rules of the Sentinel-2 composite."""

from dataclasses import dataclass
from typing import Any

from lulcmap.sensors import SCL_MASKED


@dataclass(frozen=True, slots=True)
class CompositeRules:
    """What counts as a clear observation of Sentinel-2, and how many a pixel wants."""

    min_clear: int = 5
    """Clear observations after which a pixel stops, 1 to 255."""

    max_scenes: int = 12
    """Dates with data, clear or not, after which a pixel stops, 1 to 255."""

    mask_codes: tuple[int, ...] = SCL_MASKED
    """Codes of the scene classification that are not clear. 0 never counts, not even as a try."""

    mask_dilation: int = 2
    """Pixels of 20 m by which masked clouds and shadows are grown, in all eight directions."""

    def __post_init__(self) -> None:
        counts = (self.min_clear, self.max_scenes)
        if not all(1 <= count <= 255 for count in counts) or self.mask_dilation < 0:
            raise ValueError(f"no such rules: {self}")

    @property
    def slots(self) -> int:
        """Most observations a pixel can have."""
        return min(self.min_clear, self.max_scenes)

    def to_json(self) -> dict[str, Any]:
        """The rules as a plan holds them; two are named as in version 0.1.0."""
        return {
            "min_clear": self.min_clear,
            "max_scenes": self.max_scenes,
            "masked": list(self.mask_codes),
            "dilation": self.mask_dilation,
        }
