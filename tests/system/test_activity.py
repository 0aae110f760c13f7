"""What the threads of a run are at, and which activity limits it; the clock is the test's own."""

import threading

import pytest

from lulcmap.system import BusyClock, BusyShares, busy, recorded


class Clock:
    """A clock that a test moves."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def times(clock):
    with recorded(BusyClock(clock, thread_clock=clock, process_clock=clock)) as times:
        yield times


def in_thread(work):
    """Run something in a thread of its own, to its end."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_an_activity_is_busy_while_any_thread_is_at_it(clock, times):
    with busy("reading"):
        clock.now += 1
        in_thread(busy("reading")(lambda: setattr(clock, "now", clock.now + 2)))
    clock.now += 1

    assert times.shares().busy == {"reading": 0.75}
    assert times.shares().seconds == 4


def test_a_thread_is_at_one_thing_only(clock, times):
    with busy("compositing"):
        clock.now += 1
        with busy("reading"):
            clock.now += 2
        with busy(None):
            clock.now += 4
        clock.now += 1

    assert times.shares().busy == {"compositing": 0.25, "reading": 0.25}
    assert times.shares().cpu == {"compositing": 2, "reading": 2}
    assert times.shares().cpu_seconds == 8


def test_what_the_classifying_waits_for_limits(clock, times):
    with busy("reading"):
        clock.now += 3  # the model has nothing to do
        in_thread(busy("classifying")(lambda: setattr(clock, "now", clock.now + 5)))
        in_thread(busy("compositing")(lambda: setattr(clock, "now", clock.now + 2)))

    shares = times.shares()

    assert shares.busy == {"classifying": 0.5, "compositing": 0.2, "reading": 1.0}
    assert shares.awaited == {"classifying": 0.5, "compositing": 0.2, "reading": 0.3}
    assert shares.limit == "reading"


def test_a_model_that_never_waits_is_the_limit(clock, times):
    with busy("classifying"):
        clock.now += 9
    with busy("writing"):
        clock.now += 1

    assert times.shares().limit == "classifying"
    assert str(times.shares()) == "classifying 90 %, writing 10 %; limited by classifying"


def test_an_error_ends_what_a_thread_is_at(clock, times):
    @busy("writing")
    def fail():
        clock.now += 1
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    clock.now += 1

    assert times.shares().busy == {"writing": 0.5}


def test_without_a_clock_nothing_is_kept(clock):
    with busy("classifying"):
        clock.now += 1
    with recorded(BusyClock(clock)) as times:
        clock.now += 1

    assert times.shares().busy == {}
    assert times.shares().limit is None


def test_shares_are_read_back_from_json(clock, times):
    with busy("classifying"):
        clock.now += 2

    shares = times.shares()

    assert BusyShares.from_json(shares.to_json()) == shares
