import threading

import pytest

from lulcmap.model.overlap import run_batches


def test_one_at_a_time_each_is_run_as_it_is_asked_for():
    seen = []

    results = run_batches(lambda n: seen.append(n) or n * n, ((n,) for n in range(5)))

    assert next(results) == 0
    assert seen == [0]
    assert list(results) == [1, 4, 9, 16]


def test_two_are_in_flight_and_come_back_in_order():
    both = threading.Barrier(2, timeout=20)  # a call alone would wait for ever

    def run(n):
        both.wait()
        return n

    assert list(run_batches(run, ((n,) for n in range(8)), in_flight=2)) == list(range(8))


def test_batches_are_made_as_they_are_needed():
    made = []

    def batches():
        for n in range(100):
            made.append(n)
            yield (n,)

    results = run_batches(lambda n: n, batches(), in_flight=2)

    assert next(results) == 0
    assert len(made) == 3


def test_an_error_comes_at_its_place_and_ends_the_run():
    def run(n):
        if n == 2:
            raise ValueError("two")
        return n

    results = run_batches(run, ((n,) for n in range(50)), in_flight=2)

    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(results)
    assert [thread for thread in threading.enumerate() if thread.name.startswith("network")] == []
