"""Records of a run, with values that matter nowhere else."""

from typing import Any

import shapely

from lulcmap import __version__
from lulcmap.geo import BlockId
from lulcmap.legend import CLASSES
from lulcmap.run import About, BlockFacts, Plan


def make_plan(**changes: Any) -> Plan:
    """A plan of one block."""
    values = {
        "version": __version__,
        "period": ("2024-01-01", "2024-12-31"),
        "area": "a" * 64,
        "crs": ("EPSG:32632",),
        "lattice": (512, 384),
        "block_size": 4608,
        "blocks": (BlockId(32632, 12, -3),),
        "boxes": ((-500_000, 40_000, 600, 700),),
        "s2_dates": (("s2-a", "s2-b"), ("s2-c",)),
        "s1_passes": (("s1-a",),),
        "s1_others": (),
        "rules": {"min_clear": 5},
        "s1": "optional",
        "blend": "hann",
        "prior": "natural",
        "model": "stub",
        "model_sha256": "0" * 64,
        "items": "1" * 64,
        "sources": {"s2": ("file", "planetary-computer")},
        "max_cloud": 95.0,
    }
    return Plan(**{**values, **changes})


def make_about(plan: Plan, **changes: Any) -> About:
    """What a run of a plan knows besides."""
    values = {
        "area": shapely.MultiPolygon([shapely.box(9, 50, 9.1, 50.1)]),
        "name": "somewhere",
        "plan": plan.digest,
        "request": plan.request,
        "remote": False,
        "notes": (),
        "skipped": (("s2-d", "it is cloudy"),),
        "catalog": "file",
        "platforms": {"sentinel-2a": 3},
        "simulated": True,
        "s1_orbit": "descending",
        "trained_on": "simulated",
        "quality": "knows simulated landscapes only",
        "legend": CLASSES,
        "acquired": {"s2-a": "2024-05-01T10:20:21Z", "s2-b": "2024-07-01T10:20:21Z"},
        "addresses": {"s2-a": "https://example.org/items/s2-a"},
    }
    return About(**{**values, **changes})


def make_facts(plan: str, **changes: Any) -> BlockFacts:
    """Facts of a block, made under the plan of a digest."""
    values = {
        "plan": plan,
        "device": "cpu, onnxruntime",
        "pixels": {"s2_and_s1": 3, "not_mapped": 1},
        "classes": {"water": 3},
        "used": ("s2-a",),
        "unmasked": (),
        "lost": (("s2-b", "B04", "é <&>"),),
    }
    return BlockFacts(**{**values, **changes})
