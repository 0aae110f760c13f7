from .budget import MemoryBudget, memory_budget
from .estimate.run import estimate_run
from .estimate.values import Estimate, S1Orbit
from .planner import PlannedMap, plan_map
from .settings import RANGES, RULES, Settings

__all__ = [
    "RANGES",
    "RULES",
    "Estimate",
    "MemoryBudget",
    "PlannedMap",
    "S1Orbit",
    "Settings",
    "estimate_run",
    "memory_budget",
    "plan_map",
]
