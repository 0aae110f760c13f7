"""A block of a run: its id and its pixels."""

from typing import NamedTuple

from lulcmap.geo.tiling import Box


class BlockId(NamedTuple):
    """Id of a block: equal in every run that cuts a zone into blocks of one size."""

    zone: int
    """EPSG code of the block's UTM zone."""

    row: int
    """Row on the zone's lattice of blocks, from northing 0; negative in the northern hemisphere."""

    col: int
    """Column on the zone's lattice of blocks."""

    def __str__(self) -> str:
        """The stem of the block's file.

        Examples:
            >>> str(BlockId(32632, 12, -3))
            'z32632_r12_c-3'

        """
        return f"z{self.zone}_r{self.row}_c{self.col}"


class Block(NamedTuple):
    """A block and where it lies."""

    id: BlockId
    """Id of the block."""

    box: Box
    """Its pixels in the zone, from easting 0 and northing 0."""
