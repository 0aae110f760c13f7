from .budget import MemoryBudget
from .estimate.run import estimate_run
from .estimate.values import Estimate, S1Orbit
from .planner import PlannedMap, plan_map
from .settings import RANGES, RULES, Settings
from .sharing import Shares, blocks_budget, in_order, share_plan

__all__ = [
    "RANGES",
    "RULES",
    "Estimate",
    "MemoryBudget",
    "PlannedMap",
    "S1Orbit",
    "Settings",
    "Shares",
    "blocks_budget",
    "estimate_run",
    "in_order",
    "plan_map",
    "share_plan",
]
