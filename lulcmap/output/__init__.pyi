from .assemble import assemble_map, assemble_run
from .cog import cog_bytes, write_cog
from .existing import finished_map, made_before
from .mosaic import JOINED_BYTES_PER_PIXEL, ZoneBlocks, write_mosaic
from .paths import check_writable, run_path
from .preview import coloured, draw_preview, true_colour
from .read import read_map
from .report import MapReport
from .shard_report import ShardReport

__all__ = [
    "JOINED_BYTES_PER_PIXEL",
    "MapReport",
    "ShardReport",
    "ZoneBlocks",
    "assemble_map",
    "assemble_run",
    "check_writable",
    "cog_bytes",
    "coloured",
    "draw_preview",
    "finished_map",
    "made_before",
    "read_map",
    "run_path",
    "true_colour",
    "write_cog",
    "write_mosaic",
]
