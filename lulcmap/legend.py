"""Dynamic World's nine land-cover classes: ids, names, colours.

Source: Brown et al. (2022), Dynamic World, Scientific Data 9:251, doi 10.1038/s41597-022-01307-4.
"""

from dataclasses import dataclass

NODATA = 255
"""Class id of a pixel that is outside the area or could not be mapped (0 is water)."""


@dataclass(frozen=True, slots=True)
class LandCover:
    """One class of the legend."""

    id: int
    """Value in the map, 0 to 8."""

    name: str
    """Dynamic World's own name, lower case with underscores."""

    colour: str
    """Six hexadecimal digits, RRGGBB."""

    @property
    def rgb(self) -> tuple[int, int, int]:
        """Red, green, blue, each 0 to 255."""
        value = int(self.colour, 16)
        return value >> 16, value >> 8 & 255, value & 255


CLASSES = (
    LandCover(0, "water", "419BDF"),
    LandCover(1, "trees", "397D49"),
    LandCover(2, "grass", "88B053"),
    LandCover(3, "flooded_vegetation", "7A87C6"),
    LandCover(4, "crops", "E49635"),
    LandCover(5, "shrub_and_scrub", "DFC35A"),
    LandCover(6, "built", "C4281B"),
    LandCover(7, "bare", "A59B8F"),
    LandCover(8, "snow_and_ice", "B39FE1"),
)

NAMES = tuple(cover.name for cover in CLASSES)
