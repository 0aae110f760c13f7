from .activity import BusyClock, BusyShares, busy, recorded
from .ahead import Threads, threads
from .checks import check_fields
from .cores import available_cores
from .cpu import share_compiled_loops
from .destination import check_destination, check_ours
from .disk import check_disk, free_disk
from .files import parts, read_json, replacing, sha256_of, write_atomically, write_json, written
from .fonts import can_draw, draw_text, font_for, shortened_text, text_width
from .gdal import GDAL_OPTIONS
from .http import connection_fault, public_url, retry_after_seconds
from .inputs import check_is_file
from .jit import compiled, inlined, spare_blas
from .lock import HeldError, hold_file, holder
from .memory import available_memory, free_memory, memory_limit, release_memory
from .network import ca_bundle, proxy_of
from .progress import Progress, Steps, no_progress
from .proj import check_proj, ignored_proj_variables, proj_remedy, use_own_proj_data
from .rasters import open_geotiff
from .redaction import may_hold_keys, without_keys, without_keys_in, without_secrets
from .session import TooLargeError, open_session, read_answer
from .table import read_rows, refuse_longer_rows, write_table
from .timed import TimedHTTPConnection, TimedHTTPSConnection
from .xarrays import as_xarray

__all__ = [
    "GDAL_OPTIONS",
    "BusyClock",
    "BusyShares",
    "HeldError",
    "Progress",
    "Steps",
    "Threads",
    "TimedHTTPConnection",
    "TimedHTTPSConnection",
    "TooLargeError",
    "as_xarray",
    "available_cores",
    "available_memory",
    "busy",
    "ca_bundle",
    "can_draw",
    "check_destination",
    "check_disk",
    "check_fields",
    "check_is_file",
    "check_ours",
    "check_proj",
    "compiled",
    "connection_fault",
    "draw_text",
    "font_for",
    "free_disk",
    "free_memory",
    "hold_file",
    "holder",
    "ignored_proj_variables",
    "inlined",
    "may_hold_keys",
    "memory_limit",
    "no_progress",
    "open_geotiff",
    "open_session",
    "parts",
    "proj_remedy",
    "proxy_of",
    "public_url",
    "read_answer",
    "read_json",
    "read_rows",
    "recorded",
    "refuse_longer_rows",
    "release_memory",
    "replacing",
    "retry_after_seconds",
    "sha256_of",
    "share_compiled_loops",
    "shortened_text",
    "spare_blas",
    "text_width",
    "threads",
    "use_own_proj_data",
    "without_keys",
    "without_keys_in",
    "without_secrets",
    "write_atomically",
    "write_json",
    "write_table",
    "written",
]
