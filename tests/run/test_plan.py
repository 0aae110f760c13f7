"""A plan, and how it is recognized by its digest."""

from dataclasses import replace

import pytest

from lulcmap.run.plan import Plan

PLAN = Plan(
    version="0.1.0",
    period=("2024-01-01", "2024-12-31"),
    area="0" * 64,
    crs=("EPSG:32632",),
    lattice=(512, 384),
    block_size=4608,
    blocks=((32632, -118, 1), (32632, -118, 2)),
    boxes=((0, 0, 9, 9), (0, 9, 9, 9)),
    s2_dates=(("a", "b"), ("c",)),
    s1_passes=(("d",),),
    s1_others=(),
    rules={"min_clear": 5, "masked": (0, 1, 3)},
    s1="optional",
    blend="hann",
    prior="natural",
    model="lulcformer-tiny",
    model_sha256="1" * 64,
    items="2" * 64,
    sources={"s2": ("file", "file")},
    max_cloud=95.0,
)


def test_a_plan_is_known_again_by_its_digest():
    rules = {"masked": [0, 1, 3], "min_clear": 5}  # as they come back from JSON

    assert replace(PLAN, rules=rules).digest == PLAN.digest
    assert len(PLAN.digest) == 64


@pytest.mark.parametrize(
    "change",
    [
        {"s2_dates": (("b", "a"), ("c",))},
        {"rules": {"min_clear": 4, "masked": (0, 1, 3)}},
        {"model_sha256": "3" * 64},
        {"crs": ("EPSG:3035",)},
        {"boxes": ((0, 0, 9, 9), (9, 0, 9, 9))},
    ],
)
def test_what_decides_the_map_changes_the_digest(change):
    assert replace(PLAN, **change).digest != PLAN.digest


def test_a_plan_is_plain_json():
    assert PLAN.to_json()["blocks"] == [[32632, -118, 1], [32632, -118, 2]]


def test_a_fallback_is_part_of_the_plan_and_of_no_other_plan():
    second = replace(PLAN, fallback="earth-search", twins=(("a", "A"),))

    assert not {"fallback", "twins"} & set(PLAN.to_json())  # as version 0.1.0 wrote it
    assert Plan.from_json(second.to_json()).to_json() == second.to_json()
    assert second.digest != PLAN.digest
    assert second.request == PLAN.request  # the same map is asked for
