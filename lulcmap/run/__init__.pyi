from .about import About
from .access import hold_plan, hold_run, removed_if_nothing_mapped, start_heartbeat
from .block_file import BLOCK_BANDS, BLOCK_BYTES_PER_PIXEL, DAMAGED, check_block
from .facts import PIXEL_ORIGINS, BlockFacts
from .folder import RunFolder
from .heartbeat import Heartbeat
from .plan import Plan
from .shard import Shard
from .status import RunStatus, run_status

__all__ = [
    "BLOCK_BANDS",
    "BLOCK_BYTES_PER_PIXEL",
    "DAMAGED",
    "PIXEL_ORIGINS",
    "About",
    "BlockFacts",
    "Heartbeat",
    "Plan",
    "RunFolder",
    "RunStatus",
    "Shard",
    "check_block",
    "hold_plan",
    "hold_run",
    "removed_if_nothing_mapped",
    "run_status",
    "start_heartbeat",
]
