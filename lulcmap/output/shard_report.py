"""The report of one process of several that make a map's blocks."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class ShardReport:
    """What one process of several did."""

    run: Path
    """Path of the run folder."""

    shard: str
    """The shard, such as ``"3/10"``."""

    blocks: int
    """Blocks of the shard, all done."""

    made: int
    """Blocks of these that were made now."""

    left: int
    """Blocks of the run that are not done, of all shards."""

    then: str
    """The command that makes the map when no block is left."""

    warnings: tuple[str, ...] = ()
    """What the map's user should know, one sentence each."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {**asdict(self), "run": str(self.run), "warnings": list(self.warnings)}

    def __str__(self) -> str:
        """One line for the terminal."""
        return (
            f"Shard {self.shard} of {self.run}: {_blocks(self.blocks)}, {self.made:,} made now; "
            f"{_blocks(self.left)} of the run left. When none is left: {self.then}"
        )


def _blocks(count: int) -> str:
    return f"{count:,} block{'' if count == 1 else 's'}"
