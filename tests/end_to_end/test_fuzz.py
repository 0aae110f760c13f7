"""Whatever is handed over as an area: a plan, or one clear error."""

import pytest
from hypothesis import HealthCheck, event, given, settings

from lulcmap.planning.estimate.run import WindowTime
from tests.support.polygons import Planner, aois


@pytest.fixture(scope="module")
def planner(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "lulcmap.planning.estimate.run.window_time", lambda *_, **__: WindowTime(0.5, 0.5)
        )  # does not run the model
        yield Planner(tmp_path_factory.mktemp("fuzz"))


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(aois)
def test_an_area_makes_a_plan_or_one_clear_error(planner, aoi):
    made = planner.plan(aoi)

    event(f"{aoi.kind}: {'a plan' if made.code == 0 else made.code}")
    assert made.fault == "", f"{made.fault}\n{made.message}\n{aoi.text!r}"
