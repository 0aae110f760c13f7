from .about import About
from .access import hold_plan, hold_run, removed_if_nothing_mapped, start_heartbeat
from .facts import PIXEL_ORIGINS, BlockFacts
from .folder import BLOCK_BANDS, BLOCK_BYTES_PER_PIXEL, RunFolder
from .heartbeat import Heartbeat
from .plan import Plan
from .shard import Shard
from .status import RunStatus, run_status

__all__ = [
    "BLOCK_BANDS",
    "BLOCK_BYTES_PER_PIXEL",
    "PIXEL_ORIGINS",
    "About",
    "BlockFacts",
    "Heartbeat",
    "Plan",
    "RunFolder",
    "RunStatus",
    "Shard",
    "hold_plan",
    "hold_run",
    "removed_if_nothing_mapped",
    "run_status",
    "start_heartbeat",
]
