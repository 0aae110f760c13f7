from .assemble import assemble_map, assemble_run
from .cog import PLAN_TAG, cog_bytes, write_cog
from .existing import finished_map, made_before
from .extras import Extras, checked_license
from .layer_names import COMPOSITE, PROBABILITIES, QUALITY, layer_bytes, layer_path
from .mosaic import JOINED_BYTES_PER_PIXEL, joined_map
from .paths import check_writable, run_path
from .preview import coloured, draw_preview, true_colour
from .read import read_map
from .report import MapReport
from .shard_report import ShardReport
from .sidecars import complete_sidecars, is_our_sidecar, item_text, write_legend
from .stac_item import STAC_VERSION
from .zone_reader import ZoneBlocks

__all__ = [
    "COMPOSITE",
    "JOINED_BYTES_PER_PIXEL",
    "PLAN_TAG",
    "PROBABILITIES",
    "QUALITY",
    "STAC_VERSION",
    "Extras",
    "MapReport",
    "ShardReport",
    "ZoneBlocks",
    "assemble_map",
    "assemble_run",
    "check_writable",
    "checked_license",
    "cog_bytes",
    "coloured",
    "complete_sidecars",
    "draw_preview",
    "finished_map",
    "is_our_sidecar",
    "item_text",
    "joined_map",
    "layer_bytes",
    "layer_path",
    "made_before",
    "read_map",
    "run_path",
    "true_colour",
    "write_cog",
    "write_legend",
]
