"""The heartbeat's stages: how long each took, and what was busy in it; the clock is the test's."""

import json

import pytest

from lulcmap.errors import UsageError
from lulcmap.run import Heartbeat, run_status
from lulcmap.run.heartbeat import Beat
from lulcmap.system import busy


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self):
        return self.now


def test_each_stage_has_its_own_time_and_its_own_shares(tmp_path):
    clock = Clock()
    with Heartbeat(tmp_path / "run.beat", clock=clock) as heartbeat:
        clock.now += 3
        heartbeat.stage("blocks")
        with busy("reading"):
            clock.now += 6
        with busy("classifying"):
            clock.now += 4
        heartbeat.stage("assembly")
        clock.now += 1
        stages = heartbeat.stages()

    assert {name: shares.seconds for name, shares in stages.items()} == {
        "scenes": 3,
        "blocks": 10,
        "assembly": 1,
    }
    assert stages["blocks"].busy == {"classifying": 0.4, "reading": 0.6}
    assert stages["blocks"].limit == "reading"
    assert stages["assembly"].busy == {}


def test_the_file_says_what_is_busy_and_is_read_back(tmp_path):
    clock, path = Clock(), tmp_path / "run.beat"
    with Heartbeat(path, clock=clock) as heartbeat:
        heartbeat.stage("blocks")
        with busy("reading"):
            clock.now += 2
        heartbeat.blocks(4, done=1, made=1)
        beat = Beat.from_json(json.loads(path.read_text()))

    assert beat.busy is not None
    assert beat.busy.busy == {"reading": 1.0}
    assert (beat.stage, beat.done, beat.seconds) == ("blocks", 1, 2.0)


def test_a_beat_of_a_version_that_told_nothing_of_it_is_read(tmp_path):
    with Heartbeat(tmp_path / "run.beat") as heartbeat:
        heartbeat.stage("blocks")
        values = json.loads((tmp_path / "run.beat").read_text())
    del values["busy"]

    assert Beat.from_json(values).busy is None


@pytest.mark.parametrize("busy", [[1], "x", 3, {"busy": [], "awaited": {}}, {"busy": {"a": None}}])
def test_a_damaged_beat_is_passed_over(tmp_path, busy):
    with Heartbeat(tmp_path / "run.beat"):
        values = json.loads((tmp_path / "run.beat").read_text())
    (tmp_path / "run.beat").write_text(json.dumps({**values, "busy": busy}))

    with pytest.raises(UsageError, match="No run in"):
        run_status(tmp_path)
